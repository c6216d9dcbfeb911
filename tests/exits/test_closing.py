"""Each line of the table of SPEC 12.5, from the trigger to a closed row."""

from __future__ import annotations

import itertools
import logging
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from snexec.errors import RefusedError, UnknownOutcomeError
from snexec.ledger.exit_rows import ExitApplied, NewExit
from snexec.ledger.held_rows import Split
from snexec.ledger.rows import OrderRef
from tests.exits.selling import (
    SHARES,
    Shop,
    insufficient,
    refused,
    taken_meanwhile,
    trigger,
)
from tests.fakes import make_order
from tests.orders.hearing import SELL, Heard, buy

if TYPE_CHECKING:
    from collections.abc import Callable

    from snexec.broker.answers import BrokerOrder
    from snexec.exits.closing import Closing
    from snexec.ledger import ExitReason
    from tests.conftest import LoggedErrors
    from tests.fakes import Rig

pytestmark = pytest.mark.jumping_time


@pytest.fixture
def shop(rig: Rig, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture) -> Shop:
    caplog.set_level(logging.INFO)
    return Shop(rig, nursery)


async def _takes_the_second(_request: object) -> BrokerOrder:
    return make_order("sn-1-x2", order_id="paper-o-2")


# Straight through.


async def test_a_trigger_becomes_a_sell_and_its_fill_closes_the_row(
    shop: Shop,
) -> None:
    await shop.start()
    closing = await shop.sell()
    assert shop.state() == "closing"
    assert closing.durable.is_set()
    await shop.said("fill", SHARES, "180.02")
    assert closing.result == "closed"
    row = shop.rig.rows()["sn-1"]
    assert (row["status"], row["exitReason"], row["exitPrice"]) == (
        "closed",
        "stop_loss",
        180.02,
    )
    assert shop.seller.of_row("sn-1") is None
    assert shop.book.of_row("sn-1") is None


async def test_a_position_that_is_being_sold_is_not_sold_again(shop: Shop) -> None:
    await shop.start()
    first = await shop.sell()
    second = shop.seller.begin(shop.position, trigger("max_hold"))
    assert second is first
    await wait_all_tasks_blocked()
    assert len(shop.posts()) == 1


async def test_the_whole_position_is_sold_by_the_brokers_own_spelling(
    shop: Shop,
) -> None:
    position = await shop.start(symbol="BTC/USD", shares="0.1")
    position.held, position.free = "0.09975", Decimal("0.09975")
    closing = await shop.sell()
    assert shop.posts()[0][2] == "0.09975"
    await shop.said("fill", "0.09975", "60000")
    assert closing.result == "closed", "the rest was the fee"


async def test_no_more_is_sold_than_was_free_as_last_read(shop: Shop) -> None:
    position = await shop.start()
    position.held, position.free = "5", Decimal("0.3")
    await shop.sell()
    assert shop.posts()[0][2] == "0.3"


# What is in the way.


async def test_a_buy_that_still_works_is_canceled_and_then_all_it_bought_is_sold(
    shop: Shop,
) -> None:
    await shop.buy_in_part()
    rig = shop.rig
    await shop.sell()
    assert [each.order_id for each in rig.paper.asked("cancel")] == ["o-sn-1"]
    assert shop.posts() == [], "nothing is sold beside it"
    rig.paper.book["sn-1"] = make_order(
        "sn-1", "canceled", order_id="o-sn-1", quantity="0.3", price="189"
    )
    await trio.sleep(3)
    assert [post[1:] for post in shop.posts()] == [("sn-1-x1", "0.3")]


async def test_a_buy_whose_request_is_not_answered_yet_is_canceled_as_well(
    shop: Shop,
) -> None:
    await shop.buy_in_part()
    shop.rig.unsettled.settled("sn-1")  # it is followed once it is answered
    await shop.sell()
    await trio.sleep(5)
    assert [each.order_id for each in shop.rig.paper.asked("cancel")] == ["o-sn-1"]
    assert shop.posts() == [], "nothing is sold beside it"
    await shop.said("fill", "0.5", row="sn-1", order_id="o-sn-1")
    assert [post[1:] for post in shop.posts()] == [("sn-1-x1", "0.5")]


async def test_a_buy_whose_cancel_loses_to_its_fill_is_sold_whole(shop: Shop) -> None:
    await shop.buy_in_part()
    shop.rig.paper.canceling.append(
        RefusedError(status_code=422, body="", reason="order is already filled")
    )
    await shop.sell()
    await shop.said("fill", "0.5", row="sn-1", order_id="o-sn-1")
    assert [post[1:] for post in shop.posts()] == [("sn-1-x1", "0.5")]


async def test_a_buy_that_bought_nothing_leaves_nothing_to_sell(shop: Shop) -> None:
    await shop.buy_in_part()
    closing = await shop.sell()
    shop.rig.paper.book["sn-1"] = make_order("sn-1", "canceled", order_id="o-sn-1")
    shop.rig.store._db.execute("UPDATE BotTrade SET shares = NULL, entryPrice = NULL")
    await trio.sleep(3)
    assert closing.result == "gone"
    assert shop.posts() == []


async def test_a_cancel_that_lags_is_waited_for_and_said_once(
    shop: Shop, logged_errors: LoggedErrors
) -> None:
    await shop.buy_in_part()
    shop.rig.paper.book["sn-1"] = make_order(
        "sn-1", "pending_cancel", order_id="o-sn-1", quantity="0.2", price="189"
    )
    await shop.sell()
    await trio.sleep(200)
    (error,) = logged_errors.take()
    assert "its buy (orderId=o-sn-1) is not canceled after 30 s" in error
    assert shop.posts() == []
    assert len(shop.rig.paper.asked("cancel")) == 4, "asked for once a minute"


async def test_an_own_stop_is_canceled_first_and_says_why(shop: Shop) -> None:
    await shop.start()
    heard = Heard()
    stop = SELL._replace(kind="stop", trigger_price=Decimal("180.10"))
    shop.rig.orders.sell(stop, heard)
    await wait_all_tasks_blocked()
    assert shop.position.stop_at_broker
    await shop.sell(trigger("max_hold"))
    assert [each.order_id for each in shop.rig.paper.asked("cancel")] == ["paper-o-1"]
    (live,) = shop.rig.store.exits.unsettled()
    assert (live.id, live.cancel_reason) == ("sn-1-s1", "max_hold")
    shop.rig.paper.book["sn-1-s1"] = make_order(
        "sn-1-s1", "canceled", order_id="paper-o-1"
    )
    await trio.sleep(3)
    assert [post[1] for post in shop.posts()] == ["sn-1-s1", "sn-1-x1"]


# What the broker answers.


async def test_what_is_free_beside_a_foreign_order_is_sold_then_it_is_blocked(
    shop: Shop, logged_errors: LoggedErrors
) -> None:
    await shop.start()
    shop.rig.paper.placing.extend(
        [
            insufficient("0.2", SHARES, "0.333386947"),
            _takes_the_second,
            insufficient("0", "0.333386947", "0.333386947"),
        ]
    )
    closing = await shop.sell()
    assert [post[1:] for post in shop.posts()] == [
        ("sn-1-x1", SHARES),
        ("sn-1-x2", "0.2"),
    ]
    await shop.said("fill", "0.2", row="sn-1-x2", order_id="paper-o-2")
    assert shop.posts()[2][1:] == ("sn-1-x3", "0.333386947")
    assert shop.state() == "blocked"
    assert shop.rig.told("exit_blocked") == [("exit_blocked", "stop_loss")]
    assert shop.rig.paper.asked("cancel") == [], "others' orders are never canceled"
    assert closing.blocked_by is not None
    assert "insufficient qty" in closing.blocked_by
    assert "cannot be sold (stop_loss)" in logged_errors.take()[-1]


async def test_just_after_our_fill_a_position_may_lag(
    shop: Shop, logged_errors: LoggedErrors
) -> None:
    await shop.buy_in_part()
    shop.rig.paper.placing.extend([insufficient("0", "0", "0")] * 4)
    await shop.said("fill", "0.5", row="sn-1", order_id="o-sn-1")
    began = trio.current_time()
    await shop.sell()
    await trio.sleep(40)
    assert [at - began for at, *_ in shop.posts()] == [0.0, 1.0, 3.0, 7.0, 15.0]
    assert shop.rig.told("exit_blocked") == []
    assert shop.looks == [], "nobody has sold anything"
    assert len(logged_errors.take()) == 4


async def test_a_wash_trade_with_our_own_buy_cancels_it_and_sells(
    shop: Shop, logged_errors: LoggedErrors
) -> None:
    position = await shop.start()
    shop.rig.paper.placing.append(
        refused(
            403,
            "potential wash trade detected. use complex orders",
            existing_order_id=position.order_id,
        )
    )
    await shop.sell()
    assert [post[1] for post in shop.posts()] == ["sn-1-x1", "sn-1-x2"]
    assert len(logged_errors.take()) == 1


async def test_a_wash_trade_with_a_foreign_order_blocks(
    shop: Shop, logged_errors: LoggedErrors
) -> None:
    await shop.start()
    shop.rig.paper.placing.append(
        refused(403, "potential wash trade detected", existing_order_id="theirs")
    )
    await shop.sell()
    assert shop.state() == "blocked"
    assert shop.rig.paper.asked("cancel") == []
    await trio.sleep(1.1)
    assert [post[1] for post in shop.posts()] == ["sn-1-x1", "sn-1-x2"]
    assert shop.state() == "closing", "the broker has it now"
    assert len(logged_errors.take()) == 2


async def test_where_nothing_is_held_others_sales_are_looked_at_at_once(
    shop: Shop, logged_errors: LoggedErrors
) -> None:
    await shop.start()
    shop.rig.paper.placing.append(
        refused(422, "position intent mismatch, inferred: sell_to_open")
    )
    await shop.sell()
    assert shop.looks == ["paper"]
    assert shop.rig.told("exit_blocked") == [], "that may explain it"
    assert shop.state() == "blocked", "nothing works, so what others sold may be judged"
    assert len(logged_errors.take()) == 1


async def test_a_row_that_another_program_has_ended_is_watched_no_more(
    shop: Shop,
) -> None:
    await shop.start()
    shop.rig.store._db.execute("UPDATE BotTrade SET status = 'closed'")
    closing = await shop.sell()
    assert closing.result == "gone"
    assert shop.book.of_row("sn-1") is None, "or it would be tried at each price"
    assert (shop.posts(), shop.seller.of_row("sn-1")) == ([], None)


@pytest.mark.parametrize(
    "how", ["DELETE FROM BotExit", "UPDATE BotExit SET alpacaOrderId = 'o-8'"]
)
async def test_a_sell_that_its_row_does_not_know_ends_the_way_and_none_follows_it(
    shop: Shop, logged_errors: LoggedErrors, how: str
) -> None:
    await shop.start()
    shop.rig.paper.placing.append(taken_meanwhile(shop, how))
    closing = await shop.sell()
    await trio.sleep(2)
    assert (closing.result, shop.state()) == ("unbooked", "blocked")
    assert (
        closing.blocked_by
        == "the broker took its sell as o-9, which its row does not know"
    )
    taken, blocked = logged_errors.take()
    assert "the broker took the sell as o-9" in taken
    assert "nothing more of it is sold before it is settled, or a start" in blocked
    assert len(shop.rig.told("exit_blocked")) == 1
    assert await shop.sell(trigger("manual")) is closing
    await trio.sleep(30 * 3600)
    assert len(shop.posts()) == 1
    assert shop.state() == "blocked", "no rule asks for it"


async def test_a_row_that_does_not_know_its_sell_is_let_go_once_it_is_closed(
    shop: Shop, logged_errors: LoggedErrors
) -> None:
    await shop.start()
    shop.rig.paper.placing.append(taken_meanwhile(shop))
    closing = await shop.sell()
    await trio.sleep(2)
    assert shop.seller.of_row("sn-1") is closing
    shop.seller.ended("sn-1")
    assert (closing.result, shop.seller.of_row("sn-1")) == ("ended", None)
    assert len(logged_errors.take()) == 2


async def test_others_sales_end_the_way_however_long_the_next_try_waits(
    shop: Shop, logged_errors: LoggedErrors
) -> None:
    await shop.start()
    shop.rig.paper.placing.extend([refused(401, "not authorized")] * 9)
    closing = await shop.sell()
    await trio.sleep(100)
    tries = len(shop.posts())
    shop.seller.ended("sn-1")
    await wait_all_tasks_blocked()
    assert closing.result == "ended"
    await trio.sleep(3600)
    assert len(shop.posts()) == tries
    logged_errors.take()


async def test_the_next_goes_without_an_intent_that_the_broker_does_not_take(
    shop: Shop, logged_errors: LoggedErrors
) -> None:
    await shop.start()
    shop.rig.paper.placing.append(refused(422, "invalid position_intent"))
    await shop.sell()
    assert [each.says_intent for each in shop.rig.paper.sells] == [True, False]
    refusal, said = logged_errors.take()
    assert "does not take the field position_intent" in said
    assert "HTTP 422" in refusal


async def test_tries_come_ever_less_often_and_end_for_the_session(
    shop: Shop, logged_errors: LoggedErrors
) -> None:
    await shop.start()
    shop.rig.paper.placing.extend([refused(403, "account is restricted")] * 100)
    await shop.sell()
    await trio.sleep(4 * 3600)
    at = [at for at, *_ in shop.posts()]
    pauses = [later - sooner for sooner, later in itertools.pairwise(at)]
    assert pauses[:4] == [1.0, 5.0, 15.0, 60.0]
    assert set(pauses[4:]) == {300.0}
    assert len(at) == 20
    assert len(shop.rig.told("exit_blocked")) == 4, "at once, then hourly"
    await trio.sleep(24 * 3600)
    assert 20 < len(shop.posts()) <= 60, "there is another session tomorrow"
    assert len({post[1] for post in shop.posts()}) == len(shop.posts())
    logged_errors.take()


async def test_no_pause_is_longer_than_retry_max(
    make_rig: Callable[..., Rig], nursery: trio.Nursery, logged_errors: LoggedErrors
) -> None:
    shop = Shop(make_rig(exits={"retry_max_sec": 3.0}), nursery)
    await shop.start()
    shop.rig.paper.placing.extend([refused(403, "no")] * 5)
    await shop.sell()
    await trio.sleep(12)
    at = [at for at, *_ in shop.posts()]
    assert [later - sooner for sooner, later in itertools.pairwise(at)] == [
        *(1.0, 3.0, 3.0, 3.0),
    ]
    logged_errors.take()


async def test_the_alarm_comes_hourly_however_long_the_next_try_waits(
    shop: Shop, logged_errors: LoggedErrors
) -> None:
    await shop.start()
    shop.rig.set_exits(retry_max_sec=4 * 3600)
    shop.rig.paper.placing.extend([refused(403, "account is restricted")] * 9)
    await shop.sell()
    await trio.sleep(3 * 3600 + 600)
    alarms = [each for each in logged_errors.take() if "cannot be sold" in each]
    assert len(alarms) == 4
    assert "next try in" in alarms[-1]


async def test_a_blocked_sell_ends_with_its_rule(
    shop: Shop, logged_errors: LoggedErrors, caplog: pytest.LogCaptureFixture
) -> None:
    await shop.start()
    shop.rig.paper.placing.extend([refused(403, "account is restricted")] * 9)
    closing = await shop.sell()
    await trio.sleep(10)
    assert len(shop.posts()) == 3
    shop.set = False
    await trio.sleep(3600)
    assert len(shop.posts()) == 3
    assert (closing.result, shop.state()) == ("given_back", "watched")
    assert "is not tried again: the rule that was to sell it (stop_loss) is off" in (
        caplog.text
    )
    logged_errors.take()


@pytest.mark.parametrize("how", ["canceled", "expired", "rejected"])
async def test_what_an_ended_sell_has_left_is_sold_by_the_next(
    shop: Shop, how: str
) -> None:
    await shop.start()
    closing = await shop.sell()
    shop.rig.paper.book["sn-1-x1"] = make_order(
        "sn-1-x1", how, order_id="paper-o-1", quantity="0.2", price="180"
    )
    await trio.sleep(6)
    assert [post[1:] for post in shop.posts()] == [
        ("sn-1-x1", SHARES),
        ("sn-1-x2", "0.333386947"),
    ]
    await shop.said("fill", "0.333386947", row="sn-1-x2", order_id="paper-o-2")
    assert closing.result == "closed"


async def test_sells_that_all_end_unfilled_are_no_flood(
    shop: Shop, logged_errors: LoggedErrors
) -> None:
    await shop.start()
    for number in range(1, 40):
        shop.rig.paper.book[f"sn-1-x{number}"] = make_order(
            f"sn-1-x{number}", "rejected", order_id=f"paper-o-{number}"
        )
    await shop.sell()
    await trio.sleep(4 * 3600)
    assert len(shop.posts()) == 20
    logged_errors.take()


async def test_an_unknown_outcome_keeps_its_one_sell(shop: Shop) -> None:
    await shop.start()
    shop.rig.paper.placing.append(UnknownOutcomeError("HTTP 502"))
    closing = await shop.sell()
    await trio.sleep(10)
    assert {post[1] for post in shop.posts()} == {"sn-1-x1"}
    await shop.said("fill", SHARES, order_id="paper-o-2")
    assert closing.result == "closed"


@pytest.mark.parametrize("holds", [True, False])
async def test_what_goes_again_waits_for_its_market_and_is_asked_anew(
    shop: Shop, logged_errors: LoggedErrors, *, holds: bool
) -> None:
    await shop.start()
    shop.rig.paper.placing.append(UnknownOutcomeError("HTTP 502"))
    closing = await shop.sell()
    shop.rig.market.open = False
    await trio.sleep(3600)
    assert len(shop.posts()) == 1
    shop.rig.market.open, shop.holds = True, holds
    await trio.sleep(120)
    assert [post[1] for post in shop.posts()] == ["sn-1-x1"] * (1 + holds)
    assert closing.result == (None if holds else "given_back")
    assert shop.states() == {"sn-1-x1": "working" if holds else "dropped"}
    assert len(logged_errors.take()) == holds, "that the broker has it, unfilled"


# The market, and the switches.


async def test_while_the_market_is_closed_the_intent_is_durable_and_waits(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    await shop.start()
    shop.rig.market.open = False
    closing = await shop.sell(trigger("max_hold"))
    assert closing.durable.is_set()
    await trio.sleep(3600)
    assert shop.posts() == []
    assert shop.states() == {"sn-1-x1": "planned"}
    assert any(text.endswith("when it opens") for text in caplog.messages)
    shop.rig.market.open = True
    await trio.sleep(1.1)
    assert [post[1] for post in shop.posts()] == ["sn-1-x1"]
    await shop.said("fill", SHARES)
    assert closing.result == "closed"


async def test_what_waits_for_the_open_is_sold_in_the_shares_of_after_a_split(
    shop: Shop,
) -> None:
    await shop.start(shares="0.5")
    shop.rig.market.open = False
    closing = await shop.sell(trigger("max_hold"))
    assert closing.position.waits
    split = shop.rig.store.exits.split(
        "sn-1", Fraction(10), remaining=shop.position.remaining
    )
    assert isinstance(split, Split)
    shop.book.split(split)
    shop.rig.market.open = True
    await trio.sleep(1.1)
    assert not shop.position.waits
    assert [post[1:] for post in shop.posts()] == [("sn-1-x1", "5")]
    await shop.said("fill", "5", "19")
    assert closing.result == "closed"


async def test_what_others_sold_before_the_open_is_not_sold_at_it(shop: Shop) -> None:
    await shop.start(shares="0.5")
    shop.rig.market.open = False
    await shop.sell(trigger("max_hold"))
    applied = shop.rig.store.exits.external(
        "sn-1",
        quantity=Decimal("0.2"),
        price=Decimal(180),
        remaining=shop.position.remaining,
    )
    assert isinstance(applied, ExitApplied)
    shop.rig.reconciler.sold_by_others(applied)
    shop.rig.market.open = True
    await trio.sleep(1.1)
    assert [post[1:] for post in shop.posts()] == [("sn-1-x1", "0.3")]


async def test_others_sale_of_all_before_the_open_ends_the_way(shop: Shop) -> None:
    await shop.start(shares="0.5")
    shop.rig.market.open = False
    closing = await shop.sell(trigger("max_hold"))
    applied = shop.rig.store.exits.external(
        "sn-1", quantity=Decimal(1), price=None, remaining=shop.position.remaining
    )
    assert isinstance(applied, ExitApplied)
    shop.rig.reconciler.sold_by_others(applied)
    await trio.sleep(1)
    assert closing.result == "closed"
    shop.rig.market.open = True
    await trio.sleep(100)
    assert shop.posts() == []


async def test_others_sale_of_what_an_earlier_run_left_for_the_open_ends_it(
    shop: Shop,
) -> None:
    buy(shop.rig, shares="0.5")
    planned = shop.rig.store.exits.plan(
        "sn-1", "manual", held=None, free=None, waits=True
    )
    assert isinstance(planned, NewExit)
    shop.rig.market.open = False
    position = await shop.start_with_rows()
    assert position.waits
    assert shop.rig.unsettled.get("sn-1-x1") is not None
    applied = shop.rig.store.exits.external(
        "sn-1", quantity=Decimal(1), price=None, remaining=position.remaining
    )
    assert isinstance(applied, ExitApplied)
    shop.rig.reconciler.sold_by_others(applied)
    assert shop.rig.unsettled.get("sn-1-x1") is None, "nobody asks about it any more"
    shop.rig.market.open = True
    await trio.sleep(100)
    assert shop.posts() == []


async def test_a_sell_waits_until_it_is_known_whether_its_market_is_open(
    shop: Shop,
) -> None:
    await shop.start()
    shop.rig.market.open, shop.rig.market.asks = None, True
    await shop.sell(trigger("max_hold"))
    assert shop.states() == {"sn-1-x1": "planned"}
    await trio.sleep(3)
    assert shop.posts() == []
    shop.rig.market.asks = False  # nobody knows: a sell waits for no clock that is away
    await trio.sleep(1.1)
    assert len(shop.posts()) == 1


@pytest.mark.parametrize("reason", ["max_hold", "manual"])
async def test_where_no_clock_answers_a_sell_waits_for_the_morning(
    shop: Shop, reason: ExitReason
) -> None:
    await trio.sleep(8 * 3600)  # from the open, in New York
    await shop.start()
    shop.rig.market.open = None
    await shop.sell(trigger(reason))
    assert shop.states() == {"sn-1-x1": "planned"}
    await trio.sleep(16 * 3600 - 10)
    assert shop.posts() == []
    await trio.sleep(20)
    assert len(shop.posts()) == 1


async def test_what_waits_for_the_open_is_asked_anew_there(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    await shop.start()
    shop.rig.market.open = False
    closing = await shop.sell(trigger("max_hold"))
    shop.holds = False  # SIGHUP has made it longer
    shop.rig.market.open = True
    await trio.sleep(5)
    assert shop.posts() == []
    assert shop.states() == {"sn-1-x1": "dropped"}
    assert (closing.result, shop.state()) == ("given_back", "watched")
    assert "does not hold any more: dropped" in caplog.text
    await shop.sell(trigger("max_hold"))
    assert [post[1] for post in shop.posts()] == ["sn-1-x2"]


async def test_what_cannot_be_dropped_at_the_open_is_dropped_later(
    shop: Shop, logged_errors: LoggedErrors
) -> None:
    await shop.start()
    shop.rig.market.open = False
    await shop.sell(trigger("max_hold"))
    db = shop.rig.store._db
    db.execute(
        "CREATE TRIGGER no BEFORE UPDATE OF state ON BotExit"
        " BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    shop.holds, shop.rig.market.open = False, True
    await trio.sleep(5)
    assert "cannot be written (no)" in logged_errors.take()[0]
    db.execute("DROP TRIGGER no")
    await trio.sleep(60)
    assert shop.states() == {"sn-1-x1": "dropped"}
    assert shop.posts() == []


async def test_what_was_asked_for_by_hand_is_sold_at_the_open(shop: Shop) -> None:
    await shop.start()
    shop.rig.market.open = False
    await shop.sell(trigger("manual"))
    shop.holds = False
    shop.rig.market.open = True
    await trio.sleep(5)
    assert shop.states() == {"sn-1-x1": "working"}


async def test_a_coin_waits_for_no_market(shop: Shop) -> None:
    await shop.start(symbol="BTC/USD", shares="0.1")
    shop.rig.market.open = False
    await shop.sell()
    assert len(shop.posts()) == 1


async def test_halt_all_holds_a_sell_and_the_rule_decides_anew(shop: Shop) -> None:
    await shop.start()
    shop.rig.halt.all_on = True
    closing = await shop.sell()
    await trio.sleep(60)
    assert shop.posts() == []
    assert shop.states() == {}
    shop.rig.halt.all_on = False
    await trio.sleep(2)
    assert closing.result == "given_back"
    assert shop.state() == "watched"
    assert shop.posts() == []


async def test_what_was_asked_for_by_hand_goes_on_after_halt_all(shop: Shop) -> None:
    await shop.start()
    shop.rig.halt.all_on = True
    await shop.sell(trigger("manual"))
    await trio.sleep(60)
    shop.rig.halt.all_on = False
    await trio.sleep(2)
    assert [post[1] for post in shop.posts()] == ["sn-1-x1"]


async def test_halt_all_at_the_open_keeps_the_intent(shop: Shop) -> None:
    await shop.start()
    shop.rig.market.open = False
    await shop.sell(trigger("max_hold"))
    await trio.sleep(10)
    shop.rig.halt.all_on = True
    shop.rig.market.open = True
    await trio.sleep(60)
    assert (shop.posts(), shop.states()) == ([], {"sn-1-x1": "planned"})
    shop.rig.halt.all_on = False
    await trio.sleep(3)
    assert [post[1] for post in shop.posts()] == ["sn-1-x1"]


async def test_halt_all_before_a_sell_is_sent_again_keeps_it(shop: Shop) -> None:
    await shop.start()
    shop.rig.paper.placing.append(UnknownOutcomeError("no answer"))
    closing = await shop.sell()
    shop.rig.halt.all_on = True
    again = shop.rig.store.exits.resume("sn-1-x1")
    assert isinstance(again, NewExit)
    closing.withheld(again, "halted")
    await trio.sleep(10)
    shop.rig.halt.all_on = False
    await trio.sleep(3)
    assert closing.result is None, "it may have left, and is planned"
    assert {post[1] for post in shop.posts()} == {"sn-1-x1"}
    await shop.said("fill", SHARES, order_id="paper-o-2")
    assert closing.result == "closed"


async def test_halt_all_that_ends_at_night_lets_no_sell_out_before_the_open(
    shop: Shop,
) -> None:
    await shop.start()
    shop.rig.paper.placing.append(UnknownOutcomeError("no answer"))
    closing = await shop.sell()
    shop.rig.halt.all_on = True
    again = shop.rig.store.exits.resume("sn-1-x1")
    assert isinstance(again, NewExit)
    closing.withheld(again, "halted")
    await trio.sleep(30)
    shop.rig.market.open = False
    shop.rig.halt.all_on = False
    await trio.sleep(3600)
    assert len(shop.posts()) == 1
    shop.rig.market.open = True
    await trio.sleep(61)
    assert [post[1] for post in shop.posts()] == ["sn-1-x1"] * 2


async def test_halt_all_at_one_open_has_a_sell_wait_for_the_next(shop: Shop) -> None:
    await shop.start()
    shop.rig.market.open = False
    await shop.sell(trigger("max_hold"))
    shop.rig.halt.all_on = True
    shop.rig.market.open = True
    await trio.sleep(30)
    shop.rig.market.open = False
    shop.rig.halt.all_on = False
    await trio.sleep(3600)
    assert shop.posts() == []
    shop.rig.market.open = True
    await trio.sleep(5)
    assert [post[1] for post in shop.posts()] == ["sn-1-x1"]


async def test_that_an_earlier_sell_is_over_is_not_taken_for_the_next_ones_end(
    shop: Shop,
) -> None:
    await shop.start()
    closing = await shop.sell()
    shop.rig.paper.placing.append(_takes_the_second)
    shop.rig.paper.book["sn-1-x1"] = make_order(
        "sn-1-x1", "expired", order_id="paper-o-1"
    )
    await trio.sleep(6)
    assert closing.exit_id == "sn-1-x2"
    closing.not_planned("over", "sn-1-x1")  # which was to be sent again
    await wait_all_tasks_blocked()
    assert closing.exit_id == "sn-1-x2"
    closing.not_planned("over", "sn-1-x2")
    await wait_all_tasks_blocked()
    assert closing.exit_id != "sn-1-x2"


async def test_a_sell_that_needs_not_be_sent_again_is_waited_for(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.start()
    closing, handed_in = await shop.sell(), list[object]()
    monkeypatch.setattr(shop.means.orders, "sell", lambda *sell: handed_in.append(sell))
    # The broker has it: it was about to be sent again.
    closing.not_planned("closing", "sn-1-x1")
    await trio.sleep(20)
    assert handed_in == []
    monkeypatch.undo()
    await shop.said("fill", SHARES)
    assert closing.result == "closed"


# What a kill leaves.


def _decided(shop: Shop, seconds_ago: float) -> None:
    rig = shop.rig
    rig.store.exits.plan("sn-1", "stop_loss", held=None, free=None)
    moment = rig.clock.now().timestamp() - seconds_ago
    rig.store._db.execute(
        "UPDATE BotExit SET decidedAt = strftime('%Y-%m-%dT%H:%M:%fZ', ?, 'unixepoch')",
        [moment],
    )


async def _resumed(shop: Shop) -> Closing:
    buy(shop.rig)
    _decided(shop, 300)
    shop.rig.paper.seconds = 0.1  # so that the way is there before the first answer
    await shop.start_with_rows()
    closing = shop.seller.of_row("sn-1")
    assert closing is not None
    await trio.sleep(2)
    return closing


async def test_a_sell_that_a_kill_has_stopped_goes_with_its_id_if_the_rule_holds(
    shop: Shop,
) -> None:
    closing = await _resumed(shop)
    assert [post[1] for post in shop.posts()] == ["sn-1-x1"]
    await shop.said("fill", SHARES)
    assert closing.result == "closed"


async def test_a_rule_that_holds_no_more_gives_the_row_back(shop: Shop) -> None:
    shop.holds = False
    closing = await _resumed(shop)
    assert shop.posts() == []
    assert shop.states() == {"sn-1-x1": "dropped"}
    assert closing.result == "given_back"
    assert shop.state() == "watched"


async def test_where_no_price_is_known_yet_the_rule_is_asked_once_there_is(
    shop: Shop,
) -> None:
    shop.holds = None
    await _resumed(shop)
    assert shop.states() == {"sn-1-x1": "planned"}
    shop.holds = True
    with trio.fail_after(61):
        while not shop.posts():  # noqa: ASYNC110 - time alone brings it
            await trio.sleep(1)
    assert [post[1] for post in shop.posts()] == ["sn-1-x1"]


async def test_a_kill_before_the_open_is_made_good_at_the_open(shop: Shop) -> None:
    shop.rig.market.open = False
    await _resumed(shop)
    await trio.sleep(3600)
    assert (shop.posts(), shop.states()) == ([], {"sn-1-x1": "planned"})
    shop.rig.market.open = True
    await trio.sleep(2)
    assert [post[1] for post in shop.posts()] == ["sn-1-x1"], "not a minute later"


@pytest.mark.parametrize("halted_for", [5, 600])
async def test_a_kill_during_halt_all_is_made_good_as_soon_as_that_is_over(
    shop: Shop, halted_for: float
) -> None:
    shop.rig.halt.all_on = True
    await _resumed(shop)
    await trio.sleep(halted_for)
    assert (shop.posts(), shop.states()) == ([], {"sn-1-x1": "planned"})
    shop.rig.halt.all_on = False
    await trio.sleep(2)
    assert [post[1] for post in shop.posts()] == ["sn-1-x1"], "not a minute later"


async def test_a_refusal_of_what_was_sent_again_goes_by_the_table(
    shop: Shop, logged_errors: LoggedErrors
) -> None:
    shop.rig.paper.placing.append(refused(403, "account is restricted"))
    await _resumed(shop)
    assert shop.rig.told("exit_blocked") == [("exit_blocked", "stop_loss")]
    await trio.sleep(3)
    assert [post[1] for post in shop.posts()] == ["sn-1-x1", "sn-1-x2"]
    logged_errors.take()


async def test_what_an_earlier_run_has_tried_counts_in_its_session(
    shop: Shop, logged_errors: LoggedErrors
) -> None:
    await shop.start()
    shop.means.tries.load({"sn-1": 19}, {})
    shop.rig.paper.placing.extend([refused(403, "no")] * 9)
    await shop.sell()
    await trio.sleep(3600)
    assert len(shop.posts()) == 1
    logged_errors.take()


async def test_a_start_has_no_try_left_where_the_session_had_none(
    shop: Shop, logged_errors: LoggedErrors
) -> None:
    await shop.start()
    shop.means.tries.load({"sn-1": 20}, {})
    closing = await shop.sell()
    assert closing.durable.is_set(), "whoever asked for it waits no longer"
    await trio.sleep(3600)
    assert shop.posts() == []
    assert shop.state() == "blocked"
    await trio.sleep(24 * 3600)
    assert len(shop.posts()) == 1
    logged_errors.take()


async def test_what_an_earlier_sell_has_left_is_sold_at_the_start(shop: Shop) -> None:
    buy(shop.rig)
    _decided(shop, 300)
    ref = OrderRef("paper", "paper-o-0", "sn-1-x1")
    shop.rig.store.exits.apply_ended(
        ref, "expired", quantity=Decimal("0.2"), price=Decimal(180)
    )
    await shop.start_with_rows()
    assert [post[1:] for post in shop.posts()] == [("sn-1-x2", "0.333386947")]


async def test_a_stop_that_was_to_make_room_is_canceled_at_the_start(
    shop: Shop,
) -> None:
    buy(shop.rig)
    store = shop.rig.store
    store.exits.plan("sn-1", "stop_loss", held=None, free=None, kind="stop")
    store.exits.apply_working(OrderRef("paper", "paper-o-0", "sn-1-s1"))
    assert store.exits.note_cancel("sn-1-s1", "manual")
    shop.rig.paper.book["sn-1-s1"] = make_order("sn-1-s1", order_id="paper-o-0")
    await shop.start_with_rows()
    assert [each.order_id for each in shop.rig.paper.asked("cancel")] == ["paper-o-0"]
    shop.rig.paper.book["sn-1-s1"] = make_order(
        "sn-1-s1", "canceled", order_id="paper-o-0"
    )
    await trio.sleep(3)
    (post,) = shop.posts()
    assert post[1] == "sn-1-x1"
    assert shop.rig.told("exit") == [("exit", "manual")]


async def test_a_sell_that_comes_before_orders_may_leave_waits_for_that(
    shop: Shop,
) -> None:
    rig = shop.rig
    buy(rig)
    shop.book.load(rig.store.held.watched())
    closing = shop.seller.begin(shop.position, trigger("manual"))
    await trio.sleep(1)
    assert shop.posts() == []
    shop.nursery.start_soon(rig.orders.run)
    shop.nursery.start_soon(shop.seller.run)
    await wait_all_tasks_blocked()
    assert [post[1] for post in shop.posts()] == ["sn-1-x1"]
    assert closing.durable.is_set()
