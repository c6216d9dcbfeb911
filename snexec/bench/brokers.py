"""The two brokers that orders are measured at, each in a process of its own."""

from __future__ import annotations

import http.client
import json
import time
from abc import ABC, abstractmethod
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from snexec.bench.programs import PATIENCE_SECONDS, Program, module

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_LOOK_SECONDS = 0.05  # not more often, as it takes the broker's time
_LULL_SECONDS = 3.0  # after which a POST that has not come is lost
_NO_RATE_LIMIT = "[exchange]\nrate_limit_per_min = 1000000\n"


@dataclass(frozen=True, slots=True)
class Post:
    """A POST as the broker saw it arrive; on the clock of ``time.monotonic_ns``."""

    arrived_ns: int
    symbol: str


class Controls:
    """What a program of ours is asked over HTTP."""

    def __init__(self, program: Program, port: int) -> None:
        self.port = port
        self._program = program
        self._http = http.client.HTTPConnection(
            "127.0.0.1", port, timeout=PATIENCE_SECONDS
        )

    def close(self) -> None:
        """Close the connection to the controls."""
        self._http.close()

    def _ask(self, method: str, path: str) -> Any:  # noqa: ANN401 - JSON
        try:
            self._http.request(method, path)
            with self._http.getresponse() as answer:
                return json.loads(answer.read())
        except (OSError, http.client.HTTPException):
            self._program.check_alive(grace_seconds=0.5)
            raise


class Broker(Controls, ABC):
    """What a measurement asks of a broker, through the broker's own controls.

    Attributes:
        keeps_order: Whether ``posts`` gives them in the order in which they came.
    """

    keeps_order: bool

    @abstractmethod
    def count(self) -> int:
        """Return how many POSTs have come."""

    @abstractmethod
    def listeners(self) -> int:
        """Return how many trading streams it feeds."""

    @abstractmethod
    def posts(self, known: int) -> list[Post]:
        """Return all POSTs but the first ``known``, in the order of their arrival."""

    def wait_for_posts(self, known: int, count: int) -> list[Post]:
        """Wait for ``count`` POSTs after the known ones, or until no more come."""
        seen, last = known, time.monotonic()
        while seen < known + count and time.monotonic() - last < _LULL_SECONDS:
            time.sleep(_LOOK_SECONDS)
            self._program.check_alive()
            if (now := self.count()) > seen:
                seen, last = now, time.monotonic()
        return self.posts(known)


class StandIn(Broker):
    """The stand-in broker, ``snexec.bench.stand_in``."""

    keeps_order = True

    def count(self) -> int:
        """Return how many POSTs have come."""
        return int(self._ask("GET", "/bench/counts")["posts"])

    def listeners(self) -> int:
        """Return how many trading streams it feeds."""
        return int(self._ask("GET", "/bench/counts")["listeners"])

    def lookups(self) -> int:
        """Return how often it was asked about an order."""
        return int(self._ask("GET", "/bench/counts")["lookups"])

    def posts(self, known: int) -> list[Post]:
        """Return all POSTs but the first ``known``, in the order of their arrival."""
        return [Post(*post) for post in self._ask("GET", f"/bench/posts?{known}")]

    def end(self) -> None:
        """End every order: what sells is filled, and what buys is canceled."""
        self._ask("POST", "/bench/ends")

    def hold(self, count: int) -> None:
        """Let the account hold one share each of W0, W1, …, at 100 dollars."""
        self._ask("POST", f"/bench/hold?{count}")

    def move(self, symbol: str, price: float) -> int:
        """Let positions show another price; return ``time.monotonic_ns`` from before."""
        return int(self._ask("POST", f"/bench/price?{symbol}={price:.2f}"))

    def fill(self, *, foreign: int = 0) -> tuple[int, int]:
        """Fill every order that is not filled.

        Args:
            foreign: Fills of other programs' orders, which come among these.

        Returns:
            ``time.monotonic_ns`` before the first event was sent, and how many were.
        """
        answer = self._ask("POST", f"/bench/fills?{foreign}")
        return int(answer["beganNs"]), int(answer["events"])


class BuiltInExchange(Broker):
    """The built-in exchange, ``snexec exchange``; its paper account."""

    # It serves each connection in a task of its own, and Trio runs those in any order.
    keeps_order = False

    def count(self) -> int:
        """Return how many POSTs have come."""
        counts = self._ask("GET", "/control/paper/counts")
        return int(counts.get("POST /v2/orders", 0))

    def listeners(self) -> int:
        """Return how many trading streams it feeds."""
        return int(self._ask("GET", "/control/paper/stream")["listeners"])

    def posts(self, known: int) -> list[Post]:
        """Return all POSTs but the first ``known``, in the order of their arrival."""
        posts = self._ask("GET", "/control/paper/posts")[known:]
        return [Post(post["arrived_ns"], post["symbol"]) for post in posts]


@contextmanager
def stand_in(folder: Path, name: str = "broker") -> Iterator[StandIn]:
    """Run the stand-in broker until the block ends; its output's file has the name."""
    command, output = module("snexec.bench.stand_in"), folder / f"{name}.log"
    with Program("the stand-in broker", command, output) as program:
        port = int(program.expect(r"port (\d+)\n"))
        with closing(StandIn(program, port)) as broker:
            yield broker


class MarketData(Controls):
    """The stand-in for market data, ``snexec.bench.stand_in_data``."""

    def symbols(self) -> int:
        """Return how many symbols it is asked for."""
        return int(self._ask("GET", "/bench/counts")["symbols"])

    def sent(self) -> int:
        """Return how many ticks it has sent by itself."""
        return int(self._ask("GET", "/bench/counts")["sent"])

    def tick(self, rate: float) -> None:
        """Have it send ticks by itself, so many a second of all symbols in turns."""
        self._ask("POST", f"/bench/ticks?{rate:g}")

    def bid(self, symbols: Sequence[str], price: float) -> None:
        """Have it send one frame of quotes, in 5 ms."""
        self._ask("POST", f"/bench/bids?{price:.2f}&{','.join(symbols)}")

    def print_(self, symbols: Sequence[str], price: float) -> None:
        """Have it send one frame of prints, in 5 ms."""
        self._ask("POST", f"/bench/prints?{price:.2f}&{','.join(symbols)}")

    def said(self, known: int = 0) -> list[int]:
        """Return when each of those frames left but the first ``known``.

        On the clock of ``time.monotonic_ns``, from just before.
        """
        return [int(ns) for ns in self._ask("GET", f"/bench/said?{known}")]


@contextmanager
def market_data(folder: Path) -> Iterator[MarketData]:
    """Run the stand-in for market data until the block ends."""
    command, output = module("snexec.bench.stand_in_data"), folder / "data.log"
    with Program("the stand-in for market data", command, output) as program:
        port = int(program.expect(r"port (\d+)\n"))
        with closing(MarketData(program, port)) as data:
            yield data


@contextmanager
def built_in_exchange(folder: Path) -> Iterator[BuiltInExchange]:
    """Run the built-in exchange until the block ends, as it is but for the rate limit."""
    config = folder / "exchange.toml"
    config.write_text(_NO_RATE_LIMIT)
    command = module("snexec", "--config", str(config), "exchange", "--port", "0")
    output = folder / "exchange.log"
    with Program("the built-in exchange", command, output) as program:
        port = int(program.expect(r'paper_url = "http://127\.0\.0\.1:(\d+)"'))
        with closing(BuiltInExchange(program, port)) as broker:
            yield broker
