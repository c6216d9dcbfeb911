"""The two brokers that orders are measured at, each in a process of its own."""

from __future__ import annotations

import http.client
import json
import time
from abc import ABC, abstractmethod
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from snexec.bench.programs import PATIENCE_SECONDS, Program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LOOK_SECONDS = 0.05  # not more often, as it takes the broker's time
_LULL_SECONDS = 3.0  # after which a POST that has not come is lost
_NO_RATE_LIMIT = "[exchange]\nrate_limit_per_min = 1000000\n"


@dataclass(frozen=True, slots=True)
class Post:
    """A POST as the broker saw it arrive; on the clock of ``time.monotonic_ns``."""

    arrived_ns: int
    symbol: str


class Broker(ABC):
    """What a measurement asks of a broker, through the broker's own controls.

    Attributes:
        keeps_order: Whether ``posts`` gives them in the order in which they came.
    """

    keeps_order: bool

    def __init__(self, program: Program, port: int) -> None:
        self.port = port
        self._program = program
        self._http = http.client.HTTPConnection(
            "127.0.0.1", port, timeout=PATIENCE_SECONDS
        )

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

    def fill(self) -> tuple[int, int]:
        """Fill every order that is not filled.

        Returns:
            ``time.monotonic_ns`` before the first event was sent, and how many were.
        """
        answer = self._ask("POST", "/bench/fills")
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
def stand_in(folder: Path) -> Iterator[StandIn]:
    """Run the stand-in broker until the block ends."""
    output = folder / "broker.log"
    with Program("the stand-in broker", ["snexec.bench.stand_in"], output) as program:
        port = int(program.expect(r"port (\d+)\n"))
        with closing(StandIn(program, port)) as broker:
            yield broker


@contextmanager
def built_in_exchange(folder: Path) -> Iterator[BuiltInExchange]:
    """Run the built-in exchange until the block ends, as it is but for the rate limit."""
    config = folder / "exchange.toml"
    config.write_text(_NO_RATE_LIMIT)
    words = ["snexec", "--config", str(config), "exchange", "--port", "0"]
    output = folder / "exchange.log"
    with Program("the built-in exchange", words, output) as program:
        port = int(program.expect(r'paper_url = "http://127\.0\.0\.1:(\d+)"'))
        with closing(BuiltInExchange(program, port)) as broker:
            yield broker
