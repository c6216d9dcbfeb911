"""What the broker may say of a row's order, and what others do to the row."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from snexec.ledger.rows import Applied, OrderRef

if TYPE_CHECKING:
    from collections.abc import Callable

    from snexec.ledger.store import Store

REF = OrderRef(mode="paper", order_id="o-1", client_order_id="sn-1")
LATER_TEXT = "2026-01-05T14:31:00.123Z"
PRICE, QUANTITY = Decimal("86.878"), Decimal("0.057436865")
# What is said of row sn-1 once it is filled.
FILLED = ("open", None, 86.878, 0.057436865, "o-1", True)

# What the broker may say of the order of row sn-1.
SAYS: dict[str, Callable[[Store], Applied | None]] = {
    "working": lambda store: store.apply_working(REF),
    "fill": lambda store: store.apply_fill(REF, price=PRICE, quantity=QUANTITY),
    "other fill": lambda store: store.apply_fill(
        REF, price=Decimal(99), quantity=Decimal(9)
    ),
    "fill without price": lambda store: store.apply_fill(
        REF, price=None, quantity=QUANTITY
    ),
    "fill without quantity": lambda store: store.apply_fill(
        REF, price=PRICE, quantity=None
    ),
    "fill without both": lambda store: store.apply_fill(REF, price=None, quantity=None),
    "partial": lambda store: store.apply_partial_fill(
        REF, price=Decimal(80), shares=Decimal("0.02")
    ),
    "partial price": lambda store: store.apply_partial_fill(
        REF, price=Decimal(80), shares=None
    ),
    "partial shares": lambda store: store.apply_partial_fill(
        REF, price=None, shares=Decimal("0.02")
    ),
    "partial nothing": lambda store: store.apply_partial_fill(
        REF, price=None, shares=None
    ),
    "rejected": lambda store: store.apply_ended(
        REF, "rejected", price=None, quantity=Decimal(0)
    ),
    "canceled": lambda store: store.apply_ended(
        REF, "canceled", price=None, quantity=Decimal(0)
    ),
    "expired": lambda store: store.apply_ended(
        REF, "expired", price=None, quantity=Decimal(0)
    ),
    "canceled with fills": lambda store: store.apply_ended(
        REF, "canceled", price=Decimal(81), quantity=Decimal("0.03")
    ),
    "expired with fills": lambda store: store.apply_ended(
        REF, "expired", price=Decimal(81), quantity=Decimal("0.03")
    ),
    "canceled without quantity": lambda store: store.apply_ended(
        REF, "canceled", price=Decimal(81), quantity=None
    ),
    "canceled without price": lambda store: store.apply_ended(
        REF, "canceled", price=None, quantity=Decimal("0.03")
    ),
    "not_found": lambda store: store.mark_not_found("sn-1"),
}


def say(store: Store, *words: str) -> Applied:
    """Let the broker say things, and return what the last of them did."""
    applied = None
    for word in words:
        applied = SAYS[word](store)
    assert applied is not None
    return applied


def closed_by_monitor(
    store: Store, trade_id: str = "sn-1", **values: float | None
) -> None:
    """Close a row, as another program on the same file does."""
    store._db.execute(
        "UPDATE BotTrade SET status = 'closed', exitReason = 'take_profit',"
        " exitPrice = 90, pnl = 1.5, entryPrice = ?, shares = ? WHERE id = ?",
        [values.get("price"), values.get("shares"), trade_id],
    )


def add_foreign_row(
    store: Store, trade_id: str = "x", symbol: str = "AAPL", status: str = "open"
) -> None:
    """Write a row without a mode: another program's."""
    store._db.execute(
        "INSERT INTO BotTrade (id, symbol, status, alpacaOrderId, createdAt, updatedAt)"
        " VALUES (?, ?, ?, 'o-x', 'then', 'then')",
        [trade_id, symbol, status],
    )


def said(row: dict[str, Any]) -> tuple[object, ...]:
    """Return the columns that the broker's words are about."""
    settled = row["settledAt"] is not None
    return (
        row["status"],
        row["exitReason"],
        row["entryPrice"],
        row["shares"],
        row["alpacaOrderId"],
        settled,
    )
