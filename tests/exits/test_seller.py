"""Whoever sells: one way for each row, and what a start asks of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.exits.selling import SHARES, Shop, trigger

if TYPE_CHECKING:
    from tests.fakes import Rig

pytestmark = pytest.mark.jumping_time


@pytest.fixture
def shop(rig: Rig, nursery: trio.Nursery) -> Shop:
    return Shop(rig, nursery)


async def test_before_the_rows_are_taken_over_no_sell_is_sent_or_dropped(
    shop: Shop,
) -> None:
    assert shop.seller.fate("sn-1-x1") == "wait"


@pytest.mark.parametrize(
    ("holds", "fate"), [(True, "send"), (False, "drop"), (None, "wait")]
)
async def test_the_rule_is_asked_anew(
    shop: Shop, *, holds: bool | None, fate: str
) -> None:
    await shop.start()
    await shop.sell(trigger("max_hold"))
    shop.holds = holds
    assert shop.seller.fate("sn-1-x1") == fate


async def test_a_rule_that_cannot_be_asked_is_not_waited_for_for_ever(
    shop: Shop,
) -> None:
    shop.rig.set_exits(blind_sec=5)
    await shop.start()
    await shop.sell(trigger("max_hold"))
    shop.holds = None  # as where nothing is held any more, so that no price comes
    assert shop.seller.fate("sn-1-x1") == "wait"
    await trio.sleep(4)
    assert shop.seller.fate("sn-1-x1") == "wait"
    await trio.sleep(2)
    shop.rig.market.open = False
    assert shop.seller.fate("sn-1-x1") == "wait"
    shop.rig.market.open = True
    assert shop.seller.fate("sn-1-x1") == "wait", "it has just opened"
    await trio.sleep(6)
    assert shop.seller.fate("sn-1-x1") == "drop"


async def test_what_was_asked_for_by_hand_is_always_wanted(shop: Shop) -> None:
    await shop.start()
    await shop.sell(trigger("manual"))
    shop.holds = False
    assert shop.seller.fate("sn-1-x1") == "send"
    shop.rig.market.open = False
    assert shop.seller.fate("sn-1-x1") == "wait"


async def test_without_rules_only_what_was_asked_for_by_hand_is_wanted(
    shop: Shop,
) -> None:
    await shop.start()
    await shop.sell(trigger("max_hold"))
    shop.means._guard = None
    assert shop.seller.fate("sn-1-x1") == "drop"


async def test_the_monitor_hands_a_position_over_and_its_way_ends_by_itself(
    shop: Shop,
) -> None:
    await shop.start()
    shop.seller.sell(shop.position, trigger("max_hold"))
    await wait_all_tasks_blocked()
    assert shop.seller.of_row("sn-1") is not None
    await shop.said("fill", SHARES)
    assert shop.seller.of_row("sn-1") is None


async def test_a_sell_that_leaves_at_once_and_is_filled_needs_no_task(
    shop: Shop,
) -> None:
    await shop.start()
    tasks = trio.lowlevel.current_statistics().tasks_living
    closing = await shop.sell()
    assert trio.lowlevel.current_statistics().tasks_living == tasks
    await shop.said("partial_fill", "0.2")
    await shop.said("fill", SHARES)
    assert trio.lowlevel.current_statistics().tasks_living == tasks
    assert closing.result == "closed"
    assert closing.durable.is_set()


async def test_when_the_daemon_stops_no_rule_begins_to_sell_what_is_not_sold(
    rig: Rig,
) -> None:
    async with trio.open_nursery() as nursery:
        shop = Shop(rig, nursery)
        await shop.start()
        position, closing = shop.position, await shop.sell()
        nursery.cancel_scope.cancel()
    assert (closing.result, position.state) == ("stopped", "closing")


async def test_a_row_that_ended_otherwise_is_not_sold(shop: Shop) -> None:
    await shop.start()
    shop.seller.ended("sn-1")  # which was not being sold
    closing = await shop.sell()
    shop.seller.ended("sn-1")
    await wait_all_tasks_blocked()
    assert closing.result == "ended"


async def test_tries_count_anew_each_day_in_new_york(shop: Shop) -> None:
    # It is 14:30 UTC on the fifth when Trio's clock is at 0.
    before_midnight = datetime(2026, 1, 6, 4, 59, tzinfo=UTC)
    shop.means.tries.add_sell("sn-1")
    await trio.sleep((before_midnight - shop.rig.clock.now()).total_seconds())
    assert shop.means.tries.sells("sn-1") == 1
    await trio.sleep(61)
    assert shop.means.tries.sells("sn-1") == 0
