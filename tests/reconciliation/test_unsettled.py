"""Which orders are not final, and when to ask about each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from snexec.reconciliation.due import UnsettledOrder
from snexec.reconciliation.unsettled import UnsettledOrders
from tests.fakes import make_trade

if TYPE_CHECKING:
    from trio.testing import MockClock

    from snexec.model import Mode

pytestmark = pytest.mark.jumping_time


def follow(
    orders: UnsettledOrders,
    trade_id: str = "sn-1",
    *,
    mode: Mode = "paper",
    order_id: str | None = "o-1",
) -> None:
    orders.placed(make_trade(trade_id, mode=mode), order_id=order_id)


async def next_due(orders: UnsettledOrders, mode: Mode) -> UnsettledOrder:
    """Wait for an order, and begin to ask about it."""
    order = await orders.wait_due(mode)
    orders.begin(order)
    return order


async def asked_at(orders: UnsettledOrders, times: int, longest: float) -> list[float]:
    """Ask whenever an order is due, and return when that was."""
    found: list[float] = []
    for _ in range(times):
        order = await next_due(orders, "paper")
        found.append(round(trio.current_time(), 6))
        orders.ask_later(order, longest=longest)
    return found


async def test_a_placed_order_is_asked_about_after_5_s_and_then_less_and_less_often() -> (
    None
):
    orders = UnsettledOrders()
    follow(orders)
    assert await asked_at(orders, 7, 60.0) == [5, 10, 20, 40, 80, 140, 200]


async def test_an_order_whose_fate_is_unknown_is_asked_about_at_once() -> None:
    orders = UnsettledOrders()
    follow(orders, order_id=None)
    assert await asked_at(orders, 6, 60.0) == [0, 0.5, 1.5, 3.5, 7.5, 15.5]


async def test_a_short_interval_bounds_the_first_pauses_too() -> None:
    orders = UnsettledOrders()
    follow(orders)
    assert await asked_at(orders, 4, 2.0) == [5, 7, 9, 11]


async def test_orders_come_when_they_are_due_whatever_came_first() -> None:
    orders = UnsettledOrders()
    follow(orders, "sn-1")
    await trio.sleep(1)
    follow(orders, "sn-2")
    follow(orders, "sn-3", order_id=None)
    found = [
        ((await next_due(orders, "paper")).trade_id, trio.current_time())
        for _ in range(3)
    ]
    assert found == [("sn-3", 1), ("sn-1", 5), ("sn-2", 6)]


async def test_settled_orders_are_not_kept_until_their_look_ups_would_be_due() -> None:
    orders = UnsettledOrders()
    for number in range(5000):
        follow(orders, f"sn-{number}")
        if number % 1000:
            orders.settled(f"sn-{number}")
    assert len(orders._queues["paper"]) < 400
    found = [(await next_due(orders, "paper")).trade_id for _ in range(5)]
    assert found == [f"sn-{number}" for number in range(0, 5000, 1000)]


async def test_a_new_order_is_seen_by_who_waits_already(nursery: trio.Nursery) -> None:
    orders = UnsettledOrders()
    found: list[tuple[str, float]] = []

    async def wait() -> None:
        for _ in range(2):
            order = await next_due(orders, "paper")
            found.append((order.trade_id, trio.current_time()))

    nursery.start_soon(wait)
    await trio.sleep(1)
    follow(orders, "sn-1")
    await trio.sleep(1)
    follow(orders, "sn-2", order_id=None)
    await trio.sleep(10)
    assert found == [("sn-2", 2), ("sn-1", 6)]


async def test_each_mode_has_its_own_queue() -> None:
    orders = UnsettledOrders()
    follow(orders, "sn-1", mode="live")
    follow(orders, "sn-2", mode="paper")
    assert (await next_due(orders, "paper")).trade_id == "sn-2"
    with trio.move_on_after(1000) as nothing:
        await next_due(orders, "paper")
    assert nothing.cancelled_caught
    assert (await next_due(orders, "live")).trade_id == "sn-1"


async def test_a_settled_order_is_never_due() -> None:
    orders = UnsettledOrders()
    follow(orders, "sn-1")
    follow(orders, "sn-2")
    orders.settled("sn-1")
    orders.settled("sn-1")
    assert (len(orders), orders.get("sn-1")) == (1, None)
    assert (await next_due(orders, "paper")).trade_id == "sn-2"
    with trio.move_on_after(1000) as nothing:
        await next_due(orders, "paper")
    assert nothing.cancelled_caught


async def test_an_order_settled_during_its_look_up_is_not_asked_about_again() -> None:
    orders = UnsettledOrders()
    follow(orders)
    order = await next_due(orders, "paper")
    orders.settled("sn-1")
    orders.ask_later(order, longest=60.0)
    assert len(orders) == 0
    with trio.move_on_after(1000) as nothing:
        await next_due(orders, "paper")
    assert nothing.cancelled_caught


async def test_who_needs_to_know_asks_now() -> None:
    orders = UnsettledOrders()
    follow(orders)
    await trio.sleep(1)
    orders.ask_now("sn-1")
    orders.ask_now("nobody's")
    assert await asked_at(orders, 3, 60.0) == [1, 6, 16]


async def test_one_order_is_looked_up_once_at_a_time() -> None:
    orders = UnsettledOrders()
    follow(orders, order_id=None)
    order = await next_due(orders, "paper")
    orders.ask_now("sn-1")
    with trio.move_on_after(3) as nothing:
        await next_due(orders, "paper")
    assert nothing.cancelled_caught, "the first look-up is still under way"
    orders.ask_later(order, longest=60.0)
    assert await next_due(orders, "paper") is order
    assert trio.current_time() == 3, "and what was asked for meanwhile comes at once"


async def test_all_are_asked_about_when_the_stream_is_fed_again() -> None:
    orders = UnsettledOrders()
    for n in range(3):
        follow(orders, f"sn-{n}", mode="live" if n == 2 else "paper")
    await trio.sleep(1)
    orders.ask_all()
    assert [(await next_due(orders, "paper")).trade_id for _ in range(2)] == [
        "sn-0",
        "sn-1",
    ]
    assert (await next_due(orders, "live")).trade_id == "sn-2"
    assert trio.current_time() == 1


async def test_an_order_placed_again_replaces_what_was_known() -> None:
    orders = UnsettledOrders()
    follow(orders, order_id=None)
    old = await next_due(orders, "paper")
    follow(orders, order_id="o-1")
    orders.ask_later(old, longest=60.0)
    new = await next_due(orders, "paper")
    assert (new.order_id, trio.current_time()) == ("o-1", 5)
    assert new is not old


async def test_who_waits_for_settling_waits_for_this_runs_orders_only() -> None:
    orders = UnsettledOrders()
    now = trio.current_time()
    orders.add(
        UnsettledOrder(
            trade_id="old",
            symbol="KO",
            mode="live",
            order_id="o-9",
            placed_at=now - 999,
            due=now,
            pause=1.0,
            of_this_run=False,
        )
    )
    await orders.wait_settled()
    follow(orders)
    with trio.move_on_after(50) as scope:
        await orders.wait_settled()
    assert scope.cancelled_caught
    async with trio.open_nursery() as nursery:
        nursery.start_soon(orders.wait_settled)
        await trio.sleep(1)
        orders.settled("sn-1")
    assert trio.current_time() == 51


async def test_an_order_that_was_given_up_keeps_nobody_waiting() -> None:
    orders = UnsettledOrders()
    follow(orders)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(orders.wait_settled)
        await trio.sleep(1)
        order = orders.get("sn-1")
        assert order is not None
        orders.given_up(order)
    assert trio.current_time() == 1


async def test_who_waits_until_something_holds_asks_at_each_change() -> None:
    orders = UnsettledOrders()
    follow(orders, "sn-1")
    follow(orders, "sn-2")

    def all_compared() -> bool:
        return all(order.is_compared for order in orders)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(orders.wait_until, all_compared)
        await trio.sleep(1)
        orders.settled("sn-1")
        await trio.sleep(1)
        assert nursery.child_tasks
        for order in orders:
            orders.compared(order)
    assert trio.current_time() == 2


async def test_who_waits_until_something_else_holds_is_told_to_look_again() -> None:
    orders, held = UnsettledOrders(), False
    async with trio.open_nursery() as nursery:
        nursery.start_soon(orders.wait_until, lambda: held)
        await trio.sleep(1)
        orders.look_again()
        await trio.sleep(1)
        assert nursery.child_tasks
        held = True
        orders.look_again()
    assert trio.current_time() == 2


async def test_asking_a_thousand_times_leaves_a_bounded_queue(
    autojump_clock: MockClock,
) -> None:
    del autojump_clock
    orders = UnsettledOrders()
    follow(orders)
    for _ in range(1000):
        order = await next_due(orders, "paper")
        orders.ask_later(order, longest=60.0)
    assert sum(map(len, orders._queues.values())) <= 2


async def test_a_row_that_is_revived_is_asked_about_soon() -> None:
    orders = UnsettledOrders()
    follow(orders)
    order = await next_due(orders, "paper")
    order.missed, order.pause = True, 3600.0
    orders.ask_later(order, longest=3600.0)
    await trio.sleep(10)
    orders.revived("sn-1")
    assert await next_due(orders, "paper") is order
    assert trio.current_time() == 5 + 10 + 5


# What a row does not take


async def test_what_a_row_does_not_take_is_news_once_and_then_hourly() -> None:
    orders = UnsettledOrders()
    orders.placed(make_trade(), order_id="o-1")
    assert orders.not_written("sn-1", "a trigger says no")
    assert not orders.not_written("sn-1", "a trigger says no")
    assert orders.not_written("sn-1", "another says no")
    await trio.sleep(3599)
    assert not orders.not_written("sn-1", "another says no")
    await trio.sleep(1)
    assert orders.not_written("sn-1", "another says no")
    assert [order.unwritten for order in orders] == ["another says no"]
    orders.written("sn-1")
    assert [order.unwritten for order in orders] == [None]
    assert orders.not_written("sn-1", "another says no")


async def test_orders_that_are_not_followed_make_one_line_together() -> None:
    orders = UnsettledOrders()
    assert orders.not_written("sn-1", "no")
    assert not orders.not_written("sn-2", "no")
    assert not orders.not_written(None, "no")
    assert orders.not_written("sn-1", "never")
    await trio.sleep(3600)
    assert orders.not_written("sn-3", "never")
    orders.placed(make_trade("sn-3"), order_id="o-3")
    assert orders.not_written("sn-3", "never"), "it is followed now"
    orders.written("sn-1")


# Orders that were found at the broker, and the sweep that finds them


async def test_an_order_that_was_found_is_asked_about_at_once_and_not_waited_for() -> (
    None
):
    orders = UnsettledOrders()
    await trio.sleep(7)
    orders.found(make_trade("sn-1"), is_missed=False)
    order = await next_due(orders, "paper")
    assert (order.trade_id, order.of_this_run, order.missed) == ("sn-1", False, False)
    assert trio.current_time() == 7
    await orders.wait_settled()


async def test_a_start_waits_for_the_sweep_and_for_what_it_finds(
    nursery: trio.Nursery,
) -> None:
    orders = UnsettledOrders()
    compared = trio.Event()
    orders.expect_sweep("paper")

    def is_compared() -> bool:
        left = any(not order.is_compared for order in orders)
        return not left and not orders.awaits_sweep("paper")

    async def wait() -> None:
        await orders.wait_until(is_compared)
        compared.set()

    nursery.start_soon(wait)
    await trio.sleep(1)
    orders.swept("live")
    await trio.sleep(1)
    assert not compared.is_set()
    orders.found(make_trade("sn-1"), is_missed=False)
    orders.swept("paper")
    await trio.sleep(1)
    assert not compared.is_set()
    orders.settled("sn-1")
    await trio.sleep(1)
    assert compared.is_set()


async def test_orders_are_answered_once_each_is_settled_or_compared(
    nursery: trio.Nursery,
) -> None:
    orders = UnsettledOrders()
    follow(orders, "sn-1")
    follow(orders, "sn-2")
    follow(orders, "sn-3")
    answered = trio.Event()

    async def wait() -> None:
        await orders.wait_answered(["sn-1", "sn-0", "sn-2"])
        answered.set()

    nursery.start_soon(wait)
    await trio.sleep(1)
    orders.settled("sn-2")
    await trio.sleep(1)
    assert not answered.is_set()
    order = orders.get("sn-1")
    assert order is not None
    orders.compared(order)
    await trio.sleep(1)
    assert answered.is_set()
