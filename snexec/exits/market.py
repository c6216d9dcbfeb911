"""What rules and prices ask of the market's hours (SPEC 12.3, 12.4, 12.8a)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import trio

from snexec.assets import asset_class
from snexec.exits.prices import AROUND_THE_CLOCK, Instant, Session
from snexec.exits.rules import Moment

if TYPE_CHECKING:
    from snexec.clock import Clock
    from snexec.exits.position import Position
    from snexec.model import Mode

_DAY_SECONDS = 86_400


class Hours(Protocol):
    """The market's hours, by the broker's clock."""

    def is_open(self, mode: Mode) -> bool | None:
        """Return whether it is open; None where that is not known now."""

    def until(self, mode: Mode) -> float | None:
        """Return when that changes next, on Trio's clock; None likewise."""

    def opened_at(self, mode: Mode) -> float | None:
        """Return when it opened today, in seconds since 1970; None where not known."""


class MarketView:
    """The market as rules and prices see it.

    Args:
        hours: The broker's clock.
        clock: The time of day, by which sources date their prices.
    """

    def __init__(self, hours: Hours, clock: Clock) -> None:
        self._hours = hours
        self._clock = clock

    def now(self) -> Instant:
        """Return this moment on both clocks."""
        return Instant(self._clock.now().timestamp(), trio.current_time())

    def session(self, position: Position, now: Instant) -> Session:
        """Return what the market of a position does."""
        if asset_class(position.symbol).around_the_clock:
            return AROUND_THE_CLOCK
        mode = position.mode
        # A session lies within one day of UTC.
        return Session(
            self._hours.is_open(mode) is True,
            int(now.wall // _DAY_SECONDS),
            self._hours.opened_at(mode),
        )

    def moment(
        self, position: Position, now: Instant, flatten_since: float | None
    ) -> Moment:
        """Return when a rule is asked of a position."""
        if asset_class(position.symbol).around_the_clock:
            return Moment(now.elapsed, is_open=True)
        mode = position.mode
        is_open, until = self._hours.is_open(mode), self._hours.until(mode)
        left = None if until is None else max(0.0, until - now.elapsed)
        if is_open:
            session = self._hours.opened_at(mode)
        else:
            session = None if is_open is None or left is None else now.wall + left
        return Moment(
            now.elapsed,
            is_open is True,
            left if is_open else None,
            session,
            flatten_since,
        )
