"""The broker's no: borne out by a look-up, before its row goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from snexec.broker.budget import Purpose
from snexec.errors import (
    BrokerError,
    NotSentError,
    RateLimitedError,
    RefusedError,
    UnknownOutcomeError,
)
from snexec.ledger.rows import trade_id
from tests.fakes import (
    Rig,
    make_order,
    make_signal,
    not_found,
    only_row,
    warnings_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from snexec.broker.answers import BrokerOrder
    from tests.conftest import LoggedErrors
    from tests.fakes import AskedOrder, Request

pytestmark = pytest.mark.jumping_time

ROW = trade_id("paper", "n-1")
FOUND = "the broker has the order that it refused"


def refusal(status: int = 403, reason: str = "no money") -> RefusedError:
    return RefusedError(status_code=status, body="{}", reason=reason)


async def refused(rig: Rig, error: RefusedError | None = None) -> None:
    """Have the order of AAPL, n-1, refused; return once its slot is free."""
    rig.paper.placing.append(error or refusal())
    await rig.trade(make_signal(id="n-1"))


def sent_order(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> list[AskedOrder]:
    """Return what will hold the orders that leave."""
    orders: list[AskedOrder] = []
    send = rig.paper.send_order

    def note(order: object) -> object:
        orders.append(send(order))  # type: ignore[arg-type]
        return orders[-1]

    monkeypatch.setattr(rig.paper, "send_order", note)
    return orders


async def test_the_row_stays_and_blocks_its_symbol_until_the_look_up_is_answered(
    rig: Rig, logged_errors: LoggedErrors
) -> None:
    rig.paper.seconds = 1.0
    rig.paper.placing.append(refusal())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.dispatcher.run)
        rig.offer(make_signal(id="n-1"))
        await trio.sleep(1.5)
        (line,) = logged_errors.take()
        assert line.startswith("Order refused: AAPL"), "this is told at once"
        assert only_row(rig)["status"] == "open"
        rig.offer(make_signal(id="n-2"))
        await trio.sleep(0.1)
        assert rig.told() == [("skipped", "symbol_open")]
        await trio.sleep(1)
        assert rig.rows() == {}
        assert rig.told("refused") == [("refused", "no money")]
        rig.orders.close()
    asked = [(r.kind, r.at, r.client_order_id, r.symbol) for r in rig.paper.requests]
    assert asked == [("place", 0, ROW, "AAPL"), ("order", 1, ROW, "AAPL")]
    assert len(rig.unsettled) == 0
    assert rig.accounts.leased["paper"] == rig.paper.budget._in_flight == 0


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("no money", "HTTP 403: no money (body: {})"),
        ("HTTP 403", "HTTP 403 (body: {})"),  # all that there is to say
    ],
)
async def test_a_refusal_is_said_with_its_status_once(
    rig: Rig, logged_errors: LoggedErrors, reason: str, said: str
) -> None:
    await refused(rig, refusal(reason=reason))
    (line,) = logged_errors.take()
    assert line.endswith(f" {said}")
    assert line.count("HTTP") == 1


async def test_an_order_that_was_refused_and_taken_keeps_its_row_and_is_adopted(
    rig: Rig, nursery: trio.Nursery, logged_errors: LoggedErrors
) -> None:
    nursery.start_soon(rig.recover)
    rig.paper.book[ROW] = make_order(ROW, "filled", quantity="0.5", price="187")
    await refused(rig)
    await trio.sleep(1)
    row = only_row(rig)
    assert (row["status"], row["alpacaOrderId"], row["shares"]) == ("open", "o-1", 0.5)
    assert rig.told() == [("fill", None), ("settled", None)]
    assert FOUND in logged_errors.take()[1]
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "problem",
    [
        UnknownOutcomeError("no answer within 10 s"),
        NotSentError("no connection"),
        RateLimitedError("HTTP 429", wait_seconds=3),
        refusal(401, "unauthorized."),
        refusal(403, "forbidden."),
    ],
)
async def test_a_refusal_without_a_look_up_leaves_the_row_to_recovery(
    rig: Rig, logged_errors: LoggedErrors, problem: BrokerError
) -> None:
    rig.paper.looking.append(problem)
    await refused(rig)
    assert only_row(rig)["status"] == "open"
    assert rig.told() == []
    assert rig.dispatcher.in_flight == 0, "its slot is free"
    (order,) = rig.unsettled
    assert (order.order_id, order.due) == (None, trio.current_time())
    assert len(logged_errors.take()) == 1


async def test_it_is_asked_about_at_growing_intervals_and_counts_as_unsettled(
    rig: Rig, nursery: trio.Nursery, logged_errors: LoggedErrors
) -> None:
    nursery.start_soon(rig.recover)
    rig.paper.looking.extend([UnknownOutcomeError("HTTP 502")] * 6)
    await refused(rig)
    assert rig.told() == []
    await rig.reconciler.wait_settled()
    assert rig.rows() == {}
    assert rig.told() == [("refused", "no money")]
    times = [request.at for request in rig.paper.asked("order")]
    assert times == pytest.approx([0, 0, 0.5, 1.5, 3.5, 7.5, 15.5])
    assert dict(rig.outcomes.counts) == {"refused": 1}
    assert len(logged_errors.take()) == 1
    nursery.cancel_scope.cancel()


async def test_a_later_look_up_that_finds_it_keeps_the_row(
    rig: Rig, nursery: trio.Nursery, logged_errors: LoggedErrors
) -> None:
    nursery.start_soon(rig.recover)
    rig.paper.looking.append(UnknownOutcomeError("HTTP 502"))
    rig.paper.book[ROW] = make_order(ROW, "new", order_id="o-7")
    await refused(rig)
    await trio.sleep(5)
    assert only_row(rig)["alpacaOrderId"] == "o-7"
    assert rig.told() == [("placed", None)]
    lines = logged_errors.take()
    assert (len(lines), FOUND in lines[1]) == (2, True)
    nursery.cancel_scope.cancel()


async def test_what_the_stream_says_meanwhile_stands(
    rig: Rig, nursery: trio.Nursery, logged_errors: LoggedErrors
) -> None:
    async def fills(_request: Request) -> BrokerOrder:
        await rig.fills.on_fill_event(
            *("fill", "o-9", "0.5", "187", "AAPL"), mode="paper", client_order_id=ROW
        )
        raise UnknownOutcomeError("HTTP 502")

    nursery.start_soon(rig.recover)
    rig.paper.looking.append(fills)
    await refused(rig)
    await trio.sleep(100)
    row = only_row(rig)
    assert (row["alpacaOrderId"], row["shares"]) == ("o-9", 0.5)
    assert rig.told("refused") == []
    logged_errors.take()
    nursery.cancel_scope.cancel()


# Keys that are no good


@pytest.mark.parametrize(
    ("said", "asked", "agree"),
    [
        ((401, "unauthorized."), (401, "unauthorized."), True),
        ((401, "unauthorized."), (401, "HTTP 401"), True),
        ((403, "forbidden."), (403, "forbidden."), True),
        ((403, "no money"), (403, "forbidden."), False),
        ((403, "no money"), (401, "unauthorized."), False),
        ((422, "no"), (422, "no"), False),
    ],
)
async def test_no_row_stays_where_both_answers_say_that_the_keys_are_refused(
    rig: Rig,
    logged_errors: LoggedErrors,
    said: tuple[int, str],
    asked: tuple[int, str],
    agree: bool,
) -> None:
    rig.paper.looking.append(refusal(*asked))
    await refused(rig, refusal(*said))
    assert (rig.rows() == {}) == agree
    assert rig.told() == ([("refused", said[1])] if agree else [])
    logged_errors.take()


async def test_recovery_takes_keys_that_are_refused_for_an_answer_too(
    rig: Rig, nursery: trio.Nursery, logged_errors: LoggedErrors
) -> None:
    nursery.start_soon(rig.recover)
    rig.paper.looking.extend([UnknownOutcomeError("HTTP 502"), refusal(401, "keys")])
    await refused(rig, refusal(401, "keys"))
    await trio.sleep(1)
    assert rig.rows() == {}
    assert rig.told() == [("refused", "keys")]
    logged_errors.take()
    nursery.cancel_scope.cancel()


# Whose answer it is


async def test_bytes_behind_a_refusal_leave_the_outcome_unknown(
    rig: Rig,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    logged_errors: LoggedErrors,
) -> None:
    orders = sent_order(rig, monkeypatch)

    async def disturbed(_request: Request) -> BrokerOrder:
        orders[0].doubtful = True
        raise not_found()

    rig.paper.looking.append(disturbed)
    await refused(rig)
    assert only_row(rig)["status"] == "open"
    assert rig.told() == []
    assert dict(rig.outcomes.counts) == {"unknown": 1}
    (warning,) = warnings_of(caplog)
    assert "its answer may be another order's" in warning
    assert len(rig.unsettled) == 1
    logged_errors.take()


async def test_a_doubtful_refusal_is_not_even_looked_up_as_one(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = sent_order(rig, monkeypatch)

    async def disturbed(_request: Request) -> BrokerOrder:
        orders[0].doubtful = True
        raise refusal()

    rig.paper.placing.append(disturbed)
    await rig.trade(make_signal(id="n-1"))
    assert [request.kind for request in rig.paper.requests] == ["place"]
    assert dict(rig.outcomes.counts) == {"unknown": 1}
    assert only_row(rig)["status"] == "open"


async def test_bytes_that_come_after_the_row_is_gone_bring_it_back(
    rig: Rig,
    nursery: trio.Nursery,
    monkeypatch: pytest.MonkeyPatch,
    logged_errors: LoggedErrors,
) -> None:
    nursery.start_soon(rig.recover)
    orders = sent_order(rig, monkeypatch)
    await refused(rig)
    assert rig.rows() == {}
    rig.paper.book[ROW] = make_order(ROW, "filled", quantity="0.5", price="187")
    assert orders[0].doubted is not None
    orders[0].doubted()
    await trio.sleep(1)
    assert only_row(rig)["shares"] == 0.5
    assert rig.told() == [("refused", "no money"), ("fill", None), ("settled", None)]
    assert "its row is written again" in logged_errors.take()[1]
    nursery.cancel_scope.cancel()


async def test_bytes_that_come_while_the_row_is_removed_bring_it_back(
    rig: Rig,
    nursery: trio.Nursery,
    monkeypatch: pytest.MonkeyPatch,
    logged_errors: LoggedErrors,
) -> None:
    nursery.start_soon(rig.recover)
    orders = sent_order(rig, monkeypatch)
    discard = rig.store.discard_trade

    def disturbed(row_id: str) -> bool:
        orders[0].doubtful = True
        rig.paper.book[ROW] = make_order(ROW, "new")
        return discard(row_id)

    monkeypatch.setattr(rig.store, "discard_trade", disturbed)
    await refused(rig)
    await trio.sleep(1)
    assert only_row(rig)["alpacaOrderId"] == "o-1"
    assert "its row is written again" in logged_errors.take()[1]
    nursery.cancel_scope.cancel()


# Its request


async def test_a_look_up_that_the_recovery_share_has_no_room_for_holds_no_slot(
    rig: Rig, nursery: trio.Nursery, logged_errors: LoggedErrors
) -> None:
    await rig.reconciler.compare()
    while rig.paper.budget.try_take(Purpose.RECOVERY):
        rig.paper.budget.finish(None)
    await refused(rig)
    assert trio.current_time() == 0
    assert [request.kind for request in rig.paper.requests] == ["place"]
    nursery.start_soon(rig.recover)
    await rig.reconciler.wait_settled()
    assert rig.rows() == {}
    assert [request.at for request in rig.paper.asked("order")] == pytest.approx([60])
    assert rig.told() == [("refused", "no money")]
    logged_errors.take()
    nursery.cancel_scope.cancel()


async def test_a_refusal_keeps_its_orders_place_in_the_streak(
    rig: Rig, logged_errors: LoggedErrors
) -> None:
    heard: list[str] = []

    async def look(_request: Request) -> BrokerOrder:
        heard.extend(rig.halt.refusals)
        raise not_found()

    rig.paper.looking.append(look)
    await refused(rig)
    assert heard == [ROW]
    logged_errors.take()


async def test_time_that_is_up_leaves_the_row_to_the_next_start(
    rig: Rig, logged_errors: LoggedErrors
) -> None:
    rig.paper.seconds = 2.0
    with trio.move_on_after(3):
        await refused(rig)
    await trio.sleep(10)
    assert only_row(rig)["status"] == "open"
    assert len(rig.store.unsettled()) == 1
    assert rig.told() == []
    assert rig.dispatcher.in_flight == rig.accounts.leased["paper"] == 0
    logged_errors.take()


async def test_it_does_not_hold_up_the_orders_behind_it(
    make_rig: Callable[..., Rig], logged_errors: LoggedErrors
) -> None:
    rig = make_rig(intake={"max_in_flight": 2})
    rig.paper.placing.append(refusal())

    async def hang(_request: Request) -> BrokerOrder:
        await trio.sleep(10)
        raise UnknownOutcomeError("no answer within 10 s")

    rig.paper.looking.append(hang)
    await rig.trade(make_signal("A"), *(make_signal(f"S{n}") for n in range(20)))
    assert {request.at for request in rig.paper.asked("place")} == {0}
    logged_errors.take()
