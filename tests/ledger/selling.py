"""Rows that were bought, and what the broker may say of the sells that close them."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from snexec.ledger.exit_rows import NewExit
from snexec.ledger.rows import OrderRef
from tests.fakes import make_trade

if TYPE_CHECKING:
    from snexec.ledger.store import Store

SELL_ID = "sn-1-x1"
SELL = OrderRef(mode="paper", order_id="o-x1", client_order_id=SELL_ID)


def buy(
    store: Store, symbol: str = "AAPL", shares: str = "0.5", price: str = "100"
) -> None:
    """Leave an open row, sn-1, whose buy is settled."""
    store.open_trade(make_trade("sn-1", symbol))
    ref = OrderRef(mode="paper", order_id="o-1", client_order_id="sn-1")
    store.apply_fill(ref, price=Decimal(price), quantity=Decimal(shares))


def plan(store: Store, *, held: str | None = None, free: str | None = None) -> NewExit:
    """Plan a sell of the row."""
    planned = store.exits.plan(
        "sn-1", "manual", held=held, free=None if free is None else Decimal(free)
    )
    assert isinstance(planned, NewExit), planned
    return planned


def exits_of(store: Store) -> dict[str, dict[str, Any]]:
    """Return every sell by its id."""
    rows = store._db.execute("SELECT * FROM BotExit ORDER BY id").fetchall()
    return {row["id"]: dict(row) for row in rows}
