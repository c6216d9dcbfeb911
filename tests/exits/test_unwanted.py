"""Sells that must sell no more are canceled (SPEC 12.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from snexec.ledger.rows import OrderRef
from tests.exits.selling import SHARES, Shop
from tests.fakes import make_order
from tests.orders.hearing import buy, exits_of

if TYPE_CHECKING:
    from tests.conftest import LoggedErrors
    from tests.fakes import Rig

pytestmark = pytest.mark.jumping_time


@pytest.fixture
def shop(rig: Rig, nursery: trio.Nursery) -> Shop:
    return Shop(rig, nursery)


def canceled(shop: Shop) -> list[str | None]:
    return [each.order_id for each in shop.rig.paper.asked("cancel")]


async def drop_and_sell_again(shop: Shop) -> None:
    """Leave a sell that was given up, and the next one at work."""
    buy(shop.rig)
    exits = shop.rig.store.exits
    exits.plan("sn-1", "stop_loss", held=None, free=None)
    exits.apply_gone(OrderRef("paper", None, "sn-1-x1"), "dropped")
    await shop.start_with_rows()
    await shop.sell()
    assert shop.states() == {"sn-1-x1": "dropped", "sn-1-x2": "working"}


async def test_one_that_is_found_beside_another_is_canceled(
    shop: Shop, logged_errors: LoggedErrors
) -> None:
    await drop_and_sell_again(shop)
    late = make_order("sn-1-x1", "new", order_id="o-late")
    await shop.rig.fills.on_looked_up("paper", late, "AAPL")
    await wait_all_tasks_blocked()
    assert canceled(shop) == ["o-late"]
    shop.rig.paper.book["sn-1-x1"] = make_order(
        "sn-1-x1", "canceled", order_id="o-late"
    )
    await trio.sleep(10)
    asked = len(shop.rig.paper.asked("cancel"))
    await trio.sleep(300)
    assert len(shop.rig.paper.asked("cancel")) == asked, "its end was heard"
    assert shop.states() == {"sn-1-x1": "canceled", "sn-1-x2": "working"}
    assert "the broker has this sell" in logged_errors.take()[0]


async def test_the_other_one_is_canceled_where_one_found_late_closes_the_row(
    shop: Shop,
) -> None:
    await drop_and_sell_again(shop)
    await shop.said("fill", SHARES, row="sn-1-x1", order_id="o-late")
    assert shop.rig.rows()["sn-1"]["status"] == "closed"
    assert canceled(shop) == ["paper-o-1"]
    shop.rig.paper.book["sn-1-x2"] = make_order(
        "sn-1-x2", "canceled", order_id="paper-o-1"
    )
    await trio.sleep(30)
    assert exits_of(shop.rig)["sn-1-x2"]["state"] == "canceled"


async def test_one_that_works_for_a_row_that_is_closed_is_canceled_at_a_start(
    shop: Shop,
) -> None:
    rig = shop.rig
    buy(rig)
    rig.store.exits.plan("sn-1", "stop_loss", held=None, free=None, kind="stop")
    rig.store.exits.apply_working(OrderRef("paper", "o-stop", "sn-1-s1"))
    rig.store._db.execute("UPDATE BotTrade SET status = 'closed'")
    rig.paper.book["sn-1-s1"] = make_order("sn-1-s1", "new", order_id="o-stop")
    exits = rig.store.exits.unsettled()
    rig.reconciler.load(rig.store.unsettled(), exits)
    shop.seller.load(exits)
    for run in (rig.fills.run, rig.recover, shop.seller.run):
        shop.nursery.start_soon(run)
    await trio.sleep(0.1)
    assert canceled(shop) == ["o-stop"]
    order = rig.reconciler.unsettled.get("sn-1-s1")
    assert order is not None
    rig.reconciler.unsettled.follow_replacement(order, "o-by-hand")
    await trio.sleep(10)
    assert canceled(shop)[-1] == "o-by-hand", "it took the place of the stop"
