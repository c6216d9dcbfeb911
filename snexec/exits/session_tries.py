"""How often sells and stops of each row were tried in this session (SPEC 12.5, 12.6)."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

from snexec.exits.tries import MOST_TRIES_A_SESSION
from snexec.trading_days import day_of_trade

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from snexec.clock import Clock


class SessionTries:
    """Counts from 0 on each day of the broker's calendar, which is New York's.

    Args:
        clock: Says which day it is.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sells: collections.Counter[str] = collections.Counter()
        self._failed_stops: collections.Counter[str] = collections.Counter()
        self._day: date | None = None

    def load(self, sells: Mapping[str, int], failed_stops: Mapping[str, int]) -> None:
        """Take over what an earlier run has tried in this session.

        Args:
            sells: How many sells of each row it planned.
            failed_stops: How many stops of each came to nothing.
        """
        self._begin_session()
        self._sells.update(sells)
        self._failed_stops.update(failed_stops)

    def sells(self, row_id: str) -> int:
        """Return how many sells of a row were planned."""
        self._begin_session()
        return self._sells[row_id]

    def may_sell(self, row_id: str) -> bool:
        """Return whether another sell of a row may be planned."""
        # Nearly none was tried, on whatever day.
        return row_id not in self._sells or self.sells(row_id) < MOST_TRIES_A_SESSION

    def add_sell(self, row_id: str) -> None:
        """Note that a sell of a row was planned."""
        self._begin_session()
        self._sells[row_id] += 1

    def failed_stops(self, row_id: str) -> int:
        """Return how many stops of a row came to nothing."""
        self._begin_session()
        return self._failed_stops[row_id]

    def may_stop(self, row_id: str) -> bool:
        """Return whether another stop of a row may be planned."""
        return self.failed_stops(row_id) < MOST_TRIES_A_SESSION

    def add_failed_stop(self, row_id: str) -> None:
        """Note that a stop of a row came to nothing; it takes no try from its sells."""
        self._begin_session()
        self._failed_stops[row_id] += 1

    def forget(self, row_id: str) -> None:
        """Forget a row that is closed."""
        self._sells.pop(row_id, None)
        self._failed_stops.pop(row_id, None)

    def _begin_session(self) -> None:
        today = day_of_trade(self._clock.now())
        if today != self._day:
            self._day = today
            self._sells.clear()
            self._failed_stops.clear()
