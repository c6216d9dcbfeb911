"""Which of the orders that are due has its turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snexec.reconciliation.due import DueOrders, UnsettledOrder

if TYPE_CHECKING:
    from snexec.model import Side


def order(
    trade_id: str,
    *,
    due: float = 0.0,
    order_id: str | None = "o-1",
    doubted_id: str | None = None,
    side: Side = "buy",
    missed: bool = False,
    of_this_run: bool = True,
    is_compared: bool = False,
) -> UnsettledOrder:
    return UnsettledOrder(
        trade_id=trade_id,
        symbol="AAPL",
        mode="paper",
        order_id=order_id,
        placed_at=0.0,
        due=due,
        pause=1.0,
        missed=missed,
        of_this_run=of_this_run,
        is_compared=is_compared,
        doubted_id=doubted_id,
        side=side,
    )


def put(*orders: UnsettledOrder) -> DueOrders:
    due = DueOrders()
    for each in orders:
        due.put(each)
    return due


def begun(due: DueOrders, now: float) -> list[str]:
    """Begin whatever is due, one after the other."""
    found: list[str] = []
    while (first := due.first(now)) is not None:
        assert due.first(now) is first, "until it is begun"
        found.append(first.trade_id)
        due.begin(first)
    return found


def test_lost_ones_go_first_then_those_of_this_run_then_old_ones() -> None:
    due = put(
        order("old", due=1, of_this_run=False),
        order("given up", due=2, order_id=None, missed=True),
        order("new", due=3, is_compared=True),
        order("doubtful", due=4, order_id=None, doubted_id="o-1"),
        order("lost and asked about", due=5, order_id=None, is_compared=True),
        order("lost", due=6, order_id=None),
        order("lost by an earlier run", due=7, order_id=None, of_this_run=False),
        order("lost sell", due=8, order_id=None, side="sell", is_compared=True),
        order("not due", due=11, order_id=None),
    )
    assert begun(due, 10) == [
        *("lost sell", "lost", "lost by an earlier run", "lost and asked about"),
        *("new", "doubtful", "old", "given up"),
    ]
    assert due.seconds_until_next(10) == 1
    assert due.seconds_until_next(11.5) == 0, "it became due since it was looked at"
    assert begun(due, 11) == ["not due"]


def test_one_that_has_yielded_for_a_minute_yields_no_more() -> None:
    due = put(
        order("old", due=0, of_this_run=False),
        order("new", due=59),
        order("newest", due=61),
    )
    assert begun(due, 100) == ["new", "old", "newest"]


def test_one_whose_time_has_changed_comes_once_and_then() -> None:
    moved, gone = order("moved", due=1), order("gone", due=2)
    due = put(moved, gone)
    assert due.first(5) is moved
    moved.due = 8
    due.put(moved)
    gone.due = float("inf")
    assert begun(due, 5) == []
    assert begun(due, 8) == ["moved"]


def test_one_that_was_found_while_it_waited_waits_on_with_the_others() -> None:
    found = order("found", due=2, order_id=None)
    due = put(found, order("new", due=1))
    assert due.first(5) is found
    found.order_id = "o-1"
    assert begun(due, 5) == ["new", "found"]


def test_entries_of_settled_orders_are_dropped_where_they_are_many() -> None:
    orders = [order(f"sn-{number}", due=number % 2 * 9) for number in range(1000)]
    due = put(*orders)
    assert due.first(1) is orders[0]
    for each in orders[10:]:
        each.due = float("inf")
    due.forget_settled(10)
    assert len(due) == 10
    assert begun(due, 9) == [f"sn-{n}" for n in (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)]


def test_who_waits_must_know_of_one_that_is_due_before_the_others_and_of_no_other() -> (
    None
):
    orders = DueOrders()
    assert orders.put(order("sn-1", due=5.0))
    assert not orders.put(order("sn-2", due=5.0))
    assert not orders.put(order("sn-3", due=6.0))
    assert orders.put(order("sn-4", due=4.0))
