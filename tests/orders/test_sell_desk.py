"""A sell: durable, sent in that moment, and followed whatever the broker answers."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from snexec.errors import (
    DuplicateOrderError,
    NotSentError,
    RateLimitedError,
    RefusedError,
    UnknownOutcomeError,
)
from tests.fakes import make_order, make_signal
from tests.orders.hearing import SELL, Heard, buy, exits_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from snexec.broker.answers import BrokerOrder
    from tests.conftest import LoggedErrors
    from tests.fakes import Rig

pytestmark = pytest.mark.jumping_time


@pytest.fixture
async def run(nursery: trio.Nursery) -> Callable[[Rig], None]:
    """Give a function that starts a rig's services and its desk."""

    def start(rig: Rig) -> None:
        nursery.start_soon(rig.fills.run)
        nursery.start_soon(rig.recover)
        nursery.start_soon(rig.reconciler.sells.run)
        nursery.start_soon(rig.orders.run)

    return start


async def sold(rig: Rig, run: Callable[[Rig], None]) -> Heard:
    """Hand in the sell of a row that was bought."""
    buy(rig)
    run(rig)
    await wait_all_tasks_blocked()
    heard = Heard()
    rig.orders.sell(SELL, heard)
    await wait_all_tasks_blocked()
    return heard


def refusal(status: int = 403, reason: str = "no") -> RefusedError:
    return RefusedError(status_code=status, body="{}", reason=reason)


async def test_a_sell_is_durable_when_it_leaves_and_carries_its_own_id(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    heard = await sold(rig, run)
    (post,) = rig.paper.asked("place")
    assert (post.symbol, post.side, post.notional) == ("AAPL", "sell", None)
    assert (post.quantity, post.client_order_id) == (Decimal("0.533386947"), "sn-1-x1")
    assert heard.calls == [("planned", "sn-1-x1"), ("placed", "paper-o-1")]
    (row,) = exits_of(rig).values()
    assert (row["state"], row["alpacaOrderId"]) == ("working", "paper-o-1")
    assert (row["reason"], row["triggerPrice"]) == ("stop_loss", "180.02")
    assert rig.told("exit", "exit_placed") == [
        ("exit", "stop_loss"),
        ("exit_placed", "stop_loss"),
    ]
    followed = rig.unsettled.get("sn-1-x1")
    assert followed is not None
    assert followed.side == "sell"


async def test_that_a_sell_was_decided_is_said_soon_and_before_what_it_sold(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    rig.paper.seconds = 1.0  # until it answers
    await sold(rig, run)
    await rig.fills.on_fill_event(
        *("partial_fill", "paper-o-1", "0.2", "180", "AAPL"),
        mode="paper",
        client_order_id="sn-1-x1",
        side="sell",
    )
    await wait_all_tasks_blocked()
    assert [name for name, _reason in rig.told()] == ["exit", "exit_fill"]
    assert trio.current_time() < 0.01
    await trio.sleep(2)
    assert [name for name, _reason in rig.told()] == [
        *("exit", "exit_fill", "exit_placed")
    ]


async def test_two_triggers_in_one_instant_are_one_sell(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    buy(rig)
    run(rig)
    await wait_all_tasks_blocked()
    first, second = Heard(), Heard()
    rig.orders.sell(SELL, first)
    rig.orders.sell(SELL._replace(reason="max_hold"), second)
    await trio.sleep(1)
    assert first.names == ["planned", "placed"]
    assert second.calls == [("not_planned", "closing")]
    assert len(rig.paper.asked("place")) == 1


async def test_a_sell_needs_no_slot_and_passes_no_gate(
    make_rig: Callable[..., Rig], run: Callable[[Rig], None]
) -> None:
    rig = make_rig(intake={"max_in_flight": 1}, bot={"state": "paused"})
    rig.paper.seconds = 1.0
    rig.halt.on = True
    rig.set_mode("live")
    heard = await sold(rig, run)
    assert len(rig.paper.asked("place")) == 1
    assert heard.names == ["planned"]
    await trio.sleep(1.5)
    assert heard.names == ["planned", "placed"]


async def test_a_sell_goes_before_buys_where_the_rate_limit_is_short(
    make_rig: Callable[..., Rig],
    run: Callable[[Rig], None],
    logged_errors: LoggedErrors,
) -> None:
    rig = make_rig(alpaca={"rate_limit_per_min": 5}, intake={"max_signal_age_sec": 600})
    buy(rig)
    run(rig)
    await rig.reconciler.compare()  # before that, look-ups may use all of it
    await wait_all_tasks_blocked()
    rig.offer(*[make_signal(f"B{n}") for n in range(6)])
    await wait_all_tasks_blocked()
    assert len(rig.paper.asked("place")) == 4, "a fifth is kept for recovery"
    rig.orders.sell(SELL, Heard())
    await wait_all_tasks_blocked()
    assert exits_of(rig)["sn-1-x1"]["state"] == "planned", "it is durable meanwhile"
    await trio.sleep(240)
    later = rig.paper.asked("place")[4:]
    (sell,) = [each.at for each in later if each.side == "sell"]
    assert sell == min(each.at for each in later), "no buy took its request"
    assert len(later) == 3
    assert len(logged_errors.take()) == 1, "it is never filled here"


async def test_halt_all_lets_no_sell_out_and_plans_none(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    rig.halt.all_on = True
    heard = await sold(rig, run)
    assert heard.calls == [("not_planned", "halted")]
    assert rig.paper.requests == []
    assert exits_of(rig) == {}


async def test_halt_all_is_looked_at_once_more_before_the_request_leaves(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    rig.writer.delay_seconds = 1.0
    heard = await sold(rig, run)
    rig.halt.all_on = True
    await trio.sleep(5)
    assert heard.calls == [("planned", "sn-1-x1"), ("withheld", "halted")]
    assert rig.paper.asked("place") == []
    assert exits_of(rig)["sn-1-x1"]["state"] == "dropped", "it never left, for certain"
    rig.halt.all_on = False
    rig.orders.sell(SELL, again := Heard())
    await trio.sleep(5)
    assert again.calls == [("planned", "sn-1-x2"), ("placed", "paper-o-1")]


async def test_a_refusal_counts_once_the_broker_does_not_know_the_sell(
    rig: Rig, run: Callable[[Rig], None], logged_errors: LoggedErrors
) -> None:
    rig.paper.placing.append(refusal(reason="insufficient qty available"))
    heard = await sold(rig, run)
    await wait_all_tasks_blocked()
    assert heard.calls == [("planned", "sn-1-x1"), ("refused", 403)]
    assert len(rig.paper.asked("order")) == 1
    assert exits_of(rig)["sn-1-x1"]["state"] == "refused"
    assert rig.rows()["sn-1"]["status"] == "open", "the row is still held"
    assert rig.told("exit_refused", "refused") == [("exit_refused", "stop_loss")]
    assert rig.halt.refusals == [], "refusals of sells halt no buys"
    assert len(logged_errors.take()) == 1


async def test_a_refused_sell_that_the_broker_has_all_the_same_goes_on(
    rig: Rig, run: Callable[[Rig], None], logged_errors: LoggedErrors
) -> None:
    rig.paper.placing.append(refusal(422))
    rig.paper.looking.append(make_order("sn-1-x1", order_id="paper-o-9"))
    heard = await sold(rig, run)
    assert heard.names == ["planned"]
    assert exits_of(rig)["sn-1-x1"]["state"] == "working"
    assert len(logged_errors.take()) == 2
    rig.orders.sell(SELL, second := Heard())
    await wait_all_tasks_blocked()
    assert second.calls == [("not_planned", "closing")]


@pytest.mark.parametrize(
    "problem",
    [UnknownOutcomeError("HTTP 502"), NotSentError("no route to host")],
    ids=["no readable answer", "no connection"],
)
async def test_what_has_no_answer_is_sent_again_with_the_same_id(
    rig: Rig, run: Callable[[Rig], None], problem: Exception
) -> None:
    rig.paper.placing.append(problem)
    heard = await sold(rig, run)
    assert heard.names == ["planned", "unknown"]
    assert exits_of(rig)["sn-1-x1"]["state"] == "planned"
    await trio.sleep(4.9)
    assert len(rig.paper.asked("place")) == 1, "only once look-ups had their time"
    await trio.sleep(10)
    assert [each.client_order_id for each in rig.paper.asked("place")] == [
        "sn-1-x1",
        "sn-1-x1",
    ]
    assert heard.names == ["planned", "unknown", "placed"]
    assert len(rig.told("exit")) == 1, "it was decided once"


async def test_a_no_to_the_second_request_says_nothing_of_the_first(
    rig: Rig, run: Callable[[Rig], None], logged_errors: LoggedErrors
) -> None:
    no = refusal(reason="account is restricted")
    rig.paper.placing.extend([UnknownOutcomeError("no answer within 10 s"), no, no])
    heard = await sold(rig, run)
    await trio.sleep(50)
    assert heard.names == ["planned", "unknown"], "the first may still come"
    assert exits_of(rig)["sn-1-x1"]["state"] == "planned"
    assert len(rig.paper.asked("place")) == 2
    await trio.sleep(60)
    assert heard.names == ["planned", "unknown", "refused"]
    assert len(rig.paper.asked("place")) == 3
    assert exits_of(rig)["sn-1-x1"]["state"] == "refused"
    logged_errors.take()


async def test_a_no_after_what_never_left_counts_at_once(
    rig: Rig, run: Callable[[Rig], None], logged_errors: LoggedErrors
) -> None:
    no = refusal(reason="account is restricted")
    rig.paper.placing.extend([NotSentError("no route to host"), no])
    heard = await sold(rig, run)
    await trio.sleep(10)
    assert heard.names == ["planned", "unknown", "refused"]
    logged_errors.take()


async def test_what_has_no_answer_and_is_found_is_not_sent_again(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    rig.paper.placing.append(UnknownOutcomeError("no answer within 10 s"))
    rig.paper.book["sn-1-x1"] = make_order(
        "sn-1-x1", "filled", order_id="paper-o-9", quantity="0.533386947", price="180"
    )
    heard = await sold(rig, run)
    await trio.sleep(60)
    assert len(rig.paper.asked("place")) == 1
    assert heard.names == ["planned", "unknown"]
    assert rig.rows()["sn-1"]["status"] == "closed"


async def test_an_id_that_the_broker_has_taken_is_looked_up(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    rig.paper.placing.append(
        DuplicateOrderError(status_code=422, body="", reason="must be unique")
    )
    rig.paper.book["sn-1-x1"] = make_order("sn-1-x1", order_id="paper-o-9")
    await sold(rig, run)
    assert exits_of(rig)["sn-1-x1"]["alpacaOrderId"] == "paper-o-9"
    assert len(rig.paper.asked("place")) == 1


async def test_what_could_not_be_sent_again_is_sent_later(
    rig: Rig, run: Callable[[Rig], None], logged_errors: LoggedErrors
) -> None:
    rig.paper.placing.append(UnknownOutcomeError("HTTP 502"))
    buy(rig)
    rig.store.exits.plan("sn-1", "manual", held=None, free=None)
    run(rig)
    await wait_all_tasks_blocked()
    rig.orders.sell(SELL._replace(exit_id="sn-1-x1"), Heard())
    await wait_all_tasks_blocked()
    rig.orders.sells._listeners.clear()  # as after a start without [exits]
    db = rig.store._db
    db.execute("UPDATE BotExit SET waits = 1")
    db.execute(
        "CREATE TRIGGER no BEFORE UPDATE OF waits ON BotExit"
        " BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    await trio.sleep(30)
    assert len(rig.paper.asked("place")) == 1
    assert "the database refuses the sell's row" in logged_errors.take()[0]
    db.execute("DROP TRIGGER no")
    await trio.sleep(60)
    logged_errors.take()  # that it is not filled after 30 s
    assert len(rig.paper.asked("place")) == 2
    assert exits_of(rig)["sn-1-x1"]["state"] == "working"


async def test_a_sell_that_halt_all_keeps_from_going_again_goes_after_it(
    rig: Rig, run: Callable[[Rig], None], logged_errors: LoggedErrors
) -> None:
    async def withheld(_request: object) -> BrokerOrder:
        rig.halt.all_on = True
        assert rig.paper.withheld is not None
        assert rig.paper.withheld()
        raise NotSentError("withheld")

    rig.paper.placing.extend([UnknownOutcomeError("HTTP 502"), withheld])
    heard = await sold(rig, run)
    await trio.sleep(60)
    assert ("withheld", "halted") in heard.calls
    assert heard.calls[-1] == ("not_planned", "halted"), "as it is asked about again"
    assert len(rig.paper.asked("place")) == 2
    rig.halt.all_on = False
    await trio.sleep(60)
    assert [each.client_order_id for each in rig.paper.asked("place")] == (
        ["sn-1-x1"] * 3
    )
    assert exits_of(rig)["sn-1-x1"]["state"] == "working"
    logged_errors.take()  # that it is not filled after 30 s


async def test_one_id_is_never_sent_twice_at_once(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    async def slow(_request: object) -> BrokerOrder:
        await trio.sleep(3)
        return make_order("sn-1-x1", order_id="paper-o-1")

    rig.paper.placing.append(slow)
    await sold(rig, run)
    second = Heard()
    rig.orders.sell(SELL._replace(exit_id="sn-1-x1"), second)
    assert second.calls == [("not_planned", "closing")]
    await trio.sleep(5)
    assert len(rig.paper.asked("place")) == 1


async def test_after_a_429_a_sell_goes_again_as_soon_as_the_broker_lets_it(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    rig.paper.placing.append(RateLimitedError("HTTP 429", wait_seconds=7))
    heard = await sold(rig, run)
    await trio.sleep(6.9)
    assert len(rig.paper.requests) == 1
    await trio.sleep(1.2)
    assert [each.kind for each in rig.paper.requests] == ["place", "order", "place"]
    assert heard.names == ["planned", "unknown", "placed"]


async def test_a_sell_for_the_open_is_durable_and_leaves_when_it_is_told_to(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    buy(rig)
    run(rig)
    await wait_all_tasks_blocked()
    heard = Heard()
    rig.orders.sell(SELL._replace(leaves=False), heard)
    await trio.sleep(3600)
    assert heard.calls == [("planned", "sn-1-x1")]
    assert rig.paper.requests == [], "nobody asks about what has not left"
    rig.orders.sell(SELL._replace(exit_id="sn-1-x1"), heard)
    await wait_all_tasks_blocked()
    assert heard.names == ["planned", "placed"]
    assert rig.paper.asked("place")[0].client_order_id == "sn-1-x1"


async def test_a_sell_of_another_mode_goes_to_its_own_account(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    buy(rig, mode="live")
    run(rig)
    await wait_all_tasks_blocked()
    rig.orders.sell(SELL._replace(mode="live"), heard := Heard())
    await wait_all_tasks_blocked()
    assert heard.names == ["planned", "placed"]
    assert len(rig.live.asked("place")) == 1
    assert rig.paper.requests == []


async def test_a_stop_waits_for_sells_under_way_and_takes_no_more(
    rig: Rig,
) -> None:
    buy(rig)
    rig.paper.seconds = 2.0
    async with trio.open_nursery() as desk:
        desk.start_soon(rig.orders.run)
        await wait_all_tasks_blocked()
        rig.orders.sell(SELL, first := Heard())
        rig.orders.close()
        await trio.sleep(1)
        rig.orders.sell(SELL, second := Heard())
    assert first.names == ["planned", "placed"]
    assert second.calls == [("not_planned", "stopping")]
    assert rig.accounts.leased == {"paper": 0, "live": 0}


async def test_a_sell_that_is_not_filled_in_time_is_an_alarm_once(
    rig: Rig, run: Callable[[Rig], None], logged_errors: LoggedErrors
) -> None:
    await sold(rig, run)
    await trio.sleep(29)
    assert logged_errors.take() == []
    await trio.sleep(600)
    (alarm,) = logged_errors.take()
    assert "is not filled after 30 s (orderId=paper-o-1)" in alarm


async def test_a_sell_that_the_broker_never_got_is_no_such_alarm(
    rig: Rig, run: Callable[[Rig], None], logged_errors: LoggedErrors
) -> None:
    rig.paper.placing.extend([UnknownOutcomeError("HTTP 502")] * 12)
    await sold(rig, run)
    while len(rig.paper.asked("place")) < 13:  # noqa: ASYNC110 - time alone brings it
        await trio.sleep(1)
    assert trio.current_time() > 60
    assert logged_errors.take() == []
    await trio.sleep(28)
    assert logged_errors.take() == [], "30 s after the broker has it, and not before"
    await trio.sleep(3)
    (alarm,) = logged_errors.take()
    assert "is not filled after 30 s" in alarm


async def test_a_sell_that_was_refused_is_no_such_alarm(
    rig: Rig, run: Callable[[Rig], None], logged_errors: LoggedErrors
) -> None:
    rig.paper.placing.append(refusal())
    rig.paper.looking.extend([UnknownOutcomeError("HTTP 502")] * 7)
    await sold(rig, run)
    await trio.sleep(40)
    assert rig.unsettled.get("sn-1-x1") is not None, "its refusal is not borne out yet"
    await trio.sleep(80)
    (line,) = logged_errors.take()
    assert "Sell refused" in line
    assert exits_of(rig)["sn-1-x1"]["state"] == "refused"


async def test_every_lease_and_request_is_given_back(
    rig: Rig, run: Callable[[Rig], None], logged_errors: LoggedErrors
) -> None:
    rig.paper.placing.extend([refusal(), UnknownOutcomeError("HTTP 500")])
    await sold(rig, run)
    rig.orders.sell(SELL, Heard())
    rig.orders.sell(SELL, Heard())  # not planned
    await trio.sleep(20)
    assert rig.accounts.leased == {"paper": 0, "live": 0}
    await trio.sleep(120)
    assert rig.paper.budget.left >= 198
    logged_errors.take()


async def test_halt_all_holds_a_sell_that_waits_for_a_connection(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    async def withheld(_request: object) -> BrokerOrder:
        await trio.sleep(1)
        rig.halt.all_on = True
        assert rig.paper.withheld is not None
        assert rig.paper.withheld(), "the client asks before it leaves at last"
        raise NotSentError("withheld")

    rig.paper.placing.append(withheld)
    heard = await sold(rig, run)
    await trio.sleep(2)
    assert heard.calls == [("planned", "sn-1-x1"), ("withheld", "halted")]
    assert exits_of(rig)["sn-1-x1"]["state"] == "dropped"
    assert rig.accounts.leased == {"paper": 0, "live": 0}


async def test_a_sell_whose_row_cannot_be_written_is_heard_of(
    rig: Rig, run: Callable[[Rig], None], logged_errors: LoggedErrors
) -> None:
    rig.store._db.execute(
        "CREATE TRIGGER no BEFORE INSERT ON BotExit BEGIN SELECT RAISE(ABORT, 'no');"
        " END"
    )
    heard = await sold(rig, run)
    assert heard.calls == [("not_planned", "not_written")]
    assert rig.paper.requests == []
    assert "the database refuses the sell's row" in logged_errors.take()[0]


async def test_many_sells_of_one_instant_leave_before_answers_are_recorded(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    for number in range(20):
        buy(rig, f"sn-{number}", f"S{number}")
    run(rig)
    await wait_all_tasks_blocked()
    heard = [Heard() for _ in range(20)]
    for number, each in enumerate(heard):
        rig.orders.sell(SELL._replace(row_id=f"sn-{number}", symbol=f"S{number}"), each)
    await trio.sleep(1)
    assert len(rig.paper.asked("place")) == 20
    assert all(each.names == ["planned", "placed"] for each in heard)
    states = {row["state"] for row in exits_of(rig).values()}
    assert states == {"working"}


async def test_sells_are_taken_until_the_last_orders_have_settled(
    rig: Rig, nursery: trio.Nursery
) -> None:
    settled = trio.Event()
    buy(rig)
    rig.orders.close(sells_too=False)
    nursery.start_soon(partial(rig.orders.run, settle=settled.wait))
    await wait_all_tasks_blocked()
    heard = Heard()
    rig.orders.sell(SELL, heard)
    await wait_all_tasks_blocked()
    settled.set()
    await wait_all_tasks_blocked()
    late = Heard()
    rig.orders.sell(SELL, late)
    assert heard.names == ["planned", "placed"]
    assert late.calls == [("not_planned", "stopping")]


# What a stop of the daemon makes of sells (SPEC 12.8).


async def begin(rig: Rig, nursery: trio.Nursery) -> None:
    for run in (rig.fills.run, rig.recover, rig.reconciler.sells.run):
        nursery.start_soon(run)
    buy(rig)


async def test_a_sell_under_way_is_answered_before_the_desk_ends(
    rig: Rig, nursery: trio.Nursery
) -> None:
    await begin(rig, nursery)
    rig.paper.seconds = 3.0
    with trio.fail_after(5):
        async with trio.open_nursery() as desk:
            desk.start_soon(rig.orders.run)
            await wait_all_tasks_blocked()
            rig.orders.sell(SELL, Heard())
            await wait_all_tasks_blocked()
            rig.orders.close()
    assert exits_of(rig)["sn-1-x1"]["state"] == "working"


async def test_no_sell_begins_while_orders_still_finish(
    rig: Rig, nursery: trio.Nursery
) -> None:
    await begin(rig, nursery)
    rig.paper.seconds = 3.0
    heard = Heard()
    async with trio.open_nursery() as desk:
        desk.start_soon(rig.orders.run)
        await wait_all_tasks_blocked()
        rig.offer(make_signal("MSFT"))
        await wait_all_tasks_blocked()
        rig.orders.close()
        rig.orders.sell(SELL, heard)
    assert heard.calls == [("not_planned", "stopping")]
    assert exits_of(rig) == {}


async def test_a_sell_that_waits_for_a_request_is_sent_within_the_stops_time(
    make_rig: Callable[..., Rig], nursery: trio.Nursery
) -> None:
    rig = make_rig(alpaca={"rate_limit_per_min": 5}, intake={"max_signal_age_sec": 600})
    await begin(rig, nursery)
    async with trio.open_nursery() as desk:
        desk.start_soon(rig.orders.run)
        await wait_all_tasks_blocked()
        rig.offer(*[make_signal(f"B{n}") for n in range(4)])
        await wait_all_tasks_blocked()
        rig.orders.sell(SELL, Heard())
        await wait_all_tasks_blocked()
        assert exits_of(rig)["sn-1-x1"]["state"] == "planned"
        rig.orders.close()
    assert exits_of(rig)["sn-1-x1"]["state"] == "working"


async def test_one_that_is_not_sent_by_then_stays_for_the_next_start(
    make_rig: Callable[..., Rig], nursery: trio.Nursery
) -> None:
    rig = make_rig(alpaca={"rate_limit_per_min": 5}, intake={"max_signal_age_sec": 600})
    await begin(rig, nursery)
    with trio.move_on_after(10):
        async with trio.open_nursery() as desk:
            desk.start_soon(rig.orders.run)
            await wait_all_tasks_blocked()
            rig.offer(*[make_signal(f"B{n}") for n in range(4)])
            await wait_all_tasks_blocked()
            rig.orders.sell(SELL, Heard())
            await wait_all_tasks_blocked()
            rig.orders.close()
    sells = [each for each in rig.paper.asked("place") if each.side == "sell"]
    assert sells == []
    assert exits_of(rig)["sn-1-x1"]["state"] == "planned"


async def test_a_stop_that_rests_is_not_waited_for(
    rig: Rig, nursery: trio.Nursery
) -> None:
    await begin(rig, nursery)
    nursery.start_soon(rig.orders.run)
    await wait_all_tasks_blocked()
    rig.orders.sell(SELL._replace(kind="stop", trigger_price=None), Heard())
    await trio.sleep(1)
    assert exits_of(rig)["sn-1-s1"]["state"] == "working"
    with trio.fail_after(1):
        await rig.unsettled.wait_settled()


# The lease


async def test_no_sell_leaves_once_another_host_may_order(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    rig.writer.delay_seconds = 1.0
    heard = await sold(rig, run)
    rig.halt.standby = True
    await trio.sleep(5)
    assert heard.calls == [("planned", "sn-1-x1"), ("withheld", "halted")]
    assert rig.paper.asked("place") == []
    rig.orders.sell(SELL, again := Heard())
    assert again.calls == [("not_planned", "halted")]
