"""What rules and prices ask of the market's hours (SPEC 12.3, 12.4, 12.8a)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import trio

from snexec.assets import asset_class
from snexec.exits.prices import AROUND_THE_CLOCK, Instant, Session
from snexec.exits.rules import Moment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from snexec.clock import Clock
    from snexec.exits.position import Position
    from snexec.market import View
    from snexec.market.calendar import TradingSession
    from snexec.model import Mode

_CLOSED = Session(is_open=False, day=0)  # nobody knows of which day


class BrokerClock(Protocol):
    """The market's hours, by the broker's clock."""

    def view(self, mode: Mode) -> View | None:
        """Return what the clock said last, while that still holds."""

    def watch(self, modes: Iterable[Mode]) -> None:
        """Ask the clock for these modes from now on."""


class Calendar(Protocol):
    """The broker's calendar."""

    def session(self, view: View) -> TradingSession:
        """Return the session that the broker's clock speaks of."""


class MarketView:
    """The market as rules and prices see it.

    Args:
        hours: The broker's clock.
        calendar: Its calendar.
        clock: The time of day, by which sources date their prices.
    """

    def __init__(self, hours: BrokerClock, calendar: Calendar, clock: Clock) -> None:
        self._hours = hours
        self._calendar = calendar
        self._clock = clock
        self._now: Instant | None = None  # in which both were asked last
        self._mode: Mode | None = None
        self._view: View | None = None
        self._today: TradingSession | None = None
        self._session = _CLOSED
        self._flatten_since: float | None = None
        self._moment: Moment | None = None

    def now(self) -> Instant:
        """Return this moment on both clocks."""
        return Instant(self._clock.now().timestamp(), trio.current_time())

    def watch(self, modes: Iterable[Mode]) -> None:
        """Have the broker's clock asked for these modes from now on."""
        self._hours.watch(modes)

    def session(self, position: Position, now: Instant) -> Session:
        """Return what the market of a position does."""
        if asset_class(position.symbol).around_the_clock:
            return AROUND_THE_CLOCK
        self._look(position.mode, now)
        return self._session

    def moment(
        self, position: Position, now: Instant, flatten_since: float | None
    ) -> Moment:
        """Return when a rule is asked of a position."""
        if asset_class(position.symbol).around_the_clock:
            return Moment(now.elapsed, is_open=True)
        self._look(position.mode, now)
        if self._moment is None or flatten_since != self._flatten_since:
            self._flatten_since = flatten_since
            self._moment = self._moment_of(now, flatten_since)
        return self._moment

    def _look(self, mode: Mode, now: Instant) -> None:
        """Look at clock and calendar, once in a moment: it is the same for every row."""
        if now is self._now and mode == self._mode:
            return
        self._now, self._mode, self._moment = now, mode, None
        view = self._hours.view(mode)
        today = None if view is None else self._calendar.session(view)
        if view is not self._view or today is not self._today:
            self._view, self._today = view, today
            self._session = _session_of(view, today)

    def _moment_of(self, now: Instant, flatten_since: float | None) -> Moment:
        view = self._view
        if view is None:
            return Moment(now.elapsed, is_open=False)
        left = max(0.0, view.until - now.elapsed)
        if not view.is_open:
            opens = now.wall + left
            return Moment(now.elapsed, False, None, opens, flatten_since)
        opened = None if self._today is None else self._today.opened_at
        return Moment(now.elapsed, True, left, opened, flatten_since)


def _session_of(view: View | None, today: TradingSession | None) -> Session:
    if view is None or today is None:
        return _CLOSED
    return Session(view.is_open, today.day.toordinal(), today.opened_at)
