"""What others did to positions: every line of SPEC 12.7, and what must not pass for it."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock

from snexec.broker.positions import PositionList
from snexec.errors import NotSentError, RefusedError
from snexec.exits.splits import SplitDay
from snexec.ledger.exit_rows import NewExit
from snexec.ledger.held_rows import HeldBeside
from snexec.ledger.rows import OrderRef
from snexec.ops.exit_words import exit_words
from snexec.reconciliation import ForeignSell
from tests.exits.looking import GRACE, INTERVAL, Bench
from tests.fakes import TrioClock, not_found, open_store, warnings_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from snexec.broker.positions import HeldPosition
    from snexec.events import Event
    from snexec.exits.evidence import Evidence
    from snexec.exits.position import Position
    from tests.conftest import LoggedErrors

pytestmark = pytest.mark.jumping_time

LONG = 3 * INTERVAL + GRACE
DAY = timedelta(days=1)
REFUSED = RefusedError(status_code=401, body="", reason="unauthorized")


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    with ExitStack() as stores:

        def bench(per_minute: int = 200, **exits: object) -> Bench:
            clock = TrioClock()
            store = open_store(tmp_path / "t.db", clock)
            stores.callback(store._db.close)
            return Bench(store=store, clock=clock, exits=exits, per_minute=per_minute)

        yield bench


@pytest.fixture
async def bench(make: Callable[..., Bench]) -> Bench:
    return make()


def sleep_for(seconds: float) -> None:
    """Have the machine sleep: every clock goes on, and nothing runs."""
    clock = trio.lowlevel.current_clock()
    assert isinstance(clock, MockClock)
    clock.jump(seconds)


def rests(position: Position) -> bool:
    return position.rests is not None


def words(event: Event) -> str | None:
    """Return what a notification says of an event."""
    return exit_words(json.loads(event.line()))


# Sold by others.


async def test_what_others_sold_closes_the_row_at_their_mean_price(
    bench: Bench,
) -> None:
    bench.buy(shares="10")
    async with bench.looking():
        bench.sell_by_hand("4", "110")
        bench.sell_by_hand("6", "120")
        await trio.sleep(LONG)
    row = bench.row()
    assert (row["status"], row["exitReason"]) == ("closed", "external")
    assert (row["exitPrice"], row["pnl"]) == (116.0, 160.0)
    assert bench.exits_of_row() == [("sn-1-e1", "10", "116")]
    [event] = bench.events
    assert (event.event, event.reason, event.trade_id) == (
        "external",
        "external",
        "sn-1",
    )
    assert event.more["closed"] is True
    assert words(event) == "others have sold 10 shares at 116"
    assert bench.rows.all == []


async def test_a_part_that_others_sold_leaves_the_rest(bench: Bench) -> None:
    position = bench.buy(shares="10")
    async with bench.looking():
        bench.sell_by_hand("4")
        await trio.sleep(LONG)
        assert (bench.row()["status"], position.remaining) == ("open", Decimal(6))
        assert bench.exits_of_row() == [("sn-1-e1", "4", "110")]
        bench.sell_by_hand("6", "120")
        await trio.sleep(LONG)
    assert bench.row()["status"] == "closed"
    assert bench.exits_of_row() == [("sn-1-e1", "4", "110"), ("sn-1-e2", "6", "120")]


async def test_a_foreign_sells_event_has_it_looked_at_at_once(bench: Bench) -> None:
    bench.buy()
    async with bench.looking():
        await trio.sleep(1)
        before = bench.paper.times_asked("positions")
        bench.sell_by_hand("10")
        bench.lookout.look_now("paper")
        await trio.sleep(0.1)
        assert bench.paper.times_asked("positions") == before + 1
        await trio.sleep(GRACE + 10)
        assert bench.row()["status"] == "closed"


@pytest.mark.parametrize("price", [Decimal(110), None])
async def test_what_the_stream_says_of_a_sale_is_its_price_where_no_activity_does(
    bench: Bench, price: Decimal | None, logged_errors: LoggedErrors
) -> None:
    bench.buy()
    sell = ForeignSell("paper", "AAPL", "hand-1", Decimal(10), price)
    async with bench.looking():
        bench.hold("0")
        bench.lookout.foreign_sell(sell)
        await trio.sleep(LONG)
    assert bench.row()["status"] == "closed"
    assert bench.exits_of_row() == [("sn-1-e1", "10", price and str(price))]
    assert len(logged_errors.take()) == (price is None)


async def test_a_sale_that_stream_and_activities_say_counts_once(
    bench: Bench, logged_errors: LoggedErrors
) -> None:
    bench.buy()
    sell = ForeignSell("paper", "AAPL", "hand-9", Decimal(4), Decimal(110))
    async with bench.looking():
        bench.hold("6")
        bench.lookout.foreign_sell(sell)
        await trio.sleep(GRACE)
        assert bench.exits_of_row() == [("sn-1-e1", "4", "110")]
        bench.executed("4", "110", order_id="hand-9")  # the list was late
        bench.hold("3")
        await trio.sleep(LONG)
    assert bench.exits_of_row()[1:] == [("sn-1-e2", "3", None)]
    assert len(logged_errors.take()) == 1


async def test_of_a_sale_under_way_the_stream_says_no_price_yet(
    bench: Bench, logged_errors: LoggedErrors
) -> None:
    bench.buy()
    async with bench.looking():
        bench.hold("0")
        bench.lookout.foreign_sell(ForeignSell("paper", "AAPL", "hand-1"))
        await trio.sleep(LONG)
    assert bench.exits_of_row() == [("sn-1-e1", "10", None)]
    assert len(logged_errors.take()) == 1


async def test_an_account_without_a_list_of_activities_closes_rows_all_the_same(
    bench: Bench, logged_errors: LoggedErrors
) -> None:
    bench.buy()
    bench.paper.keeps_activities = False
    async with bench.looking():
        bench.hold("0")
        await trio.sleep(LONG)
    assert bench.row()["status"] == "closed"
    assert bench.exits_of_row() == [("sn-1-e1", "10", None)]
    assert len(logged_errors.take()) == 1


async def test_one_sight_closes_nothing(bench: Bench) -> None:
    bench.buy()
    async with bench.looking():
        bench.sell_by_hand("4")
        bench.lookout.look_now("paper")
        await trio.sleep(9.9)
        assert bench.exits_of_row() == []
        bench.hold("10")
        await trio.sleep(LONG)
        assert bench.exits_of_row() == []
        bench.hold("6")
        bench.lookout.look_now("paper")
        await trio.sleep(9.9)
        assert bench.exits_of_row() == []


async def test_a_closure_waits_for_the_program_that_sold_to_write_the_row(
    bench: Bench,
) -> None:
    bench.buy()
    async with bench.looking():
        bench.sell_by_hand("10")
        bench.lookout.look_now("paper")
        await trio.sleep(GRACE - 1)
        assert bench.row()["status"] == "open"
        bench.store._db.execute(
            "UPDATE BotTrade SET status = 'closed', exitReason = 'theirs'"
        )
        await trio.sleep(LONG)
    assert bench.row()["exitReason"] == "theirs"
    assert bench.exits_of_row() == []
    assert bench.rows.heard == ["ended"]


async def test_a_closure_waits_as_long_after_a_sleep_for_the_program_that_sold(
    bench: Bench,
) -> None:
    bench.buy()
    async with bench.looking():
        bench.sell_by_hand("10")
        bench.lookout.look_now("paper")
        await trio.sleep(1)
        sleep_for(8 * 3600)
        bench.lookout.begin_anew()
        await trio.sleep(GRACE - 1)
        assert bench.row()["status"] == "open"
        await trio.sleep(LONG)
    assert (bench.row()["status"], bench.row()["exitPrice"]) == ("closed", 110.0)


async def test_a_list_that_was_asked_for_before_a_sleep_begins_no_wait_in_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.buy()
    async with bench.looking():
        slept, positions_of = trio.Event(), bench.paper.positions

        async def positions(*_own: object) -> PositionList:
            await slept.wait()
            return await positions_of()

        monkeypatch.setattr(bench.paper, "positions", positions)
        bench.sell_by_hand("10")
        bench.lookout.look_now("paper")
        await trio.sleep(0.1)
        sleep_for(8 * 3600)
        bench.lookout.begin_anew()
        slept.set()
        await trio.sleep(GRACE - 1)
        assert bench.row()["status"] == "open"
        await trio.sleep(LONG)
    assert bench.row()["status"] == "closed"


async def test_a_sale_in_a_sleep_has_its_price_though_a_list_was_read_just_before(
    bench: Bench,
) -> None:
    bench.buy()
    async with bench.looking():
        await bench.lookout.seen("paper", await bench.paper.positions())
        sleep_for(8 * 3600)
        await trio.sleep(0.1)
        bench.hold("0")
        bench.executed("10", "110", ago=timedelta(hours=1))
        await trio.sleep(LONG)
    assert (bench.row()["status"], bench.row()["exitPrice"]) == ("closed", 110.0)


async def test_nothing_is_concluded_while_a_sell_of_ours_is_under_way(
    bench: Bench,
) -> None:
    position = bench.buy()
    assert isinstance(
        bench.store.exits.plan("sn-1", "manual", held=None, free=None), NewExit
    )
    position.live_exit = "sn-1-x1"
    async with bench.looking():
        bench.hold("0")
        await trio.sleep(10 * LONG)
    assert [name for name, *_ in bench.exits_of_row()] == ["sn-1-x1"]


async def test_what_happens_while_a_sell_waits_for_the_open_is_found(
    bench: Bench,
) -> None:
    position = bench.buy(shares="10", price="100")
    planned = bench.store.exits.plan("sn-1", "manual", held=None, free=None, waits=True)
    assert isinstance(planned, NewExit)
    position.state, position.waits = "closing", True
    async with bench.looking():
        bench.acted("SPLIT", "40")
        bench.hold("50", average="20")
        await trio.sleep(LONG)
    assert (position.shares, position.entry_price) == (Decimal(50), Decimal(20))
    leaves = bench.store.exits.resume("sn-1-x1")
    assert isinstance(leaves, NewExit)
    assert leaves.quantity == Decimal(50)


async def test_nothing_is_concluded_just_after_a_fill_of_ours(bench: Bench) -> None:
    position = bench.buy(shares="10")
    bench.hold("4")  # the position lags behind its order
    position.bought_at = trio.current_time()
    async with bench.looking():
        for _ in range(7):
            bench.lookout.look_now("paper")
            await trio.sleep(2)
        bench.hold("10")
        await trio.sleep(LONG)
    assert bench.exits_of_row() == []


async def test_what_others_hold_is_theirs_and_so_is_what_they_sell_of_it(
    bench: Bench,
) -> None:
    bench.buy(shares="10")
    bench.hold("25")
    async with bench.looking():
        bench.sell_by_hand("15")
        await trio.sleep(LONG)
        assert bench.exits_of_row() == []
        bench.sell_by_hand("3")
        await trio.sleep(LONG)
    assert bench.exits_of_row() == [("sn-1-e1", "3", "110")]


async def test_a_sale_of_more_than_others_held_costs_the_row_the_rest(
    bench: Bench,
) -> None:
    bench.buy(shares="10")
    bench.hold("15")
    async with bench.looking():
        bench.sell_by_hand("7")
        await trio.sleep(LONG)
    assert bench.exits_of_row() == [("sn-1-e1", "2", "110")]


async def test_gone_without_a_trace_is_closed_without_a_price_and_said(
    bench: Bench, logged_errors: LoggedErrors
) -> None:
    bench.buy()
    async with bench.looking():
        bench.hold("0")
        await trio.sleep(LONG)
    row = bench.row()
    assert (row["status"], row["exitPrice"], row["pnl"]) == ("closed", None, None)
    assert row["exitReason"] == "external"
    [error] = logged_errors.take()
    assert "settle sn-1 --as closed --price" in error


async def test_smaller_without_a_trace_waits_for_one_before_it_is_taken_for_none(
    bench: Bench, logged_errors: LoggedErrors
) -> None:
    bench.buy()
    async with bench.looking():
        bench.hold("7")
        bench.lookout.look_now("paper")
        await trio.sleep(GRACE - 1)
        assert bench.exits_of_row() == []
        await trio.sleep(LONG)
    assert bench.exits_of_row() == [("sn-1-e1", "3", None)]
    assert len(logged_errors.take()) == 1


async def test_an_activity_that_comes_late_still_gives_the_price(bench: Bench) -> None:
    bench.buy()
    async with bench.looking():
        bench.hold("7")
        await trio.sleep(INTERVAL + 15)
        bench.executed("3", "111", ago=timedelta(seconds=30))
        await trio.sleep(LONG)
    assert bench.exits_of_row() == [("sn-1-e1", "3", "111")]


async def test_a_sell_of_ours_that_the_row_does_not_know_is_not_taken_for_others(
    bench: Bench, logged_errors: LoggedErrors
) -> None:
    bench.buy()
    bench.store.exits.plan("sn-1", "manual", held=None, free=None)
    ref = OrderRef(mode="paper", order_id=None, client_order_id="sn-1-x1")
    bench.store.exits.apply_gone(ref, "dropped")
    async with bench.looking():
        bench.hold("0")
        bench.executed("10", client_order_id="sn-1-x1")
        await trio.sleep(10 * LONG)
    assert bench.row()["status"] == "open"
    assert [name for name, *_ in bench.exits_of_row()] == ["sn-1-x1"]
    [error] = logged_errors.take()
    assert "an order of ours has sold of it" in error


async def test_a_sell_of_ours_that_the_row_knows_leaves_the_rest_to_others(
    bench: Bench,
) -> None:
    position = bench.buy()
    async with bench.looking():
        bench.store.exits.plan("sn-1", "manual", held=None, free=Decimal(4))
        ref = OrderRef(mode="paper", order_id="o-x1", client_order_id="sn-1-x1")
        bench.store.exits.apply_sold(
            ref, quantity=Decimal(4), price=Decimal(105), final=True
        )
        position.remaining = Decimal(6)
        bench.executed("4", "105", order_id="o-x1", client_order_id="sn-1-x1")
        bench.executed("6", "120", ago=timedelta(seconds=1))
        bench.hold("0")
        await trio.sleep(2 * LONG)
    assert bench.row()["status"] == "closed"
    assert bench.exits_of_row()[0] == ("sn-1-e1", "6", "120")


async def test_a_sell_counts_once(bench: Bench, logged_errors: LoggedErrors) -> None:
    bench.buy()
    async with bench.looking():
        bench.sell_by_hand("4")
        bench.lookout.look_now("paper")
        await trio.sleep(11)
        assert bench.exits_of_row() == [("sn-1-e1", "4", "110")]
        bench.hold("3")
        await trio.sleep(LONG)
    assert bench.exits_of_row()[1] == ("sn-1-e2", "3", None)
    assert len(logged_errors.take()) == 1


async def test_shares_just_bought_that_the_list_does_not_have_yet_are_not_missing(
    bench: Bench,
) -> None:
    position = bench.buy(shares="20")
    position.shares = position.remaining = Decimal(10)
    bench.hold("10")
    async with bench.looking():
        bench.executed("10")  # of others, who then held none of it any more
        position.shares = position.remaining = Decimal(20)
        for _ in range(7):
            bench.lookout.look_now("paper")
            await trio.sleep(2)
        bench.hold("20")
        await trio.sleep(LONG)
    assert bench.exits_of_row() == []


async def test_a_list_from_before_a_sale_does_not_stand_in_for_one_after_it(
    bench: Bench,
) -> None:
    bench.buy()
    async with bench.looking():
        before = await bench.paper.positions()
        asked = bench.paper.times_asked("positions")
        bench.lookout.look_now("paper")
        await bench.lookout.seen("paper", before)
        await trio.sleep(0.1)
    assert bench.paper.times_asked("positions") == asked + 1


async def test_rows_of_other_days_ask_together_what_happened_since(
    bench: Bench,
) -> None:
    for days in range(1, 9):
        bench.buy(f"S{days}", row_id=f"sn-{days}", age=days * DAY)
    async with bench.looking():
        await trio.sleep(LONG)
    assert bench.paper.times_asked("activities") == 1


# What must close nothing.


async def test_an_empty_list_closes_nothing_while_the_position_is_there(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.buy()
    bench.paper.unlisted = {"AAPL"}
    async with bench.looking():
        await trio.sleep(10 * LONG)
    assert bench.exits_of_row() == []
    assert ["it is there" in each for each in warnings_of(caplog)] == [True]


async def test_a_position_that_cannot_be_read_closes_nothing(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.buy()
    bench.paper.garbled = {"AAPL"}
    async with bench.looking():
        await trio.sleep(10 * LONG)
    assert bench.exits_of_row() == []
    assert len(warnings_of(caplog)) == 1


async def test_a_list_that_is_not_whole_closes_nothing(bench: Bench) -> None:
    bench.buy()
    async with bench.looking():
        for _ in range(40):
            await bench.lookout.seen("paper", PositionList([], is_whole=False))
            await trio.sleep(2)
    assert bench.exits_of_row() == []
    assert bench.paper.times_asked("position") == 0


async def test_a_reset_account_closes_nothing_and_says_so_once_a_day(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.buy()
    async with bench.looking():
        bench.paper.holds.clear()
        bench.paper.book.clear()
        await trio.sleep(23 * 3600)
        assert bench.row()["status"] == "open"
        assert len(warnings_of(caplog)) == 1
        assert "does not know its buy" in warnings_of(caplog)[0]
        await trio.sleep(3 * 3600)
        assert len(warnings_of(caplog)) == 2
    assert bench.exits_of_row() == []
    # Asked ever less often.
    assert len(bench.paper.asked("order")) < 40
    assert bench.paper.times_asked("positions") < 26 * 3600 / INTERVAL + 40


async def test_refused_keys_close_nothing_and_are_said_once_a_day(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.buy()
    bench.paper.away = REFUSED
    async with bench.looking():
        await trio.sleep(20 * 3600)
    assert bench.exits_of_row() == []
    assert len(warnings_of(caplog)) == 1


async def test_another_accounts_keys_close_nothing(bench: Bench) -> None:
    bench.buy(is_known=False)
    bench.paper.holds["AAPL"] = Decimal(3)  # its own
    bench.executed("50", ago=timedelta(seconds=5))
    async with bench.looking():
        await trio.sleep(10 * LONG)
    assert bench.exits_of_row() == []


async def test_a_broker_that_is_away_closes_nothing(bench: Bench) -> None:
    bench.buy()
    async with bench.looking():
        bench.hold("0")
        bench.paper.away = NotSentError("no route to host")
        await trio.sleep(10 * LONG)
        assert bench.exits_of_row() == []
        bench.paper.away = None
        bench.executed("10", ago=timedelta(seconds=LONG))
        await trio.sleep(3600)
    assert bench.row()["status"] == "closed"


async def test_the_fee_that_is_kept_of_coins_is_not_missing(bench: Bench) -> None:
    bench.buy("BTC/USD", shares="0.1", price="60000")
    bench.hold("0.09975", "BTC/USD")
    async with bench.looking():
        await trio.sleep(LONG)
        assert bench.exits_of_row() == []
        bench.hold("0", "BTC/USD")
        bench.executed("0.09975", "61000", symbol="BTCUSD")
        await trio.sleep(LONG)
    assert bench.row()["status"] == "closed"
    assert bench.exits_of_row() == [("sn-1-e1", "0.1", "61000")]


@pytest.mark.parametrize("off", [{"external": False}, {"enabled": False}])
async def test_where_it_is_off_nothing_is_asked(
    make: Callable[..., Bench], off: dict[str, object]
) -> None:
    bench = make(**off)
    bench.buy()
    bench.hold("0")
    async with bench.looking():
        await trio.sleep(LONG)
    assert bench.paper.requests == []
    assert bench.paper.questions == []


async def test_without_rows_nothing_is_asked(bench: Bench) -> None:
    async with bench.looking():
        await trio.sleep(LONG)
    assert bench.paper.requests == []
    assert bench.paper.questions == []


async def test_lists_of_others_spare_those_of_its_own(bench: Bench) -> None:
    bench.buy()
    async with bench.looking():
        before = bench.paper.times_asked("positions")
        for _ in range(60):
            await bench.lookout.seen("paper", await bench.paper.positions())
            await trio.sleep(2)
        assert bench.paper.times_asked("positions") == before + 60
    assert bench.paper.times_asked("activities") == 0


async def test_five_hundred_rows_that_are_gone_leave_the_orders_their_requests(
    bench: Bench,
) -> None:
    for n in range(500):
        bench.buy(f"S{n}", row_id=f"sn-{n}")
    async with bench.looking():
        bench.paper.holds.clear()
        for n in range(500):
            bench.executed("10", symbol=f"S{n}")
        await trio.sleep(600)
        asked = [each.at for each in bench.paper.requests]
        asked += [each.at for each in bench.paper.questions]
        minute = [at for at in asked if at > 540]
        assert 20 < len(minute) <= 81  # recovery's fifth, and the one that is idle


# Splits.


async def test_a_split_moves_no_dollar(bench: Bench) -> None:
    position = bench.buy(shares="10", price="100")
    async with bench.looking():
        bench.hold("40", average="25")
        bench.acted("SPLIT", "30")
        await trio.sleep(LONG)
    row = bench.row()
    assert (row["status"], row["shares"], row["entryPrice"]) == ("open", 40.0, 25.0)
    assert (position.remaining, rests(position)) == (Decimal(40), False)
    assert bench.exits_of_row() == []
    assert bench.told() == ["split"]


async def test_a_reverse_split_is_no_sale(bench: Bench) -> None:
    bench.buy(shares="10", price="100")
    async with bench.looking():
        bench.hold("1", average="1000")
        bench.acted("SPLIT", "-9")
        await trio.sleep(LONG)
    row = bench.row()
    assert (row["status"], row["shares"], row["entryPrice"]) == ("open", 1.0, 1000.0)
    assert bench.exits_of_row() == []
    [event] = bench.events
    assert words(event) == "split 1/10 for 1: 1 share at 1,000 now"


@pytest.mark.parametrize(("held", "average"), [("1", "1000"), ("20", "50")])
async def test_a_split_without_its_activity_is_known_by_its_one_ratio(
    bench: Bench, held: str, average: str
) -> None:
    bench.buy(shares="10", price="100")
    async with bench.looking():
        bench.hold(held, average=average)
        await trio.sleep(LONG)
    assert (bench.row()["shares"], bench.told()) == (float(held), ["split"])


async def test_price_rules_rest_from_the_first_sight_of_one_ratio(bench: Bench) -> None:
    position = bench.buy()
    async with bench.looking():
        bench.hold("20", average="50")
        bench.lookout.look_now("paper")
        await trio.sleep(0.1)
        assert rests(position)
        assert bench.row()["shares"] == 10.0
        bench.hold("10", average="100")
        bench.lookout.look_now("paper")
        await trio.sleep(0.1)
        assert not rests(position)
    assert bench.row()["shares"] == 10.0


async def test_a_list_that_shows_a_split_rests_the_rules_before_its_price_is_heard(
    bench: Bench,
) -> None:
    position = bench.buy()  # just now, or by a start after the night of the split
    async with bench.looking():
        bench.hold("20", average="50")
        await bench.lookout.seen("paper", await bench.paper.positions())
        assert rests(position)
        bench.hold("10", average="100")
        await trio.sleep(LONG)
        assert not rests(position)


async def test_where_it_is_off_no_list_rests_anything(
    make: Callable[..., Bench],
) -> None:
    bench = make(external=False)
    position = bench.buy()
    async with bench.looking():
        bench.hold("20", average="50")
        await bench.lookout.seen("paper", await bench.paper.positions())
        assert not rests(position)


async def test_a_split_beside_what_others_hold_is_of_all_of_it(bench: Bench) -> None:
    bench.buy(shares="10", price="100")
    bench.hold("30", average="90")
    async with bench.looking():
        bench.hold("60", average="45")
        await trio.sleep(LONG)
    assert (bench.row()["shares"], bench.row()["entryPrice"]) == (20.0, 50.0)


@pytest.mark.parametrize("others", [0, 300], ids=["at once", "in turns"])
async def test_an_older_list_ends_no_rest_that_a_newer_one_has_begun(
    bench: Bench,
    others: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench.buy("KO", row_id="sn-0")
    position = bench.buy()
    for number in range(others):
        bench.rows.all.append(replace(position, row_id=f"sn-2{number}"))
    bench.hold("0", "KO")  # so that the look has to ask for it
    asked, is_newer = trio.Event(), trio.Event()
    rests_of = bench.lookout._findings.rests

    async def position_of(_symbol: str) -> HeldPosition:
        asked.set()
        await is_newer.wait()
        raise not_found()

    def begin_rest(of: Position, evidence: Evidence, why: str | None) -> None:
        rests_of(of, evidence, why)
        if why is not None:
            is_newer.set()

    monkeypatch.setattr(bench.paper, "position", position_of)
    monkeypatch.setattr(bench.lookout._findings, "rests", begin_rest)
    async with bench.looking():
        await asked.wait()
        bench.hold("20", average="50")
        await bench.lookout.seen("paper", await bench.paper.positions())
        await trio.sleep(1)
        assert rests(position)
    assert not [each for each in warnings_of(caplog) if "go on" in each]


async def test_a_split_beside_what_others_hold_is_known_after_a_kill(
    make: Callable[..., Bench],
) -> None:
    killed = make()
    killed.buy(shares="10", price="100")
    killed.hold("30", average="90")
    async with killed.looking():
        pass
    started = killed.after_a_kill()
    started.hold("60", average="45")
    [position] = started.rows.all
    await started.lookout.seen("paper", await started.paper.positions())
    assert rests(position), "before any price of new shares is heard"
    async with started.looking():
        await trio.sleep(LONG)
    assert (started.row()["shares"], started.row()["entryPrice"]) == (20.0, 50.0)
    again = started.after_a_kill()
    async with again.looking():
        await trio.sleep(LONG)
    assert (again.row()["shares"], again.told()) == (20.0, []), "and no second time"


async def test_what_others_hold_is_noted_once(bench: Bench) -> None:
    bench.buy(shares="10", price="100")
    bench.hold("30", average="90")
    async with bench.looking():
        [noted] = bench.store.held.watched()
        assert noted.beside == HeldBeside(Decimal(30), Decimal(90))
        before = bench.store._db.total_changes
        await trio.sleep(LONG)
        assert bench.store._db.total_changes == before
        bench.hold("10", average="100")
        await trio.sleep(LONG)
        assert bench.store._db.total_changes == before, "all of it is the row's"


async def test_a_split_while_the_daemon_was_down_is_found_by_its_activity(
    bench: Bench,
) -> None:
    bench.buy(shares="10", price="100", age=3 * DAY)
    bench.hold("60", average="45")  # of others, 20 and then 40
    bench.acted("SPLIT", "30", ago=DAY)
    async with bench.looking():
        await trio.sleep(LONG)
    assert (bench.row()["shares"], bench.row()["entryPrice"]) == (20.0, 50.0)


async def test_no_split_is_applied_twice(
    bench: Bench, logged_errors: LoggedErrors
) -> None:
    bench.buy(shares="20", price="50", age=3 * DAY)
    bench.paper.book["sn-1"] = bench.paper.book["sn-1"].model_copy(
        update={"filled_qty": Decimal(10)}
    )
    bench.acted("SPLIT", "10", ago=DAY)
    async with bench.looking():
        await trio.sleep(LONG)
        bench.hold("15")
        await trio.sleep(LONG)
    assert bench.row()["shares"] == 20.0
    assert bench.exits_of_row() == [("sn-1-e1", "5", None)]
    assert len(logged_errors.take()) == 1


async def test_a_split_from_before_the_buy_is_none_of_the_rows(bench: Bench) -> None:
    bench.buy(shares="10", price="100")
    bench.acted("SPLIT", "5", ago=timedelta(0))
    async with bench.looking():
        bench.sell_by_hand("3")
        await trio.sleep(LONG)
    assert bench.row()["shares"] == 10.0
    assert bench.exits_of_row() == [("sn-1-e1", "3", "110")]


async def test_a_known_split_rests_the_rules_until_the_position_shows_it(
    bench: Bench,
) -> None:
    position = bench.buy(shares="10", price="100", age=3 * DAY)
    today = bench.clock.now().date()
    bench.lookout.know_splits([SplitDay("AAPL", today, Fraction(2))])
    async with bench.looking():
        await trio.sleep(LONG)
        assert rests(position)
        assert bench.row()["shares"] == 10.0
        bench.hold("20", average="50")
        await trio.sleep(LONG)
        assert bench.row()["shares"] == 20.0
        await trio.sleep(LONG)
        assert not rests(position)
    assert bench.told() == ["split"]


async def test_a_split_that_was_posted_after_the_buy_of_new_shares_is_none_of_it(
    bench: Bench,
) -> None:
    position = bench.buy(shares="10", price="100", age=2 * DAY)
    bench.acted("SPLIT", "5", ago=DAY)
    async with bench.looking():
        await trio.sleep(LONG)
        assert not rests(position)
    assert bench.row()["shares"] == 10.0


async def test_a_known_split_that_shows_in_part_is_no_sale(
    bench: Bench, logged_errors: LoggedErrors
) -> None:
    position = bench.buy(shares="10", price="100", age=3 * DAY)
    today = bench.clock.now().date()
    bench.lookout.know_splits([SplitDay("AAPL", today, Fraction(1, 10))])
    async with bench.looking():
        bench.hold("1")  # and the average is as it was yet
        await trio.sleep(LONG)
        assert rests(position)
        assert len(logged_errors.take()) == 1
        bench.hold("1", average="1000")
        await trio.sleep(20 * LONG)
    assert (bench.row()["shares"], bench.exits_of_row()) == (1.0, [])


async def test_a_split_that_paid_fractions_in_dollars_is_no_sale(
    bench: Bench, logged_errors: LoggedErrors
) -> None:
    position = bench.buy(shares="37.3", price="100", age=3 * DAY)
    async with bench.looking():
        bench.hold("3", average="1000")
        bench.acted("SPLIT", "-34.3")
        await trio.sleep(LONG)
        assert rests(position)
    assert bench.exits_of_row() == []
    assert len(logged_errors.take()) == 1


async def test_a_sale_after_a_split_is_of_new_shares(bench: Bench) -> None:
    bench.buy(shares="10", price="100", age=3 * DAY)
    bench.hold("0.5", average="1000")  # one after the split, and half of it sold
    bench.lookout.know_splits(
        [SplitDay("AAPL", (bench.clock.now() - DAY).date(), Fraction(1, 10))]
    )
    bench.executed("0.5", "1100")
    async with bench.looking():
        await trio.sleep(2 * LONG)
    assert (bench.row()["shares"], bench.row()["status"]) == (1.0, "open")
    assert bench.exits_of_row() == [("sn-1-e1", "0.5", "1100")]


async def test_price_rules_go_on_with_the_split_and_not_a_look_later(
    bench: Bench,
) -> None:
    position, resting = bench.buy(), []
    async with bench.looking():
        bench.lookout._findings._feed.follow(lambda _: resting.append(rests(position)))
        bench.hold("20", average="50")
        await trio.sleep(LONG)
    assert resting == [False]


async def test_what_others_have_it_rest_for_is_not_ended_here(bench: Bench) -> None:
    position = bench.buy()
    position.rests = "trading is halted"
    async with bench.looking():
        bench.hold("20", average="50")
        await trio.sleep(LONG)
    assert position.rests == "trading is halted"


@pytest.mark.parametrize("days", [-4, 1])
async def test_a_split_before_the_buy_or_to_come_rests_nothing(
    bench: Bench, days: int
) -> None:
    position = bench.buy(age=3 * DAY)
    day = bench.clock.now().date() + days * DAY
    bench.lookout.know_splits([SplitDay("AAPL", day, Fraction(2))])
    async with bench.looking():
        await trio.sleep(LONG)
    assert not rests(position)


async def test_a_known_split_does_not_keep_a_row_open_that_is_gone(
    bench: Bench,
) -> None:
    bench.buy(shares="10", price="100", age=3 * DAY)
    today = bench.clock.now().date()
    bench.lookout.know_splits([SplitDay("AAPL", today, Fraction(1, 10))])
    async with bench.looking():
        bench.sell_by_hand("10")
        await trio.sleep(LONG)
    assert bench.row()["status"] == "closed"


async def test_a_sale_that_leaves_the_average_is_no_split(bench: Bench) -> None:
    bench.buy(shares="10", price="100")
    async with bench.looking():
        bench.sell_by_hand("9", "1000")  # one is left, as after 1 for 10
        await trio.sleep(LONG)
    assert bench.row()["shares"] == 10.0
    assert bench.exits_of_row() == [("sn-1-e1", "9", "1000")]


# What corporations did.


@pytest.mark.parametrize("kind", ["MA", "NC", "REORG", "SPIN"])
async def test_what_a_corporation_took_closes_the_row_without_a_price(
    bench: Bench, logged_errors: LoggedErrors, kind: str
) -> None:
    bench.buy()
    async with bench.looking():
        bench.hold("0")
        bench.acted(kind, "-10")
        await trio.sleep(LONG)
    row = bench.row()
    assert (row["status"], row["exitReason"]) == ("closed", "corporate_action")
    assert row["pnl"] is None
    assert len(logged_errors.take()) == 1


async def test_what_a_corporation_left_is_kept_and_its_price_rules_rest(
    bench: Bench, logged_errors: LoggedErrors
) -> None:
    position = bench.buy()
    async with bench.looking():
        bench.hold("6")
        bench.acted("MA", "-4")
        await trio.sleep(10 * LONG)
        assert rests(position)
    assert bench.exits_of_row() == []
    assert len(logged_errors.take()) == 1
    assert bench.told() == ["external"]


async def test_a_merger_from_before_it_was_last_whole_took_nothing(
    bench: Bench, logged_errors: LoggedErrors
) -> None:
    bench.buy(age=9 * DAY)
    bench.acted("SPIN", "0", ago=5 * DAY)
    async with bench.looking():
        bench.hold("0")
        await trio.sleep(LONG)
    assert bench.row()["exitReason"] == "external"
    assert len(logged_errors.take()) == 1


async def test_gone_without_an_activity_is_no_corporate_action(
    bench: Bench, logged_errors: LoggedErrors
) -> None:
    bench.buy()
    bench.acted("MA", "-10", symbol="MSFT")
    async with bench.looking():
        bench.hold("0")
        await trio.sleep(LONG)
    assert bench.row()["exitReason"] == "external"
    assert len(logged_errors.take()) == 1


async def test_more_than_before_that_nobody_bought_rests_the_price_rules(
    bench: Bench, logged_errors: LoggedErrors
) -> None:
    position = bench.buy()
    async with bench.looking():
        await trio.sleep(1)
        bench.hold("13", average="100")
        await trio.sleep(LONG)
        assert rests(position)
        assert len(logged_errors.take()) == 1
        [event] = bench.events
        assert words(event) == (
            "its price rules rest: 3 more are held, and nobody bought them"
        )
        bench.hold("10")
        await trio.sleep(LONG)
        assert not rests(position)
    assert bench.row()["shares"] == 10.0
    assert bench.exits_of_row() == []


async def test_more_than_before_that_others_bought_is_theirs(bench: Bench) -> None:
    position = bench.buy()
    async with bench.looking():
        bench.hold("13", average="101")
        bench.executed("3", "105", side="buy")
        await trio.sleep(LONG)
        assert not rests(position)
        bench.sell_by_hand("3")
        await trio.sleep(LONG)
    assert bench.exits_of_row() == []
