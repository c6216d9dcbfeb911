"""What an account may not order, in Alpaca's words (ALPACA 1.5, ALPACA-EXITS 1.2)."""

from collections.abc import Iterable
from decimal import Decimal

from snexec.exchange.assets import class_of
from snexec.exchange.errors import forbidden, unprocessable
from snexec.exchange.order import Order
from snexec.exchange.spelling import CENT, number, truncate
from snexec.exchange.validation import OrderRequest


def check_size(request: OrderRequest, cost: Decimal) -> None:
    """Refuse what costs too little; Alpaca lets less than the smallest buy be sold."""
    least = class_of(request.symbol).smallest_buy if request.side == "buy" else 1
    if cost < least:
        raise forbidden(f"cost basis must be >= minimal amount of order {least}")


def check_funds(cost: Decimal, buying_power: Decimal) -> None:
    """Refuse a buy that the account cannot pay."""
    if cost > buying_power:
        raise forbidden(
            "insufficient buying power",
            buying_power=number(truncate(buying_power, CENT)),
            cost_basis=number(truncate(cost, CENT)),
        )


def check_intent(request: OrderRequest, existing: Decimal) -> None:
    """Refuse an order that would open what it is meant to close, or the reverse."""
    if request.position_intent is None:
        return
    opens = request.side == "buy" or not existing
    inferred = f"{request.side}_to_{'open' if opens else 'close'}"
    if request.position_intent != inferred:
        raise unprocessable(
            f"position intent mismatch, inferred: {inferred},"
            f" specified: {request.position_intent}"
        )


def check_holding(
    symbol: str, qty: Decimal, *, existing: Decimal, held: Decimal
) -> None:
    """Refuse to sell more than is held and not on order: no account goes short here."""
    available = existing - held
    if qty > available:
        raise forbidden(
            "insufficient qty available for order "
            f"(requested: {number(qty)}, available: {number(available)})",
            available=number(available),
            existing_qty=number(existing),
            held_for_orders=number(held),
            symbol=symbol,
        )


def check_wash(request: OrderRequest, working: Iterable[Order]) -> None:
    """Refuse an order while one of the other side works."""
    for order in working:
        if order.side != request.side:
            raise forbidden(
                "potential wash trade detected. use complex orders",
                existing_order_id=order.id,
                reject_reason="opposite side market/stop order exists",
            )
