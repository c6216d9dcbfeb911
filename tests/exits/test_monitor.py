"""What is sold, when, and what is never sold (SPEC 12.3, 12.4, 12.10 points 8 and 9)."""

from __future__ import annotations

import itertools
import logging
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
import trio

from tests.exits.hands import Desk
from tests.fakes import warnings_of

if TYPE_CHECKING:
    from snexec.exits.position import Position
    from snexec.exits.prices import Source
    from snexec.exits.rules import Trigger
    from tests.conftest import LoggedErrors

pytestmark = pytest.mark.jumping_time

STOP = {"hard_stop_loss_pct": 5}  # of 189.58: at or below 180.10


@pytest.fixture
async def desk() -> Desk:
    return Desk(**STOP)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "PositionMonitor" and record.levelno >= logging.INFO
    ]


# Price rules


async def test_a_stop_sells_once_two_prints_say_so(
    desk: Desk, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    held = desk.hold()
    desk.start(nursery)
    desk.say("180.20")
    desk.say("180.11")
    desk.say("180.10")
    assert desk.reasons == []
    desk.say("180.02")
    [(at, position, trigger)] = desk.seller.sells
    assert at == trio.current_time()
    assert position is held.position
    assert (trigger.reason, trigger.price, trigger.source) == (
        "stop_loss",
        Decimal("180.02"),
        "stream",
    )
    assert lines(caplog)[-1] == (
        "AAPL stop_loss: 180.02 is at or below 180.10 (entry 189.58, -5.0 %), 2 prints;"
        " selling 0.533386947"
    )
    nursery.cancel_scope.cancel()


async def test_a_position_is_handed_over_once(
    desk: Desk, nursery: trio.Nursery
) -> None:
    desk.hold()
    desk.start(nursery)
    for _ in range(10):
        desk.say(170)
        await trio.sleep(1)
    assert desk.reasons == [("AAPL", "stop_loss")]
    nursery.cancel_scope.cancel()


async def test_what_the_seller_gives_back_is_asked_again(
    desk: Desk, nursery: trio.Nursery
) -> None:
    held = desk.hold()
    desk.start(nursery)
    desk.say(170)
    desk.say(170)
    held.position.state = "blocked"
    await trio.sleep(5)
    assert len(desk.reasons) == 1
    held.position.state = "watched"
    await trio.sleep(1.1)
    assert len(desk.reasons) == 2
    nursery.cancel_scope.cancel()


async def test_a_rule_sells_as_soon_as_it_is_asked_for(
    desk: Desk, nursery: trio.Nursery
) -> None:
    held = desk.hold()
    held.position.stop_at_broker = True
    desk.start(nursery)
    desk.say(170)
    desk.say(170)
    desk.monitor.ask(held)
    assert desk.reasons == []
    held.position.stop_at_broker = False
    desk.monitor.ask(held)
    assert desk.reasons == [("AAPL", "stop_loss")]
    nursery.cancel_scope.cancel()


async def test_one_bad_tick_sells_nothing(desk: Desk, nursery: trio.Nursery) -> None:
    desk.hold()
    desk.start(nursery)
    for _ in range(20):
        desk.say(189)
        desk.say(170)
        desk.say(189)
        await trio.sleep(1)
    assert desk.reasons == []
    nursery.cancel_scope.cancel()


async def test_a_print_that_is_taken_back_sells_nothing(
    desk: Desk, nursery: trio.Nursery
) -> None:
    desk.hold()
    desk.start(nursery)
    desk.say(170, number=1)
    desk.monitor.take_back("AAPL", 1)
    desk.say(170, number=2)
    await trio.sleep(3)
    assert desk.reasons == []
    nursery.cancel_scope.cancel()


async def test_a_bid_that_agrees_sells_in_that_moment(
    desk: Desk, nursery: trio.Nursery
) -> None:
    desk.hold()
    desk.start(nursery)
    desk.say("180.02")
    desk.monitor.hear_bid("AAPL", Decimal("180.11"), desk.clock.now().timestamp())
    assert desk.reasons == []
    desk.monitor.hear_bid("AAPL", Decimal("180.10"), desk.clock.now().timestamp())
    assert desk.reasons == [("AAPL", "stop_loss")]
    nursery.cancel_scope.cancel()


async def test_the_first_rule_in_their_order_gives_the_reason(
    nursery: trio.Nursery,
) -> None:
    desk = Desk(**STOP, trailing_stop_pct=1, max_hold_duration_sec=1)
    desk.hold()
    desk.start(nursery)
    desk.say(170)
    desk.say(170)
    assert desk.reasons == [("AAPL", "stop_loss")]
    nursery.cancel_scope.cancel()


async def test_a_target_sells(nursery: trio.Nursery) -> None:
    desk = Desk(profit_target_pct=10)  # 208.538
    desk.hold()
    desk.start(nursery)
    for price in ("208.53", "208.54", "208.53", "208.54"):
        desk.say(price)
    assert desk.reasons == []
    desk.say("208.54")
    assert desk.reasons == [("AAPL", "profit_target")]
    nursery.cancel_scope.cancel()


async def test_a_trailing_stop_follows_the_highest_confirmed_price(
    nursery: trio.Nursery,
) -> None:
    desk = Desk(trailing_stop_pct=10, trailing_start_pct=5)
    held = desk.hold()
    desk.start(nursery)
    for price in (190, 195, 200, 220, 200):  # 220 is one print
        desk.say(price)
    assert held.position.high_price == 200
    desk.say("180.01")
    desk.say("180.01")
    assert desk.reasons == []
    desk.say(180)
    desk.say(180)
    assert desk.reasons == [("AAPL", "trailing_stop")]
    nursery.cancel_scope.cancel()


async def test_a_trailing_stop_forgets_a_high_that_was_taken_back(
    nursery: trio.Nursery,
) -> None:
    desk = Desk(trailing_stop_pct=10)
    held = desk.hold()
    desk.start(nursery)
    for number, price in enumerate((190, 191, 220, 221, 195), 1):
        desk.say(price, number=number)
    assert held.position.high_price == 220
    desk.monitor.take_back("AAPL", 4)
    assert held.position.high_price == 195
    desk.say(190, number=6)
    desk.say(190, number=7)
    assert desk.reasons == []
    nursery.cancel_scope.cancel()


# When no price rule is asked


async def test_no_price_sells_while_the_market_is_closed_or_not_known(
    desk: Desk, nursery: trio.Nursery
) -> None:
    desk.hold()
    desk.start(nursery)
    desk.say(170)
    desk.market.close()
    for _ in range(5):
        assert desk.say(170) == "closed"
        await trio.sleep(1)
    desk.market.is_open = None
    for _ in range(5):
        assert desk.say(170) == "closed"
        await trio.sleep(1)
    assert desk.reasons == []
    nursery.cancel_scope.cancel()


async def test_a_stop_of_the_evening_needs_a_price_of_the_morning(
    desk: Desk, nursery: trio.Nursery
) -> None:
    desk.hold()
    desk.start(nursery)
    desk.say(185)
    desk.market.close(opens_in=60)
    await trio.sleep(60)
    desk.market.open()
    await trio.sleep(5)
    desk.say(170)
    assert desk.reasons == []
    desk.say(170)
    assert desk.reasons == [("AAPL", "stop_loss")]
    nursery.cancel_scope.cancel()


async def test_no_price_sells_in_a_halt_nor_by_what_was_seen_before_it(
    desk: Desk, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    desk.hold()
    desk.start(nursery)
    desk.say(170)
    now = desk.clock.now().timestamp()
    desk.monitor.hear_status("AAPL", is_halted=True, at=now)
    assert desk.say(170) == "halted"
    await trio.sleep(5)
    desk.monitor.hear_status("AAPL", is_halted=False, at=None)
    desk.say(170)
    assert desk.reasons == []
    assert warnings_of(caplog) == [
        "AAPL: trading is halted: its price rules rest until it resumes",
        "AAPL: trading has resumed: its price rules are asked again",
    ]
    nursery.cancel_scope.cancel()


async def test_no_stale_price_sells(desk: Desk, nursery: trio.Nursery) -> None:
    held = desk.hold()
    desk.start(nursery)
    held.position.state = "closing"
    desk.say(170)
    desk.say(170)
    await trio.sleep(15.5)
    held.position.state = "watched"
    await trio.sleep(3)
    assert desk.say(170, age=20) == "stale"
    assert desk.reasons == []
    nursery.cancel_scope.cancel()


async def test_no_price_sells_a_row_whose_price_rules_rest(
    desk: Desk, nursery: trio.Nursery
) -> None:
    held = desk.hold()
    held.position.rests = "a split"
    desk.start(nursery)
    desk.say(170)
    desk.say(170)
    await trio.sleep(2)
    assert desk.reasons == []
    held.position.rests = None
    await trio.sleep(1.1)
    assert desk.reasons == [("AAPL", "stop_loss")]
    nursery.cancel_scope.cancel()


async def test_a_price_while_the_price_rules_rest_is_no_highest_price(
    nursery: trio.Nursery,
) -> None:
    desk = Desk(trailing_stop_pct=10)
    held = desk.hold()
    desk.start(nursery)
    for number, price in enumerate((190, 195, 196, 197), 1):
        desk.say(price, number=number)
    held.position.rests = "its position looks split"
    for number, price in enumerate((220, 221, 222), 5):
        desk.say(price, number=number)
    await trio.sleep(6)
    assert held.position.high_price == 196
    assert [high.price for _at, highs in desk.shelf.raised for high in highs] == [196]
    for number in (5, 6, 7, 4):
        desk.monitor.take_back("AAPL", number)
    assert held.position.high_price == 195, "what is taken back counts no more"
    held.position.rests = None
    desk.say(198, number=8)
    desk.say(199, number=9)
    assert held.position.high_price == 198, "it was no split"
    nursery.cancel_scope.cancel()


async def test_a_jump_is_passed_over_counted_and_reported_once(
    desk: Desk, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    desk.hold()
    desk.start(nursery)
    desk.say(189)
    for _ in range(5):
        assert desk.say(100) == "jump"
    assert desk.reasons == []
    assert desk.monitor.passed_over == {"jump": 5}
    assert desk.monitor.doubted() == ["AAPL"]
    [warning] = warnings_of(caplog)
    assert warning.startswith(
        "AAPL: 100.00 (stream) is more than 20.0 % from the last price, 189.00, and no"
        " second source is near it"
    )
    desk.say(189)
    assert desk.say(100) == "jump"
    assert len(warnings_of(caplog)) == 2
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("symbol", "source"),
    [("BTC/USD", "positions"), ("BTC/USD", "stream"), ("AAPL", "snapshots")],
)
async def test_the_first_price_is_measured_by_the_rows_own_entry(
    desk: Desk, nursery: trio.Nursery, symbol: str, source: Source
) -> None:
    desk.hold(symbol)
    desk.start(nursery)
    for _ in range(4):
        assert desk.say("1.10", symbol, source) == "jump"
        await trio.sleep(2)
    assert desk.reasons == []
    assert desk.say("189.00", symbol, source) is None
    assert desk.say("180.00", symbol, source) is None
    assert desk.say("180.00", symbol, source) is None
    assert desk.reasons == [(symbol, "stop_loss")]
    nursery.cancel_scope.cancel()


async def test_the_first_price_may_be_near_the_highest_instead(
    desk: Desk, nursery: trio.Nursery
) -> None:
    desk.hold("BTC/USD", high_price=Decimal(400))
    desk.start(nursery)
    assert desk.say(380, "BTC/USD", "positions") is None
    assert desk.say(800, "BTC/USD", "positions") == "jump"
    nursery.cancel_scope.cancel()


async def test_a_first_price_far_from_the_entry_counts_once_the_bid_agrees(
    desk: Desk, nursery: trio.Nursery
) -> None:
    desk.hold("BTC/USD")
    desk.start(nursery)
    assert desk.say(100, "BTC/USD", "positions") == "jump"
    assert desk.monitor.doubted() == ["BTC/USD"], "so that it is asked for"
    desk.monitor.hear_bid("BTC/USD", Decimal(99), desk.clock.now().timestamp())
    assert desk.say(100, "BTC/USD", "positions") is None
    assert desk.reasons == [("BTC/USD", "stop_loss")]
    nursery.cancel_scope.cancel()


async def test_a_jump_that_a_snapshot_confirms_sells_in_that_moment(
    nursery: trio.Nursery,
) -> None:
    desk = Desk(**STOP, confirm_ticks=1, price_source="stream")
    held = desk.hold()
    desk.start(nursery)
    desk.say(189)
    assert desk.say(120) == "jump"
    assert desk.say(121, source="snapshots") == "stand_in"
    assert desk.reasons == [("AAPL", "stop_loss")]
    assert held.prices.last == 120
    nursery.cancel_scope.cancel()


async def test_without_exits_nothing_is_asked_and_nothing_noted(
    nursery: trio.Nursery,
) -> None:
    desk = Desk()
    desk.hold()
    desk.start(nursery, again=False)
    for _ in range(5):
        desk.say(1)
        await trio.sleep(1)
    assert desk.reasons == []
    assert (desk.shelf.rules, desk.shelf.raised, desk.events) == ([], [], [])
    assert desk.market.watched == set()
    nursery.cancel_scope.cancel()


async def test_exits_that_are_not_enabled_say_how_many_rows_nobody_watches(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(**STOP, enabled=False)
    desk.hold("AAPL", "MSFT")
    desk.start(nursery)
    desk.say(1)
    desk.say(1)
    await trio.sleep(5)
    assert desk.reasons == []
    assert warnings_of(caplog) == [
        "exits are not enabled: nothing watches 2 rows, and nothing sells but `snexec"
        " close`"
    ]
    nursery.cancel_scope.cancel()


async def test_it_is_known_which_rules_are_set(desk: Desk) -> None:
    assert desk.monitor.is_set("stop_loss")
    assert not desk.monitor.is_set("profit_target")
    assert desk.monitor.is_set("manual"), "which is no rule's"
    desk.set(**STOP, enabled=False)
    assert not desk.monitor.is_set("stop_loss")
    desk.set()
    assert not desk.monitor.is_set("stop_loss")
    assert desk.monitor.is_set("manual")


async def test_each_second_many_rows_are_asked_in_turns_with_other_tasks(
    nursery: trio.Nursery,
) -> None:
    desk = Desk(max_hold_duration_sec=60)
    desk.hold(*(f"S{number}" for number in range(40)))
    desk.start(nursery)
    seen: list[int] = []

    async def look() -> None:
        await trio.sleep(60)
        while len(desk.reasons) < 40:
            seen.append(len(desk.reasons))
            await trio.lowlevel.checkpoint()

    nursery.start_soon(look)
    await trio.sleep(61)
    assert len(desk.reasons) == 40
    assert {0, 8, 16, 24, 32} & {*seen} == {*seen} != {0}
    nursery.cancel_scope.cancel()


async def test_what_changes_while_many_rows_are_asked_counts_for_the_rest(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(max_hold_duration_sec=60)
    desk.hold(*(f"S{number}" for number in range(40)))
    desk.start(nursery)
    sell = desk.seller.sell

    def sell_and_change(position: Position, trigger: Trigger) -> None:
        sell(position, trigger)
        if position.symbol == "S10":
            desk.book.ended("row-S20")
        if position.symbol == "S30":
            desk.set(max_hold_duration_sec=600)

    monkeypatch.setattr(desk.seller, "sell", sell_and_change)
    await trio.sleep(61)
    sold = [symbol for symbol, _reason in desk.reasons]
    assert sold == [f"S{number}" for number in range(31) if number != 20]
    nursery.cancel_scope.cancel()


async def test_nothing_is_handed_over_while_all_is_halted(
    desk: Desk, nursery: trio.Nursery
) -> None:
    desk.hold()
    desk.start(nursery)
    desk.switch.all_halted = True
    desk.say(170)
    desk.say(170)
    await trio.sleep(5)
    assert desk.reasons == []
    desk.switch.all_halted = False
    await trio.sleep(1.1)
    assert desk.reasons == [("AAPL", "stop_loss")]
    nursery.cancel_scope.cancel()


async def test_a_price_of_what_is_not_watched_is_nothing(desk: Desk) -> None:
    assert desk.say(170, "MSFT") is None
    desk.monitor.hear_bid("MSFT", Decimal(1), 0.0)
    desk.monitor.hear_status("MSFT", is_halted=True, at=None)
    desk.monitor.take_back("MSFT", 1)
    assert desk.reasons == []


# Rules of time


async def test_a_hold_ends_by_time_in_the_world(nursery: trio.Nursery) -> None:
    desk = Desk(max_hold_duration_sec=3600)
    desk.hold(entry_at=desk.clock.now() - timedelta(seconds=3000))
    desk.start(nursery)
    desk.market.close()  # closed markets count
    await trio.sleep(599.5)
    assert desk.reasons == []
    await trio.sleep(1)
    [(_at, _position, trigger)] = desk.seller.sells
    assert trigger == ("max_hold", None, "clock", "held for 3600 s, at most 3600")
    nursery.cancel_scope.cancel()


async def test_a_hold_that_ended_while_nobody_watched_ends_at_the_start(
    nursery: trio.Nursery,
) -> None:
    desk = Desk(max_hold_duration_sec=3600)
    desk.hold(entry_at=desk.clock.now() - timedelta(days=3))
    desk.start(nursery)
    await trio.sleep(0.1)
    assert desk.reasons == [("AAPL", "max_hold")]
    nursery.cancel_scope.cancel()


async def test_a_rule_of_time_needs_no_price_and_no_trading(
    nursery: trio.Nursery,
) -> None:
    desk = Desk(max_hold_duration_sec=60)
    held = desk.hold()
    held.position.rests = "a split"
    desk.start(nursery)
    desk.monitor.hear_status("AAPL", is_halted=True, at=None)
    await trio.sleep(61)
    assert desk.reasons == [("AAPL", "max_hold")]
    nursery.cancel_scope.cancel()


async def test_shares_are_sold_before_the_close_and_crypto_is_not(
    nursery: trio.Nursery,
) -> None:
    desk = Desk(flatten_before_close_sec=300)
    desk.hold("AAPL", "BTC/USD")
    desk.market.open(closes_in=400)
    desk.start(nursery)
    await trio.sleep(99)
    assert desk.reasons == []
    await trio.sleep(2)
    assert desk.reasons == [("AAPL", "market_close")]
    nursery.cancel_scope.cancel()


async def test_a_missed_close_is_an_error_and_sold(
    nursery: trio.Nursery, logged_errors: LoggedErrors
) -> None:
    desk = Desk(flatten_before_close_sec=300)
    desk.hold(entry_at=desk.clock.now() - timedelta(days=1))
    desk.start(nursery)
    await trio.sleep(0.1)
    assert desk.reasons == [("AAPL", "market_close")]
    assert logged_errors.take() == [
        "AAPL market_close: the close was missed: it is sold as soon as the market is"
        " open; selling 0.533386947"
    ]
    nursery.cancel_scope.cancel()


async def test_what_passes_the_close_is_due_in_that_moment(
    nursery: trio.Nursery, logged_errors: LoggedErrors
) -> None:
    desk = Desk(flatten_before_close_sec=30)
    held = desk.hold()
    desk.market.open(closes_in=60)
    held.position.state = "blocked"
    desk.start(nursery)
    await trio.sleep(60)
    held.position.state = "watched"
    desk.market.close(opens_in=17.5 * 3600 + 3600)
    await trio.sleep(1.1)
    assert desk.reasons == [("AAPL", "market_close")]
    assert "the close was missed" in logged_errors.take()[0]
    nursery.cancel_scope.cancel()


# Hours


async def test_the_brokers_clock_is_asked_for_the_modes_of_rows(
    desk: Desk, nursery: trio.Nursery
) -> None:
    desk.hold(mode="live")
    desk.start(nursery)
    await trio.sleep(0.1)
    assert desk.market.watched == {"live"}
    desk.set(**STOP, flatten_before_close_sec=60)
    await trio.sleep(0.1)
    assert desk.market.watched == {"live", "paper"}
    nursery.cancel_scope.cancel()


# The highest price, kept


async def test_the_highest_price_is_kept_by_steps_and_not_too_often(
    desk: Desk, nursery: trio.Nursery
) -> None:
    desk.hold()
    desk.start(nursery)
    for tenths in range(200):
        desk.say((1900 + tenths) / 10)  # 0.05 % each
        await trio.sleep(0.5)
    times = [at for at, _highs in desk.shelf.raised]
    assert all(b - a >= 5 for a, b in itertools.pairwise(times))
    assert 15 <= len(times) <= 21
    prices = [highs[0].price for _at, highs in desk.shelf.raised]
    pairs = itertools.pairwise(prices)
    assert all(after >= before * Decimal("1.001") for before, after in pairs)
    assert desk.shelf.raised[0][1][0][::2] == ("row-AAPL", Decimal("189.58"))
    nursery.cancel_scope.cancel()


async def test_a_high_that_is_taken_back_is_kept_lower(
    desk: Desk, nursery: trio.Nursery
) -> None:
    desk.hold()
    desk.start(nursery)
    for number, price in enumerate((190, 190, 220, 220), 1):
        desk.say(price, number=number)
    await trio.sleep(10)
    assert [each.price for _at, [each] in desk.shelf.raised] == [220]
    desk.monitor.take_back("AAPL", 4)
    await trio.sleep(10)
    assert [each.price for _at, [each] in desk.shelf.lowered] == [190]
    nursery.cancel_scope.cancel()


async def test_a_start_goes_on_from_the_highest_price(nursery: trio.Nursery) -> None:
    desk = Desk(trailing_stop_pct=10)
    desk.hold(high_price=Decimal(220))
    desk.start(nursery)
    desk.say(198)
    desk.say(198)
    assert desk.reasons == [("AAPL", "trailing_stop")]
    nursery.cancel_scope.cancel()


# What is asked of it


async def test_a_position_is_explained_rule_by_rule(nursery: trio.Nursery) -> None:
    desk = Desk(**STOP, max_hold_duration_sec=60)
    desk.hold()
    desk.start(nursery)
    desk.say(200)
    told = desk.monitor.explain("row-AAPL")
    assert told is not None
    assert [tuple(each) for each in told] == [
        ("stop_loss", True, "180.10", "-9.9 % from 200.00"),
        ("trailing_stop", False, "", ""),
        ("profit_target", False, "", ""),
        ("max_hold", True, "held for 60 s", "in 60 s"),
        ("market_close", False, "", ""),
    ]
    assert desk.monitor.explain("row-MSFT") is None
    nursery.cancel_scope.cancel()


async def test_the_newest_price_says_its_source_and_age(
    desk: Desk, nursery: trio.Nursery
) -> None:
    desk.hold("AAPL", "MSFT")
    desk.start(nursery)
    assert desk.monitor.source_and_age() == (None, None)
    desk.say(189)
    await trio.sleep(4)
    desk.say(189, "MSFT", age=1)
    source, age = desk.monitor.source_and_age()
    assert source == "stream"
    assert age == pytest.approx(1)
    nursery.cancel_scope.cancel()
