"""What an account has: sell orders, their requests, and what is held."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from snexec.broker.answers import FINAL_STATUSES, BrokerOrder

if TYPE_CHECKING:
    from snexec.model import Mode
    from tests.simulation.exit_steps import Fate
    from tests.simulation.model import Answered

MILLIONTH = Decimal("1e-6")


@dataclass(slots=True, eq=False, kw_only=True)
class Sale:
    """One sell order that the broker has.

    Attributes:
        stop_price: At which price it sells; None at once.
        sold: Shares, as they were when they were sold.
        dollars: What they brought.
        ended_at: When it became final.
    """

    id: str
    client_order_id: str
    symbol: str
    mode: Mode
    qty: Decimal
    fate: Fate
    found_from: float
    placed_at: float
    stop_price: Decimal | None = None
    status: str = "new"
    sold: Decimal = Decimal(0)
    dollars: Decimal = Decimal(0)
    events: int = 0
    ended_at: float = math.inf

    @property
    def is_final(self) -> bool:
        return self.status in FINAL_STATUSES

    @property
    def left(self) -> Decimal:
        return Decimal(0) if self.is_final else self.qty - self.sold

    @property
    def price(self) -> Decimal | None:
        """The average, as the broker rounds it."""
        return (self.dollars / self.sold).quantize(MILLIONTH) if self.sold else None

    def fields(self) -> dict[str, Any]:
        """Return it as replies and events spell it."""
        return {
            "id": self.id,
            "client_order_id": self.client_order_id,
            "symbol": self.symbol,
            "side": "sell",
            "status": self.status,
            "qty": f"{self.qty:f}",
            "filled_qty": f"{self.sold:f}",
            "filled_avg_price": None if self.price is None else f"{self.price:f}",
        }

    def answer(self) -> BrokerOrder:
        """Return what a reply says of it at this moment."""
        return BrokerOrder.model_validate(self.fields())


@dataclass(slots=True, eq=False, kw_only=True)
class PostedSell:
    """One POST of a sell, and what the daemon was told."""

    mode: Mode
    symbol: str
    client_order_id: str
    at: float
    stop_price: Decimal | None = None
    is_handled: bool = False
    answered: Answered | None = None


@dataclass(slots=True, eq=False)
class Holding:
    """What an account has of a symbol.

    Attributes:
        others_bought: Shares that others have bought, sold by now or not.
    """

    qty: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)
    others_bought: Decimal = Decimal(0)

    def add(self, qty: Decimal, price: Decimal) -> None:
        """Buy."""
        self.qty += qty
        self.cost += qty * price

    def take(self, qty: Decimal) -> None:
        """Sell; what is left keeps its average."""
        self.cost -= self.cost * qty / self.qty
        self.qty -= qty
