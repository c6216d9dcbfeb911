"""One order, and its two JSON forms: in replies and in events."""

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from snexec.exchange.assets import asset_id, class_of
from snexec.exchange.spelling import new_id, number, optional_timestamp, timestamp
from snexec.exchange.statuses import TERMINAL, Status

Side = Literal["buy", "sell"]
ZERO = Decimal(0)


@dataclass(kw_only=True, slots=True)
class Order:
    """An order as the book has it; times in nanoseconds since the epoch, money in USD.

    Attributes:
        goal_qty: The quantity that fills the order, known from the first execution on.
        sizing_price: The price that `goal_qty` was computed with.
        stop_price: What elects a stop order; a market order has none.
        hidden_until_ns: Look-ups do not find the order before this.
    """

    id: str
    client_order_id: str
    symbol: str
    side: Side
    notional: Decimal | None
    qty: Decimal | None
    time_in_force: str
    extended_hours: bool
    submitted_ns: int
    updated_ns: int
    expires_at: str
    stop_price: Decimal | None = None
    status: Status = "pending_new"
    filled_qty: Decimal = ZERO
    filled_cost: Decimal = ZERO
    goal_qty: Decimal = ZERO
    sizing_price: Decimal = ZERO
    reserved: Decimal = ZERO
    filled_ns: int | None = None
    canceled_ns: int | None = None
    cancel_requested_ns: int | None = None
    expired_ns: int | None = None
    failed_ns: int | None = None
    replaced_ns: int | None = None
    replaced_by: str | None = None
    replaces: str | None = None
    hidden_until_ns: int = 0

    @property
    def terminal(self) -> bool:
        """Whether nothing more happens to the order."""
        return self.status in TERMINAL

    @property
    def filled_avg_price(self) -> Decimal | None:
        """Mean price of the executions, in USD, or None before the first."""
        if not self.filled_qty:
            return None
        mean = self.filled_cost / self.filled_qty
        return mean.quantize(Decimal("0.000001" if mean >= 1 else "0.0000000001"))

    def successor(self, now_ns: int) -> "Order":
        """Return a new order for what is left of this one, which it replaces."""
        left = self.goal_qty - self.filled_qty
        return replace(
            self,
            id=new_id(),
            client_order_id=new_id(),
            notional=None if self.filled_qty else self.notional,
            qty=left if self.filled_qty else self.qty,
            submitted_ns=now_ns,
            updated_ns=now_ns,
            status="pending_new",
            filled_qty=ZERO,
            filled_cost=ZERO,
            goal_qty=left,
            replaces=self.id,
        )

    def to_reply(self) -> dict[str, object]:
        """Return the order as REST replies spell it."""
        return self._common() | {"source": None, "subtag": None}

    def to_event(self) -> dict[str, object]:
        """Return the order as stream events spell it."""
        return self._common() | {
            "cancel_requested_at": optional_timestamp(self.cancel_requested_ns)
        }

    def _common(self) -> dict[str, object]:
        submitted = timestamp(self.submitted_ns)
        price = self.filled_avg_price
        opening = "open" if self.side == "buy" else "close"
        kind = "market" if self.stop_price is None else "stop"
        return {
            "asset_class": class_of(self.symbol).name,
            "asset_id": asset_id(self.symbol),
            "canceled_at": optional_timestamp(self.canceled_ns),
            "client_order_id": self.client_order_id,
            "created_at": submitted,
            "expired_at": optional_timestamp(self.expired_ns),
            "expires_at": self.expires_at,
            "extended_hours": self.extended_hours,
            "failed_at": optional_timestamp(self.failed_ns),
            "filled_at": optional_timestamp(self.filled_ns),
            "filled_avg_price": None if price is None else number(price),
            "filled_qty": number(self.filled_qty),
            "hwm": None,
            "id": self.id,
            "legs": None,
            "limit_price": None,
            "notional": None if self.notional is None else number(self.notional),
            "order_class": "",
            "order_type": kind,
            "position_intent": f"{self.side}_to_{opening}",
            "qty": None if self.qty is None else number(self.qty),
            "replaced_at": optional_timestamp(self.replaced_ns),
            "replaced_by": self.replaced_by,
            "replaces": self.replaces,
            "side": self.side,
            "status": self.status,
            "stop_price": None if self.stop_price is None else number(self.stop_price),
            "submitted_at": submitted,
            "symbol": self.symbol,
            "time_in_force": self.time_in_force,
            "trail_percent": None,
            "trail_price": None,
            "type": kind,
            "updated_at": timestamp(self.updated_ns),
        }
