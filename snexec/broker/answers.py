"""What the bodies of the broker's answers say (ALPACA 1.3 to 1.5, 2): no I/O here.

Each is checked to speak of what was asked; one that does not is no answer (SPEC 11).
"""

from __future__ import annotations

import contextlib
import json
import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from snexec.assets import may_be
from snexec.errors import UnknownOutcomeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snexec.model import Side

MAX_ORDER_ID_CHARS = 256
MAX_CLIENT_ORDER_ID_CHARS = 128  # the broker takes no longer one (ALPACA 1.2)

# An order with one of these never works again.
FINAL_STATUSES = frozenset({"filled", "canceled", "expired", "rejected", "replaced"})
_MOST = 1e18
_MOST_DIGITS = 100  # a number waits for the database with its event
_PLAIN = re.compile(r"[+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?")


def amount(value: object) -> Decimal | None:
    """Read a price or a quantity as Alpaca sends it; None if it cannot be read.

    An amount is a number above 0 that a row can hold, also as a sum or a product.
    """
    number = _number(value)
    if number is None or not 0 < float(number) <= _MOST:
        return None
    return number


def _order_id(value: object) -> str | None:
    is_one = isinstance(value, str) and 1 <= len(value) <= MAX_ORDER_ID_CHARS
    return str(value) if is_one else None


def quantity_or_zero(value: object) -> Decimal | None:
    """Read how much was filled, as Alpaca sends it; None if it cannot be read."""
    number = _number(value)
    return number if number is not None and number.is_zero() else amount(value)


def moment(value: object) -> datetime | None:
    """Read a time as Alpaca sends it; None if it cannot be read."""
    if not isinstance(value, str):
        return None
    with contextlib.suppress(ValueError, OverflowError):
        found = datetime.fromisoformat(value)
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    return None


def _number(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, (str, int, float, Decimal)):
        return None
    try:
        text = str(value)
        if len(text) > _MOST_DIGITS:
            return None
        # Only Python reads "1_0", " 1 " and the digits of other scripts as numbers.
        number = Decimal(text) if _PLAIN.fullmatch(text) else None
    except (InvalidOperation, ValueError):  # ValueError: an int of 4,300 digits
        return None
    return number if number is not None and number.is_finite() else None


class BrokerOrder(BaseModel):
    """What the broker says about an order; unknown fields and statuses are fine.

    Attributes:
        symbol: As it came; None or empty in an order of several legs.
        side: Likewise.
        filled_qty: Shares bought so far; None if it cannot be read.
        filled_avg_price: Dollars per share; None if there is none.
        replaced_by: The broker's id of the order that took its place, if one did.
        filled_at: When it was filled, where the broker says so.
    """

    model_config = ConfigDict(
        frozen=True, strict=True, extra="ignore", cache_strings="keys"
    )

    id: str = Field(min_length=1, max_length=MAX_ORDER_ID_CHARS)
    client_order_id: str = Field(min_length=1, max_length=MAX_CLIENT_ORDER_ID_CHARS)
    symbol: Any = None
    side: Any = None
    status: str
    filled_qty: Annotated[Decimal | None, BeforeValidator(quantity_or_zero)] = None
    filled_avg_price: Annotated[Decimal | None, BeforeValidator(amount)] = None
    replaced_by: Annotated[str | None, BeforeValidator(_order_id)] = None
    filled_at: Annotated[datetime | None, BeforeValidator(moment)] = None

    @property
    def has_bought(self) -> bool:
        """Whether its numbers say that something was bought, whatever its status."""
        if self.filled_qty is None:
            return self.filled_avg_price is not None
        return not self.filled_qty.is_zero()

    def continued_by(self, order: BrokerOrder) -> BrokerOrder:
        """Return it with the word of the order that took its place (SPEC 8).

        What was bought is the sum, as neither counts what the other has bought.
        """
        quantity = None
        if self.filled_qty is not None and order.filled_qty is not None:
            quantity = self.filled_qty + order.filled_qty
        bought = [each for each in (self, order) if each.has_bought]
        price = bought[0].filled_avg_price if len(bought) == 1 else _average(bought)
        update = {
            "status": order.status,
            "filled_qty": quantity,
            "filled_avg_price": price,
        }
        return self.model_copy(update=update)


class MarketTimes(BaseModel):
    """What the broker's clock says (ALPACA 2.3); every time is by that clock."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    timestamp: AwareDatetime
    is_open: Annotated[bool, Field(strict=True)]
    next_open: AwareDatetime
    next_close: AwareDatetime

    @property
    def seconds_left(self) -> float:
        """How long until the market opens or closes."""
        change = self.next_close if self.is_open else self.next_open
        return (change - self.timestamp).total_seconds()


def read_market_times(content: bytes) -> MarketTimes:
    """Read the body of a 200 as the market's clock.

    Raises:
        UnknownOutcomeError: It cannot be read.
    """
    try:
        return MarketTimes.model_validate_json(content)
    except ValidationError as exc:
        raise _unreadable(exc) from None


def read_order(
    content: bytes,
    client_order_id: str | None,
    *,
    order_id: str | None = None,
    symbol: str | None = None,
    side: Side = "buy",
) -> BrokerOrder:
    """Read the body of a 200 as the order that was asked for.

    A symbol and a side that the broker leaves out are no contradiction.

    Args:
        content: The body.
        client_order_id: The order's; None where another program or the broker chose it.
        order_id: The broker's id, where it was asked for by that.
        symbol: What was ordered, in its canonical spelling, where that is known.
        side: Whether it was bought or sold.

    Raises:
        UnknownOutcomeError: It cannot be read, or is about another order.
    """
    try:
        order = BrokerOrder.model_validate_json(content)
    except ValidationError as exc:
        raise _unreadable(exc) from None
    if client_order_id is not None and client_order_id != order.client_order_id:
        raise _of_another("order", "client_order_id", client_order_id)
    if order_id is not None and order_id != order.id:
        raise _of_another("order", "id", order_id)
    if not (symbol is None or may_be(symbol, order.symbol)):
        raise _of_another("order", "symbol", symbol)
    if not (order.side == side or order.side is None or order.side == ""):
        raise _of_another("order", "side", side)
    return order


def _of_another(what: str, field: str, asked: str | None) -> UnknownOutcomeError:
    # Without the broker's own text, which may be anything.
    return UnknownOutcomeError(
        f"the answer speaks of another {what}: its {field} is not {asked}"
    )


def _average(orders: Sequence[BrokerOrder]) -> Decimal | None:
    """Return dollars per share over all of them, as far as that can be told."""
    price, quantity, dollars = None, Decimal(0), Decimal(0)
    for order in orders:
        price = order.filled_avg_price or price
        if order.filled_qty is None or order.filled_avg_price is None:
            return price
        quantity += order.filled_qty
        dollars += order.filled_qty * order.filled_avg_price
    return dollars / quantity if quantity else None


def _unreadable(exc: ValidationError) -> UnknownOutcomeError:
    problem = exc.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in problem["loc"]) or "body"
    return UnknownOutcomeError(f"the answer cannot be read ({field}: {problem['msg']})")


def read_quantity(content: bytes, symbol: str) -> Decimal:
    """Read the body of a 200 as a symbol's position, and return its shares.

    Raises:
        UnknownOutcomeError: It has no quantity above 0, or is about another symbol.
    """
    try:
        position = json.loads(content)
        quantity = amount(position["qty"])
        told = position.get("symbol")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        quantity, told = None, None
    if quantity is None:
        raise UnknownOutcomeError("the position's qty cannot be read")
    if not may_be(symbol, told):
        raise _of_another("position", "symbol", symbol)
    return quantity
