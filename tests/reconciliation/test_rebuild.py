"""Orders of ours that no row knows: each gets its row, and the row is true."""

from __future__ import annotations

import hashlib
import json
import logging
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
import trio

from snexec.broker.budget import Purpose
from snexec.errors import RateLimitedError, RefusedError, UnknownOutcomeError
from snexec.ledger.rows import trade_id
from snexec.reconciliation.found_sells import FoundSells
from snexec.reconciliation.rebuild import Found, Rebuild
from tests.fakes import (
    MOMENT,
    listed_order,
    make_order,
    make_signal,
    make_trade,
    not_found,
    warnings_of,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from snexec.model import Mode
    from snexec.reconciliation.rebuild import Rebuilt
    from tests.conftest import LoggedErrors
    from tests.fakes import Rig

pytestmark = pytest.mark.jumping_time

SINCE = MOMENT - timedelta(days=7)
LATER = timedelta(hours=1)


def ours(name: str) -> str:
    """Return an id of the form that this program makes, always the same for a name."""
    return f"sn-{hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()}"


def at_broker(
    rig: Rig,
    name: str,
    symbol: str = "AAPL",
    status: str = "filled",
    *,
    mode: Mode = "paper",
    hours_ago: float = 1.0,
    quantity: str = "2",
    held: str | None = "2",
) -> str:
    """Have the broker know an order, and hold so much of it; return its id."""
    row_id = ours(name)
    bought = quantity if status in {"filled", "partially_filled"} else "0"
    client = rig.accounts.clients[mode]
    at = MOMENT - timedelta(hours=hours_ago)
    client.listed.append(
        listed_order(row_id, symbol, status, at=at, filled_qty=bought, order_id=name)
    )
    price = "50" if bought != "0" else None
    client.book[row_id] = make_order(
        row_id, status, order_id=name, quantity=bought, price=price
    )
    if held is not None and bought != "0":
        client.holds[symbol.replace("BRK/B", "BRK.B")] = Decimal(held)
    return row_id


@pytest.fixture
async def running(rig: Rig, nursery: trio.Nursery) -> AsyncIterator[Rig]:
    """Give a rig whose recovery runs."""
    nursery.start_soon(rig.fills.run)
    nursery.start_soon(rig.recover)
    yield rig
    nursery.cancel_scope.cancel()


async def rebuild(rig: Rig) -> list[Rebuilt]:
    return await rig.reconciler.rebuild.rebuild(
        SINCE, purpose=Purpose.RECOVERY, patience_seconds=600
    )


def said(rig: Rig, row_id: str) -> tuple[object, ...]:
    row = rig.rows()[row_id]
    return (
        *(row["status"], row["exitReason"], row["shares"], row["entryPrice"]),
        row["settledAt"] is not None,
    )


OPEN = ("open", None, 2.0, 50.0, True)
SOLD = ("closed", "rebuilt", 2.0, 50.0, True)
LATE = ("missed", "order_found_late", 2.0, 50.0, True)


async def test_an_order_that_no_row_knows_has_its_row_as_if_it_had_never_been_lost(
    running: Rig, logged_errors: LoggedErrors, caplog: pytest.LogCaptureFixture
) -> None:
    row_id = at_broker(running, "o-1", "BRK/B")
    [paper, live] = await rebuild(running)
    assert said(running, row_id) == OPEN
    row = running.rows()[row_id]
    assert (row["symbol"], row["mode"], row["alpacaOrderId"]) == (
        "BRK.B",
        "paper",
        "o-1",
    )
    assert row["createdAt"] == row["entryAt"] == "2026-01-05T13:30:00.123Z"
    assert [each.trade_id for each in paper.rows] == [row_id]
    assert (live.mode, live.rows, live.problem) == ("live", [], "")
    assert logged_errors.take() == [
        f"BRK.B trade={row_id} signal=None: the broker has order o-1 of ours that no"
        " row knows: its row is written, open"
    ]
    assert warnings_of(caplog) == [
        "paper since 2025-12-29 14:30 UTC: 1 of our orders had no row; each gets the"
        " one that is named above"
    ]
    [line] = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert vars(line)["about_order"] == "o-1"
    assert await rebuild(running) == [paper._replace(rows=[]), live]


@pytest.mark.parametrize(
    ("status", "becomes"),
    [
        ("new", ("open", None, None, None, False)),
        ("accepted", ("open", None, None, None, False)),
        ("partially_filled", ("open", None, 2.0, 50.0, False)),
        ("filled", OPEN),
        ("canceled", ("missed", "alpaca_canceled", None, None, True)),
        ("expired", ("missed", "alpaca_expired", None, None, True)),
        ("rejected", ("missed", "alpaca_rejected", None, None, True)),
        ("never heard of", ("open", None, None, None, False)),
    ],
)
async def test_its_row_says_what_the_broker_says(
    running: Rig,
    logged_errors: LoggedErrors,
    status: str,
    becomes: tuple[object, ...],
) -> None:
    row_id = at_broker(running, "o-1", status=status)
    await rebuild(running)
    assert said(running, row_id) == becomes
    assert len(logged_errors.take()) == 1


async def test_neither_its_signal_nor_its_symbol_is_bought_again(
    running: Rig, logged_errors: LoggedErrors
) -> None:
    row_id = trade_id("paper", "n-1")
    running.paper.listed.append(listed_order(row_id))
    running.paper.book[row_id] = make_order(
        row_id, "filled", order_id=f"o-{row_id}", quantity="2", price="50"
    )
    running.paper.holds["AAPL"] = Decimal(2)
    await rebuild(running)
    await running.trade(make_signal(id="n-1"), make_signal(id="n-2"))
    assert running.told("skipped") == [
        ("skipped", "repeated"),
        ("skipped", "symbol_open"),
    ]
    assert running.paper.asked("place") == []
    assert len(logged_errors.take()) == 1


async def test_orders_of_others_and_sells_are_never_touched(running: Rig) -> None:
    for number, changes in enumerate(
        [
            {"client_order_id": "b28e2b24-b1b2-40cc-8979-63f45e8edc02"},
            {"client_order_id": f"{ours('x')}-x1"},
            {"side": "sell"},
        ]
    ):
        running.paper.listed.append(listed_order(ours(str(number)), **changes))  # type: ignore[arg-type]
    await rebuild(running)
    assert running.rows() == {}


async def test_a_row_that_is_there_stays_as_it_is(running: Rig) -> None:
    row_id = at_broker(running, "o-1")
    running.open_row(make_trade(row_id, signal_id="n-1"), order_id="o-1")
    before = running.rows()
    await rebuild(running)
    assert running.rows() == before
    assert running.paper.asked("position") == []


async def test_a_row_that_comes_between_the_list_and_its_own_stays(
    running: Rig,
) -> None:
    row_id = at_broker(running, "o-1")

    async def look() -> None:
        await rebuild(running)

    running.paper.seconds = 1.0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(look)
        await trio.sleep(0.5)
        running.open_row(make_trade(row_id, signal_id="n-1"), order_id="o-1")
    assert running.rows()[row_id]["signalId"] == "n-1"


async def test_where_the_position_is_gone_it_was_sold_and_its_symbol_is_free(
    running: Rig, logged_errors: LoggedErrors, caplog: pytest.LogCaptureFixture
) -> None:
    row_id = at_broker(running, "o-1", held=None)
    [paper, _live] = await rebuild(running)
    assert said(running, row_id) == SOLD
    assert [row.reason for row in paper.rows] == ["rebuilt"]
    assert [each.at for each in running.paper.asked("position")] == [0, 15]
    assert any("its row is closed (rebuilt)" in each for each in warnings_of(caplog))
    await running.trade(make_signal(id="n-2"))
    assert len(running.paper.asked("place")) == 1
    assert len(logged_errors.take()) == 1


async def test_while_a_position_lags_behind_the_row_stays_open(
    running: Rig, logged_errors: LoggedErrors
) -> None:
    row_id = at_broker(running, "o-1")
    running.paper.asking.append(not_found())
    await rebuild(running)
    assert said(running, row_id) == OPEN
    logged_errors.take()


async def test_where_the_position_cannot_be_asked_the_row_stays_open(
    running: Rig, logged_errors: LoggedErrors
) -> None:
    row_id = at_broker(running, "o-1")
    running.paper.asking += [UnknownOutcomeError("lost")] * 3
    await rebuild(running)
    assert said(running, row_id) == OPEN
    logged_errors.take()


async def test_of_several_orders_of_a_symbol_the_position_is_the_newest_ones(
    running: Rig, logged_errors: LoggedErrors
) -> None:
    oldest = at_broker(running, "o-1", hours_ago=3)
    older = at_broker(running, "o-2", hours_ago=2)
    newest = at_broker(running, "o-3", hours_ago=1)
    [paper, _live] = await rebuild(running)
    assert (said(running, newest), said(running, older)) == (OPEN, SOLD)
    assert said(running, oldest) == SOLD
    assert {row.trade_id for row in paper.rows} == {oldest, older, newest}
    assert not any("held by no" in line for line in logged_errors.take())


async def test_two_that_are_held_are_one_open_row_and_one_that_is_told(
    running: Rig, logged_errors: LoggedErrors
) -> None:
    older = at_broker(running, "o-1", hours_ago=2)
    newer = at_broker(running, "o-2", hours_ago=1, held="4")
    await rebuild(running)
    assert (said(running, newer), said(running, older)) == (OPEN, LATE)
    assert any("held by no open row" in line for line in logged_errors.take())


async def test_the_brokers_fee_on_a_coin_does_not_make_it_sold(
    running: Rig, logged_errors: LoggedErrors
) -> None:
    older = at_broker(running, "o-1", "BTC/USD", hours_ago=2)
    at_broker(running, "o-2", "BTC/USD", hours_ago=1, held="3.99")
    await rebuild(running)
    assert said(running, older) == LATE
    logged_errors.take()


async def test_a_symbol_that_has_an_open_row_keeps_it_and_the_order_is_told(
    running: Rig, logged_errors: LoggedErrors
) -> None:
    running.open_row(make_trade("sn-0", "AAPL"))
    row_id = at_broker(running, "o-1")
    await rebuild(running)
    assert said(running, row_id) == LATE
    assert running.rows()["sn-0"]["status"] == "open"
    [found, late] = logged_errors.take()
    assert found.endswith("its row is written, missed (order_found_late)")
    assert "trade=sn-0 is its symbol's open row now: 2.0 shares at 50.0" in late


async def test_an_order_that_waits_for_its_position_is_not_found_again_meanwhile(
    running: Rig, logged_errors: LoggedErrors
) -> None:
    older = at_broker(running, "o-1", hours_ago=2, held=None)
    newer = at_broker(running, "o-2", hours_ago=1, held=None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rebuild, running)
        await trio.sleep(5)
        assert list(running.rows()) == [newer]
        again = Found("paper")
        await running.reconciler.rebuild.look(again, SINCE, Purpose.RECOVERY)
        assert (again.rows, again.older) == ([], [])
        assert list(running.rows()) == [newer]
    assert said(running, older) == SOLD
    logged_errors.take()


async def test_a_rebuild_that_is_cancelled_leaves_nothing_unfindable(
    running: Rig, logged_errors: LoggedErrors
) -> None:
    older = at_broker(running, "o-1", hours_ago=2, held="4")
    at_broker(running, "o-2", hours_ago=1, held="4")
    running.paper.seconds = 1.0
    with trio.move_on_after(2.5):
        await rebuild(running)
    assert older not in running.rows()
    await rebuild(running)
    assert said(running, older)[0] == "missed"
    logged_errors.take()


def started_anew(rig: Rig) -> Rebuild:
    """Return what the next start on the same file has."""
    sells = FoundSells(rig.ledger.writer)
    fresh = Rebuild(rig.accounts, rig.ledger, rig.unsettled, sells)
    rig.ledger.load(simulated=False, tally=False)
    fresh.load()
    return fresh


async def look_and_conclude(rebuild: Rebuild) -> Found:
    """Do what a sweep does."""
    found = Found("paper")
    await rebuild.look(found, SINCE, Purpose.RECOVERY)
    await rebuild.conclude(found, Purpose.RECOVERY)
    return found


@pytest.mark.parametrize("status", ["filled", "partially_filled"])
async def test_a_row_whose_shares_were_sold_is_closed_by_the_next_start_after_a_stop(
    running: Rig, logged_errors: LoggedErrors, status: str
) -> None:
    row_id = at_broker(running, "o-1", status=status, held=None)
    with trio.move_on_after(5):  # while it is asked whether the position comes yet
        await rebuild(running)
    assert running.rows()[row_id]["status"] == "open"
    running.paper.book[row_id] = make_order(
        row_id, "filled", order_id="o-1", quantity="2", price="50"
    )
    await trio.sleep(60)
    await look_and_conclude(started_anew(running))
    assert said(running, row_id) == SOLD
    assert (await look_and_conclude(started_anew(running))).left == []
    logged_errors.take()


async def test_a_row_whose_shares_are_held_is_not_asked_about_by_every_start(
    running: Rig, logged_errors: LoggedErrors
) -> None:
    row_id = at_broker(running, "o-1")
    await rebuild(running)
    asked = len(running.paper.asked("position"))
    found = await look_and_conclude(started_anew(running))
    assert (found.left, said(running, row_id)) == ([], OPEN)
    assert len(running.paper.asked("position")) == asked
    logged_errors.take()


async def test_what_no_answer_was_got_about_the_next_look_asks_again(
    running: Rig, logged_errors: LoggedErrors
) -> None:
    row_id = at_broker(running, "o-1", held=None)
    running.paper.asking += [UnknownOutcomeError("lost")] * 3
    await rebuild(running)
    assert said(running, row_id) == OPEN
    await rebuild(running)
    assert said(running, row_id) == SOLD
    logged_errors.take()


async def test_the_newest_of_what_a_stop_left_and_what_is_found_is_what_is_held(
    running: Rig, logged_errors: LoggedErrors
) -> None:
    older = at_broker(running, "o-1", hours_ago=2)
    with trio.move_on_after(0):
        await rebuild(running)
    first = started_anew(running)
    found = Found("paper")
    await first.look(found, SINCE, Purpose.RECOVERY)
    newer = at_broker(running, "o-2", hours_ago=1)
    await trio.sleep(1)
    await look_and_conclude(started_anew(running))
    assert said(running, older) == SOLD
    assert said(running, newer) == OPEN, "its symbol is free then"
    lines = logged_errors.take()
    assert any(
        f"trade={newer} had given way to trade={older}" in each for each in lines
    )


async def test_where_it_takes_too_long_it_is_said_and_goes_on_by_itself(
    running: Rig, logged_errors: LoggedErrors
) -> None:
    row_id = at_broker(running, "o-1")
    running.paper.looking += [UnknownOutcomeError("lost")] * 4
    [paper, _live] = await running.reconciler.rebuild.rebuild(
        SINCE, purpose=Purpose.RECOVERY, patience_seconds=5
    )
    assert paper.problem.startswith("not all that was found is settled after 5 s")
    assert said(running, row_id)[-1] is False
    await trio.sleep(60)
    assert said(running, row_id) == OPEN
    logged_errors.take()


async def test_an_account_that_cannot_be_asked_is_a_problem_of_its_own(
    running: Rig, logged_errors: LoggedErrors
) -> None:
    refusal = RefusedError(status_code=401, body="", reason="unauthorized")
    running.paper.listing.append(refusal)
    row_id = at_broker(running, "o-1", mode="live")
    [paper, live] = await rebuild(running)
    assert (paper.rows, paper.problem) == ([], "HTTP 401: unauthorized")
    assert [row.trade_id for row in live.rows] == [row_id]
    assert running.rows()[row_id]["mode"] == "live"
    logged_errors.take()


async def test_a_mode_without_keys_is_not_asked(running: Rig) -> None:
    running.accounts.lose_keys("live")
    at_broker(running, "o-1", mode="live")
    [paper] = await rebuild(running)
    assert paper.mode == "paper"
    assert running.rows() == {}


async def test_a_page_that_does_not_come_whole_is_asked_for_in_parts(
    running: Rig, logged_errors: LoggedErrors
) -> None:
    row_id = at_broker(running, "o-1")
    running.paper.listing += [UnknownOutcomeError("longer than 1 MiB")] * 2
    [paper, _live] = await rebuild(running)
    assert paper.problem == ""
    paths = [each.path or "" for each in running.paper.asked("list")]
    assert ["limit=500" in paths[0], "limit=250" in paths[1]] == [True, True]
    assert "limit=125" in paths[2]
    assert row_id in running.rows()
    logged_errors.take()


async def test_a_429_is_waited_for(running: Rig, logged_errors: LoggedErrors) -> None:
    row_id = at_broker(running, "o-1")
    running.paper.listing.append(RateLimitedError("HTTP 429", wait_seconds=7.0))
    await rebuild(running)
    assert [each.at for each in running.paper.asked("list")] == [0, 7]
    assert row_id in running.rows()
    logged_errors.take()


async def test_what_was_listed_before_the_list_broke_off_has_its_rows(
    running: Rig, logged_errors: LoggedErrors
) -> None:
    row_id = at_broker(running, "o-1")
    first = [listed_order(f"foreign-{n}") for n in range(499)]
    page = json.dumps([running.paper.listed[0], *first]).encode()
    refusal = RefusedError(status_code=403, body="", reason="forbidden")
    running.paper.listing += [page, refusal]
    [paper, _live] = await rebuild(running)
    assert (paper.problem, len(paper.rows)) == ("HTTP 403: forbidden", 1)
    assert row_id in running.rows()
    logged_errors.take()


async def test_an_order_of_ours_that_cannot_be_read_is_named(
    running: Rig, logged_errors: LoggedErrors
) -> None:
    row_id = ours("x")
    running.paper.listed.append(listed_order(row_id, symbol=""))
    [paper, _live] = await rebuild(running)
    assert running.rows() == {}
    [line] = logged_errors.take()
    assert line.startswith(f"paper lists order {row_id} of ours that no row knows")
    assert paper.problem == f"order {row_id} has no row that can be written"
    running.open_row(make_trade(row_id))
    [paper, _live] = await rebuild(running)
    assert paper.problem == "", "its row is there"


async def test_a_row_that_may_not_be_written_is_named_and_stops_no_other(
    running: Rig, logged_errors: LoggedErrors
) -> None:
    bad = at_broker(running, "o-1", "BAD")
    row_id = at_broker(running, "o-2", "KO")
    running.store._db.execute(
        "CREATE TRIGGER no BEFORE INSERT ON BotTrade WHEN NEW.symbol = 'BAD'"
        " BEGIN SELECT RAISE(ABORT, 'not that one'); END"
    )
    [paper, _live] = await rebuild(running)
    again = await rebuild(running)
    assert paper.problem == f"order {bad} has no row that can be written"
    assert again[0].problem == paper.problem, "it is tried again, and told once"
    assert list(running.rows()) == [row_id]
    told = [line for line in logged_errors.take() if "held by no row" in line]
    assert len(told) == 1
    assert "(not that one)" in told[0]


async def test_a_symbol_that_is_not_ordered_any_more_is_kept_as_it_is_spelled(
    running: Rig, logged_errors: LoggedErrors
) -> None:
    row_id = at_broker(running, "o-1", "ETH/BTC")
    await rebuild(running)
    assert running.rows()[row_id]["symbol"] == "ETH/BTC"
    logged_errors.take()
