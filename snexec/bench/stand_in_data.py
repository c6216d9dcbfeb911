"""The stand-in for market data: sends ticks, and notes when.

A process of its own beside the stand-in broker, so that sending ticks does not delay the
dates of orders: ``python -m snexec.bench.stand_in_data``. Besides Alpaca's paths:

| request | answer |
| --- | --- |
| GET /bench/counts | how many symbols are asked for, and ticks sent by themselves |
| POST /bench/ticks?N | from now on N ticks a second, of all symbols in turns |
| POST /bench/bids?P&SYMBOL,… | one frame of a quote each, with this bid, in 5 ms |
| POST /bench/prints?P&SYMBOL,… | one frame of a print each, at this price, in 5 ms |
| GET /bench/said?N | when each of those frames left but the first N |

In 5 ms, so that neither the answer nor who reads it takes time of the program that is
measured.
"""

from __future__ import annotations

import gc
import json
import time
from typing import TYPE_CHECKING, Any

from snexec.bench.serving import Server
from snexec.bench.stand_in_account import spelled
from snexec.bench.websocket import TEXT, frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snexec.bench.serving import Connection

FRAME_SECONDS = 0.005  # between two frames of ticks
_SOON_SECONDS = 0.005
_CONNECTED = b'[{"T":"success","msg":"connected"}]'
# A walk of cents around 100, which nothing sells.
_CENTS = [(7 * step) % 41 - 20 for step in range(41)]
_PRINT = '{"T":"t","S":"%s","i":%d,"x":"V","p":%s,"s":100,"t":"%s","c":["@"],"z":"C"}'
_QUOTE = (
    '{"T":"q","S":"%s","bx":"V","bp":%s,"bs":2,"ax":"V","ap":%s,"as":3,"t":"%s",'
    '"c":["R"],"z":"C"}'
)


class MarketData(Server):
    """Says the ticks of all symbols that are asked for."""

    def __init__(self) -> None:
        super().__init__()
        self._symbols: dict[str, None] = {}
        self._turn: list[str] = []
        self._rate = 0.0
        self._due = self._said_at = 0.0
        self._owed = 0.0
        self._sent = 0
        self._number = 0
        self._soon: list[tuple[float, bool, float, list[str]]] = []
        self._said: list[int] = []

    def begun(self, connection: Connection) -> None:
        """Greet."""
        connection.send(frame(_CONNECTED, TEXT))

    def answer(
        self, connection: Connection, request: str, _body: bytes, _now_ns: int
    ) -> None:
        """Answer a request."""
        path, _, query = request.partition(" ")[2].partition("?")
        answer: object = {}
        match path:
            case "/bench/counts":
                answer = {"symbols": len(self._symbols), "sent": self._sent}
            case "/bench/ticks":
                self._rate, self._owed = float(query), 0.0
                self._due = self._said_at = time.monotonic()
            case "/bench/bids" | "/bench/prints":
                price, _, names = query.partition("&")
                due, is_quote = time.monotonic() + _SOON_SECONDS, path == "/bench/bids"
                self._soon.append((due, is_quote, float(price), names.split(",")))
            case "/bench/said":
                answer = self._said[int(query) :]
            case _:
                pass  # nothing is known of splits and snapshots
        connection.reply(200, json.dumps(answer).encode())

    def told(self, connection: Connection, message: dict[str, Any]) -> object:
        """Answer what is said on a stream."""
        names = message.get("trades") or ()
        match message.get("action"):
            case "auth":
                return [{"T": "success", "msg": "authenticated"}]
            case "subscribe":
                connection.listens = True
                self._symbols.update(dict.fromkeys(names))
            case _:
                for name in names:
                    self._symbols.pop(name, None)
        symbols = list(self._symbols)
        channels = dict.fromkeys(("trades", "quotes", "statuses"), symbols)
        return [{"T": "subscription", **channels}]

    def tend(self) -> float:
        """Send the ticks that are due."""
        now, seconds = time.monotonic(), super().tend()
        if self._rate:
            if now >= self._due:
                self._tick(now)
            seconds = self._due - now
        if self._soon:
            due, is_quote, price, symbols = self._soon[0]
            if now >= due:
                del self._soon[0]
                say = self._quote if is_quote else self._print
                self._said.append(self._send([say(each, price) for each in symbols]))
                return 0.0
            seconds = min(seconds, due - now)
        return max(0.0, seconds)

    def _tick(self, now: float) -> None:
        owed = self._owed + self._rate * (now - self._said_at)
        count = int(owed)
        self._said_at, self._owed, self._due = now, owed - count, now + FRAME_SECONDS
        self._send([self._next() for _ in range(count)])
        self._sent += count

    def _next(self) -> str:
        """Return one tick: a print and a quote in turns."""
        number = self._number = self._number + 1
        if not self._turn:
            self._turn = list(reversed(self._symbols)) or ["W0"]
        symbol = self._turn[-1]
        price = 100 + _CENTS[(number // 2) % len(_CENTS)] / 100
        if number % 2:
            return self._quote(symbol, price - 0.01)
        self._turn.pop()
        return self._print(symbol, price)

    def _print(self, symbol: str, price: float) -> str:
        self._number += 1
        return _PRINT % (symbol, self._number, f"{price:.2f}", spelled(time.time()))

    def _quote(self, symbol: str, bid: float) -> str:
        at = spelled(time.time())
        return _QUOTE % (symbol, f"{bid:.2f}", f"{bid + 0.02:.2f}", at)

    def _send(self, ticks: Sequence[str]) -> int:
        """Send one frame; return ``time.monotonic_ns`` from before."""
        data = frame(f"[{','.join(ticks)}]".encode(), TEXT)
        now_ns = time.monotonic_ns()
        for connection in self.connections.values():
            if connection.listens:
                connection.send(data)
        return now_ns


def main() -> None:
    """Serve."""
    gc.disable()  # a pause of ours would be measured as the daemon's
    MarketData().run()


if __name__ == "__main__":
    main()
