"""How many requests an account may still make this minute (SPEC 5, ALPACA 1.7).

The broker's ``X-RateLimit-*`` headers decide; where there are none, a sliding minute of
``rate_limit_per_min`` does. A fifth is kept for recovery, and no order may use it;
recovery may use another one while orders leave it idle. What can wait leaves the last
quarter of a fifth of that share to what cannot. Polls take what orders leave. Of what
orders may use, as many requests as sells wait for are no buy's.
"""

from __future__ import annotations

import collections
import math
import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snexec.clock import Clock

_WINDOW_SECONDS = 60.0
_RESET_SLACK_SECONDS = 0.05  # the broker's clock may tick over a little after ours
_MIN_WAIT_SECONDS = 0.01
_SLICE_SECONDS = 0.1
_REQUESTS = re.compile(r"[0-9]{1,7}")
_LOOK_AGAIN_SECONDS = 1.0  # an answer may announce a new window meanwhile


class Purpose(Enum):
    """What a request is for; this decides how much of the budget it may use."""

    ORDER = auto()  # all but the fifth that is kept for recovery
    EXIT = auto()  # a sell: the same, and before any order that buys (SPEC 12.5)
    POLL = auto()  # what orders leave, but for a tenth that stays theirs
    RECOVERY = auto()  # that fifth, and another one that is idle
    ROUTINE = auto()  # likewise, but for the last quarter of a fifth: it can wait
    START = auto()  # all of it: before the first signal no order competes

    @property
    def is_recovery(self) -> bool:
        """Whether it is of recovery's share."""
        return self is Purpose.RECOVERY or self is Purpose.ROUTINE


@dataclass(slots=True)
class _Slice:
    """Consecutive requests, counted as if all were made at the time of the last.

    To remember each one would take memory that grows with the broker's limit.
    """

    purpose: Purpose
    began: float
    ended: float
    count: int = 1


class RateBudget:
    """Counts the requests of one account.

    No count changes across an await, so any task may call it.
    """

    def __init__(self, *, per_minute: int, clock: Clock) -> None:
        self._limit = per_minute
        self._clock = clock
        self._slices: collections.deque[_Slice] = collections.deque()
        self._sent = 0  # in the last minute
        self._sent_to_recover = 0  # among those
        self._sent_urgently = 0  # among those that recovery has sent
        self._in_flight = 0
        self._remaining: int | None = None  # the broker's count, once it has sent one
        self._window_end = -math.inf
        self._header_window_end = -math.inf  # the last one that a header gave
        self._last_reset: str | None = None
        self._blocked_until = -math.inf
        self._exits_waiting = 0

    @property
    def limit(self) -> int:
        """Requests per minute."""
        return self._limit

    @property
    def polls(self) -> int:
        """Polls per minute, while no orders leave; at least 1."""
        return max(1, self._limit - self._limit // 5 - self._orders_own)

    @property
    def left(self) -> int:
        """Requests that may still be made in this window, for any purpose."""
        now = trio.current_time()
        self._roll(now)
        if now < self._blocked_until:
            return 0
        return max(0, self._available(Purpose.START))

    def try_take(self, purpose: Purpose) -> bool:
        """Take one request from the budget, if there is one for this purpose."""
        now = trio.current_time()
        self._roll(now)
        if now < self._blocked_until or self._available(purpose) < 1:
            return False
        newest = self._slices[-1] if self._slices else None
        if (
            newest is None
            or newest.purpose is not purpose
            or now - newest.began >= _SLICE_SECONDS
        ):
            self._slices.append(_Slice(purpose, now, now))
        else:
            newest.ended = now
            newest.count += 1
        self._count(purpose, 1)
        if self._remaining is not None:
            self._remaining -= 1
        self._in_flight += 1
        return True

    async def take(self, purpose: Purpose) -> None:
        """Take one request from the budget; wait until there is one."""
        waits = purpose is Purpose.EXIT
        self._exits_waiting += waits
        try:
            while not self.try_take(purpose):  # noqa: ASYNC110 - only time refills it
                await trio.sleep(min(self.seconds_until(purpose), _LOOK_AGAIN_SECONDS))
        finally:
            self._exits_waiting -= waits

    def give_back(self, purpose: Purpose) -> None:
        """Give back what was taken for a request that was never made."""
        self._in_flight -= 1
        for each in reversed(self._slices):
            if each.purpose is purpose:
                each.count -= 1
                self._count(purpose, -1)
                if not each.count:
                    self._slices.remove(each)
                break
        if self._remaining is not None:
            self._remaining += 1

    def finish(self, headers: Mapping[str, str] | None) -> None:
        """Record the end of a request, with the answer's headers if there is one."""
        # First, as a request under way when the window ends may count in the next one.
        self._roll(trio.current_time())
        self._in_flight -= 1
        if headers is not None:
            self._observe(headers)

    def block(self, seconds: float) -> None:
        """Allow nothing for this many seconds: the broker answered 429."""
        self._blocked_until = max(self._blocked_until, trio.current_time() + seconds)

    def age(self, seconds: float) -> None:
        """Count this many seconds as past that Trio's clock has not counted."""
        for each in self._slices:
            each.began -= seconds
            each.ended -= seconds
        self._window_end -= seconds
        self._header_window_end -= seconds
        self._blocked_until -= seconds

    def seconds_until(self, purpose: Purpose) -> float:
        """Return in how many seconds there may be a request for this purpose."""
        now = trio.current_time()
        self._roll(now)
        wait = self._blocked_until - now
        if self._available(purpose) < 1:
            ends = [
                each.ended + _WINDOW_SECONDS
                for each in self._slices
                if self._remaining is None or each.purpose.is_recovery
            ]
            ends.append(self._window_end)
            wait = max(wait, min((end for end in ends if end > now), default=now) - now)
        return max(wait, _MIN_WAIT_SECONDS)

    def seconds_until_reset(self, headers: Mapping[str, str]) -> float | None:
        """Return in how many seconds the broker's window ends, if a header says so."""
        try:
            reset = float(headers["x-ratelimit-reset"])
        except (KeyError, ValueError):
            return None
        # The broker's own time first. It is in whole seconds, so the wait may be up to
        # a second too long, but never too short, as it would be by a fast clock of ours.
        for now in (_date(headers), self._clock.now().timestamp()):
            if now is not None and 0 < reset - now <= 2 * _WINDOW_SECONDS:
                return reset - now
        return None

    @property
    def _orders_own(self) -> int:
        return self._limit // 10

    def _available(self, purpose: Purpose) -> int:
        left = (
            self._remaining if self._remaining is not None else self._limit - self._sent
        )
        fifth = self._limit // 5
        # Of a fifth that is a single request, nothing: no other would ever be made.
        reserve = -(-fifth // 4) if fifth > 1 else 0
        reserved = max(0, reserve - self._sent_urgently)
        kept = max(1, fifth) - self._sent_to_recover
        idle = left - (self._limit - 2 * fifth) - self._exits_waiting
        kept_back = max(fifth - self._sent_to_recover, reserved)
        match purpose:
            case Purpose.ORDER:
                return left - kept_back - self._exits_waiting
            case Purpose.EXIT:
                return left - kept_back
            case Purpose.POLL:
                return self._available(Purpose.ORDER) - self._orders_own
            case Purpose.RECOVERY:
                return min(left, max(kept, idle, reserved))
            case Purpose.ROUTINE:
                return min(left, max(kept, idle)) - reserve
            case Purpose.START:
                return left

    def _observe(self, headers: Mapping[str, str]) -> None:
        limit = _requests(headers, "x-ratelimit-limit")
        remaining = _requests(headers, "x-ratelimit-remaining")
        reset = headers.get("x-ratelimit-reset")
        if not limit or remaining is None or reset is None:
            return
        self._limit = limit
        if reset == self._last_reset and self._remaining is not None:
            # Answers overtake one another, and others may use the account too.
            self._remaining = min(self._remaining, remaining)
            return
        wait = self.seconds_until_reset(headers)
        if wait is None:
            return
        end = trio.current_time() + wait + _RESET_SLACK_SECONDS
        if end + 1 < self._header_window_end:
            return  # a late answer, about the window before
        self._last_reset = reset
        self._window_end = self._header_window_end = end
        self._remaining = remaining - self._in_flight

    def _roll(self, now: float) -> None:
        before = now - _WINDOW_SECONDS
        while self._slices and self._slices[0].ended <= before:
            oldest = self._slices.popleft()
            self._count(oldest.purpose, -oldest.count)
        if self._remaining is not None and now >= self._window_end:
            self._remaining = self._limit - self._in_flight
            self._window_end = now + _WINDOW_SECONDS
            self._last_reset = None

    def _count(self, purpose: Purpose, requests: int) -> None:
        self._sent += requests
        if purpose.is_recovery:
            self._sent_to_recover += requests
        if purpose is Purpose.RECOVERY:
            self._sent_urgently += requests


def _requests(headers: Mapping[str, str], name: str) -> int | None:
    """Return a number of requests; None if it cannot be one, however long it is."""
    text = headers.get(name, "").strip()
    if not _REQUESTS.fullmatch(text):
        return None
    return int(text)


def _date(headers: Mapping[str, str]) -> float | None:
    try:
        return parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError, OverflowError):
        return None
