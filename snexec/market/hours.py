"""Whether the market is open, by the broker's own clock (``require_market_open``, 12.3)."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, NamedTuple

import trio

from snexec.broker import Purpose
from snexec.errors import BrokerError, RateLimitedError
from snexec.logs import roughly
from snexec.model import MODES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from snexec.broker import Accounts
    from snexec.model import Mode
    from snexec.settings import LiveSettings

log = logging.getLogger("Market")

_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0
_WANTED_SECONDS = 60.0
# So long after its own change a clock may still say what was before: it lags, and what
# depends on it waits.
_LAG_SECONDS = 5.0
_LAG_PAUSE_SECONDS = 0.5
# So often it is asked what may have changed before its time, where sells depend on it.
_UNFORESEEN_SECONDS = 60.0


class View(NamedTuple):
    """What the broker's clock said.

    Attributes:
        until: When the market opens or closes next, on Trio's clock.
        changes_at: The same by the broker's clock, in its own time zone.
        said_at: When it was said, likewise.
    """

    is_open: bool
    until: float
    changes_at: datetime
    said_at: datetime


class MarketHours:
    """Asks the broker at each opening and closing, while somebody needs to know.

    That is ``require_market_open`` for the current mode, and whatever is watched for the
    modes that have something to watch. These are asked each minute as well: a market may
    close before its time. Without keys nobody is asked, and no signal gets so far as to
    need it.

    In between Trio's clock counts, so that no change of the machine's time opens the
    market. No order ever waits for an answer.

    Args:
        live: Whether to ask, and of which account.
        accounts: Who is asked.
    """

    def __init__(self, live: LiveSettings, accounts: Accounts) -> None:
        self._live = live
        self._accounts = accounts
        self._views: dict[Mode, View] = {}
        self._asked_at: dict[Mode, float] = {}
        self._watched: frozenset[Mode] = frozenset()
        self._wanted_until: dict[Mode, float] = {}
        self._unanswered: set[Mode] = set()  # the last time that they were asked
        self._lagging: set[Mode] = set()  # their clocks, at a change
        self._changed = trio.Event()
        self._decided = trio.Event()
        self._said = trio.Event()

    def is_open(self, mode: Mode) -> bool | None:
        """Return whether the market is open, or None if that is not known now."""
        view = self.view(mode)
        return None if view is None else view.is_open

    def is_being_asked(self, mode: Mode) -> bool:
        """Return whether it is not known, and the answer is on its way, or soon.

        So it is at a start, and in the moment of each opening and closing.
        """
        return (
            self.view(mode) is None
            and mode not in self._unanswered
            and self._is_needed(mode)
        )

    def seconds_to_close(self, mode: Mode) -> float | None:
        """Return in how many seconds the market closes; None if it is not open.

        Half days count, as it is the broker's own clock that says it.
        """
        view = self.view(mode)
        if view is None or not view.is_open:
            return None
        return view.until - trio.current_time()

    def view(self, mode: Mode) -> View | None:
        """Return what the clock last said, while that still holds."""
        view = self._views.get(mode)
        if view is None or trio.current_time() >= view.until:
            return None
        return view

    def watch(self, modes: Iterable[Mode]) -> None:
        """Ask for these modes as well, from now on: there is something to watch."""
        watched = frozenset(modes)
        if watched != self._watched:
            self._watched = watched
            self.settings_changed()

    def want(self, mode: Mode) -> None:
        """Ask for a mode for a minute as well: a sell depends on it."""
        is_news = not self._is_needed(mode)
        self._wanted_until[mode] = trio.current_time() + _WANTED_SECONDS
        if is_news:
            self.settings_changed()

    def settings_changed(self) -> None:
        """Look again at what there is to ask, if anything."""
        self._changed.set()
        self._changed = trio.Event()

    def forget(self) -> None:
        """Take what was known for unknown, also what is just being asked; ask anew."""
        self._views = {}
        self.settings_changed()

    async def wait_decided(self) -> None:
        """Wait until the market's state is known for the first time, or not needed."""
        await self._decided.wait()

    async def wait_said(self) -> None:
        """Wait until the clock says something the next time, of any mode."""
        await self._said.wait()

    async def run(self) -> None:
        """Keep the market's state up to date, until cancelled."""
        async with trio.open_nursery() as nursery:
            for mode in MODES:
                nursery.start_soon(self._keep, mode, name=f"market hours of {mode}")

    async def _keep(self, mode: Mode) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            changed = self._changed
            if not self._is_needed(mode):
                self._decide(mode)
                await changed.wait()
                continue
            view = self.view(mode)
            if view is not None:
                self._decide(mode)
                due = self._due(mode, view)
                if trio.current_time() < due:
                    with trio.move_on_at(due):
                        await changed.wait()
                    continue
            is_known = await self._ask(mode, warn=pause == _FIRST_PAUSE_SECONDS)
            if is_known or self.view(mode) is not None:
                pause = _FIRST_PAUSE_SECONDS
                self._unanswered.discard(mode)
                continue
            if mode in self._lagging:
                with trio.move_on_after(_LAG_PAUSE_SECONDS):
                    await changed.wait()
                continue
            self._unanswered.add(mode)
            with trio.move_on_after(pause) as waiting:
                await changed.wait()
            pause = (
                min(pause * 2, _LONGEST_PAUSE_SECONDS)
                if waiting.cancelled_caught
                else _FIRST_PAUSE_SECONDS
            )

    def _is_needed(self, mode: Mode) -> bool:
        settings = self._live.now
        required = settings.bot.require_market_open and mode == settings.mode
        return (required or self._sells_by(mode)) and self._accounts.has_keys(mode)

    def _sells_by(self, mode: Mode) -> bool:
        """Return whether a sell depends on it, or may."""
        wanted = trio.current_time() < self._wanted_until.get(mode, -math.inf)
        return wanted or mode in self._watched

    def _due(self, mode: Mode, view: View) -> float:
        """Return when to ask again, on Trio's clock."""
        if not self._sells_by(mode):
            return view.until
        return min(view.until, self._asked_at[mode] + _UNFORESEEN_SECONDS)

    def _decide(self, mode: Mode) -> None:
        if mode == self._live.now.mode:
            self._decided.set()

    async def _ask(self, mode: Mode, *, warn: bool) -> bool:
        """Ask once, and return whether the market's state is known now."""
        problem = "it says that its next change is over"
        self._lagging.discard(mode)
        self._asked_at[mode] = trio.current_time()
        lease = self._accounts.try_take(mode, Purpose.RECOVERY)
        if lease is None:
            self._log_unknown(mode, "the rate limit leaves no request", warn=warn)
            return False
        with lease:
            # Counted from before the question: better too early than too late.
            asked, views = trio.current_time(), self._views
            try:
                answer = await lease.use().market_clock()
            except RateLimitedError as exc:
                lease.client.budget.block(exc.wait_seconds)
                problem = str(exc)
            except BrokerError as exc:
                problem = str(exc)
            else:
                until = asked + answer.seconds_left
                change = answer.next_close if answer.is_open else answer.next_open
                before = views.get(mode)
                if trio.current_time() < until:
                    views[mode] = View(answer.is_open, until, change, answer.timestamp)
                    if before is None or answer.is_open != before.is_open:
                        log.info(
                            "the market is %s (%s), for another %s",
                            "open" if answer.is_open else "closed",
                            mode,
                            roughly(answer.seconds_left),
                        )
                    self._said.set()
                    self._said = trio.Event()
                    return True
                if before is not None and asked < before.until + _LAG_SECONDS:
                    self._lagging.add(mode)
                    return False
        self._log_unknown(mode, problem, warn=warn)
        return False

    def _log_unknown(self, mode: Mode, problem: str, *, warn: bool) -> None:
        if self.view(mode) is not None:
            return  # what it said last still holds
        settings = self._live.now
        waits = []
        if settings.bot.require_market_open and mode == settings.mode:
            waits.append("signals are skipped as market_closed")
        if mode in self._watched:
            waits.append("no position is sold for its price")
        log.log(
            logging.WARNING if warn else logging.DEBUG,
            "the broker's clock is not known (%s: %s): %s",
            mode,
            problem,
            f"{' and '.join(waits)} until it is"
            if waits
            else "sells under way keep to a usual day's hours",
        )
