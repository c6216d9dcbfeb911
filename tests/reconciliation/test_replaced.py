"""An order that the broker has replaced is followed to the last in its place (SPEC 8)."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from snexec.broker import Purpose
from snexec.reconciliation.replaced import Followed, follow_replaced
from tests.fakes import make_order

if TYPE_CHECKING:
    from tests.fakes import Rig

pytestmark = pytest.mark.jumping_time


async def follow(rig: Rig, by: str | None, *, bought: str = "0") -> Followed:
    """Follow an order that was replaced by another."""
    order = make_order(
        *("sn-1", "replaced"),
        order_id="o-1",
        quantity=bought,
        price="50" if Decimal(bought) else None,
        replaced_by=by,
    )
    with rig.accounts.lease("paper") as lease:
        return await follow_replaced(order, "AAPL", "sell", lease, Purpose.ROUTINE)


def in_place(rig: Rig, order_id: str, status: str, **changes: object) -> None:
    order = make_order("other", status, order_id=order_id, **changes)  # type: ignore[arg-type]
    rig.paper.replacements[order_id] = order


async def test_the_last_ones_word_counts_and_what_all_of_them_bought(rig: Rig) -> None:
    in_place(rig, "o-2", "replaced", quantity="1", price="60", replaced_by="o-3")
    in_place(rig, "o-3", "canceled", quantity="2", price="70")
    found = await follow(rig, "o-2", bought="1")
    assert (found.latest_id, found.problem) == ("o-3", "")
    assert (found.order.status, found.order.id) == ("canceled", "o-1")
    assert (found.order.filled_qty, found.order.filled_avg_price) == (
        Decimal(4),
        Decimal("62.5"),
    )
    asked = rig.paper.asked("order")
    assert [(each.order_id, each.symbol, each.side) for each in asked] == [
        ("o-2", "AAPL", "sell"),
        ("o-3", "AAPL", "sell"),
    ]


@pytest.mark.parametrize("by", [None, "o-1"], ids=["none is named", "itself"])
async def test_where_the_broker_does_not_say_by_which_it_stays_open(
    rig: Rig, by: str | None
) -> None:
    found = await follow(rig, by)
    assert found.problem == "the broker has replaced it and does not say by which order"
    assert (found.latest_id, found.order.status) == (None, "replaced")
    assert rig.paper.asked("order") == []


async def test_orders_that_replace_each_other_in_a_circle_end_it(rig: Rig) -> None:
    in_place(rig, "o-2", "replaced", replaced_by="o-1")
    found = await follow(rig, "o-2")
    assert (found.latest_id, found.problem != "") == ("o-2", True)
    assert len(rig.paper.asked("order")) == 1


async def test_one_that_the_broker_does_not_know_leaves_what_was_found_before(
    rig: Rig,
) -> None:
    in_place(rig, "o-2", "replaced", quantity="1", price="60", replaced_by="o-3")
    found = await follow(rig, "o-2")
    assert found.problem == "the broker does not know order o-3 in its place"
    assert (found.latest_id, found.order.filled_qty) == ("o-2", Decimal(1))


async def test_each_question_takes_its_own_request(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Purpose] = []
    real = rig.paper.budget.try_take

    def take(purpose: Purpose) -> bool:
        taken.append(purpose)
        return real(purpose)

    monkeypatch.setattr(rig.paper.budget, "try_take", take)
    in_place(rig, "o-2", "replaced", replaced_by="o-3")
    in_place(rig, "o-3", "new")
    await follow(rig, "o-2")
    assert taken == [Purpose.ROUTINE, Purpose.ROUTINE]
