"""Whose turn it is to be looked up, where not all can be."""

from __future__ import annotations

import logging
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
import trio

from snexec.broker.budget import Purpose
from snexec.errors import NotFoundError
from tests.fakes import make_order, make_trade

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import LoggedErrors
    from tests.fakes import Request, Rig

pytestmark = pytest.mark.jumping_time

MINUTE = 60.0


@pytest.fixture
def run(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> Callable[[Rig], None]:
    """Give a function that starts a rig's services, past the start."""
    caplog.set_level(logging.CRITICAL)

    def begin(rig: Rig) -> None:
        rig.reconciler.start._over.set()
        nursery.start_soon(rig.fills.run)
        nursery.start_soon(rig.recover)

    return begin


def working(rig: Rig, number: int, *, bought: bool = True) -> None:
    """Leave an order that stays as it is, and whose position cannot be read."""
    name, symbol = f"sn-{number}", f"S{number}"
    trade = make_trade(name, symbol)
    rig.open_row(trade, order_id=f"o-{name}")
    rig.unsettled.placed(trade, order_id=f"o-{name}")
    rig.paper.book[name] = (
        make_order(
            name, "partially_filled", order_id=f"o-{name}", quantity="1", price="50"
        )
        if bought
        else make_order(name, "new", order_id=f"o-{name}")
    )


def lose(rig: Rig, name: str, status: str = "filled", *, is_known: bool = True) -> None:
    """Leave an order whose answer was lost."""
    trade = make_trade(name, name.upper())
    rig.open_row(trade)
    rig.unsettled.placed(trade, order_id=None)
    if is_known:
        rig.paper.book[name] = make_order(
            name, status, order_id=f"o-{name}", quantity="2", price="50"
        )


def busiest_minute(rig: Rig) -> int:
    """Return how many requests recovery has made in its busiest minute."""
    times = [each.at for each in rig.paper.requests]
    return max(sum(at <= each < at + MINUTE for each in times) for at in times)


def asked_about(rig: Rig, since: float = 0.0) -> list[str]:
    """Return which orders were asked about, in turn."""
    return [
        str(each.client_order_id)
        for each in rig.paper.asked("order")
        if each.at >= since
    ]


@pytest.mark.parametrize("lost_after", [6.0, 20.0, 59.0, 200.0])
@pytest.mark.parametrize("orders", [0, 160])
async def test_a_lost_orders_row_is_right_at_once_whatever_uses_the_share(
    rig: Rig, run: Callable[[Rig], None], lost_after: float, orders: int
) -> None:
    for number in range(50):
        working(rig, number)
    run(rig)
    await trio.sleep(lost_after)
    left = sum(rig.paper.budget.try_take(Purpose.ORDER) for _ in range(orders))
    assert left in {0, 120, 160}, "what is not recovery's share is the orders'"
    lose(rig, "lost")
    await trio.sleep(2)
    assert rig.rows()["lost"]["shares"] == 2.0
    await trio.sleep(300)
    assert busiest_minute(rig) <= 80


async def test_a_lost_sell_is_asked_about_with_what_is_left_for_orders(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    while rig.paper.budget.try_take(Purpose.RECOVERY):
        pass
    for number in range(3):
        rig.unsettled.placed(
            make_trade(f"sn-{number}-x1", f"S{number}"), order_id=None, side="sell"
        )
        rig.unsettled.placed(make_trade(f"sn-{number}", f"B{number}"), order_id=None)
        rig.paper.book[f"sn-{number}-x1"] = make_order(f"sn-{number}-x1", "new")
    run(rig)
    await trio.sleep(2)
    assert sorted(asked_about(rig)) == ["sn-0-x1", "sn-1-x1", "sn-2-x1"]


async def test_a_lost_order_that_was_bought_in_part_has_its_shares_at_once(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    for number in range(50):
        working(rig, number)
    run(rig)
    await trio.sleep(30)
    rig.paper.holds["LOST"] = Decimal(2)
    lose(rig, "lost", "partially_filled")
    await trio.sleep(2)
    assert rig.rows()["lost"]["shares"] == 2.0


async def test_a_lost_order_that_reaches_the_broker_late_is_found_as_soon(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    for number in range(50):
        working(rig, number)
    run(rig)
    await trio.sleep(30)
    lose(rig, "lost", is_known=False)
    await trio.sleep(1)
    assert asked_about(rig, 30.0).count("lost") == 2
    rig.paper.book["lost"] = make_order(
        "lost", "filled", order_id="o", quantity="2", price="50"
    )
    await trio.sleep(1)
    assert rig.rows()["lost"]["shares"] == 2.0


async def test_a_lost_order_does_not_wait_for_those_that_were_lost_before(
    make_rig: Callable[..., Rig], run: Callable[[Rig], None]
) -> None:
    rig = make_rig(alpaca={"rate_limit_per_min": 20, "unknown_grace_sec": 1000})
    for number in range(12):
        lose(rig, f"lost-{number}", is_known=False)
    run(rig)
    await trio.sleep(61)
    while rig.paper.budget.try_take(Purpose.RECOVERY):
        rig.paper.budget.finish(None)
    before = len(asked_about(rig))
    lose(rig, "newest", is_known=False)
    await trio.sleep(61)
    assert "newest" in asked_about(rig)[before : before + 8]


async def test_a_minute_starved_of_requests_goes_to_the_lost_then_to_this_runs_orders(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    old = [f"sn-{number}" for number in range(6)]
    for number, name in enumerate(old):
        rig.open_row(make_trade(name, f"S{number}"), order_id=f"o-{name}")
    rig.recovery.load(rig.store.unsettled())
    for number in range(10, 16):
        working(rig, number, bought=False)
    await trio.sleep(10)
    rig.paper.seconds = 1.0
    rig.paper.budget.block(10)
    run(rig)
    await trio.sleep(1)
    lose(rig, "lost")
    await trio.sleep(9.5)
    new = [f"sn-{number}" for number in range(10, 16)]
    assert {"lost", *new} < set(asked_about(rig)), "eight at once"
    assert len(asked_about(rig)) == 8
    await trio.sleep(2)
    assert set(asked_about(rig)) == {"lost", *new, *old}


async def test_no_order_waits_for_ever_for_more_urgent_ones(
    make_rig: Callable[..., Rig], run: Callable[[Rig], None]
) -> None:
    rig = make_rig(alpaca={"rate_limit_per_min": 20, "reconcile_interval_sec": 5})
    for number in range(3):
        name = f"old-{number}"
        rig.open_row(make_trade(name, f"OLD{number}"), order_id=f"o-{name}")
        rig.paper.book[name] = make_order(name, "new", order_id=f"o-{name}")
    rig.recovery.load(rig.store.unsettled())
    for number in range(30):
        working(rig, number, bought=False)
    run(rig)
    await trio.sleep(900)
    asked = Counter(asked_about(rig))
    assert min(asked[f"old-{number}"] for number in range(3)) >= 2
    assert min(asked[f"sn-{number}"] for number in range(30)) >= 2


async def test_a_lost_order_finds_a_place_where_look_ups_hang(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    async def hangs(_request: Request) -> Exception:
        await trio.sleep(30)
        return NotFoundError(status_code=404, body="", reason="order not found")

    for number in range(20):
        working(rig, number, bought=False)
    run(rig)
    rig.paper.looking.extend([hangs] * 8)
    await trio.sleep(6)
    assert len(asked_about(rig)) == 8
    lose(rig, "lost")
    await trio.sleep(1)
    assert rig.rows()["lost"]["shares"] == 2.0
    assert len(asked_about(rig)) == 9, "the others wait for theirs"


async def test_rows_of_an_account_that_does_not_know_them_are_not_lost_orders(
    make_rig: Callable[..., Rig],
    run: Callable[[Rig], None],
    logged_errors: LoggedErrors,
) -> None:
    rig = make_rig(alpaca={"rate_limit_per_min": 40, "reconcile_interval_sec": 1})
    for number in range(20):
        working(rig, number, bought=False)
    rig.paper.book.clear()
    run(rig)
    for _ in range(20):
        await trio.sleep(31)
        assert rig.paper.budget.try_take(Purpose.RECOVERY)
        rig.paper.budget.finish(None)
    assert logged_errors.take() == []
