"""After a gap, all that was true before it is asked anew (SPEC 11).

In a gap nothing ran: the machine slept, its virtual machine was paused, or this process
stood still. Trio's clock counts the first and the last (``snexec.boot_clock``). Only the
wall clock shows a pause, once it is put right, and it looks the same when somebody sets
it ahead: that does no harm, but that signals which wait are skipped. A clock that is set
back is no gap.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from snexec.clock import Clock
    from snexec.ops.wings import Wings

log = logging.getLogger("Gaps")


class Gaps:
    """Notices each gap that is longer than ``max_signal_age_sec``, within a second.

    A shorter one makes older what lay unread through it, and is not reported.

    Args:
        wings: What is asked anew.
        clock: The wall clock.
    """

    def __init__(self, wings: Wings, clock: Clock) -> None:
        self._wings = wings
        self._clock = clock

    async def run(self) -> None:
        """Look each second, until cancelled."""
        freshness, unread = self._wings.orders.freshness, self._wings.intake.unread
        longest = freshness.max_age_seconds + unread.look_seconds
        began, wall_began = trio.current_time(), self._clock.now()
        while True:
            unread.looked()
            freshness.looked(self._clock)
            await trio.sleep(unread.look_seconds)
            now, wall = trio.current_time(), self._clock.now()
            passed = now - began
            uncounted = (wall - wall_began).total_seconds() - passed
            began, wall_began = now, wall
            if passed > longest:
                self._ask_anew(
                    "the machine slept, or this process stood still, for"
                    f" {passed + max(uncounted, 0):.0f} s",
                    uncounted,
                )
            elif passed + uncounted > longest:
                self._ask_anew(
                    f"the machine's clock jumped ahead by {uncounted:.0f} s (the machine"
                    " was paused, or its clock was set)",
                    uncounted,
                )

    def _ask_anew(self, what: str, uncounted: float) -> None:
        wings = self._wings
        log.warning(
            "%s: signals from before are not traded; the market's clock, the trading"
            " stream, connections and unsettled orders (%d) are asked anew",
            what,
            wings.reconciler.status().unsettled,
        )
        wings.intake.unread.date_back(trio.current_time())
        wings.orders.freshness.begin_anew()
        wings.market.forget()
        wings.accounts.begin_anew(max(uncounted, 0.0))
        wings.stream.restart()
        wings.exits.time_passed()
        wings.reconciler.unsettled.ask_all()
