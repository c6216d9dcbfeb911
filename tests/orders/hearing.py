"""Rows to sell, and a listener that remembers what became of a sell."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from snexec.orders.selling import Sell
from tests.fakes import make_trade, ref_of

if TYPE_CHECKING:
    from snexec.broker.answers import BrokerOrder
    from snexec.errors import BrokerError, RefusedError
    from snexec.ledger.exit_rows import NewExit
    from snexec.model import Mode
    from snexec.orders.selling import NotPlanned, Withheld
    from tests.fakes import Rig

SELL = Sell("sn-1", "AAPL", "paper", "stop_loss", Decimal("180.02"), "positions")


class Heard:
    """Remembers each call."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, object]] = []
        self.new: NewExit | None = None
        self.error: RefusedError | None = None

    @property
    def names(self) -> list[str]:
        return [name for name, _value in self.calls]

    def planned(self, new: NewExit) -> None:
        self.new = new
        self.calls.append(("planned", new.id))

    def not_planned(self, why: NotPlanned, _exit_id: str | None = None) -> None:
        self.calls.append(("not_planned", why))

    def placed(self, _new: NewExit, order: BrokerOrder) -> None:
        self.calls.append(("placed", order.id))

    def refused(self, _new: NewExit, error: RefusedError) -> None:
        self.error = error
        self.calls.append(("refused", error.status_code))

    def unknown(self, _new: NewExit, error: BrokerError) -> None:
        self.calls.append(("unknown", str(error)))

    def unbooked(self, _new: NewExit, order: BrokerOrder) -> None:
        self.calls.append(("unbooked", order.id))

    def withheld(self, _new: NewExit, why: Withheld) -> None:
        self.calls.append(("withheld", why))


def buy(
    rig: Rig,
    row_id: str = "sn-1",
    symbol: str = "AAPL",
    *,
    shares: str = "0.533386947",
    price: str = "189.58",
    mode: Mode = "paper",
) -> None:
    """Leave an open row whose buy is settled."""
    trade = make_trade(row_id, symbol, mode=mode, signal_id=f"n-{row_id}")
    order_id = f"o-{row_id}"
    rig.open_row(trade, order_id=order_id)
    ref = ref_of(trade, order_id)
    rig.store.apply_fill(ref, price=Decimal(price), quantity=Decimal(shares))


def exits_of(rig: Rig) -> dict[str, dict[str, Any]]:
    """Return every sell by its id."""
    rows = rig.store._db.execute("SELECT * FROM BotExit ORDER BY rowid").fetchall()
    return {row["id"]: dict(row) for row in rows}
