"""What the broker says of an order, put into its row and told."""

from __future__ import annotations

import functools
import logging
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from snexec.errors import NotSentError, RateLimitedError, UnknownOutcomeError
from tests.fakes import Rig, make_order, make_trade, not_found, warnings_of
from tests.ledger.hands import write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from snexec.model import Mode
    from tests.conftest import LoggedErrors

pytestmark = pytest.mark.jumping_time

OPEN = ("open", None, None, None, "o-1", False)
FILLED = ("open", None, 86.878, 0.5, "o-1", True)


@pytest.fixture
async def rig(rig: Rig, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture) -> Rig:
    """Give a rig with row sn-1 open, whose fills are worked through."""
    caplog.set_level(logging.DEBUG)
    rig.open_row(make_trade())
    nursery.start_soon(rig.fills.run)
    return rig


async def fill(rig: Rig, **changes: Any) -> None:  # noqa: ANN401
    """Bring the final fill of sn-1's order, unless told otherwise."""
    values: dict[str, Any] = {
        "event": "fill",
        "order_id": "o-1",
        "filled_qty": "0.5",
        "filled_avg_price": "86.878",
        "symbol": "AAPL",
        "mode": "paper",
        "client_order_id": "sn-1",
    }
    await rig.fills.on_fill_event(**values | changes)


async def partial(rig: Rig, **changes: Any) -> None:  # noqa: ANN401
    """Bring a partial fill of sn-1's order."""
    values = {"event": "partial_fill", "filled_qty": "0.2", "filled_avg_price": "80"}
    await fill(rig, **values | changes)


async def rejected(rig: Rig, **changes: Any) -> None:  # noqa: ANN401
    """Bring the rejection of sn-1's order."""
    values: dict[str, Any] = {
        "order_id": "o-1",
        "symbol": "AAPL",
        "reason": None,
        "mode": "paper",
        "client_order_id": "sn-1",
    }
    await rig.fills.on_rejected_event(**values | changes)


# What a look-up may say of an order that works, but for ``partially_filled``.
WORDS = (
    *("new", "accepted", "pending_new", "done_for_day", "held"),
    *("pending_cancel", "pending_replace", "replaced", "suspended", "calculated"),
    *("stopped", "accepted_for_bidding", "pending_review", "", "FILLED", "weird"),
)


def said(rig: Rig, trade_id: str = "sn-1") -> tuple[object, ...]:
    """Return the columns that the broker's words are about."""
    row = rig.rows()[trade_id]
    return (
        *(row["status"], row["exitReason"], row["entryPrice"], row["shares"]),
        *(row["alpacaOrderId"], row["settledAt"] is not None),
    )


# Fills


async def test_a_fill_that_comes_before_the_reply_is_not_lost(rig: Rig) -> None:
    await fill(rig)
    assert said(rig) == FILLED
    assert [(e.event, e.trade_id) for e in rig.events] == [
        ("fill", "sn-1"),
        ("settled", "sn-1"),
    ]
    for event in rig.events:
        assert event.more == {
            "orderId": "o-1",
            "mode": "paper",
            "shares": 0.5,
            "entryPrice": 86.878,
            "status": "open",
            "source": "stream",
        }


async def test_a_fill_ends_the_asking(rig: Rig) -> None:
    rig.unsettled.placed(make_trade(), order_id="o-1")
    await fill(rig)
    assert len(rig.unsettled) == 0


async def test_an_execution_counts_once(rig: Rig) -> None:
    await fill(rig, execution_id="e-1")
    writes = rig.writer.writes
    await fill(rig, execution_id="e-1")
    assert rig.writer.writes == writes
    assert [name for name, _ in rig.told()] == ["fill", "settled"]


async def test_a_second_execution_of_a_filled_order_changes_nothing(rig: Rig) -> None:
    await fill(rig, execution_id="e-1")
    await fill(rig, execution_id="e-2", filled_qty="9", filled_avg_price="1")
    await fill(rig, filled_qty="9", filled_avg_price="1")
    assert said(rig) == FILLED
    assert [name for name, _ in rig.told()] == ["fill", "settled"]


@pytest.mark.parametrize(
    "changes",
    [
        {"order_id": "o-2", "client_order_id": "sn-2"},
        {"event": "partial_fill"},
        {"mode": "live"},
    ],
)
async def test_one_execution_id_hides_nothing_else(
    rig: Rig, changes: dict[str, object]
) -> None:
    rig.open_row(make_trade("sn-2", "MSFT"))
    await fill(rig, execution_id="e-1", **changes)
    await fill(rig, execution_id="e-1")
    await wait_all_tasks_blocked()
    assert said(rig) == FILLED


@pytest.mark.parametrize(
    ("quantity", "price", "becomes"),
    [
        (None, "86.878", (None, 86.878)),
        ("0.5", None, (0.5, None)),
        (None, None, (None, None)),
        ("NaN", "inf", (None, None)),
        ("sNaN", "sNaN", (None, None)),
        ("", "1e999", (None, None)),
        ("-1", "0", (None, None)),
        (True, [1], (None, None)),
        ({}, "9" * 400, (None, None)),
        ("0", "86.878", (None, 86.878)),
        (float("nan"), float("inf"), (None, None)),
        (10**400, 10**4000, (None, None)),
    ],
)
async def test_a_number_that_cannot_be_read_never_reaches_a_row(
    rig: Rig, quantity: object, price: object, becomes: tuple[float, float]
) -> None:
    rig.unsettled.placed(make_trade(), order_id="o-1")
    await fill(rig, filled_qty=quantity, filled_avg_price=price)
    shares, entry_price = becomes
    assert said(rig) == ("open", None, entry_price, shares, "o-1", False)
    order = rig.unsettled.get("sn-1")
    assert order is not None
    assert order.due == trio.current_time(), "the order is looked up"


async def test_a_readable_look_up_completes_an_unreadable_fill(rig: Rig) -> None:
    await fill(rig, filled_qty=None)
    looked_up = make_order("sn-1", "filled", quantity="0.5", price="86.878")
    await rig.fills.on_looked_up("paper", looked_up, "AAPL")
    assert said(rig) == FILLED


# Partial fills


async def test_a_partial_fill_takes_its_shares_from_the_position(rig: Rig) -> None:
    rig.paper.holds["AAPL"] = Decimal("7.25")
    await partial(rig)
    await wait_all_tasks_blocked()
    assert said(rig) == ("open", None, 80.0, 7.25, "o-1", False)
    assert [r.symbol for r in rig.paper.asked("position")] == ["AAPL"]
    (told,) = rig.events
    assert (told.event, told.more["shares"]) == ("partial_fill", 7.25)


async def test_a_partial_fill_without_a_price_keeps_the_price(rig: Rig) -> None:
    rig.paper.holds["AAPL"] = Decimal("7.25")
    await partial(rig)
    await partial(rig, filled_avg_price=None)
    await wait_all_tasks_blocked()
    assert said(rig) == ("open", None, 80.0, 7.25, "o-1", False)


async def test_a_late_partial_fill_does_not_undo_a_fill(rig: Rig) -> None:
    rig.paper.holds["AAPL"] = Decimal("7.25")
    await fill(rig)
    await partial(rig)
    await wait_all_tasks_blocked()
    assert said(rig) == FILLED
    assert rig.paper.requests == [], "and asks nobody"


async def test_a_position_that_is_not_there_yet_is_asked_for_again(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.paper.asking.extend([not_found(), not_found(), Decimal(7)])
    await partial(rig)
    await trio.sleep(5)
    assert said(rig) == ("open", None, 80.0, 7.0, "o-1", False)
    assert [r.at for r in rig.paper.asked("position")] == pytest.approx([0, 0.1, 0.4])
    assert warnings_of(caplog) == []


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        (not_found(), "no position"),
        (UnknownOutcomeError("no answer within 10 s"), "no answer"),
        (NotSentError("ConnectError"), "no answer"),
        (RateLimitedError("HTTP 429", wait_seconds=1), "no answer"),
    ],
)
async def test_a_position_that_stays_unreadable_warns_and_leaves_the_shares(
    rig: Rig, caplog: pytest.LogCaptureFixture, problem: Exception, kind: str
) -> None:
    rig.paper.holds["AAPL"] = Decimal(3)
    await partial(rig, filled_avg_price="79")
    await trio.sleep(1)
    rig.paper.asking.extend([problem] * 5)
    await partial(rig)
    await trio.sleep(30)
    assert said(rig) == ("open", None, 80.0, 3.0, "o-1", False)
    assert len(rig.paper.asked("position")) == 6
    (warning,) = warnings_of(caplog)
    assert warning.startswith(
        "partial fill of AAPL trade=sn-1 signal=None: the position cannot"
    )
    assert kind in warning


async def test_a_rate_limited_position_waits_as_long_as_it_is_told(rig: Rig) -> None:
    rig.paper.asking.extend([RateLimitedError("HTTP 429", wait_seconds=20), Decimal(3)])
    await partial(rig)
    await trio.sleep(60)
    first, second = rig.paper.asked("position")
    assert second.at - first.at >= 20
    assert said(rig)[3] == 3.0


async def test_other_orders_events_pass_a_partial_fill_that_waits(rig: Rig) -> None:
    rig.open_row(make_trade("sn-2", "MSFT"))
    rig.paper.seconds = 8
    rig.paper.holds["AAPL"] = Decimal(3)
    await partial(rig)
    await trio.sleep(1)
    await fill(rig, order_id="o-2", client_order_id="sn-2", symbol="MSFT")
    assert trio.current_time() == 1
    assert said(rig, "sn-2") == ("open", None, 86.878, 0.5, "o-2", True)
    assert said(rig)[3] is None
    await trio.sleep(10)
    assert said(rig)[3] == 3.0


async def test_many_partial_fills_are_asked_about_at_once(rig: Rig) -> None:
    rig.paper.seconds = 2
    for n in range(2, 12):
        rig.open_row(make_trade(f"sn-{n}", f"S{n}"))
        rig.paper.holds[f"S{n}"] = Decimal(n)
        await partial(rig, order_id=f"o-{n}", client_order_id=f"sn-{n}", symbol=f"S{n}")
    await trio.sleep(2.1)
    assert [said(rig, f"sn-{n}")[3] for n in range(2, 12)] == list(range(2, 12))


async def test_a_fill_supersedes_a_partial_fill_that_waits(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.paper.seconds = 8
    rig.paper.holds["AAPL"] = Decimal(3)
    await partial(rig)
    await trio.sleep(1)
    await fill(rig)
    await wait_all_tasks_blocked()
    assert trio.current_time() == 1
    assert said(rig) == FILLED
    await trio.sleep(20)
    assert said(rig) == FILLED
    assert [name for name, _ in rig.told()] == ["partial_fill", "fill", "settled"]
    assert warnings_of(caplog) == []
    assert rig.accounts.leased["paper"] == 0


async def test_partial_fills_of_one_order_are_applied_in_their_order(rig: Rig) -> None:
    rig.paper.seconds = 1
    rig.paper.asking.extend([Decimal(1), Decimal(2), Decimal(3)])
    for price in ("80", "81", "82"):
        await partial(rig, filled_avg_price=price)
        await trio.sleep(2)
    assert said(rig) == ("open", None, 82.0, 3.0, "o-1", False)
    assert [e.more["entryPrice"] for e in rig.events] == [80.0, 81.0, 82.0]


async def test_only_the_last_of_many_partial_fills_asks_for_the_position(
    rig: Rig,
) -> None:
    rig.paper.seconds = 1
    rig.paper.asking.extend([Decimal(3), Decimal(99)])
    for price in ("80", "81", "82"):
        await partial(rig, filled_avg_price=price)
    await trio.sleep(10)
    assert said(rig) == ("open", None, 82.0, 3.0, "o-1", False)
    assert [e.more["entryPrice"] for e in rig.events] == [80.0, 81.0, 82.0]
    assert list(rig.paper.asking) == [Decimal(99)]


async def test_a_flood_of_partial_fills_of_one_order_is_one_that_waits(
    rig: Rig,
) -> None:
    rig.paper.seconds = 1
    rig.paper.holds["AAPL"] = Decimal(3)
    for number in range(5_000):
        price = None if number == 4_999 else f"{80 + number}"
        await partial(rig, filled_avg_price=price, execution_id=f"e-{number}")
    assert len(rig.fills._queues["o-1"].steps) <= 16
    await trio.sleep(10)
    assert said(rig) == ("open", None, 5078.0, 3.0, "o-1", False), "the newest counts"


async def test_a_look_up_that_a_flood_swallows_is_over_all_the_same(rig: Rig) -> None:
    rig.paper.seconds = 1
    for number in range(20):
        await partial(rig, execution_id=f"e-{number}")
    over: list[str] = []
    order = make_order("sn-1", "partially_filled", quantity="0.1", price="80")
    for name in ("first", "second"):
        await rig.fills.on_looked_up(
            "paper", order, "AAPL", over=functools.partial(over.append, name)
        )
    await trio.sleep(20)
    assert over == ["first", "second"]


async def test_a_flood_of_one_orders_events_is_bounded_and_its_fill_counts(
    rig: Rig,
) -> None:
    rig.paper.seconds = 1
    rig.writer.gate = trio.Event()
    for number in range(5_000):
        await partial(rig, execution_id=f"p-{number}")
        await fill(rig, execution_id=f"f-{number}")
    assert len(rig.fills._queues["o-1"].steps) <= 64
    rig.writer.gate.set()
    await trio.sleep(10)
    assert said(rig) == FILLED


async def test_a_flood_of_partial_fills_without_rows_is_held_back(rig: Rig) -> None:
    rig.writer.gate = trio.Event()
    with trio.move_on_after(60) as flood:
        for number in range(5_000):
            await partial(rig, order_id=f"x-{number}", client_order_id=f"sn-y{number}")
    assert flood.cancelled_caught
    assert len(rig.fills._queues) < 2_100
    rig.writer.gate.set()
    await trio.sleep(1)
    assert rig.fills._queues == {}
    with trio.fail_after(60):
        for number in range(5_000):
            await partial(rig, order_id=f"x-{number}", client_order_id=f"sn-y{number}")


async def test_what_is_too_long_for_a_symbol_does_not_wait_with_its_event(
    rig: Rig,
) -> None:
    rig.paper.seconds = 1
    await partial(rig, symbol="x" * 200_000)
    await fill(rig, symbol="x" * 200_000)
    await rejected(rig, symbol="x" * 200_000)
    steps = rig.fills._queues["o-1"].steps
    assert {len(step.symbol or "") for step in steps} == {33}
    assert {len(step.ref.symbol or "") for step in steps} == {33}
    await trio.sleep(5)
    assert said(rig)[3] is None, "no row has such a symbol"


async def test_a_look_up_that_says_less_keeps_no_position_from_being_asked(
    rig: Rig,
) -> None:
    rig.paper.seconds = 1
    rig.paper.holds["AAPL"] = Decimal(3)
    await partial(rig)
    await trio.sleep(0.5)
    await rig.fills.on_looked_up("paper", make_order("sn-1", "new"), "AAPL")
    await trio.sleep(10)
    assert said(rig) == ("open", None, 80.0, 3.0, "o-1", False)


async def test_a_rejection_behind_a_partial_fill_changes_nothing_and_warns(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.paper.seconds = 8
    await partial(rig)
    await rejected(rig)
    await trio.sleep(30)
    assert said(rig) == ("open", None, 80.0, None, "o-1", False)
    assert "nothing was changed" in warnings_of(caplog)[-1]
    assert rig.unsettled.get("sn-1") is not None, "the broker is asked what it means"


async def test_a_look_up_of_an_order_whose_row_is_gone_is_the_last_one(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.unsettled.placed(make_trade("gone", "KO"), order_id="o-9")
    order = make_order("gone", "filled", quantity="2", price="5")
    await rig.fills.on_looked_up("paper", order, "KO")
    assert rig.unsettled.get("gone") is None
    assert "its row is gone" in warnings_of(caplog)[-1]


async def test_an_order_that_the_stream_revives_is_asked_about_as_often_as_others(
    rig: Rig,
) -> None:
    rig.unsettled.placed(make_trade(), order_id=None)
    order = rig.unsettled.get("sn-1")
    assert order is not None
    order.missed, order.pause = True, 3600.0
    rig.store.mark_not_found("sn-1")
    await partial(rig)
    await trio.sleep(10)
    assert (order.missed, order.pause) == (False, 5.0)


async def test_a_partial_fill_asks_the_account_that_the_stream_belongs_to(
    rig: Rig,
) -> None:
    rig.open_row(make_trade("sn-2", "MSFT", mode="live"))
    rig.live.holds["MSFT"] = Decimal(4)
    await partial(
        rig, order_id="o-2", client_order_id="sn-2", symbol="MSFT", mode="live"
    )
    await wait_all_tasks_blocked()
    assert said(rig, "sn-2")[3] == 4.0
    assert rig.paper.requests == []


async def test_a_fault_in_one_orders_partial_fill_ends_that_alone(
    rig: Rig, logged_errors: LoggedErrors
) -> None:
    rig.paper.asking.append(ZeroDivisionError())
    await partial(rig)
    await wait_all_tasks_blocked()
    assert logged_errors.take() == [
        "could not apply what the broker said of o-1: recovery asks again"
    ]
    await fill(rig)
    assert said(rig) == FILLED


async def test_partial_fills_stop_when_the_daemon_does(rig: Rig) -> None:
    rig.paper.seconds = 8
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.fills.run)
        await partial(rig)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert trio.current_time() == 1


# Rejections


async def test_a_rejection_makes_the_row_missed_and_says_so_exactly(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    await rejected(rig)
    assert said(rig) == ("missed", "alpaca_rejected", None, None, "o-1", True)
    (record,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert record.name == "TradeExecutor"
    assert record.getMessage() == "Order rejected: AAPL orderId=o-1"
    assert rig.told() == [
        ("rejected", "alpaca_rejected"),
        ("settled", "alpaca_rejected"),
    ]
    assert rig.events[-1].more["status"] == "missed"


@pytest.mark.parametrize(
    ("reason", "is_about_symbol"),
    [(None, False), ("no buying power", False), ('asset "AAPL" is not tradable', True)],
)
async def test_a_rejection_is_told_with_what_it_is_about(
    rig: Rig, reason: str | None, *, is_about_symbol: bool
) -> None:
    await rejected(rig, reason=reason)
    assert rig.events[0].is_about_symbol == is_about_symbol


async def test_a_rejection_counts_once(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    for execution in ("e-1", "e-1", "e-2", None, None):
        await rejected(rig, execution_id=execution)
    assert len(warnings_of(caplog)) == 1
    assert len(rig.events) == 2


async def test_a_rejection_before_the_reply_is_not_undone_by_the_reply(
    rig: Rig,
) -> None:
    await rejected(rig)
    for status in ("pending_new", "accepted", "new", "done_for_day"):
        await rig.fills.on_looked_up("paper", make_order("sn-1", status), "AAPL")
    assert said(rig) == ("missed", "alpaca_rejected", None, None, "o-1", True)


@pytest.mark.parametrize("streamed", [False, True])
async def test_what_was_bought_before_a_rejection_stays_bought(
    rig: Rig,
    logged_errors: LoggedErrors,
    caplog: pytest.LogCaptureFixture,
    *,
    streamed: bool,
) -> None:
    if streamed:
        await rejected(rig, filled_qty="0.4", filled_avg_price="80")
    else:
        order = make_order("sn-1", "rejected", quantity="0.4", price="80")
        await rig.fills.on_looked_up("paper", order, "AAPL")
    assert said(rig) == ("open", None, 80.0, 0.4, "o-1", True)
    assert logged_errors.take() == [
        "AAPL trade=sn-1 signal=None: the broker rejected order o-1 after it had bought"
        " 0.4 shares; they are kept, look at the account"
    ]
    assert warnings_of(caplog) == []
    assert [name for name, _ in rig.told()] == ["fill", "settled"]


async def test_what_was_bought_before_a_rejection_is_an_error_once(
    rig: Rig, logged_errors: LoggedErrors
) -> None:
    order = make_order("sn-1", "rejected", quantity="0.4", price=None)
    for _ in range(3):
        await rig.fills.on_looked_up("paper", order, "AAPL")
    assert said(rig) == ("open", None, None, 0.4, "o-1", False)
    assert len(logged_errors.take()) == 1


async def test_a_rejection_whose_numbers_cannot_be_read_is_looked_up(rig: Rig) -> None:
    await rejected(rig, filled_qty="a few", filled_avg_price="80")
    assert said(rig) == ("open", None, 80.0, None, "o-1", False)
    assert rig.unsettled.get("sn-1") is not None


@pytest.mark.parametrize("state", ["filled", "closed"])
async def test_a_late_rejection_changes_nothing_and_warns(
    rig: Rig, caplog: pytest.LogCaptureFixture, state: str
) -> None:
    await fill(rig)
    if state == "closed":
        rig.store._db.execute("UPDATE BotTrade SET status = 'closed'")
    before = rig.rows()
    await rejected(rig)
    assert rig.rows() == before
    (warning,) = warnings_of(caplog)
    assert "nothing was changed" in warning
    assert [name for name, _ in rig.told()] == ["fill", "settled"]


# Not ours


@pytest.mark.parametrize(
    "changes",
    [
        {"order_id": "theirs", "client_order_id": "theirs"},
        {"order_id": "theirs", "client_order_id": None},
        {"mode": "live"},
        {"order_id": "x\0y", "client_order_id": "' OR 1=1 --"},
    ],
    ids=str,
)
@pytest.mark.parametrize("bring", [fill, partial, rejected])
async def test_an_order_that_is_not_ours_is_a_debug_line_and_nothing_else(
    rig: Rig,
    caplog: pytest.LogCaptureFixture,
    bring: Callable[..., Any],
    changes: dict[str, object],
) -> None:
    before = rig.rows()
    await bring(rig, **changes)
    await wait_all_tasks_blocked()
    assert rig.rows() == before
    assert rig.events == []
    assert rig.paper.requests == rig.live.requests == []
    (record,) = [r for r in caplog.records if r.levelno >= logging.DEBUG]
    assert record.levelno == logging.DEBUG
    assert record.name == "TradeExecutor"


async def test_another_programs_order_costs_no_write_and_no_memory(rig: Rig) -> None:
    before = rig.writer.writes
    for number in range(5_000):
        theirs = {"order_id": f"x-{number}", "client_order_id": f"y-{number}"}
        for bring in (fill, partial, rejected):
            await bring(rig, **theirs, execution_id=f"e-{number}", side="sell")
            await bring(rig, **theirs, execution_id=f"e-{number}")
    assert rig.writer.writes == before
    assert rig.fills._queues == {}
    assert rig.fills._executions._seen._newer == set()


# Look-ups: the table of SPEC 8


@pytest.mark.parametrize(
    ("status", "quantity", "price", "becomes", "told"),
    [
        ("filled", "0.5", "86.878", FILLED, ["fill", "settled"]),
        (
            "filled",
            "0",
            "86.878",
            ("open", None, 86.878, None, "o-1", False),
            ["partial_fill"],
        ),
        (
            "partially_filled",
            "0.2",
            "80",
            ("open", None, 80.0, 3.0, "o-1", False),
            ["partial_fill"],
        ),
        (
            "canceled",
            "0.2",
            "80",
            ("open", None, 80.0, 0.2, "o-1", True),
            ["fill", "settled"],
        ),
        (
            "expired",
            "0.2",
            "80",
            ("open", None, 80.0, 0.2, "o-1", True),
            ["fill", "settled"],
        ),
        (
            "canceled",
            "0",
            None,
            ("missed", "alpaca_canceled", None, None, "o-1", True),
            ["settled"],
        ),
        (
            "expired",
            "0",
            None,
            ("missed", "alpaca_expired", None, None, "o-1", True),
            ["settled"],
        ),
        ("canceled", None, None, OPEN, None),
        (
            "rejected",
            "0",
            None,
            ("missed", "alpaca_rejected", None, None, "o-1", True),
            ["rejected", "settled"],
        ),
        *((status, "0", None, OPEN, ["placed"]) for status in WORDS),
        *(
            (
                *(status, "0.2", "80"),
                ("open", None, 80.0, 3.0, "o-1", False),
                ["partial_fill"],
            )
            for status in WORDS
        ),
        *(
            (
                *("pending_cancel", quantity, "80"),
                ("open", None, 80.0, 3.0, "o-1", False),
                ["partial_fill"],
            )
            for quantity in (None, "a few")
        ),
    ],
)
async def test_a_look_up_says(  # noqa: PLR0917 - a table
    rig: Rig,
    caplog: pytest.LogCaptureFixture,
    status: str,
    quantity: str | None,
    price: str | None,
    becomes: tuple[object, ...],
    told: list[str] | None,
) -> None:
    rig.paper.holds["AAPL"] = Decimal(3)
    order = make_order("sn-1", status, quantity=quantity, price=price)
    await rig.fills.on_looked_up("paper", order, "AAPL")
    await wait_all_tasks_blocked()
    assert said(rig) == becomes
    if told is not None:
        assert [name for name, _ in rig.told()] == told
    if told == ["placed"]:
        assert warnings_of(caplog) == [], "a working order is nothing to warn of"


async def test_a_look_up_that_says_nothing_new_tells_nothing(rig: Rig) -> None:
    rig.paper.holds["AAPL"] = Decimal(3)
    order = make_order("sn-1", "partially_filled", quantity="0.2", price="80")
    for _ in range(3):
        await rig.fills.on_looked_up("paper", order, "AAPL")
        await wait_all_tasks_blocked()
    assert [name for name, _ in rig.told()] == ["partial_fill"]


async def test_an_order_that_a_look_up_finds_is_told_once_as_placed(rig: Rig) -> None:
    for status in ("accepted", "new"):
        await rig.fills.on_looked_up("paper", make_order("sn-1", status), "AAPL")
    (told,) = rig.events
    assert (told.event, told.trade_id) == ("placed", "sn-1")
    assert told.more == {
        "orderId": "o-1",
        "mode": "paper",
        "notional": "100.00",
        "shares": None,
        "entryPrice": None,
        "status": "open",
        "source": "lookup",
    }


async def test_an_order_that_was_taken_at_once_is_not_told_as_placed_again(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig()
    rig.open_row(make_trade(), order_id="o-1")
    await rig.fills.on_looked_up("paper", make_order("sn-1", "new"), "AAPL")
    assert rig.events == []


@pytest.mark.parametrize("mode", ["paper", "live"])
async def test_the_stream_is_heard_and_a_look_up_is_not(
    make_rig: Callable[..., Rig], mode: Mode, nursery: trio.Nursery
) -> None:
    rig = make_rig()
    rig.open_row(make_trade(mode=mode))
    nursery.start_soon(rig.fills.run)
    order = make_order("sn-1", "new")
    await rig.fills.on_looked_up(mode, order, "AAPL")
    assert not rig.unsettled.was_streamed("sn-1")
    await fill(rig, mode=mode)
    assert rig.unsettled.was_streamed("sn-1")


# Late evidence


async def test_a_row_given_up_is_open_again_when_the_broker_has_its_order(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.store.mark_not_found("sn-1")
    await rig.fills.on_looked_up("paper", make_order("sn-1", "new"), "AAPL")
    assert said(rig) == OPEN
    (warning,) = warnings_of(caplog)
    assert warning.startswith(
        "AAPL trade=sn-1 signal=None: the broker has the order after all"
    )
    await fill(rig)
    assert said(rig) == FILLED


async def test_a_fill_found_late_names_both_rows_as_an_error_and_an_event(
    rig: Rig, logged_errors: LoggedErrors
) -> None:
    rig.store.mark_not_found("sn-1")
    rig.open_row(make_trade("sn-2"))
    for _ in range(2):
        await fill(rig)
    assert said(rig) == ("missed", "order_found_late", 86.878, 0.5, "o-1", True)
    assert said(rig, "sn-2") == ("open", None, None, None, None, False)
    (message,) = logged_errors.take()
    assert "trade=sn-1" in message
    assert "sn-2" in message
    (told,) = rig.events
    assert (told.event, told.reason) == ("settled", "order_found_late")
    assert (told.trade_id, told.more["newerTradeId"]) == ("sn-1", "sn-2")


# A row that another program's trigger holds


async def test_what_a_row_does_not_take_keeps_nothing_behind_it_from_it(
    rig: Rig, database: Path, logged_errors: LoggedErrors
) -> None:
    rig.paper.holds["AAPL"] = Decimal("0.3")
    write(
        database,
        "CREATE TRIGGER guard BEFORE UPDATE ON BotTrade WHEN NEW.settledAt IS NULL"
        " BEGIN SELECT RAISE(ABORT, 'no'); END",
    )
    await partial(rig, execution_id="e-1")
    await fill(rig, execution_id="e-2")
    await wait_all_tasks_blocked()
    assert said(rig) == FILLED
    (error,) = logged_errors.take()
    assert "its row does not take what the broker says (no)" in error
