"""The measurements: each puts a program through one thing and reads the clocks."""

from __future__ import annotations

import bisect
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from snexec.bench.feeder import signal_line
from snexec.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from snexec.bench.brokers import Broker, Post, StandIn
    from snexec.bench.subjects import Subject

_PAUSE_SECONDS = 0.01
_WARM_UP = 10  # orders that open the first connection and fill the first caches
_COMMIT_PAUSE_SECONDS = 0.002
_ROW = "x" * 300  # about the size of a BotTrade row


@dataclass(frozen=True, kw_only=True, slots=True)
class Singles:
    """Signals that came one at a time.

    Attributes:
        latencies_us: From before a line was written to its POST at the broker, each
            in microseconds; without the first ten.
        cpu_sec_per_1000: Processor seconds of the program for 1,000 such signals.
    """

    latencies_us: list[float]
    cpu_sec_per_1000: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Burst:
    """Signals that came at once.

    Attributes:
        last_post_ms: From before they were written to the last POST, milliseconds.
        lost: Signals whose POST never came.
        out_of_order: How many POSTs would have to go, at the fewest, for the rest to be
            in the order of the signals; None where the broker cannot say.
        cpu_sec_per_1000: Processor seconds of the program for 1,000 such signals.
    """

    signals: int
    last_post_ms: float
    lost: int
    out_of_order: int | None
    cpu_sec_per_1000: float


@dataclass(frozen=True, kw_only=True, slots=True)
class FillRun:
    """Fill events that came at once.

    Attributes:
        events: Those of rows.
        rows_per_sec: Rows settled and committed a second, from the first event on.
        lookups: Requests about an order meanwhile, which only slow the program down.
    """

    events: int
    rows_per_sec: float
    lookups: int


def singles(subject: Subject, broker: Broker, count: int) -> Singles:
    """Send signals one at a time, about every 10 ms, to an idle program."""
    known = broker.count()
    symbols = [f"S{known + number}" for number in range(_WARM_UP + count)]
    sent_ns: dict[str, int] = {}
    cpu = subject.program.cpu_seconds()
    for symbol in symbols:
        sent_ns[symbol] = subject.feeder.send(signal_line(symbol))
        time.sleep(_PAUSE_SECONDS)
        # Not before, so that this process does not wake up while the program works.
        subject.feeder.expect_accepted([symbol])
    posts = broker.wait_for_posts(known, len(symbols))
    _check_all_came(posts, symbols)
    subject.wait_placed(known + len(symbols))
    cpu = subject.program.cpu_seconds() - cpu
    counted = set(symbols[_WARM_UP:])
    return Singles(
        latencies_us=[
            (post.arrived_ns - sent_ns[post.symbol]) / 1e3
            for post in posts
            if post.symbol in counted
        ],
        cpu_sec_per_1000=cpu * 1000 / len(symbols),
    )


def first(subject: Subject, broker: Broker) -> float:
    """Send one signal to a program that may have been idle for long; microseconds."""
    known = broker.count()
    symbol = f"F{known}"
    sent_ns = subject.feeder.send(signal_line(symbol))
    posts = broker.wait_for_posts(known, 1)
    subject.feeder.expect_accepted([symbol])
    _check_all_came(posts, [symbol])
    return (posts[0].arrived_ns - sent_ns) / 1e3


def burst(subject: Subject, broker: Broker, count: int) -> Burst:
    """Send signals at once, in one write."""
    known = broker.count()
    symbols = [f"B{known + number}" for number in range(count)]
    lines = b"".join(signal_line(symbol) for symbol in symbols)
    cpu = subject.program.cpu_seconds()
    began_ns = subject.feeder.send(lines)
    subject.feeder.expect_accepted(symbols)
    posts = broker.wait_for_posts(known, count)
    if not posts:
        raise StartError(f"bench: of {count} signals at once, no POST came")
    subject.wait_placed(known + len(posts))
    cpu = subject.program.cpu_seconds() - cpu
    arrived = [post.symbol for post in posts]
    return Burst(
        signals=count,
        last_post_ms=(posts[-1].arrived_ns - began_ns) / 1e6,
        lost=len(set(symbols).difference(arrived)),
        out_of_order=out_of_order(arrived, symbols) if broker.keeps_order else None,
        cpu_sec_per_1000=cpu * 1000 / count,
    )


def out_of_order(arrived: Sequence[str], sent: Sequence[str]) -> int:
    """Return the fewest arrivals without which the rest is in the order of sending."""
    places = {symbol: place for place, symbol in enumerate(sent)}
    # The longest rising subsequence: ``ends[n]`` is the least end of one of n + 1.
    ends: list[int] = []
    for symbol in arrived:
        at = bisect.bisect_left(ends, places[symbol])
        ends[at : at + 1] = [places[symbol]]
    return len(arrived) - len(ends)


def place(subject: Subject, broker: Broker, count: int) -> None:
    """Place orders, to be filled later."""
    known = broker.count()
    symbols = [f"P{known + number}" for number in range(count)]
    subject.feeder.send(b"".join(signal_line(symbol) for symbol in symbols))
    subject.feeder.expect_accepted(symbols)
    _check_all_came(broker.wait_for_posts(known, count), symbols)
    subject.wait_placed(known + count)


def fills(subject: Subject, broker: StandIn, *, foreign: int = 0) -> FillRun:
    """Fill every order that is open, all at once.

    Args:
        subject: Which program's.
        broker: Where they are open.
        foreign: Fills of other programs' orders, which come among these.
    """
    lookups, orders = broker.lookups(), broker.count()
    began_ns, events = broker.fill(foreign=foreign)
    ended_ns = subject.wait_settled(orders)
    return FillRun(
        events=events,
        rows_per_sec=events * 1e9 / (ended_ns - began_ns),
        lookups=broker.lookups() - lookups,
    )


def commits(disk: Path, count: int) -> list[float]:
    """Commit single rows with ``synchronous = FULL``; return microseconds for each."""
    path = disk / "commits.db"
    path.unlink(missing_ok=True)
    took_us: list[float] = []
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE Rows (id INTEGER PRIMARY KEY, row TEXT)")
        for _ in range(count):
            began = time.perf_counter()
            connection.execute("INSERT INTO Rows (row) VALUES (?)", [_ROW])
            took_us.append((time.perf_counter() - began) * 1e6)
            time.sleep(_COMMIT_PAUSE_SECONDS)
    return took_us


def _check_all_came(posts: Sequence[Post], symbols: Sequence[str]) -> None:
    missing = len(set(symbols) - {post.symbol for post in posts})
    if missing:
        raise StartError(f"bench: of {len(symbols)} signals, {missing} gave no POST")
