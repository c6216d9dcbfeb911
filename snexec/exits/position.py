"""One row that is watched, in memory (SPEC 12.2)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from snexec.ledger import kind_of_exit

if TYPE_CHECKING:
    from decimal import Decimal

    from snexec.model import Mode

State = Literal["watched", "closing", "blocked"]


@dataclass(slots=True, eq=False)
class Position:
    """A row of which something is held; one a symbol, whatever its mode.

    Attributes:
        row_id: Its row's id.
        shares: What was bought so far.
        remaining: What of it is not sold.
        entry_price: Dollars a share; None while the broker has not said it.
        entry_at: When its order left, in seconds since 1970.
        held_since: The same on Trio's clock, which no change of the machine's time moves.
        bought_at: When its buy was filled last, on Trio's clock.
        high_price: The highest confirmed price since; None before the first one.
        is_settled: Whether its buy can buy no more.
        order_id: The buy's, as the broker names it.
        live_exit: The id of its unsettled sell, if there is one.
        waits: Whether its sell has not left, as the market is closed.
        state: Whose it is: the rules', the seller's. The seller gives it back.
        rests: Why no price rule is asked for it; None where they are.
        is_doubted: Whether others seem to have changed what is held; that is looked into.
        stop_at_broker: Whether a stop works at the broker, or is just being placed: it
            stands for the rule.
        held: The account's whole position as the broker spelled it last.
        free: How much of that no order held.
    """

    row_id: str
    symbol: str
    mode: Mode
    shares: Decimal
    remaining: Decimal
    entry_price: Decimal | None
    entry_at: float
    held_since: float
    bought_at: float = -math.inf
    high_price: Decimal | None = None
    is_settled: bool = True
    order_id: str | None = None
    live_exit: str | None = None
    waits: bool = False
    state: State = "watched"
    rests: str | None = None
    is_doubted: bool = False
    stop_at_broker: bool = False
    held: str | None = None
    free: Decimal | None = None

    @property
    def has_resting_stop(self) -> bool:
        """Whether its order without an end is a stop, and nothing is being sold."""
        live = self.live_exit
        if live is None or self.state != "watched":
            return False
        return kind_of_exit(live) == "stop"
