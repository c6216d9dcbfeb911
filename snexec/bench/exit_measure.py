"""What is measured of exits: each puts a daemon through one thing and reads the clocks."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from snexec.bench.exit_rows import STOP_PRICE
from snexec.bench.feeder import signal_line
from snexec.bench.programs import wait_until
from snexec.bench.stand_in_account import PRICE
from snexec.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snexec.bench.brokers import MarketData, Post, StandIn
    from snexec.bench.subjects import Subject

_PAUSE_SECONDS = 0.015
_SETTLE_SECONDS = 0.3  # for what has just changed to be over
_ARM_SECONDS = 2.0  # new rules wait for half a second, and are asked each second
WARM_UP = 10
_IN_A_FRAME = 100  # ticks, where nothing is measured yet
_POLLS_SECONDS = 12.0
_CENT = 0.01
_UNSETTLED = (
    "SELECT 1 FROM BotExit WHERE settledAt IS NULL"
    " UNION ALL SELECT 1 FROM BotTrade WHERE settledAt IS NULL"
)
_UNACKNOWLEDGED = "SELECT 1 FROM BotExit WHERE alpacaOrderId IS NULL"
_WIRE_TIMES = (
    "SELECT symbol, BotExit.wireMs FROM BotExit JOIN BotTrade ON BotTrade.id = tradeId"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pairs:
    """Triggers and signals in turns, each from before it was sent to its POST.

    Attributes:
        triggers_us: Of ticks that sell, in microseconds each.
        signals_us: Of signals that buy, in microseconds each.
        rules_us: Of each of those ticks until its rule was true: the first figure, less
            the time from then until the sell left, which its row has.
    """

    triggers_us: list[float]
    signals_us: list[float]
    rules_us: list[float]


def wait_watched(subject: Subject, data: MarketData, symbols: Sequence[str]) -> None:
    """Wait until the daemon watches these by the stream, and its rules hold."""

    def asked_for() -> bool:
        subject.program.check_alive()
        return data.symbols() >= len(symbols)

    wait_until(asked_for, f"the daemon asks for {len(symbols)} symbols")
    refresh(data, symbols)
    time.sleep(_ARM_SECONDS)


def refresh(data: MarketData, symbols: Sequence[str]) -> None:
    """Say for each symbol a bid and two prints at which nothing is sold.

    In frames as no feed sends longer ones: the memory that it takes to read one is not
    given back, and is not the rows'.
    """
    parts = [
        symbols[at : at + _IN_A_FRAME] for at in range(0, len(symbols), _IN_A_FRAME)
    ]
    for say in (data.bid, data.print_, data.print_):
        for part in parts:
            say(part, float(PRICE))
    time.sleep(_SETTLE_SECONDS)


def settle(subject: Subject, broker: StandIn) -> None:
    """End every order, and wait until its row says so."""
    subject.wait_no_row(_UNACKNOWLEDGED)
    broker.end()
    subject.wait_no_row(_UNSETTLED)
    time.sleep(_SETTLE_SECONDS)


def pairs(
    subject: Subject, broker: StandIn, data: MarketData, symbols: Sequence[str]
) -> Pairs:
    """Let the prices of held symbols fall one at a time, with a signal after each."""
    known, said = broker.count(), len(data.said())
    signals: dict[str, int] = {}
    for number, symbol in enumerate(symbols):
        # The bid falls first; then one print, which it agrees with, sells.
        data.bid([symbol], STOP_PRICE)
        time.sleep(_PAUSE_SECONDS)
        data.print_([symbol], STOP_PRICE)
        time.sleep(2 * _PAUSE_SECONDS)
        bought = f"T{known + number}"
        signals[bought] = subject.feeder.send(signal_line(bought))
        time.sleep(_PAUSE_SECONDS)
        subject.feeder.expect_accepted([bought])
    arrived = _arrived(broker.wait_for_posts(known, 2 * len(symbols)))
    sent = dict(zip(symbols, data.said(said)[1::2], strict=True))
    _check_all_came(arrived, [*symbols, *signals])
    subject.wait_no_row(_UNACKNOWLEDGED)
    assert subject.rows is not None  # noqa: S101 - it is a daemon
    wire_ms = dict(subject.rows.execute(_WIRE_TIMES).fetchall())
    counted = symbols[WARM_UP:]
    triggers_us = [(arrived[each] - sent[each]) / 1e3 for each in counted]
    return Pairs(
        triggers_us=triggers_us,
        signals_us=[
            (arrived[each] - sent_ns) / 1e3
            for each, sent_ns in list(signals.items())[WARM_UP:]
        ],
        rules_us=[
            took_us - 1e3 * wire_ms[symbol]
            for symbol, took_us in zip(counted, triggers_us, strict=True)
        ],
    )


def signals(subject: Subject, broker: StandIn, count: int) -> list[float]:
    """Send signals one at a time; return microseconds from each to its POST."""
    known = broker.count()
    sent_ns: dict[str, int] = {}
    for number in range(count):
        symbol = f"S{known + number}"
        sent_ns[symbol] = subject.feeder.send(signal_line(symbol))
        time.sleep(_PAUSE_SECONDS)
        subject.feeder.expect_accepted([symbol])
    arrived = _arrived(broker.wait_for_posts(known, count))
    _check_all_came(arrived, list(sent_ns))
    return [(arrived[symbol] - ns) / 1e3 for symbol, ns in sent_ns.items()]


def load(subject: Subject, data: MarketData, seconds: float) -> tuple[float, float]:
    """Return the share of a core that it takes as it is, and ticks a second meanwhile."""
    cpu, sent, began = subject.program.cpu_seconds(), data.sent(), time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    share = (subject.program.cpu_seconds() - cpu) / took
    return share, (data.sent() - sent) / took


def fall(
    subject: Subject, broker: StandIn, data: MarketData, symbols: Sequence[str]
) -> tuple[float, int]:
    """Let all prices fall in one frame.

    Returns:
        Milliseconds from before it was sent to the last POST, and how many never came.
    """
    known, said = broker.count(), len(data.said())
    data.bid(symbols, STOP_PRICE)
    time.sleep(_SETTLE_SECONDS)
    data.print_(symbols, STOP_PRICE)
    posts = broker.wait_for_posts(known, len(symbols))
    if not posts:
        raise StartError(f"bench: of {len(symbols)} stops at once, no POST came")
    subject.wait_no_row(_UNACKNOWLEDGED)
    lost = len(set(symbols) - {post.symbol for post in posts})
    return (posts[-1].arrived_ns - data.said(said)[-1]) / 1e6, lost


def arm(broker: StandIn, symbols: Sequence[str], seconds: float) -> None:
    """Let the prices that positions show move a little, and so often that rules hold.

    One that has not moved since the open may be yesterday's; and what a new rule sells
    at the first price that counts, it would have sold at once, so that it waits.

    Args:
        broker: It.
        symbols: Those that are to be sold later.
        seconds: For so many polls that one price counts and is confirmed.
    """
    for symbol in symbols:
        broker.move(symbol, float(PRICE) + _CENT)
    time.sleep(seconds + _ARM_SECONDS)


def moves(broker: StandIn, symbols: Sequence[str], apart_seconds: float) -> list[float]:
    """Let the prices that positions show fall, some time apart.

    Returns:
        Seconds from each to its POST.
    """
    known = broker.count()
    moved: dict[str, int] = {}
    for symbol in symbols:
        moved[symbol] = broker.move(symbol, STOP_PRICE)
        time.sleep(apart_seconds)
    deadline = time.monotonic() + _POLLS_SECONDS
    while broker.count() < known + len(symbols) and time.monotonic() < deadline:
        time.sleep(_SETTLE_SECONDS)
    arrived = _arrived(broker.posts(known))
    _check_all_came(arrived, symbols)
    return [(arrived[symbol] - ns) / 1e9 for symbol, ns in moved.items()]


def pause(seconds: float) -> None:
    """Wait for what cannot be seen from here."""
    time.sleep(seconds)


def _arrived(posts: Sequence[Post]) -> dict[str, int]:
    return {post.symbol: post.arrived_ns for post in posts}


def _check_all_came(arrived: dict[str, int], symbols: Sequence[str]) -> None:
    missing = sum(symbol not in arrived for symbol in symbols)
    if missing:
        raise StartError(f"bench: of {len(symbols)} orders, {missing} gave no POST")
