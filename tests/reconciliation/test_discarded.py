"""Rows that were taken back, and are written again as the broker speaks of them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from unittest.mock import Mock

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from snexec.errors import RefusedError
from snexec.ledger.ledger import Ledger
from snexec.orders.outcomes import Outcomes
from snexec.reconciliation.reconciler import Reconciler
from snexec.reconciliation.steps import looked_up_step
from tests.fakes import Rig, make_order, make_signal, make_trade, only_row

if TYPE_CHECKING:
    from tests.conftest import LoggedErrors

pytestmark = pytest.mark.jumping_time


async def refused_and_filled(rig: Rig, nursery: trio.Nursery) -> str:
    """Have an order answered 422, and its fill told after that; return its id."""
    nursery.start_soon(rig.recover)
    rig.paper.placing.append(
        RefusedError(status_code=422, body="{}", reason="no power")
    )
    await rig.trade(make_signal("A", id="n-1"))
    [request] = rig.paper.asked("place")
    assert rig.rows() == {}
    assert request.client_order_id is not None
    row_id = request.client_order_id
    filled = make_order(row_id, "filled", quantity="2", price="5")
    rig.paper.book[row_id] = filled
    return row_id


async def test_an_order_that_was_refused_and_bought_has_its_row_again(
    rig: Rig, nursery: trio.Nursery, logged_errors: LoggedErrors
) -> None:
    row_id = await refused_and_filled(rig, nursery)
    await rig.fills.on_fill_event(
        *("fill", "o-1", "2", "5", "A"), mode="paper", client_order_id=row_id
    )
    await trio.sleep(1)
    row = only_row(rig)
    assert (row["id"], row["status"], row["shares"]) == (row_id, "open", 2.0)
    assert (row["alpacaOrderId"], row["settledAt"] is not None) == ("o-1", True)
    assert any("which counted as refused" in line for line in logged_errors.take())
    nursery.cancel_scope.cancel()


async def test_what_another_host_has_ordered_instead_is_no_fault(
    rig: Rig, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    nursery.start_soon(rig.recover)
    caplog.set_level(logging.INFO)
    discarded, trade = rig.reconciler.discarded, make_trade()
    discarded.expect(trade.id, elsewhere=True)
    discarded.remember(trade)
    await rig.fills.on_fill_event(
        *("fill", "o-1", "2", "5", "AAPL"), mode="paper", client_order_id=trade.id
    )
    await trio.sleep(1)
    assert (only_row(rig)["id"], only_row(rig)["shares"]) == (trade.id, 2.0)
    assert (
        "another host has ordered it, as o-1: its row is written again" in caplog.text
    )
    nursery.cancel_scope.cancel()


async def test_an_order_that_was_refused_and_is_rejected_too_is_missed_at_once(
    rig: Rig, nursery: trio.Nursery, logged_errors: LoggedErrors
) -> None:
    row_id = await refused_and_filled(rig, nursery)
    rig.paper.book.clear()
    await rig.fills.on_rejected_event(
        *("o-1", "A", None), mode="paper", client_order_id=row_id
    )
    await trio.sleep(100)
    row = only_row(rig)
    assert (row["id"], row["status"]) == (row_id, "missed")
    assert row["settledAt"] is not None
    assert len(logged_errors.take()) == 2
    nursery.cancel_scope.cancel()


async def test_where_its_symbol_is_open_again_it_is_told_that_no_row_holds_the_shares(
    rig: Rig, nursery: trio.Nursery, logged_errors: LoggedErrors
) -> None:
    row_id = await refused_and_filled(rig, nursery)
    rig.open_row(make_trade("sn-2", "A"))
    await rig.fills.on_fill_event(
        *("fill", "o-1", "2", "5", "A"), mode="paper", client_order_id=row_id
    )
    await trio.sleep(1)
    assert only_row(rig)["id"] != row_id
    assert any("held by no row" in line for line in logged_errors.take())
    nursery.cancel_scope.cancel()


async def test_what_is_told_in_the_commit_that_takes_the_row_back_restores_it(
    rig: Rig, logged_errors: LoggedErrors
) -> None:
    ledger = Ledger(rig.store, path=Path("nowhere"), clock=rig.clock)
    reconciler = Reconciler(
        *(rig.settings, rig.accounts, ledger, rig.latencies, rig.feed)
    )
    outcomes = Outcomes(
        *(ledger, reconciler.unsettled, reconciler.discarded, rig.latencies, rig.feed)
    )
    trade = make_trade()
    rig.open_row(trade)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outcomes.drop, Mock(trade=trade), "stale")
        await wait_all_tasks_blocked()
        await reconciler.fills.on_fill_event(
            *("fill", "o-1", "2", "5", "AAPL"), mode="paper", client_order_id="sn-1"
        )
        nursery.start_soon(ledger.writer.run)
        await trio.sleep(1)
        ledger.writer.close()
    row = only_row(rig)
    assert (row["id"], row["alpacaOrderId"], row["shares"]) == ("sn-1", "o-1", 2.0)
    (error,) = logged_errors.take()
    assert "its row is written again" in error


# Which rows, and how


@pytest.fixture
async def lost(rig: Rig, nursery: trio.Nursery) -> Rig:
    """Give a rig that remembers the row sn-1, which is not there."""
    nursery.start_soon(rig.fills.run)
    rig.reconciler.discarded.remember(make_trade(signal_id="n-1"))
    return rig


async def fill(
    rig: Rig,
    row_id: str | None = "sn-1",
    *,
    symbol: str = "AAPL",
    order_id: str = "o-1",
) -> None:
    """Let the stream report the final fill of an order."""
    await rig.fills.on_fill_event(
        *("fill", order_id, "2", "5", symbol), mode="paper", client_order_id=row_id
    )
    await trio.sleep(0.1)


async def test_the_row_is_as_it_was_and_says_what_the_broker_says(
    lost: Rig, logged_errors: LoggedErrors, caplog: pytest.LogCaptureFixture
) -> None:
    await fill(lost)
    row = only_row(lost)
    assert (row["id"], row["symbol"], row["signalId"]) == ("sn-1", "AAPL", "n-1")
    assert (row["notional"], row["starRating"], row["mode"]) == (100.0, 5, "paper")
    assert (row["shares"], row["entryPrice"]) == (2.0, 5.0)
    assert lost.told() == [("fill", None), ("settled", None)]
    assert len(lost.unsettled) == 0
    assert logged_errors.take() == [
        "AAPL trade=sn-1 signal=n-1: the broker speaks of order o-1, which counted as"
        " refused or not sent: its row is written again"
    ]
    (line,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert vars(line)["about_order"] == "o-1"


@pytest.mark.parametrize(
    ("event", "price"), [("partial_fill", "5"), ("fill", None)], ids=str
)
async def test_an_order_that_is_not_settled_by_it_is_followed_and_asked_about_at_once(
    lost: Rig,
    logged_errors: LoggedErrors,
    event: Literal["partial_fill", "fill"],
    price: str | None,
) -> None:
    await trio.sleep(7)
    await lost.fills.on_fill_event(
        *(event, "o-1", "2", price, "AAPL"), mode="paper", client_order_id="sn-1"
    )
    await trio.sleep(0.1)
    order = lost.unsettled.get("sn-1")
    assert order is not None
    assert (order.order_id, order.due) == ("o-1", 7)
    assert only_row(lost)["settledAt"] is None
    assert len(logged_errors.take()) == 1


async def test_a_row_is_written_again_once(
    lost: Rig, logged_errors: LoggedErrors
) -> None:
    await fill(lost)
    lost.store._db.execute("DELETE FROM BotTrade")
    await fill(lost)
    assert lost.rows() == {}
    assert len(logged_errors.take()) == 1


@pytest.mark.parametrize("row_id", ["sn-2", None])
async def test_no_row_is_made_for_an_order_that_is_not_remembered(
    lost: Rig, row_id: str | None
) -> None:
    await fill(lost, row_id)
    assert lost.rows() == {}
    assert lost.events == []


async def test_the_latest_256_are_remembered(
    lost: Rig, logged_errors: LoggedErrors
) -> None:
    for number in range(2, 258):
        lost.reconciler.discarded.remember(make_trade(f"sn-{number}", f"S{number}"))
    for number in (1, 2, 257):
        await fill(lost, f"sn-{number}", symbol=f"S{number}", order_id=f"o-{number}")
    assert list(lost.rows()) == ["sn-2", "sn-257"]
    assert len(logged_errors.take()) == 2


async def test_a_row_that_may_not_be_written_names_the_order_that_no_row_holds(
    lost: Rig, logged_errors: LoggedErrors
) -> None:
    lost.store._db.execute(
        "CREATE TRIGGER no BEFORE INSERT ON BotTrade"
        " BEGIN SELECT RAISE(ABORT, 'not that one'); END"
    )
    await fill(lost)
    assert lost.rows() == {}
    assert lost.events == []
    assert len(lost.unsettled) == 0
    assert logged_errors.take()[1:] == [
        "AAPL trade=sn-1 signal=n-1: the row of order o-1 cannot be written again (not"
        " that one): what it bought is held by no row; look at the account"
    ]


# A refusal that may be another order's


async def test_a_row_in_doubt_is_written_again_and_asked_about(
    lost: Rig, nursery: trio.Nursery, logged_errors: LoggedErrors
) -> None:
    nursery.start_soon(lost.recover)
    lost.paper.book["sn-1"] = make_order("sn-1", "filled", quantity="2", price="5")
    lost.reconciler.discarded.doubt("sn-1")
    await trio.sleep(0.1)
    row = only_row(lost)
    assert (row["signalId"], row["alpacaOrderId"], row["shares"]) == ("n-1", "o-1", 2.0)
    (error,) = logged_errors.take()
    assert "its row is written again, and the broker is asked" in error
    lost.reconciler.discarded.doubt("sn-1")
    lost.reconciler.discarded.doubt("sn-2")
    await trio.sleep(0.1)
    assert len(lost.rows()) == 1, "once, and none that nobody remembers"


async def test_a_row_in_doubt_whose_symbol_is_open_again_is_an_error(
    lost: Rig, logged_errors: LoggedErrors
) -> None:
    lost.open_row(make_trade("sn-2"))
    lost.reconciler.discarded.doubt("sn-1")
    await trio.sleep(0.1)
    assert only_row(lost)["id"] == "sn-2"
    assert "look at the account whether it was bought" in logged_errors.take()[1]


async def test_a_row_is_written_again_and_not_applied_what_is_not_its_orders(
    lost: Rig, nursery: trio.Nursery, logged_errors: LoggedErrors
) -> None:
    nursery.start_soon(lost.recover)
    await fill(lost, symbol="MSFT")
    row = only_row(lost)
    assert (row["symbol"], row["shares"], row["alpacaOrderId"]) == ("AAPL", None, None)
    await trio.sleep(200)
    assert only_row(lost)["status"] == "missed", "the broker does not know it"
    (asked, *_) = lost.paper.asked("order")
    assert (asked.client_order_id, asked.order_id) == ("sn-1", None)
    assert len(logged_errors.take()) == 1


async def test_a_look_up_that_finds_the_order_brings_its_row_back_too(
    lost: Rig, logged_errors: LoggedErrors
) -> None:
    lost.unsettled.placed(make_trade(signal_id="n-1"), order_id=None)
    found = make_order("sn-1", "filled", quantity="2", price="5")
    await lost.fills.on_looked_up("paper", found, "AAPL")
    await trio.sleep(0.1)
    row = only_row(lost)
    assert (row["alpacaOrderId"], row["shares"]) == ("o-1", 2.0)
    assert len(lost.unsettled) == 0
    (error,) = logged_errors.take()
    assert "its row is written again" in error


async def test_a_row_that_a_sweep_has_written_meanwhile_takes_what_is_told(
    lost: Rig, nursery: trio.Nursery, logged_errors: LoggedErrors
) -> None:
    nursery.start_soon(lost.recover)
    lost.open_row(make_trade(signal_id="n-1"), order_id="o-1")
    step = looked_up_step(
        *("paper", make_order("sn-1", "filled", quantity="2", price="5"), "AAPL"),
        latencies=lost.latencies,
        reporter=lost.fills._confirmations,
    )
    assert lost.reconciler.discarded.restore(step)
    await trio.sleep(0.1)
    assert only_row(lost)["shares"] == 2.0
    assert lost.told() == [("fill", None), ("settled", None)]
    assert len(logged_errors.take()) == 1, "and no word of shares that no row holds"


async def test_a_row_in_doubt_that_a_sweep_has_written_meanwhile_is_asked_about(
    lost: Rig, nursery: trio.Nursery, logged_errors: LoggedErrors
) -> None:
    nursery.start_soon(lost.recover)
    lost.open_row(make_trade(signal_id="n-1"), order_id="o-1")
    lost.paper.book["sn-1"] = make_order("sn-1", "filled", quantity="2", price="5")
    lost.reconciler.discarded.doubt("sn-1")
    await trio.sleep(0.1)
    assert only_row(lost)["shares"] == 2.0
    assert len(logged_errors.take()) == 1
