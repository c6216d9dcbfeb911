"""The stand-in broker's orders, spelled as long as Alpaca's (ALPACA 1.3 and 3.3).

They are filled into templates, as the time the broker takes is not to be measured.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

_PRICE, _SHARES = "187.177", "0.533386947"
_AT = "2026-01-05T14:30:00.018261663Z"

# Every field that Alpaca sends, as reading them is part of what is measured.
_ORDER = {
    "asset_class": "us_equity",
    "asset_id": "3795cafe-fd54-4f66-a31e-66774be875ca",
    "canceled_at": None,
    "client_order_id": "%(client_order_id)s",
    "created_at": _AT,
    "expired_at": None,
    "expires_at": "2026-01-05T21:00:00Z",
    "extended_hours": False,
    "failed_at": None,
    "filled_at": None,
    "filled_avg_price": None,
    "filled_qty": "0",
    "hwm": None,
    "id": "%(id)s",
    "legs": None,
    "limit_price": None,
    "notional": "%(notional)s",
    "order_class": "",
    "order_type": "market",
    "position_intent": "buy_to_open",
    "qty": None,
    "replaced_at": None,
    "replaced_by": None,
    "replaces": None,
    "side": "buy",
    "source": None,
    "status": "pending_new",
    "stop_price": None,
    "submitted_at": _AT,
    "subtag": None,
    "symbol": "%(symbol)s",
    "time_in_force": "day",
    "trail_percent": None,
    "trail_price": None,
    "type": "market",
    "updated_at": _AT,
}
_FILLED = _ORDER | {
    "status": "filled",
    "filled_at": _AT,
    "filled_avg_price": _PRICE,
    "filled_qty": _SHARES,
}
_FILL = {
    "at": _AT,
    "event_id": "01M2TB1W7J21FPR8S4CTGVBY7J",
    "event": "fill",
    "timestamp": _AT,
    "order": _FILLED,
    "price": _PRICE,
    "qty": _SHARES,
    "position_qty": _SHARES,
    "execution_id": "%(id)s",
    "swap_rate": "1",
    "settle_date": "2026-01-06",
}


def _template(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


_ORDER_REPLY = _template(_ORDER)
_FILLED_REPLY = _template(_FILLED)
_FILL_EVENT = _template({"stream": "trade_updates", "data": _FILL})


@dataclass(slots=True)
class Order:
    """An order that came as a POST.

    Attributes:
        arrived_ns: ``time.monotonic_ns``, which all processes share, at its arrival.
        fields: The POST's own fields, and ``id``.
    """

    arrived_ns: int
    fields: dict[str, Any]
    filled: bool = False

    def reply(self) -> bytes:
        """Return the order as REST replies spell it."""
        template = _FILLED_REPLY if self.filled else _ORDER_REPLY
        return (template % self.fields).encode()

    def fill_event(self) -> bytes:
        """Return the stream's event that all of it was bought."""
        return (_FILL_EVENT % self.fields).encode()


def take_order(body: bytes, arrived_ns: int, number: int) -> Order:
    """Read a POST's body; the id is made from the order's number, counted from 0."""
    fields = json.loads(body)
    fields["id"] = f"3795cafe-fd54-4f66-a31e-{number:012d}"
    return Order(arrived_ns, fields)
