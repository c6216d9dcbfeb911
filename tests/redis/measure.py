"""Measure the stream's way next to the socket's, on this machine, in pairs.

::

    python -m tests.redis.measure --pairs 5

A pair is a daemon with ``[redis]`` and one without; which of them is first changes from
pair to pair. Both are sent signals over the socket alone, and the first one then both
ways in turns. The broker is the bench's
stand-in, which notes when each order arrived.

On a machine that others use, the figures are those of a quiet one with ``chrt -r 1`` in
front; with ``--apart`` too, as the scheduler then moves nobody to a core that is free.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from snexec.bench.brokers import stand_in
from snexec.bench.feeder import signal_line
from snexec.bench.rounds import measured, places_of
from snexec.bench.subjects import daemon
from tests.fakes import make_settings
from tests.redis.feeding import STREAM
from tests.redis.server import running_server

if TYPE_CHECKING:
    from snexec.bench.brokers import StandIn
    from snexec.bench.subjects import Places, Subject
    from tests.redis.server import Server

_PAUSE_SECONDS = 0.03
_PATIENCE_SECONDS = 60.0


class Sizes(NamedTuple):
    """How much is measured at each daemon.

    Attributes:
        apart: Whether the daemon has the first core, and all others share the second.
    """

    singles: int
    rounds: int
    burst: int
    skipped: int
    apart: bool


class Way(NamedTuple):
    """One way's figures at one daemon, in milliseconds.

    Attributes:
        single: From a signal to its order, the median.
        burst: From many signals at once to the last one's order, the median.
    """

    single: float
    burst: float


class Producer:
    """Adds entries over one connection, as any producer does."""

    def __init__(self, server: Server) -> None:
        self._socket = socket.create_connection(("127.0.0.1", server.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def add(self, lines: list[bytes]) -> int:
        """Add signals; return ``time.monotonic_ns`` from just before."""
        words = [(b"XADD", STREAM.encode(), b"*", b"signal", line) for line in lines]
        data = b"".join(
            b"*%d\r\n" % len(each)
            + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in each)
            for each in words
        )
        now_ns = time.monotonic_ns()
        self._socket.sendall(data)
        answers = 0
        while answers < len(lines):
            answers += self._socket.recv(65536).count(b"$")
        return now_ns


def _arrivals(broker: StandIn, known: int, count: int) -> list[int]:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while len(posts := broker.posts(known)) < count:
        assert time.monotonic() < deadline, f"{len(posts)} of {count} orders"
        time.sleep(0.002)
    return [post.arrived_ns for post in posts]


def _send(subject: Subject, producer: Producer | None, symbols: list[str]) -> int:
    lines = [signal_line(symbol) for symbol in symbols]
    if producer is not None:
        return producer.add([line.strip() for line in lines])
    sent_ns = subject.feeder.send(b"".join(lines))
    subject.feeder.expect_accepted(symbols)
    return sent_ns


def _ways(
    subject: Subject,
    broker: StandIn,
    producers: dict[str, Producer | None],
    sizes: Sizes,
) -> dict[str, Way]:
    """Send signals each way in turns, one at a time and then many at once."""
    number = posts = len(broker.posts(0))
    singles: dict[str, list[float]] = {name: [] for name in producers}
    for _ in range(sizes.singles):
        for name, producer in producers.items():
            time.sleep(_PAUSE_SECONDS)
            number += 1
            sent_ns = _send(subject, producer, [f"S{number}"])
            [arrived_ns] = _arrivals(broker, posts, 1)
            posts += 1
            singles[name].append((arrived_ns - sent_ns) / 1e6)
    bursts: dict[str, list[float]] = {name: [] for name in producers}
    for _ in range(sizes.rounds):
        for name, producer in producers.items():
            time.sleep(0.5)
            symbols = [f"B{number + each}" for each in range(sizes.burst)]
            number += sizes.burst
            sent_ns = _send(subject, producer, symbols)
            arrived = _arrivals(broker, posts, sizes.burst)
            posts += sizes.burst
            bursts[name].append((arrived[-1] - sent_ns) / 1e6)
    return {
        name: Way(statistics.median(singles[name]), statistics.median(bursts[name]))
        for name in producers
    }


def _keep_apart(subject: Subject, sizes: Sizes) -> None:
    if sizes.apart:
        pid = subject.program._process.pid
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), {0})


def _alone(places: Places, sizes: Sizes) -> Way:
    """Measure the socket's way at a daemon without Redis."""
    with (
        stand_in(places.folder) as broker,
        daemon(places, broker) as subject,
    ):
        _keep_apart(subject, sizes)
        return _ways(subject, broker, {"socket": None}, sizes)["socket"]


class Beside(NamedTuple):
    """The figures of a daemon with Redis.

    Attributes:
        alone: The socket's, while nothing comes through the stream.
        socket: The socket's, in turns with the stream's.
        skipped: How many entries it reads, skips and acknowledges a second.
    """

    alone: Way
    socket: Way
    stream: Way
    skipped: float


def _beside(places: Places, sizes: Sizes) -> Beside:
    """Measure both ways at a daemon with Redis."""
    with (
        running_server() as server,
        stand_in(places.folder) as broker,
        daemon(
            *(places, broker),
            exits=f'[redis]\nurl = "{server.url}"\nlease_sec = 0.0\n',
        ) as subject,
    ):
        _keep_apart(subject, sizes)
        alone = _ways(subject, broker, {"socket": None}, sizes)["socket"]
        producers = {"socket": None, "stream": Producer(server)}
        ways = _ways(subject, broker, producers, sizes)
        skipped = _skipped(server, sizes.skipped)
        return Beside(alone, ways["socket"], ways["stream"], skipped)


def main() -> None:
    """Measure, and print a line for each pair and one for all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--singles", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--burst", type=int, default=500)
    parser.add_argument("--skipped", type=int, default=20_000)
    parser.add_argument("--apart", action="store_true")
    asked = vars(parser.parse_args())
    pairs = asked.pop("pairs")
    sizes = Sizes(**asked)
    if sizes.apart:
        os.sched_setaffinity(0, {1})
    found: list[tuple[Way, Beside]] = []
    settings = make_settings(database=str(Path("/tmp/measure.db")))  # noqa: S108
    with measured(), places_of(settings) as places:
        for pair in range(pairs):
            alone = _alone(places, sizes) if pair % 2 else None
            beside = _beside(places, sizes)
            found.append((alone or _alone(places, sizes), beside))
            print(*found[-1], sep="\n", flush=True)  # noqa: T201 - what it is run for
    later = [beside.stream.single - beside.socket.single for _, beside in found]
    ratios = [beside.stream.burst / beside.socket.burst for _, beside in found]
    more = [beside.alone.single - alone.single for alone, beside in found]
    rates = [beside.skipped for _, beside in found]
    print(  # noqa: T201 - likewise
        f"medians of {len(found)} pairs: one signal's order leaves"
        f" {statistics.median(later):.3f} ms later through the stream; the last of"
        f" {sizes.burst} after {statistics.median(ratios):.2f} times the socket's time;"
        f" with Redis on, the socket's p50 is {statistics.median(more):+.3f} ms of"
        f" {statistics.median(alone.single for alone, _ in found):.3f} ms;"
        f" {statistics.median(rates):.0f} entries/s are read, skipped and acknowledged"
    )


def _skipped(server: Server, count: int) -> float:
    """Return how many entries are decided a second, where none is traded."""
    signal = {
        "symbol": "AAPL",
        "catalystCategory": "x",
        "catalystTier": 4,
        "priceAtSignal": 1.0,
    }
    line = json.dumps(signal).encode()
    at = 0
    producer = Producer(server)
    began = time.monotonic()
    while at < count:
        producer.add([line] * 1000)
        at += 1000
    while server.number("XPENDING", STREAM, "snexec") or _lag(server):
        assert time.monotonic() - began < _PATIENCE_SECONDS, "not in time"
        time.sleep(0.005)
    return count / (time.monotonic() - began)


def _lag(server: Server) -> int:
    said = server.ask_whole("XINFO", "GROUPS", STREAM).split(b"\r\n")
    return int(said[said.index(b"lag") + 1][1:])


if __name__ == "__main__":
    main()
