"""What became of an order that was sent: into its row, the log and the feed."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING

import pytest
import trio

from snexec.broker.replies import refusal
from snexec.errors import (
    BrokerError,
    DuplicateOrderError,
    NotSentError,
    RefusedError,
    UnknownOutcomeError,
)
from snexec.ledger.rows import trade_id
from snexec.logs import SecretMask
from tests.fakes import (
    MOMENT_TEXT,
    Rig,
    make_order,
    make_signal,
    only_row,
    warnings_of,
)
from tests.ledger.hands import write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from snexec.broker.answers import BrokerOrder
    from tests.conftest import LoggedErrors
    from tests.fakes import Request

pytestmark = pytest.mark.jumping_time

NO_POWER = RefusedError(
    status_code=403,
    body='{"code":40310000,"message":"insufficient buying power"}',
    reason="insufficient buying power",
)
DUPLICATE = DuplicateOrderError(
    status_code=422, body="…", reason="client_order_id must be unique"
)


# The broker's no


async def test_a_refused_order_leaves_no_row_and_an_error_with_all_that_was_said(
    rig: Rig, logged_errors: LoggedErrors
) -> None:
    rig.paper.placing.append(NO_POWER)
    await rig.trade(make_signal(id="n-1"), make_signal("MSFT"))
    (row,) = rig.rows().values()
    assert row["symbol"] == "MSFT"
    (message,) = logged_errors.take()
    assert message == (
        f"Order refused: AAPL trade={trade_id('paper', 'n-1')} signal=n-1 HTTP 403:"
        ' insufficient buying power (body: {"code":40310000,"message":"insufficient'
        ' buying power"})'
    )
    assert dict(rig.outcomes.counts) == {"refused": 1, "placed": 1}
    refused = next(event for event in rig.events if event.event == "refused")
    assert (refused.reason, refused.more["httpStatus"], refused.sequence) == (
        *("insufficient buying power", 403),
        1,
    )
    assert rig.unsettled.get(trade_id("paper", "n-1")) is None


@pytest.mark.parametrize(
    ("message", "is_about_symbol"),
    [('asset "AAPL" is not fractionable', True), ("insufficient buying power", False)],
)
async def test_a_refusal_is_told_with_what_it_is_about_and_in_the_same_json(
    rig: Rig, logged_errors: LoggedErrors, message: str, *, is_about_symbol: bool
) -> None:
    rig.paper.placing.append(
        refusal(403, json.dumps({"message": message}), SecretMask())
    )
    await rig.trade(make_signal(id="n-1"))
    (refused,) = rig.events
    assert refused.is_about_symbol == is_about_symbol
    assert list(json.loads(refused.line())) == [
        *("event", "at", "signalId", "tradeId", "symbol", "reason"),
        *("mode", "notional", "httpStatus"),
    ]
    assert len(logged_errors.take()) == 1


async def test_an_order_that_was_never_sent_leaves_no_row(
    rig: Rig, logged_errors: LoggedErrors
) -> None:
    rig.paper.placing.append(NotSentError("ConnectError: refused"))
    await rig.trade(make_signal(id="n-1"))
    assert rig.rows() == {}
    assert len(rig.paper.requests) == 1, "and is not tried again"
    (message,) = logged_errors.take()
    assert message.startswith("Order not sent: AAPL")
    assert "ConnectError: refused" in message
    assert dict(rig.outcomes.counts) == {"refused": 1}
    assert rig.told() == [("refused", "not sent: ConnectError: refused")]
    assert len(rig.unsettled) == 0


async def test_a_refused_signals_id_may_buy_after_a_restart(
    make_rig: Callable[..., Rig], logged_errors: LoggedErrors
) -> None:
    first = make_rig()
    first.paper.placing.append(NO_POWER)
    await first.trade(make_signal(id="n-1"))
    logged_errors.take()
    second = make_rig()
    await second.trade(make_signal(id="n-1"))
    assert only_row(second)["alpacaOrderId"] == "paper-o-1"


async def test_a_refused_order_that_the_stream_has_spoken_of_keeps_its_row(
    rig: Rig, logged_errors: LoggedErrors
) -> None:
    async def fills_and_refuses(request: Request) -> Exception:
        assert request.client_order_id is not None
        await rig.fills.on_fill_event(
            *("fill", "o-9", None, None, "AAPL"),
            mode="paper",
            client_order_id=request.client_order_id,
        )
        return NO_POWER

    rig.paper.placing.append(fills_and_refuses)
    await rig.trade(make_signal(id="n-1"))
    assert only_row(rig)["alpacaOrderId"] == "o-9"
    assert "the stream has spoken" in logged_errors.take()[1]
    assert rig.unsettled.get(trade_id("paper", "n-1")) is not None
    assert "refused" not in [name for name, _ in rig.told()]


# Nobody knows


@pytest.mark.parametrize(
    "problem",
    [UnknownOutcomeError("no answer within 10 s"), DUPLICATE],
    ids=["unknown", "duplicate"],
)
async def test_an_unknown_order_is_never_sent_again_and_looked_up_instead(
    rig: Rig,
    nursery: trio.Nursery,
    caplog: pytest.LogCaptureFixture,
    problem: BrokerError,
) -> None:
    nursery.start_soon(rig.recover)
    rig.paper.placing.append(problem)
    await rig.trade(make_signal(id="n-1"))
    row = only_row(rig)
    assert (row["status"], row["alpacaOrderId"]) == ("open", None)
    assert dict(rig.outcomes.counts) == {"unknown": 1}
    assert rig.told("refused", "placed") == []
    (warning,) = warnings_of(caplog)
    assert warning.startswith("Order outcome unknown: AAPL")
    assert str(problem) in warning
    await trio.sleep(20)
    rig.paper.book[row["id"]] = make_order(
        row["id"], "filled", quantity="0.5", price="187"
    )
    await trio.sleep(100)
    kinds = [request.kind for request in rig.paper.requests]
    assert kinds == ["place", *["order"] * 7]
    row = only_row(rig)
    assert (row["shares"], row["alpacaOrderId"]) == (0.5, "o-1")


async def test_an_unknown_order_blocks_its_symbol_until_it_is_settled(
    rig: Rig,
) -> None:
    rig.paper.placing.append(UnknownOutcomeError("HTTP 502"))
    await rig.trade(make_signal(), make_signal())
    assert len(rig.paper.asked("place")) == 1
    assert dict(rig.skips.counts) == {"symbol_open": 1}


async def test_a_cancelled_order_leaves_its_row_to_recovery(rig: Rig) -> None:
    rig.paper.seconds = 8
    rig.offer(make_signal())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.dispatcher.run)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert only_row(rig)["status"] == "open"
    assert len(rig.store.unsettled()) == 1
    assert rig.accounts.leased["paper"] == rig.dispatcher.in_flight == 0


# The reply and the stream


async def test_a_reply_does_not_overwrite_a_fill_that_came_first(rig: Rig) -> None:
    async def fills_first(request: Request) -> BrokerOrder:
        assert request.client_order_id is not None
        await rig.fills.on_fill_event(
            *("fill", "o-1", "0.5", "187", "AAPL"),
            mode="paper",
            client_order_id=request.client_order_id,
        )
        return make_order(request.client_order_id, "pending_new")

    rig.paper.placing.append(fills_first)
    await rig.trade(make_signal())
    row = only_row(rig)
    assert (row["entryPrice"], row["shares"], row["settledAt"]) == (
        *(187.0, 0.5),
        MOMENT_TEXT,
    )
    assert len(rig.unsettled) == 0, "there is nothing left to ask about"
    names = [name for name, _ in rig.told()]
    assert sorted(names) == ["fill", "placed", "settled"]


async def test_a_reply_does_not_reopen_a_row_that_was_rejected_first(
    rig: Rig,
) -> None:
    async def rejects_first(request: Request) -> BrokerOrder:
        assert request.client_order_id is not None
        await rig.fills.on_rejected_event(
            *("o-1", "AAPL", None),
            mode="paper",
            client_order_id=request.client_order_id,
        )
        return make_order(request.client_order_id, "accepted")

    rig.paper.placing.append(rejects_first)
    await rig.trade(make_signal())
    row = only_row(rig)
    assert (row["status"], row["exitReason"]) == ("missed", "alpaca_rejected")
    assert len(rig.unsettled) == 0


@pytest.mark.parametrize(
    ("status", "bought"),
    [
        *(("filled", "9"), ("rejected", "9"), ("canceled", "9"), ("expired", "9")),
        *(("rejected", "0"), ("replaced", "0"), ("pending_cancel", "9"), ("new", "9")),
    ],
)
async def test_a_reply_that_says_more_than_taken_is_looked_up_at_once(
    rig: Rig, status: str, bought: str
) -> None:
    async def final(request: Request) -> BrokerOrder:
        assert request.client_order_id is not None
        return make_order(request.client_order_id, status, quantity=bought)

    rig.paper.placing.append(final)
    await rig.trade(make_signal())
    (order,) = rig.unsettled
    assert order.due == 0
    assert only_row(rig)["shares"] is None


async def test_a_row_that_vanished_meanwhile_is_an_error(
    rig: Rig, logged_errors: LoggedErrors
) -> None:
    async def deletes(request: Request) -> BrokerOrder:
        assert request.client_order_id is not None
        rig.store._db.execute("DELETE FROM BotTrade")
        return make_order(request.client_order_id)

    rig.paper.placing.append(deletes)
    await rig.trade(make_signal())
    (message,) = logged_errors.take()
    assert "the broker took the order as o-1, and the row is gone" in message


async def test_that_an_order_was_taken_is_told_once_its_row_says_so(rig: Rig) -> None:
    rig.writer.delay_seconds = 0.5
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.trade, make_signal("AAPL"))
        await trio.sleep(0.9)
        assert rig.told() == []
    assert rig.told() == [("placed", None)]
    assert only_row(rig)["alpacaOrderId"] is not None


async def test_a_row_that_does_not_take_its_order_is_an_error_and_looked_up(
    rig: Rig, logged_errors: LoggedErrors, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise sqlite3.IntegrityError("a trigger says no")

    monkeypatch.setattr(rig.store, "apply_working", refuse)
    await rig.trade(make_signal("AAPL", id="n-1"))
    (error,) = logged_errors.take()
    assert "AAPL trade=sn-" in error
    assert "a trigger says no" in error
    assert only_row(rig)["alpacaOrderId"] is None
    assert len(rig.unsettled) == 1
    assert rig.accounts.leased["paper"] == rig.dispatcher.in_flight == 0


async def test_a_refused_order_whose_row_cannot_be_removed_is_refused_all_the_same(
    rig: Rig, database: Path, logged_errors: LoggedErrors
) -> None:
    write(
        database,
        "CREATE TRIGGER keep BEFORE DELETE ON BotTrade BEGIN"
        " SELECT RAISE(ABORT, 'nothing is deleted here'); END",
    )
    rig.paper.placing.append(NO_POWER)
    await rig.trade(make_signal("AAPL", id="n-1"))
    assert rig.told("refused") == [("refused", "insufficient buying power")]
    assert only_row(rig)["status"] == "open"
    assert len(rig.unsettled) == 1, "until the row is missed"
    assert [line for line in logged_errors.take() if "removed" in line] == [
        f"AAPL trade={trade_id('paper', 'n-1')} signal=n-1: its row cannot be removed"
        " (nothing is deleted here); it stays, and the broker is asked until the row is"
        " missed"
    ]


async def test_an_order_that_the_stream_named_otherwise_is_asked_about(
    rig: Rig, nursery: trio.Nursery, logged_errors: LoggedErrors
) -> None:
    async def alien_first(request: Request) -> BrokerOrder:
        assert request.client_order_id is not None
        await rig.fills.on_fill_event(
            *("fill", "o-alien", "9", "1", "AAPL"),
            mode="paper",
            client_order_id=request.client_order_id,
        )
        return make_order(request.client_order_id, order_id="o-1")

    nursery.start_soon(rig.recover)
    rig.paper.placing.append(alien_first)
    row_id = trade_id("paper", "n-1")
    rig.paper.book[row_id] = make_order(row_id, "filled", quantity="0.5", price="187")
    await rig.trade(make_signal(id="n-1"))
    await trio.sleep(1)
    row = only_row(rig)
    assert (row["alpacaOrderId"], row["shares"]) == ("o-1", 0.5)
    assert "took the order as o-1" in logged_errors.take()[0]
    (asked,) = rig.paper.asked("order")
    assert (asked.client_order_id, asked.order_id) == (row_id, None)
    nursery.cancel_scope.cancel()
