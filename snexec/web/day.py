"""What is noted of a day that rows do not say: signals by outcome, skips over time."""

from __future__ import annotations

import collections
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

import trio

from snexec.risk import day_start

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snexec.clock import Clock
    from snexec.events import Event
    from snexec.ops import Wings

BIN_SECONDS = 300
_NEW_YORK = ZoneInfo("America/New_York")
_LOOK_SECONDS = 10.0


class Signals(NamedTuple):
    """What became of the signals of a day.

    Attributes:
        outcomes: How many had each.
        reasons: Why those that were not traded were not.
    """

    outcomes: Mapping[str, int]
    reasons: Mapping[str, int]


class Day:
    """Follows one day in New York after the other, in memory.

    Args:
        wings: Whose counts since the start are looked at.
        clock: Says which day it is.

    Attributes:
        begins: When the day began, in seconds since 1970.
    """

    def __init__(self, wings: Wings, clock: Clock) -> None:
        self._wings = wings
        self._clock = clock
        self._before: collections.Counter[str] = collections.Counter()
        self._reasons_before: collections.Counter[str] = collections.Counter()
        self._skips: collections.Counter[int] = collections.Counter()
        self.begins = day_start(clock.now().timestamp())

    @property
    def name(self) -> str:
        """The day's date."""
        began = datetime.fromtimestamp(self.begins, UTC)
        return began.astimezone(_NEW_YORK).date().isoformat()

    def skipped(self, event: Event) -> None:
        """Note when a signal was not traded."""
        at = int(event.moment.timestamp())
        self._skips[at - at % BIN_SECONDS] += 1

    def signals(self) -> Signals:
        """Return the day's signals; those before the start are not known."""
        self.look()
        outcomes = self._outcomes()
        outcomes.subtract(self._before)
        reasons = self._reasons()
        reasons.subtract(self._reasons_before)
        pending = self._wings.orders.status().pending
        return Signals(
            outcomes={
                **{k: max(0, n) for k, n in outcomes.items()},
                "pending": pending,
            },
            reasons={k: n for k, n in reasons.most_common() if n > 0},
        )

    def skips(self) -> list[tuple[int, int]]:
        """Return the beginning of each bin with skips, in unix seconds, and how many."""
        self.look()
        return sorted(self._skips.items())

    def look(self) -> None:
        """Begin another day, if it has."""
        begins = day_start(self._clock.now().timestamp())
        if begins == self.begins:
            return
        self.begins = begins
        self._before, self._reasons_before = self._outcomes(), self._reasons()
        self._skips = collections.Counter(
            {at: n for at, n in self._skips.items() if at >= begins}
        )

    async def run(self) -> None:
        """Notice each midnight, until cancelled."""
        while True:
            self.look()
            await trio.sleep(_LOOK_SECONDS)

    def _outcomes(self) -> collections.Counter[str]:
        intake, orders = self._wings.intake.status(), self._wings.orders.status()
        return collections.Counter(
            {
                "placed": orders.placed,
                "skipped": sum(orders.skipped.values()),
                "refused": orders.refused,
                "unknown": orders.unknown,
                "invalid": intake.counts["invalid"],
                "repeated": intake.counts["repeated"],
                "overloaded": intake.counts["overloaded"],
            }
        )

    def _reasons(self) -> collections.Counter[str]:
        skipped = self._wings.orders.status().skipped
        return collections.Counter({str(reason): n for reason, n in skipped.items()})
