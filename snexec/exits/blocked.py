"""A position that cannot be sold: said at once, then hourly (SPEC 12.5)."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

import trio

from snexec.exits.tries import MOST_TRIES_A_SESSION

if TYPE_CHECKING:
    from snexec.exits.means import Means
    from snexec.exits.position import Position
    from snexec.exits.rules import Trigger

log = logging.getLogger("PositionMonitor")

_REMIND_SECONDS = 3600.0


class BlockedAlarm:
    """Says that a position cannot be sold.

    Args:
        means: How often it was tried, and the feed.
        position: What cannot be sold; its state says so.
        trigger: Why it is to be.

    Attributes:
        since: Since when it cannot be sold, on Trio's clock; None if it can.
    """

    def __init__(self, means: Means, position: Position, trigger: Trigger) -> None:
        self._means = means
        self._position = position
        self._trigger = trigger
        self._told_at = -math.inf
        self.since: float | None = None

    async def wait(self, why: str | None, seconds: float) -> None:
        """Wait for the next try, and say at once and hourly that nothing is sold."""
        over_at = trio.current_time() + seconds
        while (left := over_at - trio.current_time()) > 0:
            self.tell(why, f"next try in {round(left, 1):g} s")
            due = self._told_at + _REMIND_SECONDS - trio.current_time()
            await trio.sleep(min(left, due))

    def give_up(self) -> None:
        """Say that it is not tried again, as its rule is off now."""
        log.warning(
            "%s trade=%s is not tried again: the rule that was to sell it (%s) is off",
            *(self._position.symbol, self._position.row_id, self._trigger.reason),
        )

    def unbooked(self, order_id: str) -> str:
        """Say that the broker has a sell that the row does not know; return it in words."""
        why = f"the broker took its sell as {order_id}, which its row does not know"
        self.tell(why, "nothing more of it is sold before it is settled, or a start")
        return why

    def tell(self, why: str | None, following: str) -> None:
        """Say why, and what comes next, unless that was said within the hour."""
        position = self._position
        position.state = "blocked"
        now = trio.current_time()
        self.since = now if self.since is None else self.since
        if now - self._told_at < _REMIND_SECONDS:
            return
        self._told_at = now
        tries = self._means.tries.sells(position.row_id)
        log.error(
            "%s trade=%s cannot be sold (%s): %s; %s (%d of %d in this session); look at"
            " the account",
            position.symbol,
            position.row_id,
            self._trigger.reason,
            why,
            following,
            tries,
            MOST_TRIES_A_SESSION,
        )
        self._means.feed.publish(
            "exit_blocked",
            {
                "mode": position.mode,
                "remaining": float(position.remaining),
                "problem": why,
                "tries": tries,
            },
            trade_id=position.row_id,
            symbol=position.symbol,
            reason=self._trigger.reason,
        )
