"""Stops at the simulated exchange, which elects them as Alpaca does (SPEC 12.6)."""

from __future__ import annotations

import itertools
import logging
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from snexec.exchange.settings import Behaviour
from snexec.exits.prices import AROUND_THE_CLOCK, Instant, Price
from snexec.exits.rules import Trigger
from snexec.exits.stop_keeper import StopKeeper
from snexec.ledger.rows import OrderRef
from tests.exits.hands import make_exits
from tests.exits.selling import STOP, Shop
from tests.exits.venue import Venue, VenueClient
from tests.fakes import warnings_of
from tests.orders.hearing import buy, exits_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from snexec.exits.book_entry import BookEntry
    from tests.conftest import LoggedErrors
    from tests.fakes import Rig

pytestmark = pytest.mark.jumping_time

SET = {"broker_stop": True, "hard_stop_loss_pct": 5}
MANUAL = Trigger("manual", None, "operator", "closed by hand")
TARGET = Trigger("profit_target", Decimal(110), "stream", "it is high")


class Life:
    """One run of the daemon's order side, with a keeper of stops."""

    def __init__(self, shop: Shop, client: VenueClient) -> None:
        self.shop, self.rig, self.client = shop, shop.rig, client
        self.trigger: Trigger | None = None  # the rule that is true, where it is asked
        self.keeper = StopKeeper(
            *(shop.rig.settings, shop.rig.accounts, shop.book, shop.means),
            ask=self._ask,
        )
        shop.keeper = self.keeper

    async def begin(self) -> None:
        """Take over the rows, and start; as the daemon does."""
        rig, shop = self.rig, self.shop
        rows, exits = rig.store.held.watched(), rig.store.exits.unsettled()
        rig.reconciler.load(rig.store.unsettled(), exits)
        shop.book.load(rows)
        for row in rows:
            entry = shop.book.of_row(row.id)
            assert entry is not None
            shop.seller.take_over(row, entry.position)
        shop.seller.load(exits)
        self.keeper.load(rows)
        for run in (rig.fills.run, rig.recover, rig.reconciler.sells.run):
            shop.nursery.start_soon(run)
        for run in (rig.orders.run, shop.seller.run, self.keeper.run):
            shop.nursery.start_soon(run)
        await settle()

    @property
    def sells(self) -> list[tuple[str, str]]:
        """Each sell of the row as the database has it."""
        return [(name, row["state"]) for name, row in exits_of(self.rig).items()]

    @property
    def row(self) -> dict[str, Any]:
        return self.rig.rows()["sn-1"]

    def rule_rests(self) -> bool:
        """Whether the stop at the broker stands for the rule."""
        return self.shop.position.stop_at_broker

    def _ask(self, entry: BookEntry) -> None:
        if self.trigger is not None:
            self.shop.seller.begin(entry.position, self.trigger)

    def price(self, price: str) -> None:
        """Have the monitor know a price."""
        entry = self.shop.book.of_row("sn-1")
        assert entry is not None
        now = Instant(0.0, trio.current_time())
        said = Price("AAPL", Decimal(price), None, "positions")
        settings = self.rig.settings.now.exits or make_exits()
        entry.prices.begin_anew()
        entry.prices.hear_bid(said.price, 0.0, now, settings)  # so that it is no jump
        assert entry.prices.hear(said, now, AROUND_THE_CLOCK, settings) is None


class World:
    """An exchange, and one daemon after the other on the same database."""

    def __init__(self, make_rig: Callable[..., Rig], venue: Venue) -> None:
        self._make_rig = make_rig
        self.venue = venue
        self._is_first = True

    @asynccontextmanager
    async def life(self, shares: str = "0.5", **keys: Any) -> AsyncIterator[Life]:  # noqa: ANN401 - by name
        """Run until the block ends, by kill -9."""
        rig = self._make_rig(exits=SET | keys)
        async with trio.open_nursery() as nursery:
            client = self.venue.serve(rig, nursery)
            if self._is_first:
                buy(rig, shares=shares, price="100")
                self.venue.hold(shares)
            self._is_first = False
            life = Life(Shop(rig, nursery), client)
            rig.market.open = self.venue.is_open
            await life.begin()
            yield life
            nursery.cancel_scope.cancel()
        assert self.venue.most_live <= 1, "never two sell orders of a row"
        rig.store.close()


@pytest.fixture
def world(
    make_rig: Callable[..., Rig],
    nursery: trio.Nursery,
    caplog: pytest.LogCaptureFixture,
) -> World:
    caplog.set_level(logging.INFO)
    return World(make_rig, Venue(nursery))


async def settle(seconds: float = 1.5) -> None:
    await trio.sleep(seconds)
    await wait_all_tasks_blocked()


# While it rests.


async def test_a_row_has_a_stop_for_all_of_it_which_the_broker_elects(
    world: World,
) -> None:
    async with world.life() as life:
        order = world.venue.find("sn-1-s1")
        assert (order.side, order.qty, order.stop_price, order.time_in_force) == (
            *("sell", Decimal("0.5"), Decimal("95.00"), "day"),
        )
        assert life.sells == [("sn-1-s1", "working")]
        world.venue.print("95.01")
        await settle()
        assert life.row["status"] == "open"
        world.venue.print("95")
        await settle()
        assert (life.row["status"], life.row["exitReason"]) == ("closed", "stop_loss")
        assert life.sells == [("sn-1-s1", "filled")]
        assert world.venue.held() == 0
        await settle(3600)
        assert world.venue.told == [("sn-1-s1", "filled")]


async def test_the_rule_rests_while_it_works_or_is_just_placed(world: World) -> None:
    async with world.life() as life:
        assert life.rule_rests()
        life.client.seconds = 5.0
        world.venue.close()
        await settle()
        assert life.sells[-1] == ("sn-1-s2", "planned")
        assert life.rule_rests(), "it would be canceled as soon as it works"
        await settle(10)
        assert life.rule_rests()


async def test_the_rule_does_not_rest_while_it_is_not_known_whether_it_works(
    world: World,
) -> None:
    async with world.life() as life:
        life.client.misses = 1
        world.venue.close()
        await trio.sleep(0.2)
        assert life.sells[-1][1] == "planned"
        assert not life.rule_rests()
    async with world.life() as life:
        assert not life.rule_rests()
        await settle(120)
        assert life.rule_rests()


async def test_a_row_whose_buy_works_has_none_before_its_last_fill(
    world: World,
) -> None:
    async with world.life() as life:
        life.shop.position.is_settled = False
        await settle()
        assert world.venue.told == [("sn-1-s1", "canceled")]
        life.shop.position.is_settled = True
        await settle()
        assert world.venue.live == ["sn-1-s2"]


async def test_what_it_means_is_said_once_when_it_is_set(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with world.life(broker_stop=False) as life:
        assert world.venue.told == []
        assert warnings_of(caplog) == []
        life.rig.set_exits(**SET)
        life.keeper.look()
        await settle(120)
        (said,) = warnings_of(caplog)
        assert "it holds the shares" in said
        assert "a wash trade" in said
        assert world.venue.live == ["sn-1-s1"]
        life.rig.set_exits(**SET | {"broker_stop": False})
        life.keeper.look()
        await settle()
        assert world.venue.told == [("sn-1-s1", "canceled")]
        assert life.shop.state() == "watched"


async def test_the_trailing_stop_takes_it_up_once_a_minute(world: World) -> None:
    async with world.life(trailing_stop_pct=10) as life:
        position = life.shop.position
        began = trio.current_time()
        for high in range(106, 136):
            position.high_price = Decimal(high)
            await trio.sleep(10)
        placed = [each.submitted_ns / 1e9 for each in world.venue.orders]
        assert len(placed) >= 4
        assert all(b - a >= 60 for a, b in itertools.pairwise(placed))
        assert trio.current_time() - began == pytest.approx(300)
        await settle(60)
        assert world.venue.orders[-1].stop_price == Decimal("121.50")
        world.venue.print("121.50")
        await settle()
        assert life.row["exitReason"] == "trailing_stop"


async def test_less_to_sell_is_a_smaller_stop(world: World) -> None:
    async with world.life() as life:
        life.shop.position.remaining = Decimal("0.2")
        await settle()
        assert world.venue.live == ["sn-1-s2"]
        # The row itself has as much as before: what the ledger says is what is sold.
        assert world.venue.find("sn-1-s2").qty == Decimal("0.5")


# Sessions.


async def test_the_next_sessions_is_placed_as_soon_as_one_has_ended(
    world: World,
) -> None:
    async with world.life() as life:
        world.venue.close()
        await settle()
        assert world.venue.told == [("sn-1-s1", "expired"), ("sn-1-s2", "accepted")]
        assert life.sells == [("sn-1-s1", "expired"), ("sn-1-s2", "working")]
        world.venue.print("90")
        await settle(3600)
        assert life.row["status"] == "open", "it works in regular hours only"
        world.venue.open()
        await settle()
        world.venue.print("94")
        await settle()
        assert (life.row["status"], life.row["exitReason"]) == ("closed", "stop_loss")


async def test_one_whose_end_the_stream_has_not_said_is_found_out(world: World) -> None:
    async with world.life() as life:
        await settle(5)
        world.venue.stream_is_up = False
        world.venue.close()
        await settle(300)
        assert life.sells == [("sn-1-s1", "expired"), ("sn-1-s2", "working")]


async def test_one_that_others_cancel_is_placed_again(world: World) -> None:
    async with world.life():
        await settle(120)
        world.venue.account.cancel(world.venue.find("sn-1-s1").id)
        await settle()
        assert world.venue.told == [("sn-1-s1", "canceled"), ("sn-1-s2", "new")]


async def test_one_that_others_cancel_each_time_is_given_up_for_the_session(
    world: World,
) -> None:
    async with world.life(retry_max_sec=5.0):
        for _second in range(300):
            for order in world.venue.orders:
                if not order.terminal:
                    world.venue.account.cancel(order.id)
            await trio.sleep(1)
        assert len(world.venue.orders) == 20


# Whoever sells the row goes first.


@pytest.mark.parametrize("trigger", [MANUAL, TARGET])
async def test_another_reason_cancels_it_and_then_sells_what_is_left(
    world: World, trigger: Trigger
) -> None:
    async with world.life() as life:
        slow = Behaviour(side="sell", cancel_delay_sec=5.0)
        world.venue.account.behaviours.set("AAPL", slow)
        life.rig.set_exits(**SET | {"broker_stop_pct": 6})
        await settle(120)
        assert world.venue.live == ["sn-1-s2"]
        await life.shop.sell(trigger)
        await settle()
        assert world.venue.find("sn-1-s2").status == "pending_cancel"
        assert world.venue.live == ["sn-1-s2"], "nothing is sold beside it"
        await settle(10)
        assert (life.row["status"], life.row["exitReason"]) == (
            "closed",
            trigger.reason,
        )
        assert life.sells[1:] == [("sn-1-s2", "canceled"), ("sn-1-x1", "filled")]
        assert world.venue.held() == 0


async def test_a_rule_that_is_true_sells_where_a_stop_would_be_placed_again(
    world: World,
) -> None:
    async with world.life() as life:
        await settle(120)
        life.trigger = STOP  # the one that rests stands for it, until it has ended
        world.venue.account.cancel(world.venue.find("sn-1-s1").id)
        await settle()
        assert world.venue.told == [("sn-1-s1", "canceled"), ("sn-1-x1", "filled")]
        assert (life.row["status"], life.row["exitReason"]) == ("closed", "stop_loss")


async def test_a_cancel_that_loses_to_the_election_closes_the_row_once(
    world: World,
) -> None:
    async with world.life() as life:
        world.venue.stream_is_up = False
        world.venue.print("94")
        await trio.sleep(0.05)
        await life.shop.sell(TARGET)
        await settle()
        assert (life.row["status"], life.row["exitReason"]) == ("closed", "stop_loss")
        assert world.venue.told == [("sn-1-s1", "filled")]


async def test_none_is_placed_while_a_row_is_being_sold_and_one_is_after_that(
    world: World, logged_errors: LoggedErrors
) -> None:
    async with world.life() as life:
        world.venue.account.behaviours.set("AAPL", Behaviour(side="sell", refuse=403))
        closing = await life.shop.sell(TARGET)
        await settle(30)
        assert world.venue.told == [("sn-1-s1", "canceled")]
        logged_errors.take()
        world.venue.account.behaviours.set("AAPL", Behaviour(side="sell"))
        closing.end("given_back")
        await settle()
        assert world.venue.live == ["sn-1-s2"]


async def test_while_all_is_halted_stops_stay_as_they_are(world: World) -> None:
    async with world.life() as life:
        life.rig.halt.all_on = True
        life.rig.set_exits(**SET | {"broker_stop_pct": 2})
        life.keeper.look()
        await life.shop.sell(TARGET)
        await settle(600)
        assert world.venue.told == [("sn-1-s1", "new")]


# Refused, lost.


async def test_a_refused_one_is_said_and_the_rule_goes_on(
    world: World, logged_errors: LoggedErrors, caplog: pytest.LogCaptureFixture
) -> None:
    world.venue.account.behaviours.set("AAPL", Behaviour(side="sell", refuse=403))
    async with world.life(retry_max_sec=5.0) as life:
        await settle(10)
        said = [each for each in warnings_of(caplog) if "has no stop" in each]
        assert len(said) == 1
        assert "its rules are watched here alone" in said[0]
        assert not life.shop.position.stop_at_broker
        await settle(300)
        refused = [name for name, state in life.sells if state == "refused"]
        assert len(refused) == 20, "as many as a session has"
        world.venue.account.behaviours.set("AAPL", Behaviour(side="sell"))
        closing = await life.shop.sell(TARGET)
        await settle()
        assert closing.result == "closed", "they take none of its sells' tries"
        logged_errors.take()


async def test_as_many_a_session_hold_over_a_restart(
    world: World, logged_errors: LoggedErrors
) -> None:
    world.venue.account.behaviours.set("AAPL", Behaviour(side="sell", refuse=403))
    async with world.life(retry_max_sec=5.0) as life:
        await settle(300)
        life.rig.ledger.failed_stops = life.rig.store.held.failed_stops(
            life.rig.clock.now().replace(hour=5)
        )
        assert life.rig.ledger.failed_stops == {"sn-1": 20}
        logged_errors.take()


async def test_one_whose_reply_was_lost_is_found(world: World) -> None:
    async with world.life() as life:
        world.venue.close()
        life.client.loses = 1
        await settle(30)
        assert life.sells == [("sn-1-s1", "expired"), ("sn-1-s2", "working")]
        assert world.venue.live == ["sn-1-s2"]


async def test_one_that_was_lost_is_sent_again_with_its_id(world: World) -> None:
    async with world.life() as life:
        life.client.misses = 1
        world.venue.close()
        await settle(30)
        assert life.sells == [("sn-1-s1", "expired"), ("sn-1-s2", "working")]
        assert world.venue.live == ["sn-1-s2"]


# New rules.


async def test_one_that_would_sell_at_once_waits_as_new_rules_do(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with world.life(broker_stop=False) as life:
        world.venue.print("94")
        life.price("94")
        life.rig.set_exits(**SET)
        life.keeper.look()
        await settle(58)
        assert world.venue.told == []
        assert "94.00 is at or below its new stop" in warnings_of(caplog)[-1]
        await settle(3)
        assert [name for name, _status in world.venue.told] == ["sn-1-s1"]


async def test_one_that_would_sell_nothing_yet_waits_for_nothing(world: World) -> None:
    async with world.life(broker_stop=False) as life:
        life.price("99")
        life.rig.set_exits(**SET)
        life.keeper.look()
        await settle()
        assert world.venue.live == ["sn-1-s1"]


# What others do.


@pytest.mark.parametrize("doubt", [{"is_doubted": True}, {"rests": "a split is known"}])
async def test_none_rests_while_what_is_held_is_in_doubt(
    world: World, doubt: dict[str, Any]
) -> None:
    async with world.life() as life:
        for name, value in doubt.items():
            setattr(life.shop.position, name, value)
        await settle()
        assert world.venue.told == [("sn-1-s1", "canceled")]
        assert life.shop.position.live_exit is None
        life.shop.position.is_doubted, life.shop.position.rests = False, None
        await settle()
        assert world.venue.live == ["sn-1-s2"]


async def test_the_stop_of_a_row_that_others_have_ended_is_taken_back(
    world: World,
) -> None:
    async with world.life() as life:
        life.shop.book.ended("sn-1")
        await settle()
        assert world.venue.told == [("sn-1-s1", "canceled")]
        await settle(120)
        assert world.venue.live == []


# kill -9.


async def test_a_stop_that_rests_is_gone_on_with(world: World) -> None:
    async with world.life():
        pass
    async with world.life() as life:
        await settle(300)
        assert life.shop.position.stop_at_broker
        assert world.venue.live == ["sn-1-s1"]
        world.venue.print("94")
        await settle()
        assert life.row["status"] == "closed"


async def test_one_that_filled_while_the_daemon_was_dead_closes_its_row(
    world: World,
) -> None:
    async with world.life():
        pass
    world.venue.print("94")
    await settle()
    async with world.life() as life:
        assert (life.row["status"], life.row["exitReason"]) == ("closed", "stop_loss")


async def test_one_that_expired_while_the_daemon_was_dead_is_followed_by_the_next(
    world: World,
) -> None:
    async with world.life():
        pass
    world.venue.close()
    async with world.life() as life:
        await settle(90)
        assert life.sells == [("sn-1-s1", "expired"), ("sn-1-s2", "working")]


async def test_killed_before_it_left_it_is_sent_if_it_is_the_same(world: World) -> None:
    async with world.life() as life:
        world.venue.close()
        life.client.misses = 1
        await trio.sleep(0.2)
        assert life.sells[-1] == ("sn-1-s2", "planned")
    async with world.life() as life:
        await settle(120)
        assert life.sells[-1] == ("sn-1-s2", "working")
    async with world.life() as life:
        await settle(120)
        assert world.venue.live == ["sn-1-s2"]


async def test_killed_before_it_left_it_is_dropped_if_another_is_wanted(
    world: World,
) -> None:
    async with world.life() as life:
        world.venue.close()
        life.client.misses = 1
        await trio.sleep(0.2)
    async with world.life(broker_stop_pct=8) as life:
        await settle(180)
        assert life.sells[1:] == [("sn-1-s2", "dropped"), ("sn-1-s3", "working")]
        assert world.venue.find("sn-1-s3").stop_price == Decimal("92.00")


async def test_killed_after_the_broker_took_it_it_is_found(world: World) -> None:
    async with world.life() as life:
        world.venue.close()
        life.client.loses, life.client.seconds = 1, 0.05
        while world.venue.live != ["sn-1-s2"]:  # noqa: ASYNC110 - the exchange's
            await trio.sleep(0.001)
        assert life.sells[-1] == ("sn-1-s2", "planned")
    async with world.life() as life:
        await settle(60)
        assert life.sells[-1] == ("sn-1-s2", "working")


@pytest.mark.parametrize("delay", [0.0, 0.06, 0.2, 5.0])
async def test_killed_while_it_makes_room_for_a_sell_that_sell_comes(
    world: World, delay: float
) -> None:
    async with world.life() as life:
        slow = Behaviour(side="sell", cancel_delay_sec=1.0)
        world.venue.account.behaviours.set("AAPL", slow)
        await life.shop.sell(MANUAL)
        await trio.sleep(delay)
    async with world.life() as life:
        await settle(120)
        assert life.row["status"] == "closed"
        assert world.venue.held() == 0


async def test_killed_between_a_dropped_stop_and_its_sell_that_sell_comes(
    world: World,
) -> None:
    async with world.life() as life:
        store = life.rig.store
        world.venue.close()
        life.client.misses = 1
        await trio.sleep(0.2)
        store.exits.note_cancel("sn-1-s2", "manual")
        store.exits.apply_gone(OrderRef("paper", None, "sn-1-s2"), "dropped")
    world.venue.open()
    async with world.life() as life:
        await settle(30)
        assert (life.row["status"], life.row["exitReason"]) == ("closed", "manual")


@pytest.mark.parametrize("delay", [0.0, 0.06, 0.2, 0.7])
async def test_killed_while_it_is_replaced_there_is_one_after_that(
    world: World, delay: float
) -> None:
    async with world.life() as life:
        life.rig.set_exits(**SET | {"broker_stop_pct": 8})
        life.price("100")
        await settle(57)
        await trio.sleep(1 + delay)
    async with world.life(broker_stop_pct=8) as life:
        await settle(180)
        (live,) = world.venue.live
        assert world.venue.find(live).stop_price == Decimal("92.00")
        assert life.sells[-1] == (live, "working")
