"""The sixteen promises of SPEC 12.10, each found by its number.

The daemon as it is, at the simulated exchange as it is; what watches both at each order
and each execution is ``tests.day.auditor``.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Any, get_args
from unittest import mock

import pytest
import trio

from snexec.exchange import queries
from snexec.exchange.corporate_actions import Action, carry_out
from snexec.exchange.faults import RestFault
from snexec.exchange.market import Market
from snexec.exchange.settings import Behaviour
from snexec.exchange.spelling import Moment
from snexec.ledger.exit_rows import row_of_exit
from tests.day.floor import Floor, Life, open_floor
from tests.simulation.exit_steps import Move
from tests.simulation.steps import CrashAt, Point, Send, Wait
from tests.simulation.test_beside_exits import play_beside
from tests.simulation.test_exits import play
from tests.simulation.test_simulation import STORIES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.conftest import LoggedErrors

pytestmark = pytest.mark.jumping_time

RULES: dict[str, Any] = {
    "hard_stop_loss_pct": 5,
    "profit_target_pct": 10,
    "trailing_stop_pct": 3,
    "trailing_start_pct": 6,
}
STREAM = RULES | {"price_source": "stream"}
STOP = {"broker_stop": True, "hard_stop_loss_pct": 5}
_MILLIONTH = Decimal("0.000001")


@asynccontextmanager
async def bought(
    folder: Path,
    **exits: Any,  # noqa: ANN401 - by name
) -> AsyncIterator[tuple[Floor, Life]]:
    """Have a daemon hold one row of AAPL, bought at about 100."""
    async with open_floor(folder, exits=exits or RULES) as floor, floor.life() as life:
        await life.buy()
        yield floor, life


def behave(floor: Floor, **behaviour: Any) -> None:  # noqa: ANN401 - by name
    """Make the sells of AAPL misbehave from now on."""
    floor.paper.behaviours.set("AAPL", Behaviour(side="sell", **behaviour))


def names_in(folder: Path) -> set[str]:
    """Return the names of the files in a folder."""
    return {path.name for path in folder.iterdir()}


def orders_of(floor: Floor) -> dict[str, tuple[str, Decimal]]:
    """Return the account's sells: their status, and what they sold."""
    return {
        each.client_order_id.rpartition("-")[2]: (each.status, each.filled_qty)
        for each in floor.orders()
    }


# 1: never two sell orders of a row that may both fill.


@pytest.mark.parametrize(
    "behaviour",
    [
        {"fill_delay_sec": 30.0},
        {"lose": "after_accept", "lookup_404_sec": 20.0, "fill_delay_sec": 25.0},
        {"lose": "before_accept", "lose_how": "hang", "times": 1},
        {"partial_fills": 2, "fill_delay_sec": 5.0, "no_events": True},
    ],
    ids=["slow", "taken, and hidden", "lost on its way", "in parts, unheard of"],
)
async def test_1_however_many_triggers_and_lives_one_sell_may_fill(
    tmp_path: Path, behaviour: dict[str, Any]
) -> None:
    async with bought(tmp_path) as (floor, life):
        behave(floor, **behaviour)
        floor.quote("AAPL", "94")
        await trio.sleep(3.9)
        assert await life.close("AAPL", "AAPL") == [""]
        await trio.sleep(4.0)
        await life.kill()
        async with floor.life() as other:
            await other.close("AAPL")
            row = await floor.until_closed(seconds=300.0)
        assert orders_of(floor) == {"x1": ("filled", Decimal(repr(row["shares"])))}


async def test_1_a_stop_at_the_broker_is_gone_before_another_sell_leaves(
    tmp_path: Path,
) -> None:
    async with open_floor(tmp_path, exits=STOP) as floor, floor.life() as life:
        behave(floor, cancel_delay_sec=7.0, times=1)
        await life.buy()
        await trio.sleep(3.0)
        assert orders_of(floor) == {"s1": ("new", Decimal(0))}
        await life.close("AAPL")
        row = await floor.until_closed()
        stop, sell = floor.orders()
        assert (stop.status, sell.status) == ("canceled", "filled")
        assert sell.submitted_ns >= stop.updated_ns
        assert row["exitReason"] == "manual"


async def test_1_a_stop_that_fills_while_it_is_canceled_is_the_only_sell(
    tmp_path: Path,
) -> None:
    async with open_floor(tmp_path, exits=STOP) as floor, floor.life() as life:
        behave(floor, cancel_delay_sec=7.0, times=1)
        await life.buy()
        await trio.sleep(3.0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(life.close, "AAPL")
            await trio.sleep(3.0)
            floor.quote("AAPL", "94")
        row = await floor.until_closed()
        assert orders_of(floor) == {"s1": ("filled", Decimal(repr(row["shares"])))}


# 2: what is sold is at most what was bought, and what is held; never short.


async def test_2_parts_ends_and_others_sales_never_make_the_account_short(
    tmp_path: Path,
) -> None:
    async with bought(tmp_path) as (floor, _life):
        behave(floor, partial_fills=2, end_status="canceled", fill_delay_sec=3, times=2)
        floor.quote("AAPL", "94")
        row = await floor.until_closed(seconds=120.0)
        sold = sum(each.filled_qty for each in floor.orders())
        assert len(floor.orders()) == 3
        assert sold == Decimal(repr(row["shares"]))
        assert floor.held() == 0


async def test_2_what_others_took_meanwhile_is_not_sold_again(
    tmp_path: Path, logged_errors: LoggedErrors
) -> None:
    async with bought(tmp_path, **RULES) as (floor, _life):
        half = (floor.held() / 2).quantize(Decimal("1e-9"))
        floor.paper.close_position("AAPL", half)
        await trio.sleep(0.5)
        left = floor.held()
        floor.quote("AAPL", "94")
        row = await floor.until_closed(seconds=180.0)
        ours = [o for o in floor.orders() if row_of_exit(o.client_order_id)]
        assert [each.filled_qty for each in ours if each.filled_qty] == [left]
        assert half + left == Decimal(repr(row["shares"]))
    # What is gone has no price, either.
    known = ("AAPL", "no price counts")
    assert all(any(each in said for each in known) for said in logged_errors.take())


# 3: no kill point sells twice or forgets an intent.


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("point", [p for p in get_args(Point) if p != "mode switches"])
def test_3_a_kill_at_any_point_neither_sells_twice_nor_forgets(
    point: Point, nth: int
) -> None:
    story = [Send(), Wait(seconds=7.0), CrashAt(point=point, nth=nth, down=2.0)]
    world = play([*story, Move(price="90"), Wait(seconds=25.0)])
    (row,) = world.seen.values()
    assert (row["status"], row["exitReason"]) == ("closed", "stop_loss")
    assert [sale.sold for sale in world.broker.sales.values()] == [Decimal("1.5")]


async def test_3_an_order_that_is_taken_as_the_daemon_dies_is_found(
    tmp_path: Path,
) -> None:
    async with bought(tmp_path) as (floor, life):
        behave(floor, reply_delay_sec=5.0, fill_delay_sec=25.0)
        floor.quote("AAPL", "94")
        await floor.until(lambda _row: bool(floor.orders()))
        await life.kill()
        assert [each["state"] for each in floor.sells().values()] == ["planned"]
        async with floor.life():
            await floor.until_closed(seconds=120.0)
        assert len(floor.orders()) == 1


# 4: every closed row has evidence; every filled sell has its row.


async def test_4_every_closed_row_has_evidence_and_every_sell_its_row(
    tmp_path: Path,
) -> None:
    async with open_floor(tmp_path, exits=RULES) as floor, floor.life() as life:
        for symbol in ("AAPL", "KO", "PEP"):
            await life.buy(symbol)
        await trio.sleep(20.0)
        floor.quote("AAPL", "94")
        await life.close("KO")
        floor.paper.close_position("PEP")
        reasons = {
            (await floor.until_closed(symbol, seconds=120.0))["exitReason"]
            for symbol in ("AAPL", "KO", "PEP")
        }
        assert reasons == {"stop_loss", "manual", "external"}
        sells = floor.sells().values()
        for row in floor.rows().values():
            own = [each for each in sells if each["tradeId"] == row["id"]]
            assert [Decimal(each["filledQty"]) for each in own] == [
                Decimal(repr(row["shares"]))
            ]
        named = {each["id"] for each in sells}
        ours = {o.client_order_id for o in floor.orders() if o.symbol != "PEP"}
        assert ours <= named


# 5: no row stays open once nothing is held, and none is closed while something is.


async def test_5_a_row_closes_soon_after_the_broker_holds_none_and_not_before(
    tmp_path: Path,
) -> None:
    async with bought(tmp_path) as (floor, _life):
        await trio.sleep(20.0)
        part = (floor.held() / 4).quantize(Decimal("1e-9"))
        floor.paper.close_position("AAPL", part)
        await trio.sleep(300.0)
        assert floor.row()["status"] == "open"
        assert floor.held() == Decimal(repr(floor.row()["shares"])) - part
        floor.paper.close_position("AAPL")
        row = await floor.until_closed(seconds=75.0)
        assert row["exitReason"] == "external"


# 6: `pnl` and `exitPrice` are the formulas of 12.5, to six places.


async def test_6_the_result_is_what_the_executions_come_to(tmp_path: Path) -> None:
    async with bought(tmp_path) as (floor, life):
        behave(floor, partial_fills=2, end_status="canceled", fill_delay_sec=2, times=2)
        account = floor.paper
        account.follow_path("AAPL", [(n, Decimal(90 + 3 * n)) for n in range(1, 9)])
        await life.close("AAPL")
        row = await floor.until_closed()
        replies = [each.to_reply() for each in floor.orders()]
        parts = [
            (Decimal(str(each["filled_qty"])), Decimal(str(each["filled_avg_price"])))
            for each in replies
        ]
        assert len({price for _qty, price in parts}) == 3, "each at another price"
        dollars = sum(qty * price for qty, price in parts)
        shares = Decimal(repr(row["shares"]))
        pnl = dollars - Decimal(repr(row["entryPrice"])) * shares
        assert row["exitPrice"] == _rounded(dollars / shares)
        assert row["pnl"] == _rounded(pnl)


def _rounded(value: Decimal | int) -> float:
    return float(Decimal(value).quantize(_MILLIONTH, ROUND_HALF_EVEN))


# 7: never more than the row's own is sold.


@pytest.mark.parametrize("way", ["rule", "hand", "stop at the broker", "restart"])
async def test_7_only_the_rows_own_shares_are_sold(tmp_path: Path, way: str) -> None:
    exits = STOP if way == "stop at the broker" else RULES
    async with open_floor(tmp_path, exits=exits) as floor, floor.life() as life:
        theirs = Decimal("7.25")
        floor.quote("AAPL", "100")
        floor.paper.book.positions.buy("AAPL", theirs, theirs * 99)
        own = Decimal(repr((await life.buy())["shares"]))
        await trio.sleep(3.0)
        if way == "hand":
            await life.close("AAPL")
        elif way == "restart":
            await life.kill()
            floor.quote("AAPL", "94")
            async with floor.life():
                await floor.until_closed()
        else:
            floor.quote("AAPL", "94")
        await floor.until_closed()
        assert sum(each.filled_qty for each in floor.orders()) == own
        assert floor.held() == theirs


# 8: no price rule fires closed, halted, stale, blind, on excluded or taken-back prints,
# or on one bad tick.


def _print(floor: Floor, price: str, *, ago: float = 0.0, condition: str = "@") -> int:
    """Print a trade that moves neither the last sale nor the bid; return its number."""
    tape, at = floor.exchange.tape, floor._now_ns() - int(ago * 1e9)
    trade = tape._trade("AAPL", Decimal(price), (condition,), at=at)
    tape._publish_trade("AAPL", trade)
    return trade.id


def _take_back(floor: Floor, number: int) -> None:
    message = {"T": "x", "i": number, "p": 94.0, "s": 100.0, "x": "V", "a": "C"}
    at = {"t": Moment(floor._now_ns()), "z": "A"}
    floor.exchange.tape._publish("trades", "AAPL", message | at)


async def _closed(floor: Floor) -> None:
    second = 10**9
    closes = floor.paper.market.changes_ns
    assert closes is not None
    await trio.sleep((closes - floor._now_ns()) / second - 0.01)
    opens = closes + 120 * second
    floor.paper.market = Market(is_open=False, changes_ns=opens)
    await trio.sleep(5.0)
    for _ in range(30):
        floor.quote("AAPL", "90")
        await trio.sleep(2.0)
    floor.quote("AAPL", "100")
    await trio.sleep((opens - floor._now_ns()) / second + 5.0)


async def _halted(floor: Floor) -> None:
    floor.exchange.tape.halted("AAPL", halted=True)
    await trio.sleep(1.0)
    floor.quote("AAPL", "90")
    await trio.sleep(60.0)
    floor.quote("AAPL", "100")
    await trio.sleep(5.0)
    floor.exchange.tape.halted("AAPL", halted=False)


async def _stale(floor: Floor) -> None:
    for ago in (60.0, 40.0, 16.0):
        _print(floor, "94", ago=ago)
        await trio.sleep(1.0)


async def _excluded(floor: Floor) -> None:
    for condition in "BW479CGHIMNPQRTUVZ":
        _print(floor, "94", condition=condition)
        await trio.sleep(0.5)


async def _taken_back(floor: Floor) -> None:
    for _ in range(3):
        _take_back(floor, _print(floor, "94"))
        await trio.sleep(1.0)


async def _one_bad_tick(floor: Floor) -> None:
    for price in ("94", "100", "60", "100", "112"):
        _print(floor, price)
        await trio.sleep(1.0)
    _print(floor, "100")


@asynccontextmanager
async def _daemon(floor: Floor) -> AsyncIterator[None]:
    """Hold a row in a session that has ten minutes left."""
    floor.paper.market = Market(changes_ns=floor._now_ns() + 600 * 10**9)
    async with floor.life() as life:
        await life.buy()
        yield


@pytest.mark.parametrize(
    "happens", [_closed, _halted, _stale, _excluded, _taken_back, _one_bad_tick]
)
async def test_8_no_price_rule_fires_by_a_price_that_does_not_count(
    tmp_path: Path, happens: Callable[[Floor], Any]
) -> None:
    async with open_floor(tmp_path, exits=STREAM) as floor, _daemon(floor):
        await trio.sleep(5.0)
        assert floor.exchange.data_feeds["v2/iex"].subscribed == ["AAPL"]
        await happens(floor)
        assert floor.orders() == []
        row = floor.row()
        assert (row["highPrice"] or 0) <= row["entryPrice"]
        for price in ("94", "93.9"):
            floor.quote("AAPL", price)
            await trio.sleep(1.0)
        assert (await floor.until_closed())["exitReason"] == "stop_loss"


async def test_8_blind_sells_nothing_by_price(
    tmp_path: Path, logged_errors: LoggedErrors
) -> None:
    async with bought(tmp_path) as (floor, life):
        await trio.sleep(10.0)
        floor.paper.rest_faults.add(RestFault(how="500", path="/v2/positions"))
        floor.quote("AAPL", "94")
        await trio.sleep(120.0)
        assert floor.orders() == []
        assert len(life.told("exits_blind")) == 1
        floor.paper.rest_faults.clear()
        assert (await floor.until_closed())["exitReason"] == "stop_loss"
    (said,) = logged_errors.take()
    assert "blind" in said or "no price" in said


# 9: each rule fires at its threshold, and not a cent before.


@pytest.mark.parametrize(
    ("reason", "factor", "beyond"),
    [
        ("stop_loss", Decimal("0.95"), -1),
        ("profit_target", Decimal("1.1"), 1),
    ],
)
async def test_9_a_price_rule_fires_at_its_threshold_and_not_a_cent_before(
    tmp_path: Path, reason: str, factor: Decimal, beyond: int
) -> None:
    async with bought(tmp_path) as (floor, _life):
        level = Decimal(repr(floor.row()["entryPrice"])) * factor
        floor.quote("AAPL", f"{level - beyond * Decimal('0.01')}")
        await trio.sleep(30.0)
        assert floor.orders() == []
        floor.quote("AAPL", f"{level}")
        assert (await floor.until_closed(seconds=5.0))["exitReason"] == reason


async def test_9_the_trailing_stop_fires_at_its_threshold_and_not_a_cent_before(
    tmp_path: Path,
) -> None:
    async with bought(tmp_path) as (floor, _life):
        floor.quote("AAPL", "108")
        await trio.sleep(10.0)
        floor.quote("AAPL", "104.77")
        await trio.sleep(30.0)
        assert floor.orders() == []
        floor.quote("AAPL", "104.76")
        row = await floor.until_closed(seconds=5.0)
        assert row["exitReason"] == "trailing_stop"
        assert row["highPrice"] == pytest.approx(108.0, rel=0.001)


@pytest.mark.parametrize(
    ("rule", "reason", "due"),
    [
        ({"max_hold_duration_sec": 60.0}, "max_hold", 60.0),
        ({"flatten_before_close_sec": 30.0}, "market_close", 70.0),
    ],
)
async def test_9_a_time_rule_fires_at_its_second_and_not_before(
    tmp_path: Path, rule: dict[str, Any], reason: str, due: float
) -> None:
    async with open_floor(tmp_path, exits=rule) as floor:
        closes_ns = floor._now_ns() + 100 * 10**9
        floor.paper.market = Market(changes_ns=closes_ns)
        begun = trio.current_time()
        async with floor.life() as life:
            await life.buy()
            await trio.sleep_until(begun + due - 1.0)
            assert floor.orders() == []
            row = await floor.until_closed(seconds=4.0)
            assert row["exitReason"] == reason


# 10: a refusal never makes more than 20 orders a session.


async def test_10_a_sell_that_is_refused_is_tried_twenty_times_a_session(
    tmp_path: Path, logged_errors: LoggedErrors
) -> None:
    exits = {"max_hold_duration_sec": 5.0, "retry_max_sec": 60.0}
    async with bought(tmp_path, **exits) as (floor, life):
        behave(floor, refuse=403, refuse_message="account is restricted")
        await trio.sleep(1500.0)
        await life.kill()
        async with floor.life() as other:
            await trio.sleep(600.0)
            await other.close("AAPL")
            await trio.sleep(60.0)
        posts = [
            each
            for each in floor.paper.posts
            if row_of_exit(each.client_order_id or "")
        ]
        assert len(posts) == 20
        assert floor.row()["status"] == "open"
    assert all("AAPL" in said for said in logged_errors.take())


# 11: `closed` is never undone.


async def test_11_nothing_that_comes_later_undoes_a_closed_row(tmp_path: Path) -> None:
    async with bought(tmp_path) as (floor, life):
        late = {"duplicate_events": 3, "late_event_sec": 40.0, "partial_fills": 2}
        behave(floor, **late)
        floor.quote("AAPL", "94")
        closed = await floor.until_closed(seconds=120.0)
        await trio.sleep(120.0)
        assert floor.row() == closed
        assert await life.close("AAPL") != [""]
        await life.kill()
        async with floor.life() as other:
            floor.quote("AAPL", "120")
            await trio.sleep(120.0)
            other.send("AAPL", id="n-again")
            await floor.until(lambda row: bool(row["settledAt"]))
        first, second = floor.auditor.rows("AAPL")
        assert first == closed
        assert second["status"] == "open"


# 12: wrong keys or an empty list of positions close nothing.


@pytest.mark.parametrize("case", ["wrong keys", "empty lists", "a reset account"])
async def test_12_what_an_account_does_not_know_closes_nothing(
    tmp_path: Path, case: str, logged_errors: LoggedErrors
) -> None:
    async with bought(tmp_path) as (floor, _life):
        before = floor.row()
        await trio.sleep(20.0)
        if case == "wrong keys":
            floor.paper.refused_keys = frozenset({"*"})
        elif case == "a reset account":
            floor.paper.reset()
        listed = queries.positions if case != "empty lists" else lambda _book: []
        with mock.patch.object(queries, "positions", listed):
            await trio.sleep(600.0)
        row = floor.row()
        assert (row["status"], row["shares"]) == ("open", before["shares"])
        assert floor.sells() == {}
    logged_errors.take()


# 13: a split moves no dollar.


@pytest.mark.parametrize("activity", [True, False])
@pytest.mark.parametrize("ratio", ["4", "0.1"])
async def test_13_a_split_moves_no_dollar_and_sells_nothing(
    tmp_path: Path, ratio: str, *, activity: bool
) -> None:
    async with bought(tmp_path) as (floor, _life):
        await trio.sleep(20.0)
        before = floor.row()
        account = floor.paper
        split = Action(symbol="AAPL", ratio=Decimal(ratio), activity=activity)
        carry_out(split, account.book, account.activities, floor._now_ns())
        row = await floor.until(lambda row: row["shares"] != before["shares"])
        assert row["shares"] == pytest.approx(before["shares"] * float(ratio))
        assert row["shares"] * row["entryPrice"] == pytest.approx(
            before["shares"] * before["entryPrice"]
        )
        await trio.sleep(120.0)
        assert floor.orders() == []
        floor.quote("AAPL", f"{Decimal(repr(row['entryPrice'])) * Decimal('0.9'):.3f}")
        assert (await floor.until_closed())["exitReason"] == "stop_loss"


# 14: `halt-all` lets nothing out, `halt` lets exits out.


@pytest.mark.parametrize("name", ["halt-all", "halt"])
async def test_14_halt_all_lets_nothing_out_and_halt_lets_exits_out(
    tmp_path: Path, name: str, logged_errors: LoggedErrors
) -> None:
    async with bought(tmp_path) as (floor, life):
        (tmp_path / name).touch()
        life.send("KO")
        floor.quote("AAPL", "94")
        await trio.sleep(60.0)
        assert {each.symbol for each in floor.orders("buy")} == {"AAPL"}
        assert bool(floor.orders()) == (name == "halt")
        (tmp_path / name).unlink()
        assert (await floor.until_closed())["exitReason"] == "stop_loss"
    logged_errors.take()


# 15: without `[exits]` not one more request, row or file.


async def test_15_without_exits_not_one_more_request_row_or_file(
    tmp_path: Path,
) -> None:
    async with open_floor(tmp_path) as floor, floor.life() as life:
        await life.buy()
        asked = len(floor.requests)
        floor.quote("AAPL", "50")
        floor.paper.close_position("AAPL")
        await trio.sleep(3600.0)
        assert set(floor.requests[asked:]) == _HOURLY
        assert set(floor.requests) <= _HOURLY | {"POST /v2/orders"}
        assert floor.exchange.data_feeds["v2/iex"].connections == 0
        assert floor.sells() == {}
        assert floor.row()["status"] == "open"
        assert names_in(tmp_path) <= {"t.db", "t.db-wal", "t.db-shm"}


# Each hour's list of orders, which finds those without a row (section 8).
_HOURLY = {"GET /v2/orders", "GET /live/v2/orders"}


# 16: the buy side's promises hold with 500 rows watched; all of them in the long form of
# ``tests/simulation/test_beside_exits.py``.


def test_16_buys_keep_their_promises_beside_500_watched_rows() -> None:
    play_beside(STORIES["all is well"])
