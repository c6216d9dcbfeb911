"""Measure the stream's way next to the socket's, on this machine, in one run.

::

    python -m tests.redis.measure

The broker is the bench's stand-in, which notes when each order arrived.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

from snexec.bench.brokers import stand_in
from snexec.bench.feeder import signal_line
from snexec.bench.rounds import measured, places_of
from snexec.bench.subjects import daemon
from tests.fakes import make_settings
from tests.redis.feeding import STREAM
from tests.redis.server import running_server

if TYPE_CHECKING:
    from snexec.bench.brokers import StandIn
    from snexec.bench.subjects import Subject
    from tests.redis.server import Server

_PAUSE_SECONDS = 0.03
_PATIENCE_SECONDS = 60.0


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


def main() -> None:
    """Measure, and print a line for each way."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--singles", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--burst", type=int, default=500)
    parser.add_argument("--skipped", type=int, default=20_000)
    asked = parser.parse_args()
    with (
        running_server() as server,
        measured(),
        places_of(make_settings(database=str(Path("/tmp/measure.db")))) as places,  # noqa: S108
        stand_in(places.folder) as broker,
        daemon(
            *(places, broker),
            exits=f'[redis]\nurl = "{server.url}"\nlease_sec = 0.0\n',
        ) as subject,
    ):
        ways = {"socket": None, "stream": Producer(server)}
        number, posts = 0, len(broker.posts(0))
        singles: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(asked.singles):
            for name, producer in ways.items():
                time.sleep(_PAUSE_SECONDS)
                number += 1
                sent_ns = _send(subject, producer, [f"S{number}"])
                [arrived_ns] = _arrivals(broker, posts, 1)
                posts += 1
                singles[name].append((arrived_ns - sent_ns) / 1e6)
        bursts: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(asked.rounds):
            for name, producer in ways.items():
                time.sleep(0.5)
                symbols = [f"B{number + each}" for each in range(asked.burst)]
                number += asked.burst
                sent_ns = _send(subject, producer, symbols)
                arrived = _arrivals(broker, posts, asked.burst)
                posts += asked.burst
                bursts[name].append((arrived[-1] - sent_ns) / 1e6)
        skipped = _skipped(server, asked.skipped)
    for name in ways:
        times = sorted(singles[name])
        print(  # noqa: T201 - what it is run for
            f"{name}: one signal to its order p50 {statistics.median(times):.3f} ms,"
            f" p90 {times[len(times) * 9 // 10]:.3f} ms; last of {asked.burst}"
            f" p50 {statistics.median(bursts[name]):.1f} ms"
        )
    print(f"read, skipped and acknowledged: {skipped:.0f} entries/s")  # noqa: T201


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
    added = time.monotonic()
    while server.number("XPENDING", STREAM, "snexec") or _lag(server):
        assert time.monotonic() - began < _PATIENCE_SECONDS, "not in time"
        time.sleep(0.005)
    print(f"added in {added - began:.2f} s")  # noqa: T201
    return count / (time.monotonic() - began)


def _lag(server: Server) -> int:
    said = server.ask_whole("XINFO", "GROUPS", STREAM).split(b"\r\n")
    return int(said[said.index(b"lag") + 1][1:])


if __name__ == "__main__":
    main()
