"""After a 429: wait, make sure that the order was not taken, send it again."""

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
    AskedOrder,
    Rig,
    make_order,
    make_signal,
    not_found,
    only_row,
    warnings_of,
)

if TYPE_CHECKING:
    from snexec.broker.answers import BrokerOrder
    from tests.fakes import Request

pytestmark = pytest.mark.jumping_time


def limited(seconds: float) -> RateLimitedError:
    return RateLimitedError("HTTP 429: too many requests.", wait_seconds=seconds)


async def test_after_a_429_the_order_is_sent_again_with_the_same_id(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.paper.placing.append(limited(7))
    await rig.trade(make_signal(id="n-1"))
    kinds = [(r.kind, r.at, r.client_order_id) for r in rig.paper.requests]
    same = trade_id("paper", "n-1")
    assert kinds == [("place", 0, same), ("order", 7, same), ("place", 7, same)]
    assert only_row(rig)["alpacaOrderId"] == "paper-o-2"
    assert dict(rig.outcomes.counts) == {"placed": 1}
    (warning,) = warnings_of(caplog)
    assert "next try in 7.0 s" in warning


async def test_an_order_that_was_taken_despite_its_429_is_not_sent_again(
    rig: Rig,
) -> None:
    rig.paper.placing.append(limited(7))
    rig.paper.book[trade_id("paper", "n-1")] = make_order(
        trade_id("paper", "n-1"), "filled", quantity="0.5", price="187"
    )
    await rig.trade(make_signal(id="n-1"))
    assert [r.kind for r in rig.paper.requests] == ["place", "order"]
    row = only_row(rig)
    assert (row["alpacaOrderId"], row["shares"]) == ("o-1", 0.5)
    assert len(rig.unsettled) == 0
    assert dict(rig.outcomes.counts) == {"placed": 1}


async def test_every_429_is_followed_by_its_own_wait_and_look_up(rig: Rig) -> None:
    rig.paper.placing.extend([limited(3), limited(4)])
    await rig.trade(make_signal())
    assert [(r.kind, r.at) for r in rig.paper.requests] == [
        *(("place", 0), ("order", 3)),
        *(("place", 3), ("order", 7)),
        ("place", 7),
    ]


async def test_a_look_up_that_is_limited_too_is_waited_for(rig: Rig) -> None:
    rig.paper.placing.append(limited(3))
    rig.paper.looking.append(limited(4))
    await rig.trade(make_signal())
    assert [(r.kind, r.at) for r in rig.paper.requests] == [
        *(("place", 0), ("order", 3)),
        *(("order", 7), ("place", 7)),
    ]


@pytest.mark.parametrize(
    "problem",
    [
        UnknownOutcomeError("HTTP 500"),
        NotSentError("ConnectError"),
        RefusedError(status_code=401, body="", reason="unauthorized."),
    ],
)
async def test_after_a_429_an_order_that_cannot_be_looked_up_is_not_sent_again(
    rig: Rig, problem: BrokerError
) -> None:
    rig.paper.placing.append(limited(3))
    rig.paper.looking.append(problem)
    await rig.trade(make_signal())
    assert [r.kind for r in rig.paper.requests] == ["place", "order"]
    assert only_row(rig)["status"] == "open"
    assert len(rig.unsettled) == 1
    assert dict(rig.outcomes.counts) == {"unknown": 1}


async def test_a_429_that_may_be_another_orders_is_not_sent_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def disturbed(_request: Request) -> BrokerOrder:
        monkeypatch.setattr(AskedOrder, "is_doubtful", True)
        raise not_found()

    rig.paper.looking.append(disturbed)
    rig.paper.placing.append(limited(7))
    await rig.trade(make_signal(id="n-1"))
    assert [r.kind for r in rig.paper.requests] == ["place", "order"]
    assert only_row(rig)["status"] == "open"
    assert dict(rig.outcomes.counts) == {"unknown": 1}


async def test_a_signal_too_old_after_its_429_leaves_no_row_and_a_warning(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.paper.placing.append(limited(31))
    await rig.trade(make_signal(id="n-1"))
    assert rig.rows() == {}
    assert [(r.kind, r.at) for r in rig.paper.requests] == [("place", 0), ("order", 31)]
    assert warnings_of(caplog)[-1] == (
        "AAPL signal=n-1 is not traded: it is older than 30 s (the rate limit held it"
        " up)"
    )
    assert dict(rig.skips.counts) == {"stale": 1}
    assert rig.told() == [("skipped", "stale")]


async def test_a_signal_too_old_after_its_429_keeps_the_row_of_an_order_taken(
    rig: Rig,
) -> None:
    rig.paper.placing.append(limited(31))
    rig.paper.looking.append(make_order(trade_id("paper", "n-1"), "new"))
    await rig.trade(make_signal(id="n-1"))
    assert only_row(rig)["alpacaOrderId"] == "o-1"
    assert dict(rig.skips.counts) == {}


async def test_a_429_holds_back_every_order_of_its_mode(rig: Rig) -> None:
    rig.paper.placing.append(limited(7))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.dispatcher.run)
        rig.offer(make_signal("A"))
        await trio.sleep(1)
        rig.offer(make_signal("B"))
        await trio.sleep(1)
        rig.set_mode("live")
        rig.offer(make_signal("C"))
        await trio.sleep(10)
        rig.orders.close()
    assert all(r.at == 0 or r.at >= 7 for r in rig.paper.requests)
    assert [r.symbol for r in rig.live.asked("place")] == ["C"]


async def test_a_429_of_a_mode_that_ended_is_looked_up_there_and_not_sent_again(
    rig: Rig,
) -> None:
    rig.paper.placing.append(limited(5))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.dispatcher.run)
        rig.offer(make_signal("A"))
        await trio.sleep(1)
        rig.set_mode("live")
        await trio.sleep(10)
        rig.orders.close()
    assert [r.kind for r in rig.paper.requests] == ["place", "order"]
    assert rig.live.requests == []
    assert rig.rows() == {}
    assert rig.told("skipped") == [("skipped", "mode_changed")]


async def test_a_429_of_an_order_that_was_taken_keeps_its_row_though_the_mode_ended(
    rig: Rig,
) -> None:
    rig.paper.placing.append(limited(5))
    rig.paper.looking.append(make_order(trade_id("paper", "n-1"), "new"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.dispatcher.run)
        rig.offer(make_signal("A", id="n-1"))
        await trio.sleep(1)
        rig.set_mode("live")
        await trio.sleep(10)
        rig.orders.close()
    assert (only_row(rig)["mode"], only_row(rig)["alpacaOrderId"]) == ("paper", "o-1")
    assert rig.told("skipped") == []


async def test_a_look_up_that_finds_nothing_is_asked_about_the_right_order(
    rig: Rig,
) -> None:
    rig.paper.placing.append(limited(2))
    rig.paper.looking.append(not_found())
    await rig.trade(make_signal(id="n-1"))
    (asked,) = rig.paper.asked("order")
    assert (asked.client_order_id, asked.order_id) == (trade_id("paper", "n-1"), None)


async def test_an_order_that_the_look_up_finds_was_answered_by_it(rig: Rig) -> None:
    rig.paper.placing.append(limited(7))
    rig.paper.looking.append(make_order(trade_id("paper", "n-1"), "new"))
    await rig.trade(make_signal(id="n-1"))
    assert only_row(rig)["replyMs"] == 7000
    assert rig.told() == [("placed", None)]


# Its requests


async def test_the_look_up_may_use_what_is_kept_for_recovery_and_the_order_may_not(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    async def use_up(_request: Request) -> BrokerOrder:
        while rig.paper.budget.try_take(Purpose.ORDER):
            pass
        raise limited(3)

    rig.paper.placing.append(use_up)
    await rig.trade(make_signal(id="n-1"))
    assert [(r.kind, r.at) for r in rig.paper.requests] == [("place", 0), ("order", 3)]
    assert 30 < trio.current_time() < 32, "it waits no longer than the signal is fresh"
    assert rig.rows() == {}
    assert rig.told() == [("skipped", "stale")]
    assert "(the rate limit held it up)" in warnings_of(caplog)[-1]


@pytest.mark.parametrize(
    ("said", "orders"),
    [
        (not_found(), 2),
        (make_order(trade_id("paper", "n-1"), "new"), 1),
        (UnknownOutcomeError("HTTP 500"), 1),
    ],
    ids=["sent again", "taken", "unknown"],
)
async def test_no_request_of_the_budget_is_lost(
    rig: Rig, said: BrokerOrder | Exception, orders: int
) -> None:
    rig.paper.placing.append(limited(3))
    rig.paper.looking.append(said)
    await rig.trade(make_signal(id="n-1"))
    assert len(rig.paper.asked("place")) == orders
    assert rig.paper.budget.left == 200 - orders - 1
    assert rig.paper.budget._in_flight == 0
    assert rig.accounts.leased["paper"] == 0


async def test_what_was_taken_for_a_signal_too_old_is_given_back(rig: Rig) -> None:
    async def grow_old(_request: Request) -> BrokerOrder:
        await trio.sleep(28)
        raise not_found()

    rig.paper.placing.append(limited(3))
    rig.paper.looking.append(grow_old)
    await rig.trade(make_signal(id="n-1"))
    assert [r.kind for r in rig.paper.requests] == ["place", "order"]
    assert rig.told() == [("skipped", "stale")]
    assert rig.paper.budget.left == 198
    assert (rig.paper.budget._in_flight, rig.accounts.leased["paper"]) == (0, 0)


# A stop


async def test_an_order_sent_again_is_abandoned_when_time_is_up(rig: Rig) -> None:
    answered: list[float] = []

    async def answer_late(request: Request) -> BrokerOrder:
        assert request.client_order_id is not None
        await trio.sleep(5)
        answered.append(trio.current_time())
        return make_order(request.client_order_id)

    rig.paper.placing.extend([limited(3), answer_late])
    with trio.move_on_after(4):
        await rig.trade(make_signal(id="n-1"))
    await trio.sleep(60)
    assert [(r.kind, r.at) for r in rig.paper.requests] == [
        *(("place", 0), ("order", 3)),
        ("place", 3),
    ]
    assert answered == []
    assert only_row(rig)["status"] == "open", "the next start asks about it"
    assert (rig.dispatcher.in_flight, rig.accounts.leased["paper"]) == (0, 0)


async def test_an_order_that_waits_when_time_is_up_is_not_sent_again(rig: Rig) -> None:
    rig.paper.placing.append(limited(7))
    with trio.move_on_after(4):
        await rig.trade(make_signal(id="n-1"))
    await trio.sleep(60)
    assert [r.kind for r in rig.paper.requests] == ["place"]
    assert only_row(rig)["status"] == "open", "the next start asks about it"
    assert (rig.dispatcher.in_flight, rig.accounts.leased["paper"]) == (0, 0)
