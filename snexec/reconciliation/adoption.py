"""An order that was found at the broker, as the change that writes its row (SPEC 8)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from snexec.assets import canonical_symbol
from snexec.ledger import FoundOrder
from snexec.logs import OrderLog

if TYPE_CHECKING:
    from snexec.broker import ListedOrder
    from snexec.ledger import Ending, FoundRow, Store
    from snexec.model import AccountName
    from snexec.reconciliation.unsettled import UnsettledOrders

order_log = OrderLog(logging.getLogger("Recovery"))


class Adoption:
    """The change that writes the row of an order, and has the order followed.

    Args:
        unsettled: Follows it.
        order: The order; whether a row knows it is found out as the row is written.
        is_told: Whether it was said before that its row cannot be written.

    Attributes:
        order: The order.
        row: The row that was written; None if there was one, or it cannot be written.
        is_lost: Whether it cannot be written.
        over: Set once that is decided.
    """

    def __init__(
        self,
        unsettled: UnsettledOrders,
        order: FoundOrder,
        *,
        is_told: bool = False,
        is_expected: bool = False,
    ) -> None:
        self._unsettled = unsettled
        self._is_told = is_told
        self._is_expected = is_expected
        self.order = order
        self.row: FoundRow | None = None
        self.is_lost = False
        self.over = trio.Event()

    def apply(self, store: Store) -> FoundRow | None:
        """Write the row, unless there is one by now."""
        return store.found.adopt(self.order)

    def done(self, row: FoundRow | None) -> None:
        """Say so, and ask about the order as about any that is not settled."""
        self.row = row
        self.over.set()
        if row is None:
            return
        order = self.order
        say = order_log.info if self._is_expected else order_log.error
        say(
            order,
            "the broker has order %s of ours that no row knows: its row is written, %s",
            order.order_id,
            row.status if row.reason is None else f"{row.status} ({row.reason})",
        )
        if not row.is_settled:
            self._unsettled.found(order, is_missed=row.status == "missed")

    def failed(self, error: Exception) -> None:
        """Log that the row cannot be written, once."""
        self.is_lost = True
        self.over.set()
        if self._is_told:
            return
        order_log.error(
            self.order,
            "the broker has order %s of ours that no row knows, and its row cannot be"
            " written (%s): what it bought is held by no row; look at the account",
            self.order.order_id,
            error,
        )


def found_order(mode: AccountName, listed: ListedOrder) -> FoundOrder:
    """Return a listed order as its row will have it."""
    try:
        symbol = canonical_symbol(listed.symbol)
    except ValueError:
        symbol = listed.symbol  # a pair such as ETH/BTC, which was ordered once
    return FoundOrder(
        trade_id=listed.client_order_id,
        symbol=symbol,
        mode=mode,
        order_id=listed.id,
        notional=listed.notional,
        placed_at=listed.placed_at,
        ending=_ending(listed),
    )


def _ending(listed: ListedOrder) -> Ending | None:
    """Return how an order ended that has bought nothing; None if it may have."""
    if listed.filled_qty is None or not listed.filled_qty.is_zero():
        return None
    match listed.status:
        case "canceled" | "expired" | "rejected" as how:
            return how
        case _:
            return None
