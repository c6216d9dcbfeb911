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
    from snexec.market.calendar import TradingSession
    from snexec.model import Mode

_NO_DAY = 0


class HoursView(Protocol):
    """What the broker's clock said last."""

    @property
    def is_open(self) -> bool:
        """Whether the market is open."""

    @property
    def until(self) -> float:
        """When that changes next, on Trio's clock."""


class BrokerClock(Protocol):
    """The market's hours, by the broker's clock."""

    def view(self, mode: Mode) -> HoursView | None:
        """Return what the clock said last, while that still holds."""

    def watch(self, modes: Iterable[Mode]) -> None:
        """Ask the clock for these modes from now on."""


class Calendar(Protocol):
    """The broker's calendar."""

    def session(self) -> TradingSession | None:
        """Return today's session; None while the market's state is not known."""


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
        self._asked_for: tuple[Mode, Instant, float | None] | None = None
        self._moment = Moment(0.0, is_open=False)

    def now(self) -> Instant:
        """Return this moment on both clocks."""
        return Instant(self._clock.now().timestamp(), trio.current_time())

    def watch(self, modes: Iterable[Mode]) -> None:
        """Have the broker's clock asked for these modes from now on."""
        self._hours.watch(modes)

    def session(self, position: Position) -> Session:
        """Return what the market of a position does."""
        if asset_class(position.symbol).around_the_clock:
            return AROUND_THE_CLOCK
        view, today = self._hours.view(position.mode), self._calendar.session()
        if today is None:
            return Session(is_open=False, day=_NO_DAY)
        is_open = view is not None and view.is_open
        return Session(is_open, today.day.toordinal(), today.opened_at)

    def moment(
        self, position: Position, now: Instant, flatten_since: float | None
    ) -> Moment:
        """Return when a rule is asked of a position."""
        if asset_class(position.symbol).around_the_clock:
            return Moment(now.elapsed, is_open=True)
        # Each second it is the same for every row of shares.
        asked_for = (position.mode, now, flatten_since)
        if asked_for != self._asked_for:
            self._asked_for = asked_for
            self._moment = self._moment_of(position.mode, now, flatten_since)
        return self._moment

    def _moment_of(
        self, mode: Mode, now: Instant, flatten_since: float | None
    ) -> Moment:
        view = self._hours.view(mode)
        if view is None:
            return Moment(now.elapsed, is_open=False)
        left = max(0.0, view.until - now.elapsed)
        if not view.is_open:
            opens = now.wall + left
            return Moment(now.elapsed, False, None, opens, flatten_since)
        today = self._calendar.session()
        opened = None if today is None else today.opened_at
        return Moment(now.elapsed, True, left, opened, flatten_since)
