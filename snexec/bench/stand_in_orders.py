"""The stand-in broker's orders, spelled as long as Alpaca's (ALPACA 1.3 and 3.3).

They are filled into templates, as the time the broker takes is not to be measured.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

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
_END = {
    "at": _AT,
    "event_id": "01M2TB1W7J21FPR8S4CTGVBY7J",
    "timestamp": _AT,
}
_EXECUTION = {
    "event": "fill",
    "price": _PRICE,
    "qty": _SHARES,
    "position_qty": _SHARES,
    "execution_id": "%(id)s",
    "swap_rate": "1",
    "settle_date": "2026-01-06",
}
_SELL = _ORDER | {
    "notional": None,
    "position_intent": "sell_to_close",
    "qty": "%(qty)s",
    "side": "sell",
}


class _Spellings:
    """How an order is spelled while it works, and once it has ended."""

    def __init__(self, order: Mapping[str, object], shares: str) -> None:
        order = dict(order)
        filled = order | {
            "status": "filled",
            "filled_at": _AT,
            "filled_avg_price": _PRICE,
            "filled_qty": shares,
        }
        canceled = order | {"status": "canceled", "canceled_at": _AT}
        fill = _END | _EXECUTION | {"qty": shares, "order": filled}
        end = _END | {"event": "canceled", "order": canceled}
        self.works = _template(order)
        self.ended = {True: _template(filled), False: _template(canceled)}
        self.events = {
            fills: _template({"stream": "trade_updates", "data": data})
            for fills, data in ((True, fill), (False, end))
        }


def _template(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


_BUYS = _Spellings(_ORDER, _SHARES)
_SELLS = _Spellings(_SELL, "%(qty)s")


@dataclass(slots=True)
class Order:
    """An order that came as a POST.

    Attributes:
        arrived_ns: ``time.monotonic_ns``, which all processes share, at its arrival.
        fields: The POST's own fields, and ``id``.
        filled: Whether all of it was bought or sold; None while it works.
    """

    arrived_ns: int
    fields: dict[str, Any]
    filled: bool | None = None

    @property
    def is_sell(self) -> bool:
        """Whether it sells."""
        return bool(self.fields.get("side") == "sell")

    @property
    def has_ended(self) -> bool:
        """Whether it was filled or canceled."""
        return self.filled is not None

    def end(self, *, fills: bool) -> None:
        """Fill all of it, or cancel it."""
        self.filled = fills

    def reply(self) -> bytes:
        """Return the order as REST replies spell it."""
        spelled = self._spellings()
        template = spelled.works if self.filled is None else spelled.ended[self.filled]
        return (template % self.fields).encode()

    def last_event(self) -> bytes:
        """Return the stream's event of its end."""
        events = self._spellings().events
        return (events[bool(self.filled)] % self.fields).encode()

    def _spellings(self) -> _Spellings:
        return _SELLS if self.is_sell else _BUYS


def foreign_event(number: int) -> bytes:
    """Return the stream's event of the fill of another program's order, from 0."""
    fields = {
        "id": f"7e1ecafe-fd54-4f66-a31e-{number:012d}",
        "client_order_id": f"9d4fcafe-fd54-4f66-a31e-{number:012d}",
        "symbol": f"X{number}",
        "notional": "100.00",
        "qty": _SHARES,
    }
    spelled = _SELLS if number % 2 else _BUYS
    return (spelled.events[True] % fields).encode()


def take_order(body: bytes, arrived_ns: int, number: int) -> Order:
    """Read a POST's body; the id is made from the order's number, counted from 0."""
    fields = json.loads(body)
    fields["id"] = f"3795cafe-fd54-4f66-a31e-{number:012d}"
    return Order(arrived_ns, fields)
