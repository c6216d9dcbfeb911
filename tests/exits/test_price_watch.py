"""Prices and rules as a whole, and what they cost (SPEC 12.4, 12.11)."""

from __future__ import annotations

import gc
import time
import tracemalloc
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import trio

from snexec.events import EventFeed
from snexec.exits.price_watch import PriceWatch
from snexec.exits.rule_set import NO_RULES, rules_of
from tests.exits.hands import Desk
from tests.exits.test_book import bought, sold
from tests.exits.test_poll import Polled
from tests.exits.test_snapshots import Snapped

if TYPE_CHECKING:
    from snexec.ledger import Applied, WatchedRow

pytestmark = pytest.mark.jumping_time

STOP: dict[str, Any] = {"hard_stop_loss_pct": 5}


class Whole:
    """All of the exits, over an account and market data that answer by script."""

    def __init__(self, **keys: Any) -> None:  # noqa: ANN401 - by name
        self.desk = Polled(**keys)
        self.data = Snapped(**keys)
        self.watch = PriceWatch(
            self.desk.live,
            self.desk.accounts,
            self.desk.book,
            self.desk.seller,
            self.desk.market,
            self.desk.market,
            self.desk.switch,
            writer=self.desk.shelf,
            data=self.data,
            feed=EventFeed(clock=self.desk.clock),
            clock=self.desk.clock,
        )
        self.watch.follow_positions(self.desk)

    def load(self, rows: list[WatchedRow], rules: str | None) -> None:
        """Take over rows and rules, as at the start."""
        self.desk.book.load(rows)
        self.watch.monitor.load(rules)

    def bought(self, applied: Applied) -> None:
        """Take a fill."""
        self.desk.book.bought(applied)
        self.watch.look()


async def test_a_row_is_watched_from_its_fill_to_its_end(
    nursery: trio.Nursery,
) -> None:
    whole = Whole(**STOP)
    desk = whole.desk
    whole.load([], None)
    nursery.start_soon(whole.watch.run)
    await trio.sleep(10)
    assert desk.paper.asked == []
    desk.paper.holds = {"AAPL": "189"}
    whole.bought(bought())
    await trio.sleep(2.5)
    desk.paper.holds = {"AAPL": "170"}
    assert desk.book.count("watched") == 1
    assert whole.watch.monitor.source_and_age() == (None, None)
    assert whole.watch.monitor.passed_over == {"unmoved": 2}
    assert not whole.watch.monitor.is_blind
    await trio.sleep(4)
    assert desk.reasons == [("AAPL", "stop_loss")]
    assert desk.book.count("closing") == 1
    assert whole.watch.monitor.source_and_age()[0] == "positions"
    desk.book.sold(sold(settled=True, closed=True, row_status="closed"))
    assert len(desk.book) == 0
    assert [mode for mode, _positions in desk.lists][:2] == ["paper", "paper"]
    nursery.cancel_scope.cancel()


async def test_a_start_goes_on_with_rows_and_rules(nursery: trio.Nursery) -> None:
    first, second = Whole(**STOP), Whole(**STOP)
    first.load([], None)
    nursery.start_soon(first.watch.run)
    await trio.sleep(1)
    [rules] = first.desk.shelf.rules
    second.load([second.desk.row()], rules)
    second.desk.paper.holds = {"AAPL": "170"}
    nursery.start_soon(second.watch.run)
    await trio.sleep(3)
    second.desk.paper.holds = {"AAPL": "169"}
    await trio.sleep(4)
    assert second.desk.reasons == [("AAPL", "stop_loss")]
    nursery.cancel_scope.cancel()


async def test_a_doubted_price_of_positions_is_settled_by_a_snapshot(
    nursery: trio.Nursery,
) -> None:
    whole = Whole(**STOP)
    desk = whole.desk
    whole.load([desk.row()], None)
    nursery.start_soon(whole.watch.run)
    desk.paper.holds = {"AAPL": "189"}
    await trio.sleep(1.5)
    desk.paper.holds = {"AAPL": "188"}
    await trio.sleep(4)
    desk.paper.holds = {"AAPL": "120"}
    whole.data.last = {"AAPL": 121}
    await trio.sleep(2)
    assert desk.reasons == [("AAPL", "stop_loss")]
    assert len(whole.data.asked) == 1
    nursery.cancel_scope.cancel()


async def test_a_stop_that_was_passed_before_the_start_sells_by_a_snapshot(
    nursery: trio.Nursery,
) -> None:
    whole = Whole(**STOP, activation_delay_sec=0.5)
    desk = whole.desk
    whole.load([desk.row()], None)
    nursery.start_soon(whole.watch.run)
    desk.paper.holds = {"AAPL": "170"}
    whole.data.last = {"AAPL": 170}
    await trio.sleep(10)
    assert desk.reasons == [("AAPL", "stop_loss")]
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("source", ["positions", "snapshots"])
async def test_rows_of_two_modes_are_each_sold_by_their_own_accounts_price(
    nursery: trio.Nursery, source: str
) -> None:
    whole = Whole(**STOP, price_source=source)
    desk = whole.desk
    assert desk.live.now.exits is not None
    rows = [desk.row("AAPL"), desk.row("MSFT", mode="live")]
    whole.load(rows, rules_of(desk.live.now.exits, NO_RULES, 0.0).text())
    # Each account also holds the symbol of the other's row, at a price that is not its.
    desk.paper.holds = {"AAPL": "189", "MSFT": "170"}
    desk.real.holds = {"AAPL": "170", "MSFT": "189"}
    whole.data.last = {"AAPL": 189, "MSFT": 189}
    nursery.start_soon(whole.watch.run)
    await trio.sleep(3)
    desk.paper.holds |= {"AAPL": "188.5", "MSFT": "169"}
    desk.real.holds |= {"AAPL": "169", "MSFT": "188.5"}
    await trio.sleep(12)
    assert desk.reasons == []
    desk.real.holds["MSFT"] = "170"
    whole.data.last["MSFT"] = 170
    await trio.sleep(12)
    [(_at, position, _trigger)] = desk.seller.sells
    assert (position.symbol, position.mode) == ("MSFT", "live")
    nursery.cancel_scope.cancel()


async def test_trades_of_snapshots_are_passed_on(nursery: trio.Nursery) -> None:
    whole = Whole(**STOP, price_source="stream")
    whole.load([whole.desk.row()], None)
    heard: list[tuple[str, Decimal]] = []
    whole.watch.follow_trades(lambda *said: heard.append(said))
    nursery.start_soon(whole.watch.run)
    whole.data.last = {"AAPL": 189}
    await trio.sleep(2.5)
    whole.data.last = {"AAPL": 188}
    await trio.sleep(2)
    assert heard == [("AAPL", Decimal(189)), ("AAPL", Decimal(188))]
    nursery.cancel_scope.cancel()


async def test_without_exits_nobody_is_asked_and_rows_are_unwatched(
    nursery: trio.Nursery,
) -> None:
    whole = Whole()
    whole.load([whole.desk.row()], None)
    nursery.start_soon(whole.watch.run)
    whole.bought(bought(trade_id="row-2", symbol="MSFT"))
    await trio.sleep(1000)
    assert whole.desk.paper.asked == []
    assert whole.data.asked == []
    assert whole.desk.shelf.rules == []
    assert whole.desk.book.count("watched") == 2
    assert whole.watch.monitor.explain("row-AAPL") is None
    nursery.cancel_scope.cancel()


async def test_the_market_is_asked_for_before_anything_runs() -> None:
    for keys, modes in (
        (STOP, {"live"}),
        ({"flatten_before_close_sec": 60}, {"live", "paper"}),
        ({**STOP, "enabled": False}, set()),
        ({}, set()),
    ):
        whole = Whole(**keys)
        whole.load([whole.desk.row(mode="live")], None)
        assert whole.desk.market.watched == modes


async def test_settings_hold_in_that_moment(nursery: trio.Nursery) -> None:
    whole = Whole()
    desk = whole.desk
    whole.load([desk.row()], None)
    nursery.start_soon(whole.watch.run)
    desk.paper.holds = {"AAPL": "189"}
    await trio.sleep(10)
    desk.set(**STOP)
    whole.watch.settings_changed()
    await trio.sleep(0.1)
    assert desk.paper.asked == [10]
    told = whole.watch.monitor.explain("row-AAPL")
    assert told is not None
    assert told[0].threshold == "180.10"
    nursery.cancel_scope.cancel()


async def test_a_reason_is_asked_anew(nursery: trio.Nursery) -> None:
    whole = Whole(
        **STOP, trailing_stop_pct=10, profit_target_pct=10, max_hold_duration_sec=60
    )
    desk = whole.desk
    whole.load([desk.row(high_price=Decimal(220))], None)
    nursery.start_soon(whole.watch.run)
    desk.paper.holds = {"AAPL": "199"}
    await trio.sleep(2.5)
    desk.paper.holds = {"AAPL": "200"}
    await trio.sleep(2.5)
    assert whole.watch.monitor.still_holds("row-AAPL", "max_hold") is False
    assert whole.watch.monitor.still_holds("row-MSFT", "max_hold") is None
    desk.set()
    assert whole.watch.monitor.still_holds("row-AAPL", "max_hold") is False
    assert whole.watch.monitor.still_holds("row-AAPL", "manual") is True
    nursery.cancel_scope.cancel()


# What it costs


async def test_a_watched_row_costs_at_most_two_kibibytes() -> None:
    desk = Desk(**STOP, trailing_stop_pct=5, price_source="stream")
    desk.apply_rules()
    numbers = range(500)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in numbers:
        row_id, order_id = f"sn-{number:032x}", f"{number:036}"
        desk.book.load([desk.row(f"S{number}", id=row_id, order_id=order_id)])
    for number in [*numbers] * 12:
        price = Decimal(189_00 + number % 90) / 100
        desk.monitor.hear_bid(f"S{number}", price, desk.clock.now().timestamp())
        desk.say(float(price), f"S{number}", number=1 << 40 | number)
    gc.collect()
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert used / len(numbers) <= 2048


async def test_two_thousand_ticks_a_second_take_a_fifth_of_a_core() -> None:
    desk = Desk(**STOP, trailing_stop_pct=50, price_source="stream")
    desk.apply_rules()
    symbols = [f"S{number}" for number in range(500)]
    desk.hold(*symbols)
    ticks = [(symbols[each % 500], 189 + each % 90 / 100) for each in range(2000)]
    best = float("inf")
    for _ in range(5):
        begun = time.process_time()
        for symbol, price in ticks:
            desk.say(price, symbol)
        await desk.monitor._tick()
        best = min(best, time.process_time() - begun)
    assert best <= 0.2
    assert desk.reasons == []
