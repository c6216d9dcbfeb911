"""Rows that were bought, and what the broker may say of the sells that close them."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from snexec.ledger.exit_rows import ExitApplied, NewExit
from snexec.ledger.rows import OrderRef
from tests.fakes import make_trade

if TYPE_CHECKING:
    from snexec.ledger.exit_rows import ExitReason
    from snexec.ledger.held_rows import WatchedRow
    from snexec.ledger.store import Store
    from snexec.model import Mode

SELL_ID = "sn-1-x1"
SELL = OrderRef(mode="paper", order_id="o-x1", client_order_id=SELL_ID)


def buy(
    store: Store,
    symbol: str = "AAPL",
    shares: str = "0.5",
    price: str = "100",
    *,
    trade_id: str = "sn-1",
    mode: Mode = "paper",
) -> None:
    """Leave an open row whose buy is settled."""
    assert store.open_trade(make_trade(trade_id, symbol, mode=mode)) == "opened"
    order_id = f"o-{trade_id.removeprefix('sn-')}"
    ref = OrderRef(mode=mode, order_id=order_id, client_order_id=trade_id)
    store.apply_fill(ref, price=Decimal(price), quantity=Decimal(shares))


def plan(
    store: Store,
    reason: ExitReason = "manual",
    *,
    row_id: str = "sn-1",
    held: str | None = None,
    free: str | None = None,
    waits: bool = False,
) -> NewExit:
    """Plan a sell of the row."""
    planned = store.exits.plan(
        row_id,
        reason,
        held=held,
        free=None if free is None else Decimal(free),
        waits=waits,
    )
    assert isinstance(planned, NewExit), planned
    return planned


def ref_of(exit_id: str) -> OrderRef:
    """Name a sell as the broker does."""
    order_id = f"o-{exit_id.rpartition('-')[2]}"
    return OrderRef(mode="paper", order_id=order_id, client_order_id=exit_id)


def sell(
    store: Store, quantity: str, price: str | None, reason: ExitReason = "manual"
) -> ExitApplied:
    """Sell some of the row; what the next sell is for is left."""
    new = plan(store, reason)
    amount, dollars = Decimal(quantity), None if price is None else Decimal(price)
    ref = ref_of(new.id)
    applied = (
        store.exits.apply_sold(ref, quantity=amount, price=dollars, final=True)
        if amount == new.quantity and price is not None
        else store.exits.apply_ended(ref, "canceled", quantity=amount, price=dollars)
    )
    assert applied is not None
    return applied


def held(store: Store, row_id: str = "sn-1") -> WatchedRow:
    """Return the row, which is held."""
    row = store.held.row(row_id)
    assert row is not None
    return row


def exits_of(store: Store) -> dict[str, dict[str, Any]]:
    """Return every sell by its id."""
    rows = store._db.execute("SELECT * FROM BotExit ORDER BY id").fetchall()
    return {row["id"]: dict(row) for row in rows}
