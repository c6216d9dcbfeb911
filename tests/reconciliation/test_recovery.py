"""Rows against the broker, until they agree."""

from __future__ import annotations

import itertools
import logging
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from snexec.errors import (
    BrokerError,
    NotSentError,
    RateLimitedError,
    RefusedError,
    UnknownOutcomeError,
)
from tests.fakes import Rig, make_order, make_trade, not_found, ref_of, warnings_of
from tests.ledger.hands import TRIGGERS, drop_trigger, trigger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from snexec.broker.answers import BrokerOrder
    from snexec.model import Mode, Side
    from tests.conftest import LoggedErrors
    from tests.fakes import Request

pytestmark = pytest.mark.jumping_time


@pytest.fixture
def run(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> Callable[[Rig], None]:
    """Give a function that starts a rig's services."""
    caplog.set_level(logging.INFO)

    def start(rig: Rig) -> None:
        nursery.start_soon(rig.fills.run)
        nursery.start_soon(rig.recover)

    return start


async def start_up(rig: Rig, run: Callable[[Rig], None]) -> None:
    """Start as the daemon does, and return when every row is compared."""
    rig.recovery.load(rig.store.unsettled())
    run(rig)
    await rig.reconciler.compare()
    await wait_all_tasks_blocked()


def placed(
    rig: Rig,
    trade_id: str = "sn-1",
    symbol: str = "AAPL",
    *,
    order_id: str | None = "o-1",
    mode: Mode = "paper",
) -> None:
    """Leave an order as the executor leaves it after placing it."""
    trade = make_trade(trade_id, symbol, mode=mode)
    rig.open_row(trade, order_id=order_id)
    rig.unsettled.placed(trade, order_id=order_id)


def said(rig: Rig, trade_id: str = "sn-1") -> tuple[object, ...]:
    """Return the columns that the broker's words are about."""
    row = rig.rows()[trade_id]
    return (
        *(row["status"], row["exitReason"], row["entryPrice"], row["shares"]),
        *(row["alpacaOrderId"], row["settledAt"] is not None),
    )


def times(rig: Rig) -> list[float]:
    """Return when paper was asked about orders."""
    return [round(request.at, 6) for request in rig.paper.asked("order")]


# A start


@pytest.mark.parametrize(
    ("answer", "becomes"),
    [
        (
            {"status": "filled", "quantity": "0.5", "price": "86.878"},
            ("open", None, 86.878, 0.5, "o-1", True),
        ),
        (
            {"status": "partially_filled", "quantity": "0.2", "price": "80"},
            ("open", None, 80.0, 3.0, "o-1", False),
        ),
        (
            {"status": "canceled", "quantity": "0.2", "price": "80"},
            ("open", None, 80.0, 0.2, "o-1", True),
        ),
        (
            {"status": "expired", "quantity": "0.2", "price": "80"},
            ("open", None, 80.0, 0.2, "o-1", True),
        ),
        (
            {"status": "canceled"},
            ("missed", "alpaca_canceled", None, None, "o-1", True),
        ),
        ({"status": "expired"}, ("missed", "alpaca_expired", None, None, "o-1", True)),
        (
            {"status": "rejected"},
            ("missed", "alpaca_rejected", None, None, "o-1", True),
        ),
        (
            {"status": "rejected", "quantity": "0.2", "price": "80"},
            ("open", None, 80.0, 0.2, "o-1", True),
        ),
        (
            {"status": "pending_cancel", "quantity": "0.2", "price": "80"},
            ("open", None, 80.0, 3.0, "o-1", False),
        ),
        *(
            ({"status": status}, ("open", None, None, None, "o-1", False))
            for status in ("new", "accepted", "pending_new", "done_for_day", "held")
        ),
    ],
    ids=lambda value: value["status"] if isinstance(value, dict) else "",
)
@pytest.mark.parametrize("order_id", ["o-1", None])
async def test_a_start_makes_each_row_what_the_broker_says(  # noqa: PLR0917 - a table
    rig: Rig,
    run: Callable[[Rig], None],
    answer: dict[str, Any],
    becomes: tuple[object, ...],
    order_id: str | None,
    logged_errors: LoggedErrors,
) -> None:
    rig.open_row(make_trade(), order_id=order_id)
    rig.paper.book["sn-1"] = make_order("sn-1", **answer)
    rig.paper.holds["AAPL"] = Decimal(3)
    await start_up(rig, run)
    assert said(rig) == becomes
    asked = rig.paper.asked("order")[0]
    assert (asked.client_order_id, asked.order_id) == ("sn-1", order_id)
    assert ("sn-1" in {order.trade_id for order in rig.unsettled}) != becomes[-1]
    assert trio.current_time() == 0
    errors = logged_errors.take()
    assert len(errors) == (answer["status"] == "rejected" and "quantity" in answer)


async def test_a_start_with_nothing_unsettled_asks_nobody(
    rig: Rig, run: Callable[[Rig], None], caplog: pytest.LogCaptureFixture
) -> None:
    await start_up(rig, run)
    await rig.reconciler.wait_started()
    assert rig.paper.requests == rig.live.requests == []
    assert caplog.messages == []


async def test_rows_of_both_modes_are_compared_each_with_its_own_account(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    rig.open_row(make_trade("sn-1", "AAPL"), order_id="o-1")
    rig.open_row(make_trade("sn-2", "MSFT", mode="live"), order_id="o-2")
    for client, trade_id, order_id in (
        (rig.paper, "sn-1", "o-1"),
        (rig.live, "sn-2", "o-2"),
    ):
        client.book[trade_id] = make_order(
            trade_id, "filled", order_id=order_id, quantity="2", price="5"
        )
    await start_up(rig, run)
    assert said(rig, "sn-1") == ("open", None, 5.0, 2.0, "o-1", True)
    assert said(rig, "sn-2") == ("open", None, 5.0, 2.0, "o-2", True)
    assert [r.client_order_id for r in rig.paper.requests] == ["sn-1"]
    assert [r.client_order_id for r in rig.live.requests] == ["sn-2"]


async def test_a_mode_that_does_not_answer_does_not_hold_the_other_up(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    rig.live.looking.extend([NotSentError("ConnectError")] * 3)
    rig.open_row(make_trade("sn-1", "AAPL"), order_id="o-1")
    rig.open_row(make_trade("sn-2", "MSFT", mode="live"), order_id="o-2")
    rig.paper.book["sn-1"] = make_order("sn-1", "filled", quantity="2", price="5")
    rig.recovery.load(rig.store.unsettled())
    run(rig)
    await wait_all_tasks_blocked()
    assert said(rig, "sn-1")[-1] is True
    assert trio.current_time() == 0


@pytest.mark.parametrize(
    "problem",
    [
        NotSentError("ConnectError"),
        UnknownOutcomeError("no answer within 10 s"),
        UnknownOutcomeError("HTTP 503: maintenance"),
        RateLimitedError("HTTP 429", wait_seconds=1.0),
    ],
)
async def test_a_start_keeps_trying_and_says_so_while_the_broker_does_not_answer(
    rig: Rig,
    run: Callable[[Rig], None],
    caplog: pytest.LogCaptureFixture,
    problem: BrokerError,
) -> None:
    rig.open_row(make_trade(), order_id="o-1")
    rig.paper.book["sn-1"] = make_order("sn-1", "filled", quantity="2", price="5")

    async def silent_for_half_a_minute(request: Request) -> BrokerOrder | Exception:
        return rig.paper.book["sn-1"] if request.at > 30 else problem

    rig.paper.looking.extend([silent_for_half_a_minute] * 100)
    await start_up(rig, run)
    asked = times(rig)
    assert asked[0] == 0
    assert len(asked) >= 5
    assert 30 < asked[-1] == trio.current_time() <= 64
    waiting = [m for m in warnings_of(caplog) if m.startswith("no signals are taken")]
    assert len(waiting) == sum(asked[-1] >= at for at in (10, 30, 70))
    assert "1 row is not compared with the broker" in waiting[0]
    assert said(rig) == ("open", None, 5.0, 2.0, "o-1", True)


async def test_no_signal_may_be_taken_before_every_row_is_compared(
    rig: Rig, run: Callable[[Rig], None], nursery: trio.Nursery
) -> None:
    for n in range(3):
        rig.open_row(make_trade(f"sn-{n}", f"S{n}"), order_id=f"o-{n}")
        rig.paper.book[f"sn-{n}"] = make_order(f"sn-{n}", "new", order_id=f"o-{n}")
    rig.paper.seconds = 4
    rig.paper.looking.append(UnknownOutcomeError("HTTP 502"))
    rig.recovery.load(rig.store.unsettled())
    run(rig)
    nursery.start_soon(rig.reconciler.compare)
    with trio.move_on_after(8.9) as waiting:
        await rig.reconciler.wait_started()
    assert waiting.cancelled_caught
    await rig.reconciler.wait_started()
    assert trio.current_time() == 9, "4 s, a pause of 1 s, and 4 s"


@pytest.mark.parametrize("readable", [True, False])
async def test_a_partly_filled_row_is_compared_once_its_position_was_asked_for(
    rig: Rig, run: Callable[[Rig], None], nursery: trio.Nursery, readable: bool
) -> None:
    async def slow(_request: Request) -> Decimal | Exception:
        await trio.sleep(3)
        return Decimal(3) if readable else not_found()

    rig.open_row(make_trade(), order_id="o-1")
    rig.paper.book["sn-1"] = make_order(
        "sn-1", "partially_filled", quantity="0.2", price="80"
    )
    rig.paper.asking.append(slow)
    rig.recovery.load(rig.store.unsettled())
    run(rig)
    nursery.start_soon(rig.reconciler.compare)
    with trio.move_on_after(2.9) as waiting:
        await rig.reconciler.wait_started()
    assert waiting.cancelled_caught, "no signal is taken meanwhile"
    await rig.reconciler.wait_started()
    assert said(rig)[3] == (3.0 if readable else None)
    assert trio.current_time() == 3, "once is enough"


async def test_rows_without_a_position_keep_no_lost_order_waiting(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    await start_up(rig, run)
    for n in range(2, 22):
        placed(rig, f"sn-{n}", f"S{n}", order_id=f"o-{n}")
        rig.paper.book[f"sn-{n}"] = make_order(
            f"sn-{n}", "partially_filled", order_id=f"o-{n}", price="5"
        )
    await trio.sleep(5.5)
    placed(rig, order_id=None)
    rig.paper.book["sn-1"] = make_order("sn-1", "filled", quantity="0.5", price="86")
    await trio.sleep(0.5)
    assert said(rig) == ("open", None, 86.0, 0.5, "o-1", True)


async def test_a_start_asks_for_positions_with_the_whole_budget(
    make_rig: Callable[..., Rig], run: Callable[[Rig], None]
) -> None:
    rig = make_rig(alpaca={"rate_limit_per_min": 60})
    for n in range(30):
        rig.open_row(make_trade(f"sn-{n}", f"S{n}"), order_id=f"o-{n}")
        rig.paper.book[f"sn-{n}"] = make_order(
            *(f"sn-{n}", "partially_filled"),
            order_id=f"o-{n}",
            quantity="1",
            price="5",
        )
        rig.paper.holds[f"S{n}"] = Decimal(3)
    await start_up(rig, run)
    assert len(rig.paper.asked("position")) == 30
    assert trio.current_time() == 0


async def test_a_row_that_takes_no_word_of_the_brokers_holds_no_start_up(
    rig: Rig, run: Callable[[Rig], None], logged_errors: LoggedErrors
) -> None:
    for n, status in enumerate(("filled", "partially_filled")):
        rig.open_row(make_trade(f"sn-{n}", f"S{n}"), order_id=f"o-{n}")
        rig.paper.book[f"sn-{n}"] = make_order(
            f"sn-{n}", status, order_id=f"o-{n}", quantity="1", price="5"
        )
    rig.store._db.execute(
        "CREATE TRIGGER theirs BEFORE UPDATE ON BotTrade"
        " BEGIN SELECT RAISE(ABORT, 'theirs'); END"
    )
    await start_up(rig, run)
    assert len(logged_errors.take()) == 2


async def test_keys_that_the_broker_refuses_warn_once_and_hold_nothing_up(
    rig: Rig, run: Callable[[Rig], None], caplog: pytest.LogCaptureFixture
) -> None:
    refusal = RefusedError(status_code=401, body="", reason="unauthorized.")
    rig.paper.looking.extend([refusal] * 100)
    rig.open_row(make_trade(), order_id="o-1")
    await start_up(rig, run)
    assert trio.current_time() == 0
    await trio.sleep(600)
    (warning,) = warnings_of(caplog)
    assert "AAPL trade=sn-1 signal=None orderId=o-1 (paper)" in warning
    assert "unauthorized." in warning
    assert said(rig) == ("open", None, None, None, "o-1", False)
    assert len(times(rig)) > 5, "and is asked again all the same"


async def test_keys_that_are_refused_for_thousands_of_orders_warn_once_of_each(
    make_rig: Callable[..., Rig],
    run: Callable[[Rig], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = make_rig(alpaca={"rate_limit_per_min": 1_000_000})
    refusal = RefusedError(status_code=401, body="", reason="unauthorized.")
    rig.paper.looking.extend([refusal] * 10_000)
    for n in range(2500):
        rig.unsettled.placed(make_trade(f"sn-{n}", f"S{n}"), order_id=f"o-{n}")
    run(rig)
    await trio.sleep(20)
    assert len(times(rig)) == 5000, "each of them twice"
    assert len(warnings_of(caplog)) == 2500


async def test_many_rows_are_compared_at_once(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    for n in range(150):
        rig.open_row(make_trade(f"sn-{n}", f"S{n}"), order_id=f"o-{n}")
        rig.paper.book[f"sn-{n}"] = make_order(
            f"sn-{n}", "filled", order_id=f"o-{n}", quantity="1", price="5"
        )
    await start_up(rig, run)
    assert trio.current_time() == 0
    assert len(rig.unsettled) == 0
    assert len(times(rig)) == 150


async def test_more_rows_than_the_limit_are_compared_minute_by_minute(
    make_rig: Callable[..., Rig], run: Callable[[Rig], None]
) -> None:
    rig = make_rig(alpaca={"rate_limit_per_min": 20})
    for n in range(50):
        rig.open_row(make_trade(f"sn-{n}", f"S{n}"), order_id=f"o-{n}")
        rig.paper.book[f"sn-{n}"] = make_order(
            f"sn-{n}", "filled", order_id=f"o-{n}", quantity="1", price="5"
        )
    await start_up(rig, run)
    asked = times(rig)
    assert len(asked) == 50
    assert [sum(60 * n <= at < 60 * (n + 1) for at in asked) for n in range(3)] == [
        *(20, 20),
        10,
    ]


async def test_a_few_look_ups_that_hang_do_not_hold_the_others_up(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    async def hangs(_request: Request) -> Exception:
        await trio.sleep(10)
        return UnknownOutcomeError("no answer within 10 s")

    rig.paper.looking.extend([hangs] * 7)
    for n in range(30):
        rig.open_row(make_trade(f"sn-{n}", f"S{n}"), order_id=f"o-{n}")
        rig.paper.book[f"sn-{n}"] = make_order(f"sn-{n}", "new", order_id=f"o-{n}")
    rig.recovery.load(rig.store.unsettled())
    run(rig)
    await wait_all_tasks_blocked()
    assert sum(order.is_compared for order in rig.unsettled) == 23
    assert trio.current_time() == 0


# An order of this run


async def test_a_placed_order_is_asked_about_5_s_later_and_ever_less_often(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    run(rig)
    placed(rig)
    rig.paper.book["sn-1"] = make_order("sn-1", "new")
    await trio.sleep(250)
    assert times(rig) == [5, 10, 20, 40, 80, 140, 200]
    assert {request.order_id for request in rig.paper.requests} == {"o-1"}


async def test_the_interval_grows_no_longer_than_configured(
    make_rig: Callable[..., Rig], run: Callable[[Rig], None]
) -> None:
    rig = make_rig(alpaca={"reconcile_interval_sec": 7.0})
    run(rig)
    placed(rig)
    rig.paper.book["sn-1"] = make_order("sn-1", "new")
    await trio.sleep(40)
    assert times(rig) == [5, 10, 17, 24, 31, 38]


async def test_a_settled_order_is_asked_about_no_more(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    run(rig)
    placed(rig)
    rig.paper.book["sn-1"] = make_order("sn-1", "filled", quantity="2", price="5")
    await trio.sleep(500)
    assert times(rig) == [5]
    assert said(rig) == ("open", None, 5.0, 2.0, "o-1", True)


async def test_an_order_that_the_stream_settled_is_never_asked_about(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    run(rig)
    placed(rig)
    await trio.sleep(1)
    await rig.fills.on_fill_event(
        *("fill", "o-1", "2", "5", "AAPL"), mode="paper", client_order_id="sn-1"
    )
    await trio.sleep(500)
    assert rig.paper.requests == []


async def test_an_unknown_order_is_given_up_after_its_grace_and_no_sooner(
    rig: Rig, run: Callable[[Rig], None], caplog: pytest.LogCaptureFixture
) -> None:
    run(rig)
    placed(rig, order_id=None)
    await trio.sleep(59.9)
    assert said(rig) == ("open", None, None, None, None, False)
    assert warnings_of(caplog) == []
    assert times(rig) == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    await trio.sleep(30)
    assert said(rig) == ("missed", "order_not_found", None, None, None, False)
    (warning,) = warnings_of(caplog)
    assert warning == (
        "AAPL trade=sn-1 signal=None: the broker still does not know the order after 64 s;"
        " its row is missed (order_not_found)"
    )
    assert rig.told() == [("settled", "order_not_found")]
    assert times(rig)[-1] == 63.5


@pytest.mark.parametrize(
    "problem",
    [
        NotSentError("ConnectError"),
        UnknownOutcomeError("HTTP 500"),
        RefusedError(status_code=403, body="", reason="forbidden."),
    ],
)
async def test_only_a_404_gives_an_order_up(
    rig: Rig, run: Callable[[Rig], None], problem: BrokerError
) -> None:
    run(rig)
    placed(rig, order_id=None)
    rig.paper.looking.extend([problem] * 1000)
    await trio.sleep(3600)
    assert said(rig) == ("open", None, None, None, None, False)


async def test_the_grace_is_the_configured_one(
    make_rig: Callable[..., Rig], run: Callable[[Rig], None]
) -> None:
    rig = make_rig(alpaca={"unknown_grace_sec": 3.0})
    run(rig)
    placed(rig, order_id=None)
    await trio.sleep(3.4)
    assert said(rig)[0] == "open"
    await trio.sleep(0.2)
    assert said(rig)[:2] == ("missed", "order_not_found")


async def test_a_look_up_of_before_an_order_was_sent_once_more_gives_nothing_up(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    run(rig)
    placed(rig, order_id=None)
    [order] = rig.unsettled
    order.placed_at = -60

    async def know_nothing(_request: Request) -> BrokerOrder:
        rig.unsettled.settled(order.trade_id)
        raise not_found()

    rig.paper.looking.append(know_nothing)
    await trio.sleep(4)
    assert len(rig.paper.asked("order")) == 1
    assert said(rig)[:2] == ("open", None)


async def test_an_unknown_order_that_the_broker_has_is_then_asked_for_by_its_id(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    run(rig)
    placed(rig, order_id=None)
    rig.paper.looking.extend([not_found(), not_found()])
    rig.paper.book["sn-1"] = make_order("sn-1", "new", order_id="o-7")
    await trio.sleep(4)
    assert said(rig) == ("open", None, None, None, "o-7", False)
    assert [r.order_id for r in rig.paper.requests] == [None, None, None, "o-7"]


async def test_evidence_that_comes_after_the_grace_still_wins(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    run(rig)
    placed(rig, order_id=None)
    await trio.sleep(100)
    assert said(rig)[:2] == ("missed", "order_not_found")
    rig.paper.book["sn-1"] = make_order("sn-1", "filled", quantity="2", price="5")
    await trio.sleep(100)
    assert said(rig) == ("open", None, 5.0, 2.0, "o-1", True)
    assert len(rig.unsettled) == 0


async def test_an_order_given_up_is_asked_about_for_a_day_and_then_settled(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    run(rig)
    placed(rig, order_id=None)
    await trio.sleep(23 * 3600)
    assert said(rig) == ("missed", "order_not_found", None, None, None, False)
    assert len(times(rig)) < 60, "ever less often"
    await trio.sleep(3 * 3600)
    assert said(rig) == ("missed", "order_not_found", None, None, None, True)
    asked = len(times(rig))
    await trio.sleep(24 * 3600)
    assert len(times(rig)) == asked


async def test_an_order_that_the_broker_once_had_is_never_given_up(
    rig: Rig, run: Callable[[Rig], None], caplog: pytest.LogCaptureFixture
) -> None:
    run(rig)
    placed(rig)
    await trio.sleep(3600)
    assert said(rig) == ("open", None, None, None, "o-1", False)
    (warning,) = warnings_of(caplog)
    assert (
        "AAPL trade=sn-1 signal=None orderId=o-1 (paper): the broker does not know it"
        in warning
    )
    assert rig.events == []


async def test_a_row_that_only_somebody_else_can_help_is_told_of_once_a_day(
    rig: Rig, run: Callable[[Rig], None], caplog: pytest.LogCaptureFixture
) -> None:
    run(rig)
    placed(rig)
    await trio.sleep(23 * 3600)
    assert len(warnings_of(caplog)) == 1
    await trio.sleep(50 * 3600)
    told = warnings_of(caplog)
    assert len(told) == 4, "at once, and after one, two and three days"
    assert len(set(told)) == 1
    assert told[0].endswith(
        "the row stays as it is: put those keys back, or end it by `snexec settle sn-1"
        " --as missed` (or closed)"
    )
    rig.paper.book["sn-1"] = make_order("sn-1", "filled", quantity="2", price="5")
    await trio.sleep(48 * 3600)
    assert len(warnings_of(caplog)) == 4


async def test_an_order_that_only_the_stream_has_named_is_told_of_too(
    rig: Rig, run: Callable[[Rig], None], caplog: pytest.LogCaptureFixture
) -> None:
    run(rig)
    placed(rig, order_id=None)
    await heard(rig, event="partial_fill", filled_avg_price=None)
    await trio.sleep(3600)
    assert said(rig)[0] == "open"
    latest = rig.paper.asked("order")[-2:]
    assert {request.order_id for request in latest} == {"o-1", None}, "by both names"
    (warning,) = [line for line in warnings_of(caplog) if "does not know it" in line]
    assert "orderId=o-1 (paper)" in warning
    assert "snexec settle sn-1" in warning


# An order that another one took the place of


@pytest.mark.parametrize(
    ("bought", "latest", "becomes"),
    [
        (
            *("0", {"status": "filled", "quantity": "2", "price": "5"}),
            ("open", None, 5.0, 2.0, "o-1", True),
        ),
        (
            *("0.5", {"status": "filled", "quantity": "1.5", "price": "5"}),
            ("open", None, 5.0, 2.0, "o-1", True),
        ),
        (
            *("0.5", {"status": "canceled"}),
            ("open", None, 5.0, 0.5, "o-1", True),
        ),
        (
            *("0", {"status": "expired"}),
            ("missed", "alpaca_expired", None, None, "o-1", True),
        ),
        (
            *("0.5", {"status": "new"}),
            ("open", None, 5.0, 3.0, "o-1", False),
        ),
        ("0", {"status": "new"}, ("open", None, None, None, "o-1", False)),
    ],
)
@pytest.mark.parametrize("hops", [1, 3])
@pytest.mark.parametrize("order_id", ["o-1", None])
async def test_an_order_that_was_replaced_is_followed_with_one_warning(  # noqa: PLR0917 - a table
    rig: Rig,
    run: Callable[[Rig], None],
    caplog: pytest.LogCaptureFixture,
    bought: str,
    latest: dict[str, Any],
    becomes: tuple[object, ...],
    hops: int,
    order_id: str | None,
) -> None:
    rig.open_row(make_trade(), order_id=order_id)
    rig.paper.holds["AAPL"] = Decimal(3)
    price = "5" if bought != "0" else None
    rig.paper.book["sn-1"] = make_order(
        *("sn-1", "replaced"), quantity=bought, price=price, replaced_by="r-1"
    )
    for n in range(1, hops):
        rig.paper.replacements[f"r-{n}"] = make_order(
            *(f"theirs-{n}", "replaced"), order_id=f"r-{n}", replaced_by=f"r-{n + 1}"
        )
    rig.paper.replacements[f"r-{hops}"] = make_order(
        *(f"theirs-{hops}", latest["status"]),
        order_id=f"r-{hops}",
        quantity=latest.get("quantity", "0"),
        price=latest.get("price"),
    )
    await start_up(rig, run)
    assert said(rig) == becomes
    assert trio.current_time() == 0
    await trio.sleep(600)
    assert said(rig) == becomes
    told = [line for line in warnings_of(caplog) if "replaced" in line]
    assert told == [
        "AAPL trade=sn-1 signal=None: the broker has replaced order o-1; order"
        f" r-{hops} is followed in its place"
    ]
    assert rig.starved == []
    assert rig.paper.budget._in_flight == 0
    assert rig.accounts.leased["paper"] == 0


@pytest.mark.parametrize("replaced_by", [None, "o-1", "r-9"])
@pytest.mark.parametrize("order_id", ["o-1", None])
async def test_a_replacement_that_cannot_be_followed_is_said_and_nothing_is_missed(
    rig: Rig,
    run: Callable[[Rig], None],
    caplog: pytest.LogCaptureFixture,
    replaced_by: str | None,
    order_id: str | None,
) -> None:
    rig.open_row(make_trade(), order_id=order_id)
    rig.paper.holds["AAPL"] = Decimal(3)
    rig.paper.book["sn-1"] = make_order(
        *("sn-1", "replaced"), quantity="0.5", price="5", replaced_by=replaced_by
    )
    await start_up(rig, run)
    await trio.sleep(600)
    assert said(rig) == ("open", None, 5.0, 3.0, "o-1", False)
    (warning,) = warnings_of(caplog)
    assert "in its place" in warning or "does not say by which order" in warning
    assert "snexec settle sn-1" in warning


async def test_a_replacement_that_is_not_answered_is_asked_about_again(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    rig.open_row(make_trade(), order_id="o-1")
    rig.paper.book["sn-1"] = make_order("sn-1", "replaced", replaced_by="r-1")

    async def silent(
        order_id: str, *, symbol: str | None = None, side: Side = "buy"
    ) -> BrokerOrder:
        assert (symbol, side) == ("AAPL", "buy")
        rig.paper.budget.finish(None)
        if trio.current_time() < 10:
            raise UnknownOutcomeError("HTTP 502")
        return make_order(
            "theirs", "filled", order_id=order_id, quantity="2", price="5"
        )

    rig.paper.replacement = silent  # type: ignore[method-assign]
    await start_up(rig, run)
    assert trio.current_time() >= 10
    assert said(rig) == ("open", None, 5.0, 2.0, "o-1", True)


async def test_a_row_of_an_earlier_run_is_as_old_as_its_order(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    rig.open_row(make_trade("sn-1", "AAPL"))
    await trio.sleep(90)
    rig.open_row(make_trade("sn-2", "MSFT"))
    await trio.sleep(10)
    await start_up(rig, run)
    assert said(rig, "sn-1")[:2] == ("missed", "order_not_found")
    assert said(rig, "sn-2")[:2] == ("open", None)
    await trio.sleep(70)
    assert said(rig, "sn-2")[:2] == ("missed", "order_not_found")


async def test_a_row_given_up_by_an_earlier_run_is_still_asked_about(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    trade = make_trade()
    rig.open_row(trade)
    rig.store.mark_not_found("sn-1")
    rig.paper.book["sn-1"] = make_order("sn-1", "filled", quantity="2", price="5")
    await start_up(rig, run)
    assert said(rig) == ("open", None, 5.0, 2.0, "o-1", True)


async def test_a_row_that_another_program_closed_is_settled_all_the_same(
    rig: Rig, run: Callable[[Rig], None], logged_errors: LoggedErrors
) -> None:
    rig.open_row(make_trade(), order_id="o-1")
    rig.store._db.execute("UPDATE BotTrade SET status = 'closed', shares = 1.0")
    rig.paper.book["sn-1"] = make_order("sn-1", "filled", quantity="2", price="5")
    await start_up(rig, run)
    assert said(rig) == ("closed", None, 5.0, 1.0, "o-1", True)
    (error,) = logged_errors.take()
    assert "order o-1 has bought 1.0 shares more than its row held" in error


async def test_a_rate_limit_holds_look_ups_back_for_as_long_as_told(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    run(rig)
    placed(rig, order_id=None)
    rig.paper.looking.append(RateLimitedError("HTTP 429", wait_seconds=20))
    rig.paper.book["sn-1"] = make_order("sn-1", "filled", quantity="2", price="5")
    await trio.sleep(60)
    first, second = times(rig)
    assert first == 0
    assert 20 <= second <= 21
    assert said(rig)[-1] is True


async def test_what_settles_while_it_waits_for_the_budget_costs_no_request(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    run(rig)
    placed(rig, order_id=None)
    rig.paper.budget.block(30)
    await trio.sleep(1)
    rig.store.apply_fill(
        ref_of(make_trade(), "o-1"), price=Decimal(5), quantity=Decimal(2)
    )
    rig.unsettled.settled("sn-1")
    await trio.sleep(60)
    assert rig.paper.requests == []
    assert rig.paper.budget._in_flight == 0


async def test_every_row_is_asked_about_when_the_stream_is_fed_again(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    run(rig)
    for n in range(3):
        placed(rig, f"sn-{n}", f"S{n}", order_id=f"o-{n}")
        rig.paper.book[f"sn-{n}"] = make_order(f"sn-{n}", "new", order_id=f"o-{n}")
    await trio.sleep(2)
    rig.unsettled.ask_all()
    await trio.sleep(1)
    assert times(rig) == [2, 2, 2]


async def test_it_stops_when_it_is_cancelled(rig: Rig) -> None:
    placed(rig, order_id=None)
    rig.paper.seconds = 8
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.recover)
        await trio.sleep(1)
        assert len(rig.paper.requests) == 1
        nursery.cancel_scope.cancel()
    assert trio.current_time() == 1
    assert rig.accounts.leased["paper"] == 0
    assert said(rig) == ("open", None, None, None, None, False)


# A stream that is open but not fed


async def test_an_order_settled_by_a_look_up_alone_says_that_the_stream_is_starved(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    run(rig)
    await trio.sleep(3)
    placed(rig)
    rig.paper.book["sn-1"] = make_order("sn-1", "filled", quantity="2", price="5")
    await trio.sleep(6.9)
    assert rig.starved == [], "the stream may be a little late"
    await trio.sleep(0.2)
    assert rig.starved == [("paper", 3.0)]
    assert rig.writer._probes.seen == 1, "to wait for the writer is no change of rows"


@pytest.mark.parametrize("when", [4.0, 6.0])
async def test_a_stream_that_tells_of_the_order_is_not_starved(
    rig: Rig, run: Callable[[Rig], None], when: float
) -> None:
    run(rig)
    placed(rig)
    rig.paper.book["sn-1"] = make_order("sn-1", "filled", quantity="2", price="5")
    await trio.sleep(when)
    await rig.fills.on_fill_event(
        *("fill", "o-1", "2", "5", "AAPL"), mode="paper", client_order_id="sn-1"
    )
    await trio.sleep(100)
    assert rig.starved == []


async def test_an_event_that_waits_for_the_database_was_told_by_the_stream(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    run(rig)
    placed(rig)
    rig.paper.book["sn-1"] = make_order("sn-1", "filled", quantity="2", price="5")
    await trio.sleep(6)
    rig.writer.gate, rig.writer.delay_seconds = trio.Event(), 0.01
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            partial(
                rig.fills.on_fill_event,
                *("fill", "o-1", "2", "5", "AAPL"),
                mode="paper",
                client_order_id="sn-1",
            )
        )
        await trio.sleep(10)
        rig.writer.gate.set()
    await trio.sleep(100)
    assert rig.starved == []


async def test_a_row_that_may_not_be_written_ends_nothing(
    rig: Rig, run: Callable[[Rig], None], logged_errors: LoggedErrors
) -> None:
    run(rig)
    placed(rig, order_id=None)
    rig.store._db.execute(
        "CREATE TRIGGER theirs BEFORE UPDATE ON BotTrade WHEN new.status = 'missed'"
        " BEGIN SELECT RAISE(ABORT, 'theirs'); END"
    )
    await trio.sleep(200)
    asked = len(rig.paper.asked("order"))
    rig.store._db.execute("DROP TRIGGER theirs")
    await trio.sleep(200)
    assert len(rig.paper.asked("order")) > asked > 0
    assert said(rig)[0] == "missed"
    assert all("cannot be recorded" in line for line in logged_errors.take())


async def test_an_early_look_up_is_no_evidence_against_the_stream(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    run(rig)
    placed(rig, order_id=None)
    rig.paper.book["sn-1"] = make_order("sn-1", "filled", quantity="2", price="5")
    await trio.sleep(100)
    assert said(rig)[-1] is True
    assert rig.starved == []


async def test_what_settled_while_the_daemon_was_down_is_no_evidence_either(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    rig.open_row(make_trade(), order_id="o-1")
    rig.paper.book["sn-1"] = make_order("sn-1", "filled", quantity="2", price="5")
    await trio.sleep(3600)
    await start_up(rig, run)
    await trio.sleep(100)
    assert rig.starved == []


async def test_an_order_that_still_works_is_no_evidence_against_the_stream(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    run(rig)
    placed(rig)
    rig.paper.book["sn-1"] = make_order("sn-1", "new")
    await trio.sleep(300)
    assert rig.starved == []
    assert not rig.unsettled.was_streamed("sn-1")


@pytest.mark.parametrize("status", ["canceled", "expired"])
async def test_what_the_stream_has_no_say_in_is_no_evidence_against_it(
    rig: Rig, run: Callable[[Rig], None], status: str
) -> None:
    run(rig)
    placed(rig)
    rig.paper.book["sn-1"] = make_order("sn-1", status)
    await trio.sleep(300)
    assert rig.starved == []


# A row that another program's trigger holds


async def test_a_fill_that_its_row_does_not_take_is_asked_about_until_it_does(
    rig: Rig, run: Callable[[Rig], None], database: Path, logged_errors: LoggedErrors
) -> None:
    placed(rig, symbol="DOOM")
    placed(rig, "sn-2", "MSFT", order_id="o-2")
    for trade_id, order_id in (("sn-1", "o-1"), ("sn-2", "o-2")):
        rig.paper.book[trade_id] = make_order(
            trade_id, "filled", order_id=order_id, quantity="0.5", price="86.878"
        )
    trigger(database, "refuses", "UPDATE")
    run(rig)
    await trio.sleep(600)
    assert said(rig)[:4] == ("open", None, None, None)
    assert said(rig, "sn-2")[:4] == ("open", None, 86.878, 0.5)
    asked = [
        request.at
        for request in rig.paper.asked("order")
        if request.client_order_id == "sn-1"
    ]
    pauses = [later - sooner for sooner, later in itertools.pairwise(asked)]
    assert pauses[:4] == [5, 10, 20, 40]
    assert set(pauses[4:]) == {60}
    assert len(logged_errors.take()) == 1, "and not each time"
    drop_trigger(database)
    await trio.sleep(61)
    assert said(rig)[2:4] == (86.878, 0.5)
    assert len(rig.unsettled) == 0


@pytest.mark.parametrize("kind", TRIGGERS)
@pytest.mark.parametrize("answer", ["filled", "partially_filled", "canceled", None])
async def test_a_start_waits_for_no_row_that_takes_nothing(
    rig: Rig,
    run: Callable[[Rig], None],
    database: Path,
    logged_errors: LoggedErrors,
    *,
    kind: str,
    answer: str | None,
) -> None:
    rig.open_row(make_trade("sn-1", "DOOM"))
    rig.paper.holds["DOOM"] = Decimal("0.2")
    await trio.sleep(61)
    if answer is not None:
        quantity = "0.2" if answer != "canceled" else "0"
        rig.paper.book["sn-1"] = make_order(
            "sn-1", answer, quantity=quantity, price="86.878"
        )
    trigger(database, kind, "UPDATE")
    with trio.fail_after(30):
        await start_up(rig, run)
    assert said(rig) == ("open", None, None, None, None, False)
    assert len(rig.unsettled) == 1, "it is asked about again"
    logged_errors.take()


async def test_a_stream_is_not_starved_by_a_row_that_takes_nothing(
    rig: Rig, run: Callable[[Rig], None], database: Path, logged_errors: LoggedErrors
) -> None:
    placed(rig, symbol="DOOM")
    rig.paper.book["sn-1"] = make_order("sn-1", "filled", quantity="0.5", price="86")
    trigger(database, "refuses", "UPDATE")
    run(rig)
    await rig.fills.on_fill_event(
        *("fill", "o-1", "0.5", "86", "DOOM"), mode="paper", client_order_id="sn-1"
    )
    await trio.sleep(60)
    assert len(rig.paper.asked("order")) > 1
    assert rig.starved == []
    assert len(logged_errors.take()) == 1


# Two orders under one name


async def heard(rig: Rig, **changes: Any) -> None:  # noqa: ANN401
    """Let the stream report a fill of sn-1's order, but for these changes."""
    values: dict[str, Any] = {
        "event": "fill",
        "order_id": "o-1",
        "filled_qty": "2",
        "filled_avg_price": "9",
        "symbol": "AAPL",
        "side": "buy",
        "mode": "paper",
        "client_order_id": "sn-1",
    }
    await rig.fills.on_fill_event(**values | changes)


@pytest.mark.parametrize(
    "changes",
    [
        *({"order_id": "o-2"}, {"symbol": "MSFT"}, {"side": "sell"}),
        {"client_order_id": "sn-7"},
    ],
)
@pytest.mark.parametrize("event", ["fill", "partial_fill"])
async def test_an_event_that_is_only_in_part_the_orders_is_asked_about_not_applied(
    rig: Rig,
    run: Callable[[Rig], None],
    caplog: pytest.LogCaptureFixture,
    changes: dict[str, str],
    event: str,
) -> None:
    placed(rig)
    run(rig)
    rig.paper.book["sn-1"] = make_order("sn-1", "new", order_id="o-1")
    await heard(rig, event=event, **changes)
    await trio.sleep(1)
    assert said(rig) == ("open", None, None, None, "o-1", False)
    (asked, *_) = rig.paper.asked("order")
    assert (asked.at, asked.client_order_id, asked.order_id) == (0, "sn-1", None)
    (warning,) = warnings_of(caplog)
    assert "not applied; the broker is asked" in warning
    assert rig.told() == []


async def test_the_brokers_answer_decides_which_order_a_row_has(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    trade = make_trade()
    rig.open_row(trade)
    run(rig)
    await heard(rig, order_id="o-alien")
    assert said(rig) == ("open", None, 9.0, 2.0, "o-alien", True)
    rig.unsettled.placed(trade, order_id="o-1")
    rig.paper.book["sn-1"] = make_order("sn-1", "filled", quantity="0.5", price="187")
    await heard(rig, order_id="o-1")
    await trio.sleep(1)
    assert said(rig) == ("open", None, 187.0, 0.5, "o-1", True)
    assert len(rig.unsettled) == 0


async def test_a_settled_row_that_is_spoken_of_as_another_order_is_asked_about_once(
    rig: Rig, run: Callable[[Rig], None], caplog: pytest.LogCaptureFixture
) -> None:
    rig.open_row(make_trade())
    run(rig)
    await heard(rig)
    rig.paper.book["sn-1"] = make_order("sn-1", "filled", quantity="2", price="9")
    for number in range(1000):
        await heard(rig, order_id=f"o-{number + 7}")
    await trio.sleep(100)
    assert said(rig) == ("open", None, 9.0, 2.0, "o-1", True)
    assert len(rig.paper.asked("order")) == 1
    assert len(warnings_of(caplog)) == 1
    assert len(rig.unsettled) == 0


async def test_where_our_id_is_not_known_the_order_is_asked_for_by_the_brokers_again(
    rig: Rig, run: Callable[[Rig], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    placed(rig)
    run(rig)
    look_up = rig.paper.order

    async def knows_its_own_ids_only(
        *,
        client_order_id: str,
        order_id: str | None,
        symbol: str | None = None,
        side: Side = "buy",
    ) -> BrokerOrder:
        if order_id == "o-1":
            rig.paper.looking.append(
                make_order("sn-1", "filled", quantity="2", price="9")
            )
        return await look_up(
            client_order_id=client_order_id,
            order_id=order_id,
            symbol=symbol,
            side=side,
        )

    monkeypatch.setattr(rig.paper, "order", knows_its_own_ids_only)
    await heard(rig, symbol="MSFT")
    await trio.sleep(10)
    assert [request.order_id for request in rig.paper.asked("order")] == [None, "o-1"]
    assert said(rig) == ("open", None, 9.0, 2.0, "o-1", True)
