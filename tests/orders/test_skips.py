"""Signals that are not traded: counted, told, and said in the log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
import trio

from snexec.events import Event, EventFeed
from snexec.orders.freshness import Freshness
from snexec.orders.skips import Skips
from snexec.settings import Term
from snexec.signals import TakenSignal
from tests.fakes import FakeClock, make_signal, warnings_of

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.jumping_time


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def skips(events: list[Event]) -> Skips:
    feed = EventFeed(clock=FakeClock())
    feed.follow(events.append)
    return Skips(feed=feed, freshness=Freshness(3.0))


@pytest.fixture
def take() -> Callable[[str], TakenSignal]:
    """Give a function that takes a signal of a symbol now."""

    def take(symbol: str) -> TakenSignal:
        signal = make_signal(symbol, id=f"n-{symbol}")
        return TakenSignal(signal, trio.current_time(), sequence=7, term=Term("paper"))

    return take


async def test_a_skip_is_counted_and_told(
    skips: Skips, events: list[Event], take: Callable[[str], TakenSignal]
) -> None:
    skips.skip(take("A"), "paused")
    skips.skip(take("B"), "paused")
    skips.skip(take("C"), "repeated")
    assert dict(skips.counts) == {"paused": 2, "repeated": 1}
    told = [(e.event, e.reason, e.symbol, e.signal_id, e.sequence) for e in events]
    assert told[0] == ("skipped", "paused", "A", "n-A", 7)
    assert len(told) == 3


async def test_a_skip_says_what_of_the_signal_it_is_about(
    skips: Skips, events: list[Event], take: Callable[[str], TakenSignal]
) -> None:
    taken = take("A")
    skips.skip(taken, "share_price")
    skips.skip(taken, "no_stars")
    skips.skip(taken, "paused")
    await trio.sleep(31.5)
    skips.skip(taken._replace(producer="desk"), "stale")
    assert [dict(event.more) for event in events] == [
        {"priceAtSignal": taken.signal.price_at_signal},
        {"catalystTier": 1, "aiConfidence": "high"},
        {},
        {"ageSec": 31.5, "producer": "desk"},
    ]


async def test_a_limit_that_is_reached_is_a_warning_once_a_minute(
    skips: Skips,
    take: Callable[[str], TakenSignal],
    caplog: pytest.LogCaptureFixture,
) -> None:
    for symbol in "ABC":
        skips.skip(take(symbol), "max_positions")
    skips.skip(take("D"), "daily_loss")
    await trio.sleep(61)
    skips.skip(take("E"), "max_positions")
    rest = "(%s so far, logged once a minute)"
    assert warnings_of(caplog) == [
        f"A signal=n-A is not traded: max_positions {rest % '1 signal'}",
        f"D signal=n-D is not traded: daily_loss {rest % '1 signal'}",
        f"E signal=n-E is not traded: max_positions {rest % '4 signals'}",
    ]


async def test_a_switch_that_is_off_is_no_warning(
    skips: Skips,
    take: Callable[[str], TakenSignal],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    skips.skip(take("A"), "disabled")
    assert caplog.messages == ["A signal=n-A skipped: disabled"]
    assert warnings_of(caplog) == []


async def test_one_that_the_mode_left_behind_is_a_warning_that_says_which_took_it(
    skips: Skips,
    take: Callable[[str], TakenSignal],
    caplog: pytest.LogCaptureFixture,
) -> None:
    skips.skip(take("A"), "mode_changed")
    assert warnings_of(caplog) == [
        "A signal=n-A is not traded: it was taken in paper, before the mode changed"
    ]
    assert dict(skips.counts) == {"mode_changed": 1}


async def test_a_signal_is_stale_once_it_is_older_than_the_limit(
    skips: Skips, take: Callable[[str], TakenSignal]
) -> None:
    taken = take("A")
    await trio.sleep(3.0)
    assert not skips.is_stale(taken)
    await trio.sleep(0.001)
    assert skips.is_stale(taken)
