"""The stand-in broker: takes orders, notes when each arrived, and sends fills.

A process of its own, ``python -m snexec.bench.stand_in``, which prints its port and
ends when its parent does. It stands in for the built-in exchange, which does much more
for an order, so that a burst would measure the exchange. Besides Alpaca's paths:

| request | answer |
| --- | --- |
| GET /bench/counts | numbers of posts, listeners and look-ups |
| GET /bench/posts?N | `[arrived_ns, symbol]` of every post but the first N, by arrival |
| POST /bench/fills?N | fills every order not filled yet, among N fills of orders of |
| | other programs; when that began, and how many of the first |
| POST /bench/ends | the same, but that buys are canceled and buy nothing |
| POST /bench/hold?N | the account holds W0, W1, … of which the price is 100 |
| POST /bench/price?SYMBOL=P | what positions show from now on; and when that was |
"""

from __future__ import annotations

import gc
import json
import time
from typing import TYPE_CHECKING, Any

from snexec.bench.serving import Server
from snexec.bench.stand_in_account import Account
from snexec.bench.stand_in_orders import Order, foreign_event, take_order
from snexec.bench.websocket import frame

if TYPE_CHECKING:
    from snexec.bench.serving import Connection

_UNKNOWN_ORDER = b'{"code":40410000,"message":"order not found"}'
_UNKNOWN_PATH = b'{"code":40410000,"message":"endpoint not found"}'


class Broker(Server):
    """Takes every order."""

    def __init__(self) -> None:
        super().__init__()
        self._orders: list[Order] = []
        self._by_id: dict[str, Order] = {}
        self._lookups = 0
        self._account = Account()

    def answer(
        self, connection: Connection, request: str, body: bytes, now_ns: int
    ) -> None:
        """Answer a request."""
        if request == "POST /v2/orders":
            order = take_order(body, now_ns, len(self._orders))
            connection.reply(200, order.reply())
            self._orders.append(order)
            for name in ("id", "client_order_id"):
                self._by_id[order.fields[name]] = order
            return
        path, _, query = request.partition(" ")[2].partition("?")
        if path.startswith("/bench/"):
            answer = self._control(path, query)
            connection.reply(200, json.dumps(answer).encode())
        elif path == "/v2/orders":
            connection.reply(200, b"[]")  # it has no orders but those of this run
        elif path.startswith("/v2/orders"):
            self._lookups += 1
            name = query.partition("=")[2] or path.rpartition("/")[2]
            found = self._by_id.get(name)
            if found is None:
                connection.reply(404, _UNKNOWN_ORDER)
            else:
                connection.reply(200, found.reply())
        elif (reply := self._account.reply(path)) is not None:
            connection.reply_aside(reply)
        else:
            connection.reply(404, _UNKNOWN_PATH)

    def told(self, connection: Connection, message: dict[str, Any]) -> object:
        """Answer what is said on a trading stream."""
        if message.get("action") == "listen":
            connection.listens = True
            answer: dict[str, object] = {"streams": ["trade_updates"]}
            return {"stream": "listening", "data": answer}
        answer = {"action": "authenticate", "status": "authorized"}
        return {"stream": "authorization", "data": answer}

    def _control(self, path: str, query: str) -> object:
        match path.removeprefix("/bench/"):
            case "posts":
                known = int(query)
                posts = self._orders[known:]
                return [(post.arrived_ns, post.fields["symbol"]) for post in posts]
            case "fills":
                return self._end(fills_buys=True, foreign=int(query or 0))
            case "ends":
                return self._end(fills_buys=False)
            case "hold":
                return self._account.hold(int(query))
            case "price":
                symbol, _, price = query.partition("=")
                return self._account.move(symbol, price)
            case _:
                listeners = [c for c in self.connections.values() if c.listens]
                return {
                    "posts": len(self._orders),
                    "listeners": len(listeners),
                    "lookups": self._lookups,
                }

    def _end(self, *, fills_buys: bool, foreign: int = 0) -> dict[str, int]:
        orders = [order for order in self._orders if not order.has_ended]
        for order in orders:
            order.end(fills=fills_buys or order.is_sell)
            if order.is_sell:
                self._account.sold(order.fields["symbol"])
        said: list[bytes] = []
        for place, order in enumerate(orders, 1):
            others = range(len(said) - place + 1, foreign * place // len(orders))
            said += [*map(foreign_event, others), order.last_event()]
        events = b"".join(map(frame, said))
        began_ns = time.monotonic_ns()
        for connection in self.connections.values():
            if connection.listens:
                connection.send(events)
        return {"beganNs": began_ns, "events": len(orders)}


def main() -> None:
    """Serve."""
    gc.disable()  # a pause of ours would be measured as the daemon's
    Broker().run()


if __name__ == "__main__":
    main()
