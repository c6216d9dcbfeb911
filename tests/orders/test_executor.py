"""One order's life: from a signal to a row that says what the broker said."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from snexec.broker.budget import Purpose
from snexec.errors import (
    DuplicateOrderError,
    NotFoundError,
    NotSentError,
    RateLimitedError,
    RefusedError,
    UnknownOutcomeError,
)
from snexec.ledger.damage import gone
from snexec.ledger.rows import trade_id
from snexec.orders.buying import SignalBuy
from snexec.signals import TakenSignal
from tests.fakes import (
    MOMENT_TEXT,
    Rig,
    make_order,
    make_signal,
    not_found,
    only_row,
    symbols_ordered,
    warnings_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from snexec.broker.answers import BrokerOrder
    from snexec.model import Mode
    from tests.conftest import LoggedErrors
    from tests.fakes import Request

pytestmark = pytest.mark.jumping_time


def orders_left(rig: Rig, mode: Mode = "paper") -> int:
    """Count what the budget still has for orders."""
    count = 0
    while rig.accounts.budget(mode).try_take(Purpose.ORDER):
        count += 1
    return count


# An order that goes well


async def test_a_signal_becomes_a_row_and_an_order_of_the_same_id(rig: Rig) -> None:
    await rig.trade(make_signal(id="n-1"))
    row = only_row(rig)
    expected_id = trade_id("paper", "n-1")
    assert row == {
        "id": expected_id,
        "symbol": "AAPL",
        "entryPrice": None,
        "exitPrice": None,
        "shares": None,
        "pnl": None,
        "catalystType": "fda_approval",
        "catalystTier": 1,
        "exitReason": None,
        "status": "open",
        "alpacaOrderId": "paper-o-1",
        "entryAt": MOMENT_TEXT,
        "exitAt": None,
        "createdAt": MOMENT_TEXT,
        "updatedAt": MOMENT_TEXT,
        "settledAt": None,
        "mode": "paper",
        "notional": 100.0,
        "starRating": 5,
        "priceAtSignal": 187.2,
        "signalId": "n-1",
        "wireMs": 0.0,
        "replyMs": 0.0,
        "fillMs": None,
        "highPrice": None,
        "exitOrderId": None,
    }
    (request,) = rig.paper.requests
    assert (request.symbol, request.notional) == ("AAPL", "100.00")
    assert request.client_order_id == expected_id
    assert rig.left.symbols == ["AAPL"]
    assert dict(rig.outcomes.counts) == {"placed": 1}
    assert rig.dispatcher.in_flight == rig.pending == 0
    (event,) = rig.events
    assert (event.event, event.signal_id, event.trade_id, event.symbol) == (
        *("placed", "n-1", expected_id),
        "AAPL",
    )
    assert event.sequence == 1
    told = {"mode": "paper", "notional": "100.00", "orderId": "paper-o-1"}
    assert event.more.items() >= told.items()
    order = rig.unsettled.get(expected_id)
    assert order is not None
    assert (order.order_id, order.due) == ("paper-o-1", 5.0)


@pytest.mark.parametrize(
    ("tier", "confidence", "notional", "stars"),
    [
        (1, None, "100.00", 5),
        (2, "low", "100.00", 5),
        (3, "high", "100.00", 5),
        (3, "medium", "75.00", 4),
        (4, "low", "50.12", 3),
    ],
)
async def test_stars_decide_the_dollars(
    make_rig: Callable[..., Rig],
    tier: int,
    confidence: str | None,
    notional: str,
    stars: int,
) -> None:
    rig = make_rig(bot={"trade_size_stars3": 50.129})
    await rig.trade(make_signal(catalystTier=tier, aiConfidence=confidence))
    assert rig.paper.requests[0].notional == notional
    assert only_row(rig)["starRating"] == stars
    assert only_row(rig)["notional"] == float(notional)


async def test_the_row_is_there_before_the_order_leaves(rig: Rig) -> None:
    found: list[str] = []

    async def look(request: Request) -> BrokerOrder:
        assert request.client_order_id is not None
        found.append(rig.rows()[request.client_order_id]["status"])
        return make_order(request.client_order_id)

    rig.paper.placing.append(look)
    await rig.trade(make_signal())
    assert found == ["open"]


async def test_no_order_leaves_whose_row_may_not_be_found_again(
    rig: Rig, logged_errors: LoggedErrors
) -> None:
    rig.store.watch.damage = gone("snexec.db")
    await rig.trade(make_signal())
    assert rig.paper.asked("place") == []
    assert dict(rig.skips.counts) == {"not_written": 1}
    assert rig.rows() == {}, "it goes as soon as rows can be written"
    [error] = logged_errors.take()
    assert "AAPL" in error
    assert "snexec.db was removed or replaced" in error


async def test_an_order_that_waits_looks_at_the_files_again(rig: Rig) -> None:
    looks: list[None] = []
    rig.ledger.look = lambda: looks.append(None)  # type: ignore[method-assign]
    rig.paper.placing.append(RateLimitedError("too many", wait_seconds=1.0))
    await rig.trade(make_signal())
    assert len(rig.paper.asked("place")) == 2
    assert len(looks) == 1


async def test_twenty_symbols_take_about_as_long_as_one(rig: Rig) -> None:
    rig.paper.seconds = 1.0
    await rig.trade(*(make_signal(f"S{n}") for n in range(20)))
    assert trio.current_time() == 1.0
    assert len(rig.rows()) == len(rig.paper.requests) == 20
    assert {row["alpacaOrderId"] is None for row in rig.rows().values()} == {False}


# One symbol, one open row


@pytest.mark.parametrize("ids", [True, False])
async def test_fifty_equal_signals_of_one_instant_are_one_order(
    rig: Rig, ids: bool
) -> None:
    rig.paper.seconds = 1.0
    await rig.trade(*(make_signal(id=f"n-{n}" if ids else None) for n in range(50)))
    assert len(rig.rows()) == len(rig.paper.requests) == 1
    assert dict(rig.skips.counts) == {"symbol_open": 49}
    assert orders_left(rig) == 159, "what was skipped costs no request"


async def test_a_skipped_signal_leaves_the_open_row_as_it_was(rig: Rig) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.dispatcher.run)
        rig.offer(make_signal())
        await trio.sleep(1)
        before = rig.rows()
        rig.offer(make_signal(priceAtSignal=1.0, catalystCategory="merger"))
        rig.orders.close()
    assert rig.rows() == before
    assert dict(rig.skips.counts) == {"symbol_open": 1}


async def test_one_id_is_one_order_over_restarts(
    make_rig: Callable[..., Rig], caplog: pytest.LogCaptureFixture
) -> None:
    first = make_rig()
    await first.trade(make_signal(id="n-1"))
    first.store._db.execute("UPDATE BotTrade SET status = 'closed'")
    second = make_rig()
    await second.trade(make_signal(id="n-1"), make_signal("MSFT", id="n-1"))
    assert second.paper.requests == []
    assert dict(second.skips.counts) == {"repeated": 2}
    assert warnings_of(caplog) == []


async def test_a_closed_symbol_may_be_bought_again(rig: Rig) -> None:
    rig.offer(make_signal())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.dispatcher.run)
        await wait_all_tasks_blocked()
        rig.store._db.execute("UPDATE BotTrade SET status = 'closed'")
        rig.offer(make_signal())
        rig.orders.close()
    assert len(rig.paper.requests) == len(rig.rows()) == 2


async def test_a_row_of_another_program_blocks_its_symbol(rig: Rig) -> None:
    rig.store._db.execute(
        "INSERT INTO BotTrade (id, symbol, status, createdAt, updatedAt)"
        " VALUES ('x', 'AAPL', 'open', 'x', 'x')"
    )
    await rig.trade(make_signal())
    assert rig.paper.requests == []
    assert dict(rig.skips.counts) == {"symbol_open": 1}


# What an earlier run has left


def left(make_rig: Callable[..., Rig], **settings: object) -> Rig:
    """Give the next run after one that died with a row whose order may have left."""
    first = make_rig()
    intent = SignalBuy(kept(first), first.orders._buying)
    first.open_row(intent.draw_up("paper"))
    rig = make_rig(**settings)
    rig.reconciler.load(rig.store.unsettled())
    return rig


def kept(rig: Rig) -> TakenSignal:
    """Take a signal whose feeder keeps it."""
    signal, now = make_signal(id="n-1"), trio.current_time()
    return TakenSignal(signal, now, 1, rig.settings.term, is_kept=True)


async def trade_again(rig: Rig) -> None:
    """Have the signal come again, and return when its order's task has ended."""
    rig.orders._queue.put(SignalBuy(kept(rig), rig.orders._buying))
    rig.orders.close()
    await rig.orders.run()


async def test_an_order_that_may_never_have_left_leaves_in_the_same_row(
    make_rig: Callable[..., Rig], caplog: pytest.LogCaptureFixture
) -> None:
    rig = left(make_rig)
    await trade_again(rig)
    row = only_row(rig)
    [request] = rig.paper.requests
    assert (request.kind, request.client_order_id) == ("place", row["id"])
    assert (row["status"], row["alpacaOrderId"]) == ("open", "paper-o-1")
    assert rig.told() == [("placed", None)]
    assert "an earlier run has drawn up the order" in warnings_of(caplog)[-1]


async def test_while_it_is_on_its_way_nobody_asks_and_then_it_is_young_and_of_this_run(
    make_rig: Callable[..., Rig],
) -> None:
    rig = left(make_rig)
    [order] = rig.unsettled
    order.placed_at = -100.0
    rig.paper.seconds = 3.0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trade_again, rig)
        await trio.sleep(1)
        assert len(rig.unsettled) == 0
    [order] = rig.unsettled
    assert (order.placed_at, order.due, order.of_this_run) == (3.0, 8.0, True)


async def test_one_that_had_left_is_found_by_its_id(
    make_rig: Callable[..., Rig],
) -> None:
    rig = left(make_rig)
    rig.paper.placing.append(
        DuplicateOrderError(status_code=422, body="{}", reason="no")
    )
    rig.paper.looking.append(make_order(only_row(rig)["id"]))
    await trade_again(rig)
    with trio.move_on_after(1):
        await rig.recover()
    assert len(rig.paper.asked("place")) == 1
    assert only_row(rig)["alpacaOrderId"] is not None
    assert rig.told() == [("placed", None)]


@pytest.mark.parametrize("reason", ["halted", "standby", "not_written"])
async def test_one_that_is_withheld_keeps_its_row_as_its_order_may_be_there(
    make_rig: Callable[..., Rig], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = left(make_rig)
    rig.writer.delay_seconds = 1
    if reason == "not_written":
        watch = rig.store.watch
        gone_by_then = partial(setattr, watch, "damage", gone("snexec.db"))
        monkeypatch.setattr(watch, "look_quickly", gone_by_then)  # after the commit
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trade_again, rig)
        await wait_all_tasks_blocked()
        rig.halt.on, rig.halt.standby = reason == "halted", reason == "standby"
    assert rig.paper.asked("place") == []
    assert only_row(rig)["status"] == "open"
    assert rig.told() == [("skipped", reason)]
    assert len(rig.unsettled) == 1, "recovery asks on"


async def test_one_that_was_given_up_and_is_withheld_is_given_up_again(
    make_rig: Callable[..., Rig],
) -> None:
    rig = left(make_rig)
    [order] = rig.unsettled
    rig.store.mark_not_found(order.trade_id)
    rig.unsettled.given_up(order)
    order.placed_at, order.due, order.pause = -100.0, 3600.0, 3600.0
    rig.writer.delay_seconds = 1
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trade_again, rig)
        await wait_all_tasks_blocked()
        rig.halt.on = True
    assert only_row(rig)["status"] == "open"
    rig.paper.looking.append(NotFoundError(status_code=404, body="", reason="none"))
    with trio.move_on_after(10):
        await rig.recover()
    assert rig.paper.asked("place") == []
    assert only_row(rig)["exitReason"] == "order_not_found", "its symbol is free"


async def test_one_for_which_there_is_no_connection_keeps_its_row(
    make_rig: Callable[..., Rig],
) -> None:
    rig = left(make_rig)
    rig.paper.placing.append(NotSentError("no connection within 5 s"))
    await trade_again(rig)
    assert only_row(rig)["status"] == "open"
    assert rig.told() == []
    assert dict(rig.outcomes.counts) == {"unknown": 1}


async def test_one_that_is_too_old_after_its_429_keeps_its_row(
    make_rig: Callable[..., Rig],
) -> None:
    rig = left(make_rig)
    rig.paper.placing.append(RateLimitedError("too many", wait_seconds=31))
    await trade_again(rig)
    assert len(rig.paper.asked("place")) == 1
    assert only_row(rig)["status"] == "open"
    assert rig.told() == [("skipped", "stale")]
    assert len(rig.unsettled) == 1, "recovery asks on"


async def test_one_that_waits_out_a_429_is_not_given_up_meanwhile(
    make_rig: Callable[..., Rig], nursery: trio.Nursery
) -> None:
    rig = left(make_rig, intake={"max_signal_age_sec": 300.0})

    async def accept(request: Request) -> BrokerOrder:
        await trio.sleep(3)
        return make_order(request.client_order_id or "")

    limited = RateLimitedError("too many", wait_seconds=90)
    rig.paper.placing.extend([limited, accept])
    nursery.start_soon(rig.recover)
    nursery.start_soon(trade_again, rig)
    await trio.sleep(92)
    assert len(rig.paper.asked("place")) == 2
    assert only_row(rig)["status"] == "open", "its symbol is not free"
    await trio.sleep(5)
    assert only_row(rig)["alpacaOrderId"] == "o-1"
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("was_missed", [False, True])
async def test_a_look_up_under_way_does_not_end_the_row_that_it_leaves_in(
    make_rig: Callable[..., Rig], nursery: trio.Nursery, *, was_missed: bool
) -> None:
    rig = left(make_rig)
    [order] = rig.unsettled
    order.placed_at = -25 * 3600.0
    if was_missed:
        rig.store.mark_not_found(order.trade_id)
        rig.unsettled.given_up(order)

    async def know_nothing(_request: Request) -> BrokerOrder:
        await trio.sleep(0.5)
        raise not_found()

    async def accept(request: Request) -> BrokerOrder:
        await trio.sleep(3)
        return make_order(request.client_order_id or "")

    rig.paper.looking.append(know_nothing)
    rig.paper.placing.append(accept)
    rig.writer.delay_seconds = 1  # its row is opened at 1, and would be ended at 1.5
    nursery.start_soon(rig.recover)
    nursery.start_soon(trade_again, rig)
    await trio.sleep(2)
    assert only_row(rig)["status"] == "open"
    assert rig.told() == []
    assert len(rig.unsettled) == 0, "nobody asks while it is under way"
    await trio.sleep(5)
    assert only_row(rig)["alpacaOrderId"] == "o-1"
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("status", [401, 403, 422])
async def test_one_that_is_refused_keeps_its_row_as_its_order_may_be_there(
    make_rig: Callable[..., Rig],
    nursery: trio.Nursery,
    logged_errors: LoggedErrors,
    status: int,
) -> None:
    rig = left(make_rig)
    nursery.start_soon(rig.recover)
    refused = RefusedError(status_code=status, body="{}", reason="no")
    rig.paper.placing.append(refused)
    await trade_again(rig)
    row = only_row(rig)
    await trio.sleep(3)
    assert only_row(rig) == row, "a 404 is no proof"
    assert (row["status"], rig.told()) == ("open", [])
    assert dict(rig.outcomes.counts) == {"unknown": 1}
    rig.paper.book[row["id"]] = make_order(row["id"], "new")
    await trio.sleep(30)
    assert only_row(rig)["alpacaOrderId"] == "o-1"
    assert len(logged_errors.take()) == 1
    nursery.cancel_scope.cancel()


async def test_one_that_is_refused_and_stays_unknown_is_given_up(
    make_rig: Callable[..., Rig], nursery: trio.Nursery, logged_errors: LoggedErrors
) -> None:
    rig = left(make_rig)
    nursery.start_soon(rig.recover)
    refused = RefusedError(status_code=403, body="{}", reason="no")
    rig.paper.placing.append(refused)
    await trade_again(rig)
    await trio.sleep(59)
    assert only_row(rig)["status"] == "open"
    await trio.sleep(60)
    assert only_row(rig)["exitReason"] == "order_not_found"
    assert len(logged_errors.take()) == 1
    nursery.cancel_scope.cancel()


# Its age


async def test_a_signal_too_old_when_its_row_is_written_leaves_none(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.writer.delay_seconds = 31
    await rig.trade(make_signal(id="n-1"))
    assert rig.rows() == {}
    assert rig.paper.requests == []
    assert dict(rig.skips.counts) == {"stale": 1}
    assert "its row could not be written in time" in warnings_of(caplog)[-1]
    assert rig.left.symbols == []
    assert rig.paper.budget._in_flight == 0
    assert orders_left(rig) == 160


# The mode


async def test_an_order_belongs_to_its_mode_to_the_end(rig: Rig) -> None:
    rig.paper.seconds = rig.live.seconds = 4
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.dispatcher.run)
        rig.offer(make_signal("A", id="n-1"))
        await trio.sleep(1)
        rig.set_mode("live")
        rig.offer(make_signal("B", id="n-1"))
        await trio.sleep(10)
        rig.orders.close()
    rows = {row["symbol"]: row for row in rig.rows().values()}
    assert (rows["A"]["mode"], rows["A"]["alpacaOrderId"]) == ("paper", "paper-o-1")
    assert (rows["B"]["mode"], rows["B"]["alpacaOrderId"]) == ("live", "live-o-1")
    assert {order.mode for order in rig.unsettled} == {"paper", "live"}
    assert [r.symbol for r in rig.paper.requests] == ["A"]
    assert [r.symbol for r in rig.live.requests] == ["B"]


# Ids


async def test_a_new_simulation_buys_what_the_last_one_bought(
    make_rig: Callable[..., Rig],
) -> None:
    first = make_rig(id_salt="one")
    await first.trade(make_signal(id="n-1"))
    first.store.end_simulation()
    second = make_rig(id_salt="two")
    second.paper.number_orders_from(2)
    await second.trade(make_signal(id="n-1"))
    assert len(second.paper.requests) == 1
    assert len(second.rows()) == 2


# Faults


async def test_a_fault_in_one_order_ends_that_order_alone(
    rig: Rig, logged_errors: LoggedErrors
) -> None:
    rig.paper.placing.append(ZeroDivisionError())
    await rig.trade(make_signal("A", id="n-1"), make_signal("B"))
    assert symbols_ordered(rig) == ["A", "B"]
    rows = {row["symbol"]: row for row in rig.rows().values()}
    assert rows["A"]["status"] == "open"
    assert rows["B"]["alpacaOrderId"] is not None
    (message,) = logged_errors.take()
    assert message.startswith("the order of A trade=sn-")
    assert "signal=n-1 failed" in message
    assert rig.dispatcher.in_flight == rig.accounts.leased["paper"] == 0
    followed = {order.symbol for order in rig.unsettled}
    assert followed == {"A", "B"}, "its row is left to recovery, as the line says"


async def test_a_row_that_the_database_refuses_means_no_order(
    rig: Rig, logged_errors: LoggedErrors
) -> None:
    rig.store._db.execute(
        "CREATE TRIGGER no BEFORE INSERT ON BotTrade WHEN NEW.symbol = 'A'"
        " BEGIN SELECT RAISE(ABORT, 'not that one'); END"
    )
    await rig.trade(make_signal("A", id="n-1"), make_signal("B"))
    assert symbols_ordered(rig) == ["B"]
    (message,) = logged_errors.take()
    assert message == (
        "A signal=n-1 is not traded: the database refuses its row (not that one)"
    )
    assert dict(rig.skips.counts) == {"not_written": 1}
    assert orders_left(rig) == 159


async def test_no_order_leaves_while_its_row_cannot_be_written(rig: Rig) -> None:
    rig.writer.gate = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.dispatcher.run)
        rig.offer(make_signal("A"))
        await trio.sleep(10)
        assert rig.paper.requests == []
        rig.writer.gate.set()
        rig.orders.close()
    assert [(r.symbol, r.at) for r in rig.paper.requests] == [("A", 10)]


async def test_every_line_about_an_order_names_signal_trade_and_symbol(
    rig: Rig, caplog: pytest.LogCaptureFixture, logged_errors: LoggedErrors
) -> None:
    caplog.set_level(logging.INFO)
    refused = RefusedError(status_code=403, body="{}", reason="no")
    rig.paper.placing.extend(
        [
            make_order(trade_id("paper", "n-1")),
            refused,
            NotSentError("no connection within 5 s"),
            UnknownOutcomeError("no answer within 10 s"),
        ]
    )
    symbols = ["A", "B", "C", "D"]

    await rig.trade(
        *(make_signal(s, id=f"n-{n}") for n, s in enumerate(symbols, start=1))
    )

    lines = sorted(
        (r for r in caplog.records if r.name == "TradeExecutor"),
        key=lambda line: str(vars(line)["about_symbol"]),
    )
    assert [vars(line)["about_symbol"] for line in lines] == symbols
    for number, line in enumerate(lines, start=1):
        fields = vars(line)
        signal, trade = f"n-{number}", trade_id("paper", f"n-{number}")
        assert (fields["about_signal"], fields["about_trade"]) == (signal, trade)
        assert f"trade={trade}" in line.getMessage()
        assert f"signal={signal}" in line.getMessage()
    assert len(logged_errors.take()) == 2


async def test_a_fault_in_sending_has_the_broker_asked_and_costs_no_request(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, logged_errors: LoggedErrors
) -> None:
    def broken(_order: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(rig.paper, "send_order", broken)
    await rig.trade(make_signal("A"))
    (error,) = logged_errors.take()
    assert error.startswith("the order of A trade=")
    (row,) = rig.rows().values()
    assert row["status"] == "open"
    order = rig.unsettled.get(row["id"])
    assert order is not None
    assert order.due <= trio.current_time(), "it may have left: the broker is asked"
    assert orders_left(rig) == 160, "the request of the budget is given back"
    assert rig.dispatcher.in_flight == rig.accounts.leased["paper"] == 0
