"""Delivers notices to a command and a webhook (README, "Notifications").

Follows the event feed and never holds anything up: a notice goes into a bounded queue,
and one task delivers it. A burst goes out as one message.

Own code and not Apprise: a POST and a process are all that is needed, and anyone who
wants Apprise's hundred services names it as the command:
``["apprise", "-c", FILE, "-b"]``.
"""

from __future__ import annotations

import collections
import logging
from functools import partial
from typing import TYPE_CHECKING, Literal

import trio

from snexec.clock import timestamp
from snexec.logs import Repeats, printable
from snexec.ops.couriers import NotDeliveredError, Webhook, run_command
from snexec.ops.limit_notices import LimitNotices
from snexec.ops.notices import HealthNotices, message_of, notice_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable

    from snexec.clock import Clock
    from snexec.events import Event
    from snexec.model import Mode
    from snexec.ops.health import Health
    from snexec.ops.notices import Notice
    from snexec.settings import NotifySettings

log = logging.getLogger("Notify")

_MAX_WAITING = 1000  # more are only counted; one message names a few anyway
_MAX_WAITING_CHARS = 2_000_000  # of all their texts and fields
_GATHER_SECONDS = 1.0  # what comes together goes out together
_PAUSE_SECONDS = 5.0  # between two messages, at least
_DELIVERY_SECONDS = 10.0
_RETRY_SECONDS = (1.0, 5.0)  # pauses before the second and the third try
_FAREWELL_SECONDS = 2.0  # for what still waits when the daemon stops
_HEALTH_SECONDS = 5.0  # between two looks at the health


class Notify:
    """Delivers notices, one message at a time.

    Args:
        tls: Makes the context that verifies the webhook's host.
        mask: Removes the secrets from a text.
        latest: Returns the time, on Trio's clock, by which a stop must be over.
        account: Names a mode's account.

    Attributes:
        counts: Deliveries by outcome.
    """

    def __init__(
        self,
        *,
        settings: NotifySettings,
        health: Health,
        clock: Clock,
        mask: Callable[[str], str],
        tls: Callable[[], ssl.SSLContext],
        latest: Callable[[], float],
        account: Callable[[Mode], str],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._mask = mask
        self._latest = latest
        self._account = account
        self._wanted = frozenset(settings.events)
        self._health_notices = HealthNotices(
            health=health,
            clock=clock,
            outage_seconds=settings.outage_sec,
            outages_wanted="outage" in self._wanted,
        )
        self._limits = LimitNotices()
        self._waiting: collections.deque[Notice] = collections.deque()
        self._waiting_chars = 0
        self._reports: collections.deque[dict[str, object]] = collections.deque()
        self._dropped = 0
        self._in_hand = 0
        self._arrived = trio.Event()
        self._closing = trio.Event()
        self._work = trio.CancelScope(shield=True)
        url = settings.webhook
        self._webhook = None if url is None else Webhook(url, tls)
        self._targets = self._make_targets()
        self._failures = {
            name: Repeats(name, log=log, clock=clock) for name in self._targets
        }
        self.counts: collections.Counter[Literal["delivered", "failed"]] = (
            collections.Counter()
        )

    def happened(self, event: Event) -> None:
        """Queue a notice of an event of the feed, if it is worth one."""
        limit = self._limits.notice_of(event)
        notice = limit or notice_of(event, self._account)
        if notice is not None:
            self._put(notice)

    def report(self, text: str) -> None:
        """Queue the day's report, a message by itself, whose lines stay lines."""
        lines = (printable(self._mask(line)) for line in text.splitlines())
        at = timestamp(self._clock.now())
        whole = "snexec: " + "\n".join(lines)
        self._reports.append(
            {"text": whole, "event": "report", "at": at, "count": 1, "events": []}
        )
        self._arrived.set()

    async def run(self) -> None:
        """Deliver until cancelled, then spend a moment on what still waits."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._deliver_all, name="deliver notices")
            try:
                await self._watch_health()
            finally:
                now = trio.current_time()
                seconds = min(_FAREWELL_SECONDS, max(0.0, self._latest() - now))
                self._work.deadline = now + seconds
                self._closing.set()

    def _put(self, notice: Notice) -> None:
        if notice.kind not in self._wanted:
            return
        chars = self._waiting_chars + notice.chars
        if len(self._waiting) >= _MAX_WAITING or chars > _MAX_WAITING_CHARS:
            self._dropped += 1
            return
        self._waiting_chars = chars
        self._waiting.append(notice)
        self._arrived.set()

    async def _watch_health(self) -> None:
        while True:
            for notice in self._health_notices.look():
                self._put(notice)
            await trio.sleep(_HEALTH_SECONDS)

    async def _deliver_all(self) -> None:
        with self._work:
            while await self._next_is_due():
                message = self._take_message()
                async with trio.open_nursery() as nursery:
                    for name, deliver in self._targets.items():
                        nursery.start_soon(self._deliver, name, deliver, message)
                self._in_hand = 0
                await self._sleep(_PAUSE_SECONDS)
        left = len(self._waiting) + len(self._reports) + self._dropped + self._in_hand
        if left:
            log.warning("%d notices were not delivered before the stop", left)
        if self._webhook is not None:
            await self._webhook.aclose()

    async def _next_is_due(self) -> bool:
        """Wait for a notice and for those that come with it; False if none will."""
        if not self._waiting and not self._reports:
            self._arrived = trio.Event()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cancel_when, self._closing, nursery.cancel_scope)
                await self._arrived.wait()
                nursery.cancel_scope.cancel(reason="a notice has come")
        if self._waiting or self._reports:
            await self._sleep(_GATHER_SECONDS)
        return bool(self._waiting or self._reports)

    async def _sleep(self, seconds: float) -> None:
        """Sleep, but only until the daemon stops."""
        with trio.move_on_after(seconds):
            await self._closing.wait()

    def _take_message(self) -> dict[str, object]:
        """Take a report, or everything else that waits, as one message."""
        if self._reports:
            self._in_hand = 1
            return self._reports.popleft()
        notices = list(self._waiting)
        self._waiting.clear()
        self._waiting_chars = 0
        dropped, self._dropped = self._dropped, 0
        self._in_hand = len(notices) + dropped
        return message_of(notices, dropped=dropped, mask=self._mask)

    async def _deliver(
        self,
        name: str,
        deliver: Callable[[dict[str, object]], Awaitable[None]],
        message: dict[str, object],
    ) -> None:
        """Try three times at most, then log that the message is given up."""
        problem = NotDeliveredError("")
        for pause in (*_RETRY_SECONDS, None):
            problem = NotDeliveredError(f"no end within {_DELIVERY_SECONDS:g} s")
            with trio.move_on_after(_DELIVERY_SECONDS) as limit:
                try:
                    await deliver(message)
                except NotDeliveredError as exc:
                    problem = exc
                except Exception as exc:
                    log.exception("%s failed; trading goes on", name)
                    problem = NotDeliveredError(type(exc).__name__, final=True)
                else:
                    self.counts["delivered"] += 1
                    self._failures[name].worked()
                    return
            if not limit.cancelled_caught and problem.final:
                break
            if pause is not None:
                log.debug("%s: %s; it is tried again", name, problem)
                await self._sleep(pause)
        self.counts["failed"] += 1
        said = printable(self._mask(str(problem)))
        if self._failures[name].failed(said):
            log.warning(
                "%s: a message was not delivered (%s): %s", name, said, message["text"]
            )

    def _make_targets(
        self,
    ) -> dict[str, Callable[[dict[str, object]], Awaitable[None]]]:
        targets: dict[str, Callable[[dict[str, object]], Awaitable[None]]] = {}
        if self._settings.command is not None:
            targets["notify.command"] = partial(run_command, self._settings.command)
        if self._webhook is not None:
            targets["notify.webhook"] = self._webhook.post
        return targets


async def _cancel_when(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel(reason="the daemon stops")
