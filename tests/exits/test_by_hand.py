"""Positions as the operator sees them, and closes them by hand."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from snexec.exits.answers import CloseAnswer
from snexec.exits.by_hand import ByHand
from tests.exits.selling import SHARES, Shop, refused, taken_meanwhile, trigger
from tests.fakes import make_order, make_settings, make_trade, ref_of
from tests.orders.hearing import buy, exits_of

if TYPE_CHECKING:
    from snexec.ledger import WatchedRow
    from tests.conftest import LoggedErrors
    from tests.fakes import Rig

pytestmark = pytest.mark.jumping_time


@pytest.fixture
def shop(rig: Rig, nursery: trio.Nursery) -> Shop:
    return Shop(rig, nursery)


@pytest.fixture
def hand(shop: Shop) -> ByHand:
    return ByHand(shop.rig.settings, shop.book, shop.seller, shop.rig.ledger.writer)


async def test_what_is_closed_by_hand_is_durable_when_it_is_answered(
    shop: Shop, hand: ByHand
) -> None:
    await shop.start()
    (answer,) = await hand.close(["AAPL"], at_open=False, by="page")
    assert answer == CloseAnswer("AAPL", Decimal(SHARES), "sn-1-x1", "selling")
    assert shop.states().keys() == {"sn-1-x1"}
    await wait_all_tasks_blocked()
    await shop.said("fill", SHARES, "180.02")
    row = shop.rig.rows()["sn-1"]
    assert (row["status"], row["exitReason"]) == ("closed", "manual")
    [decided] = [each for each in shop.rig.events if each.event == "exit"]
    assert (decided.more["by"], decided.more["triggerSource"]) == ("page", "page")


async def test_a_close_waits_until_it_is_known_whether_the_market_is_open(
    shop: Shop, hand: ByHand, nursery: trio.Nursery
) -> None:
    await shop.start()
    market = shop.rig.market
    market.open, market.asks = None, True

    async def answer() -> None:
        await trio.sleep(2)
        market.open, market.asks = False, False

    nursery.start_soon(answer)
    assert market.wanted == set()
    (refusal,) = await hand.close(["AAPL"], at_open=False)
    assert refusal.state == "refused"
    assert "--at-open" in refusal.error
    assert market.wanted == {"paper"}, "without rules nobody else asks"
    assert shop.states() == {}


async def test_a_second_close_is_the_same_sell(shop: Shop, hand: ByHand) -> None:
    await shop.start()
    await hand.close(["AAPL"], at_open=False)
    (again,) = await hand.close(["AAPL", "AAPL"], at_open=False)
    assert (again.state, again.exit_id) == ("closing", "sn-1-x1")
    await wait_all_tasks_blocked()
    assert len(shop.posts()) == 1


async def test_what_is_not_held_is_refused(shop: Shop, hand: ByHand) -> None:
    await shop.start()
    assert await hand.close(["KO"], at_open=False) == [
        CloseAnswer("KO", None, None, "refused", "nothing of it is held")
    ]


async def test_a_closed_market_is_waited_for_only_if_that_was_said(
    shop: Shop, hand: ByHand
) -> None:
    await shop.start()
    shop.rig.market.open = False
    (answer,) = await hand.close(["AAPL"], at_open=False)
    assert answer.state == "refused"
    assert answer.error == "the market is closed; to sell at its open: --at-open"
    assert shop.states() == {}
    (answer,) = await hand.close(["AAPL"], at_open=True)
    assert (answer.state, answer.exit_id) == ("queued", "sn-1-x1")
    assert shop.states() == {"sn-1-x1": "planned"}
    assert shop.posts() == []
    (watch,) = hand.positions()
    assert (watch.state, watch.blocked_by) == (
        ("closing", "the market is closed: it is sold when it opens")
    )


# Where nothing watches what is held.


async def test_a_row_that_nothing_watches_is_found_and_sold(
    shop: Shop, hand: ByHand
) -> None:
    await shop.start_with_rows_unwatched()
    assert len(shop.book) == 0
    (answer,) = await hand.close(["AAPL"], at_open=False)
    assert (answer.state, answer.exit_id) == ("selling", "sn-1-x1")
    await trio.sleep(1)
    assert shop.states() == {"sn-1-x1": "working"}
    (other,) = await hand.close(["MSFT"], at_open=False)
    assert (other.state, other.error) == ("refused", "nothing of it is held")


@pytest.mark.parametrize("follows_all", [False, True])
async def test_a_row_without_an_entry_price_is_sold_as_well(
    shop: Shop, hand: ByHand, *, follows_all: bool
) -> None:
    await shop.start_with_rows_unwatched()
    shop.book.follows_all = follows_all  # rules watch no row whose price they lack
    shop.rig.store._db.execute("UPDATE BotTrade SET entryPrice = NULL")
    (answer,) = await hand.close(["AAPL"], at_open=False)
    assert answer == CloseAnswer("AAPL", Decimal(SHARES), "sn-1-x1", "selling")
    assert [row.id for row in shop.rig.store.held.busy()] == ["sn-1"], "after a crash"
    assert [row.id for row in shop.rig.store.held.watched()] == ["sn-1"]
    await shop.said("fill", SHARES, "180.02")
    row = shop.rig.rows()["sn-1"]
    assert (row["status"], row["exitPrice"], row["pnl"]) == ("closed", 180.02, None)


async def test_a_row_that_another_program_has_ended_hides_no_newer_one(
    shop: Shop, hand: ByHand
) -> None:
    await shop.start_with_rows_unwatched()
    rig = shop.rig
    rig.market.open = False
    (answer,) = await hand.close(["AAPL"], at_open=False)
    assert "the market is closed" in answer.error
    rig.store._db.execute("UPDATE BotTrade SET status = 'closed' WHERE id = 'sn-1'")
    buy(rig, "sn-2")
    rig.market.open = True
    (answer,) = await hand.close(["AAPL"], at_open=False)
    assert (answer.state, answer.exit_id) == ("selling", "sn-2-x1")


async def test_a_close_says_that_its_row_cannot_be_read(
    shop: Shop, hand: ByHand
) -> None:
    await shop.start_with_rows_unwatched()
    writer = shop.rig.ledger.writer
    writer.gate = trio.Event()
    (answer,) = await hand.close(["AAPL"], at_open=False)
    assert (answer.state, answer.error) == (
        ("refused", "its row cannot be read now: the disk does not answer")
    )
    writer.gate.set()


# What a kill does not take back.


def start_again(shop: Shop) -> WatchedRow:
    """Return the row as the next start finds it."""
    (row,) = shop.rig.store.held.watched()
    return row


async def test_a_close_that_waits_for_its_buys_cancel_is_kept(
    shop: Shop, hand: ByHand
) -> None:
    await shop.buy_in_part()
    (answer,) = await hand.close(["AAPL"], at_open=False)
    assert (answer.state, answer.exit_id) == ("closing", None)
    row = start_again(shop)
    assert (row.wanted, row.live_exit) == ("manual", None)
    shop.rig.paper.book["sn-1"] = make_order(
        "sn-1", "canceled", order_id="o-sn-1", quantity="0.3", price="189"
    )
    await trio.sleep(6)
    assert shop.states() == {"sn-1-x1": "working"}
    assert start_again(shop).wanted is None, "the sell is kept in its place"


async def test_a_start_goes_on_with_a_close_that_waited_for_its_buys_cancel(
    shop: Shop,
) -> None:
    rig = shop.rig
    trade = make_trade("sn-1", "AAPL")
    rig.open_row(trade, order_id="o-sn-1")
    rig.store.apply_partial_fill(
        ref_of(trade, "o-sn-1"), price=Decimal(189), shares=Decimal("0.2")
    )
    rig.store.held.note_close("sn-1")
    await shop.start_with_rows()
    await wait_all_tasks_blocked()
    assert [each.order_id for each in rig.paper.asked("cancel")] == ["o-sn-1"]
    rig.paper.book["sn-1"] = make_order(
        "sn-1", "canceled", order_id="o-sn-1", quantity="0.3", price="189"
    )
    await trio.sleep(6)
    assert exits_of(rig)["sn-1-x1"]["reason"] == "manual"
    assert [post[1:] for post in shop.posts()] == [("sn-1-x1", "0.3")]


async def test_a_close_that_halt_all_keeps_back_is_kept(
    shop: Shop, hand: ByHand
) -> None:
    await shop.buy_in_part()
    shop.rig.paper.book["sn-1"] = make_order(
        "sn-1", "canceled", order_id="o-sn-1", quantity="0.3", price="189"
    )
    shop.rig.halt.all_on = True
    await hand.close(["AAPL"], at_open=False)
    await trio.sleep(10)
    assert shop.states() == {}
    assert start_again(shop).wanted == "manual"
    shop.rig.halt.all_on = False
    await trio.sleep(2)
    assert shop.states() == {"sn-1-x1": "working"}


async def test_a_close_beside_a_rules_sell_is_wanted_whatever_the_rule_says_later(
    shop: Shop, hand: ByHand
) -> None:
    await shop.buy_in_part()
    closing = await shop.sell()
    (answer,) = await hand.close(["AAPL"], at_open=False)
    assert answer.state == "closing"
    assert start_again(shop).wanted == "manual"
    shop.rig.halt.all_on = True
    shop.rig.paper.book["sn-1"] = make_order(
        "sn-1", "canceled", order_id="o-sn-1", quantity="0.3", price="189"
    )
    await trio.sleep(10)
    shop.rig.halt.all_on, shop.holds = False, False
    await trio.sleep(2)
    assert closing.result is None, "it is not given back"
    assert exits_of(shop.rig)["sn-1-x1"]["reason"] == "manual"


@pytest.mark.parametrize("at_open", [False, True])
async def test_a_close_at_night_beside_a_rules_sell_is_none_unless_it_may_wait(
    shop: Shop, hand: ByHand, at_open: bool
) -> None:
    await shop.start()
    shop.rig.market.open = False
    await shop.sell(trigger("max_hold"))
    (answer,) = await hand.close(["AAPL"], at_open=at_open)
    assert (answer.state, answer.exit_id) == ("queued", "sn-1-x1")
    shop.holds = False  # SIGHUP has made the longest hold longer
    shop.rig.market.open = True
    await trio.sleep(5)
    assert shop.states() == {"sn-1-x1": "working" if at_open else "dropped"}


async def test_a_rules_sell_that_was_closed_by_hand_too_is_sent_after_a_kill(
    shop: Shop,
) -> None:
    buy(shop.rig)
    shop.rig.store.exits.plan("sn-1", "stop_loss", held=None, free=None)
    shop.rig.store.held.note_close("sn-1")
    shop.holds = False
    await shop.start_with_rows()
    await trio.sleep(70)
    assert [post[1] for post in shop.posts()] == ["sn-1-x1"]


async def test_a_stop_in_the_midst_is_said_and_leaves_it_to_the_next_start(
    shop: Shop, hand: ByHand, nursery: trio.Nursery
) -> None:
    await shop.buy_in_part()
    answers: list[CloseAnswer] = []

    async def close() -> None:
        answers.extend(await hand.close(["AAPL"], at_open=False))

    nursery.start_soon(close)
    await trio.sleep(1)
    shop.rig.orders.close()  # as SIGTERM has it
    shop.rig.orders.sells.close()
    shop.rig.paper.book["sn-1"] = make_order(
        "sn-1", "canceled", order_id="o-sn-1", quantity="0.3", price="189"
    )
    await trio.sleep(10)
    [answer] = answers
    assert (answer.state, answer.error) == (
        "closing",
        "the daemon stops; its next start goes on with it",
    )
    assert shop.states() == {}
    assert start_again(shop).wanted == "manual"


async def test_a_close_that_came_to_nothing_is_forgotten(
    shop: Shop, hand: ByHand
) -> None:
    position = await shop.start()
    position.free = Decimal(0)
    shop.rig.store._db.execute("UPDATE BotTrade SET shares = 1e-12")
    (answer,) = await hand.close(["AAPL"], at_open=False)
    assert answer.state == "refused"
    await wait_all_tasks_blocked()
    assert start_again(shop).wanted is None


# What is shown.


async def test_a_stop_at_the_broker_is_the_positions_while_it_works(
    shop: Shop, hand: ByHand
) -> None:
    position = await shop.start()
    rules = {"broker_stop": True, "broker_stop_pct": 7, "hard_stop_loss_pct": 5}
    shop.rig.settings.now = make_settings(exits=rules)
    entry = position.entry_price or Decimal(0)
    [status] = hand.positions()
    assert status.stop == entry * Decimal("0.95"), "the rule is asked"
    position.stop_at_broker = True
    [status] = hand.positions()
    assert status.stop == Decimal("176.30"), "7 % below, in cents"


async def test_a_position_has_its_limits_and_the_time_that_is_left(
    shop: Shop, hand: ByHand
) -> None:
    position = await shop.start()
    (bare,) = hand.positions()
    assert (bare.state, bare.price, bare.stop, bare.seconds_left) == (
        ("unwatched", None, None, None)
    ), "no rule is asked of it"
    rules = {
        "hard_stop_loss_pct": 5,
        "trailing_stop_pct": 2,
        "profit_target_pct": 10,
        "max_hold_duration_sec": 60,
    }
    shop.rig.settings.now = make_settings(exits=rules)
    entry = position.entry_price or Decimal(0)
    (status,) = hand.positions()
    assert status.state == "watched"
    assert status.stop == entry * Decimal("0.98"), "the higher one"
    assert status.target == entry * Decimal("1.1")
    held = trio.current_time() - position.held_since
    assert status.seconds_left == pytest.approx(60 - held)


async def test_what_blocks_a_position_is_said_with_its_time(
    shop: Shop, hand: ByHand, logged_errors: LoggedErrors
) -> None:
    await shop.start()
    shop.rig.paper.placing.append(refused(403, "rejected by user request"))
    await hand.close(["AAPL"], at_open=False)
    began = trio.current_time()
    await trio.sleep(0.5)
    (status,) = hand.positions()
    assert status.state == "blocked"
    assert "rejected by user request" in status.blocked_by
    assert status.blocked_since == pytest.approx(began, abs=0.5)
    (answer,) = await hand.close(["AAPL"], at_open=False)
    assert (answer.state, answer.error) == ("closing", status.blocked_by)
    await trio.sleep(5)
    (status,) = hand.positions()
    assert (status.state, status.blocked_by, status.blocked_since) == (
        "closing",
        "",
        None,
    )
    assert logged_errors.take()


async def test_a_position_that_may_not_be_sold_by_price_says_why(
    shop: Shop, hand: ByHand
) -> None:
    position = await shop.start()
    position.rests = "a split is near"
    shop.rig.settings.now = make_settings(exits={})
    (status,) = hand.positions()
    assert (status.state, status.blocked_by) == ("watched", "a split is near")


async def test_what_its_row_does_not_know_to_be_sold_is_not_sold_again(
    shop: Shop, hand: ByHand, logged_errors: LoggedErrors
) -> None:
    await shop.start()
    shop.rig.paper.placing.append(taken_meanwhile(shop))
    await shop.sell()
    (answer,) = await hand.close(["AAPL"], at_open=False)
    assert answer.state == "closing"
    (row,) = shop.rig.store.held.watched()
    assert row.wanted == "manual"
    await trio.sleep(2)
    (answer,) = await hand.close(["AAPL"], at_open=False)
    assert (answer.state, answer.shares) == ("refused", None)
    assert answer.error.startswith("the broker took its sell as o-9")
    (status,) = hand.positions()
    assert (status.state, status.blocked_by) == ("blocked", answer.error)
    assert len(shop.posts()) == 1
    (row,) = shop.rig.store.held.watched()
    assert row.wanted is None, "or the next start sold it again"
    assert len(logged_errors.take()) == 2


async def test_a_position_whose_symbol_is_halted_says_so(
    shop: Shop, hand: ByHand
) -> None:
    position = await shop.start()
    shop.rig.settings.now = make_settings(exits={})
    watched = shop.book.of_row(position.row_id)
    assert watched is not None
    watched.prices.hear_status(is_halted=True, at=0.0)
    (status,) = hand.positions()
    assert (status.state, status.blocked_by) == (
        ("watched", "it is halted: price rules rest until it trades again")
    )
