"""Whether a sell has to wait for its market to open, and until when (SPEC 12.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import trio

from snexec.assets import asset_class
from snexec.trading_days import is_night

if TYPE_CHECKING:
    from snexec.clock import Clock
    from snexec.exits.position import Position
    from snexec.model import Mode

_LOOK_SECONDS = 1.0
_ANSWER_LOOK_SECONDS = 0.05  # the operator waits for it


class Hours(Protocol):
    """The market's hours, by the broker's clock."""

    def is_open(self, mode: Mode) -> bool | None:
        """Return whether it is open; None where that is not known now."""

    def is_being_asked(self, mode: Mode) -> bool:
        """Return whether that is not known, and the answer is on its way."""

    def want(self, mode: Mode) -> None:
        """Ask for it for a while, also where nothing is watched."""


class MarketWait:
    """Knows of each position whether its market lets a sell leave.

    Args:
        hours: The market's, which are asked for while a sell depends on them.
        clock: The time of day, where the broker does not say whether it is open.
    """

    def __init__(self, hours: Hours, clock: Clock) -> None:
        self._hours = hours
        self._clock = clock

    def has_to_wait(self, position: Position, *, was_left: bool = False) -> bool:
        """Return whether a sell has to wait for the market.

        At a start, and at a change, it waits until the broker's clock has answered. Where
        that does not answer, it waits for the hours of a usual day.

        Args:
            position: What is sold.
            was_left: Whether an earlier run has left it waiting: then that clock has to
                say that the market is open, as the broker may have been away for both.
        """
        if asset_class(position.symbol).around_the_clock:
            return False
        is_open = self._hours.is_open(position.mode)
        if is_open is None:
            if was_left or self._hours.is_being_asked(position.mode):
                return True
            return is_night(self._clock.now())
        return not is_open

    async def until_known(self, position: Position) -> None:
        """Wait until the broker has said whether it is open, or does not say."""
        self._want(position)
        while self._is_being_asked(position):  # noqa: ASYNC110 - a clock
            await trio.sleep(_ANSWER_LOOK_SECONDS)

    async def until_open(self, position: Position, *, was_left: bool = False) -> None:
        """Wait until a position's market is open."""
        self._want(position)
        while self.has_to_wait(position, was_left=was_left):
            await trio.sleep(_LOOK_SECONDS)
            self._want(position)

    def _want(self, position: Position) -> None:
        if not asset_class(position.symbol).around_the_clock:
            self._hours.want(position.mode)

    def _is_being_asked(self, position: Position) -> bool:
        is_coin = asset_class(position.symbol).around_the_clock
        return not is_coin and self._hours.is_being_asked(position.mode)
