"""The body of each order's request (ALPACA 1.2, SPEC 5, 12.5, 12.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snexec.assets import asset_class

if TYPE_CHECKING:
    from snexec.broker.sent import OutgoingOrder, OutgoingSell

# A validated symbol, cents and an id of our own need no escapes.
_ORDER_BODY = (
    b'{"symbol":"%b","%b":"%b","side":"%b","type":"market",'
    b'"time_in_force":"%b","client_order_id":"%b"}'
)
_SELL_BODY = (
    b'{"symbol":"%b","qty":"%b","side":"sell","type":"%b","time_in_force":"%b",'
    b'%b"client_order_id":"%b"}'
)
_SELL_INTENT = b'"position_intent":"sell_to_close",'


def order_body(order: OutgoingOrder) -> bytes:
    """Return the body of a market order of dollars or of shares."""
    dollars = order.notional
    return _ORDER_BODY % (
        order.symbol.encode(),
        b"qty" if dollars is None else b"notional",
        # str() would write a billionth of a share as 1E-9.
        (f"{order.quantity:f}" if dollars is None else str(dollars)).encode(),
        order.side.encode(),
        asset_class(order.symbol).time_in_force.encode(),
        order.client_order_id.encode(),
    )


def sell_body(sell: OutgoingSell) -> bytes:
    """Return the body of an order that closes shares that are held.

    A coin cannot be sold short, so that its intent goes without saying.
    """
    symbol, stop = sell.symbol, sell.stop_price
    asset = asset_class(symbol)
    return _SELL_BODY % (
        symbol.encode(),
        f"{sell.quantity:f}".encode(),
        b"market" if stop is None else b'stop","stop_price":"%b' % f"{stop:f}".encode(),
        asset.time_in_force.encode(),
        b"" if asset.around_the_clock or not sell.says_intent else _SELL_INTENT,
        sell.client_order_id.encode(),
    )
