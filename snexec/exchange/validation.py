"""From the body of POST /v2/orders to an order request, or Alpaca's refusal of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from snexec.exchange.assets import SHARES, AssetClass, canonical, class_of, exists
from snexec.exchange.errors import ApiError, forbidden, invalid, unprocessable
from snexec.exchange.order import Side
from snexec.exchange.spelling import CENT, QTY_STEP, truncate

CLIENT_ORDER_ID_MAX = 128
_SUB_DOLLAR_STEP = Decimal("0.0001")  # of the prices of orders, below one dollar
POSITION_INTENTS = frozenset(
    {"buy_to_open", "buy_to_close", "sell_to_open", "sell_to_close"}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderRequest:
    """A market or stop order that a client asks for; symbol canonical, money in USD."""

    symbol: str
    side: Side
    notional: Decimal | None
    qty: Decimal | None
    time_in_force: str
    extended_hours: bool
    client_order_id: str | None
    position_intent: str | None = None
    stop_price: Decimal | None = None


def parse_body(body: bytes) -> dict[str, object]:
    """Read a request's JSON object.

    Raises:
        ApiError: The body is not a JSON object.
    """
    try:
        fields = json.loads(body)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise ApiError(400, 40010000, "request body format is invalid")
    return fields


def parse_order(fields: dict[str, object]) -> OrderRequest:
    """Check every field that can be checked without the account.

    Raises:
        ApiError: Alpaca's refusal of such an order.
    """
    symbol = _symbol(fields)
    side = fields.get("side")
    if side not in ("buy", "sell"):
        raise invalid("side must be buy or sell")
    if fields.get("type") not in ("market", "stop"):
        raise invalid("this simulated exchange takes market and stop orders only")
    client_order_id = fields.get("client_order_id") or None
    if client_order_id is not None and not isinstance(client_order_id, str):
        raise invalid("client_order_id must be a string")
    if client_order_id is not None and len(client_order_id) > CLIENT_ORDER_ID_MAX:
        raise invalid(
            f"client_order_id must be no more than {CLIENT_ORDER_ID_MAX} characters"
        )
    notional = _amount(fields, "notional")
    qty = _amount(fields, "qty")
    if notional is not None and qty is not None:
        raise invalid("only one of qty or notional is accepted")
    if notional is None and qty is None:
        raise invalid("qty or notional is required")
    if notional is not None:
        _check_notional(notional)
    if qty is not None:
        qty = truncate(qty, QTY_STEP)
        if not qty:
            raise invalid("qty must be > 0")
    asset_class = class_of(symbol)
    time_in_force = _time_in_force(fields, asset_class)
    fractional = qty is None or qty != qty.to_integral_value()
    if fractional and asset_class is SHARES:
        _check_fractional(fields, side)
    _refuse_classes(fields)
    return OrderRequest(
        symbol=symbol,
        side="buy" if side == "buy" else "sell",
        notional=notional,
        qty=qty,
        time_in_force=time_in_force,
        extended_hours=fields.get("extended_hours") is True,
        client_order_id=client_order_id,
        position_intent=_position_intent(fields),
        stop_price=_stop_price(fields, asset_class),
    )


def _refuse_classes(fields: dict[str, object]) -> None:
    """Refuse what would leave out a part of the order: its stop, its other leg."""
    order_class = fields.get("order_class")
    if order_class not in (None, "", "simple"):
        raise invalid(
            "this simulated exchange takes simple orders only: order_class"
            f" {str(order_class)[:40]!r} is not done here"
        )
    for name in ("take_profit", "stop_loss", "legs", "trail_price", "trail_percent"):
        if fields.get(name):
            raise invalid(f"this simulated exchange does not do {name}")


def parse_part(params: Mapping[str, str], held: Decimal) -> Decimal | None:
    """Return which quantity of a position to close; None is all of it.

    Raises:
        ApiError: That makes no sense.
    """
    fields: dict[str, object] = dict(params)
    qty, percentage = _amount(fields, "qty"), _amount(fields, "percentage")
    if qty is not None and percentage is not None:
        raise invalid("only one of qty or percentage is accepted")
    if percentage is not None:
        if percentage > 100:
            raise invalid("percentage must be between 0 and 100")
        qty = held * percentage / 100
    return None if qty is None else truncate(qty, QTY_STEP)


def _symbol(fields: dict[str, object]) -> str:
    symbol = fields.get("symbol")
    if not isinstance(symbol, str) or not symbol:
        raise invalid("symbol is required")
    name = canonical(symbol)
    if not exists(name):
        raise unprocessable(f'asset "{symbol}" not found')
    return name


def _time_in_force(fields: dict[str, object], asset_class: AssetClass) -> str:
    value = fields.get("time_in_force")
    # Shares take every time in force that there is.
    if not isinstance(value, str) or value not in SHARES.times_in_force:
        raise invalid("invalid time_in_force")
    if value not in asset_class.times_in_force:
        raise unprocessable(f"invalid {asset_class.name} time_in_force")
    return value


def _stop_price(fields: dict[str, object], asset_class: AssetClass) -> Decimal | None:
    price = _amount(fields, "stop_price")
    if fields.get("type") == "market":
        if price is not None:
            raise invalid("market orders must not have stop_price")
        return None
    if asset_class is not SHARES:
        raise unprocessable(f"invalid order type for {asset_class.name} order")
    if price is None:
        raise invalid("stop orders require stop price")
    if truncate(price, CENT if price >= 1 else _SUB_DOLLAR_STEP) != price:
        raise unprocessable(
            "sub-penny increment does not fulfill minimum pricing criteria"
        )
    return price


def _position_intent(fields: dict[str, object]) -> str | None:
    value = fields.get("position_intent") or None
    if value is None:
        return None
    if not isinstance(value, str) or value not in POSITION_INTENTS:
        raise invalid("invalid position_intent")
    return value


def _amount(fields: dict[str, object], name: str) -> Decimal | None:
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise invalid(f"{name} must be a number")
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        raise invalid(f"{name} must be a number") from None
    # The upper bound keeps sums within the 28 digits of decimal arithmetic.
    if not amount.is_finite() or amount >= Decimal("1e12"):
        raise invalid(f"{name} must be a number")
    if amount <= 0:
        raise invalid(f"{name} must be > 0")
    return amount


def _check_notional(notional: Decimal) -> None:
    if truncate(notional, CENT) != notional:
        raise unprocessable("notional value must be limited to 2 decimal places")
    if notional < 1:
        raise unprocessable("notional amount must be >= 1.00")


def _check_fractional(fields: dict[str, object], side: str) -> None:
    if fields.get("time_in_force") != "day":
        raise unprocessable("fractional orders must be DAY orders")
    if fields.get("order_class") not in (None, "", "simple"):
        raise unprocessable("fractional orders must be simple orders")
    if side == "sell" and fields.get("position_intent") == "sell_to_open":
        raise forbidden("fractional orders cannot be sold short")
