"""Steps that wait behind a partial fill are kept in bounded memory (SPEC 7)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from snexec.ledger.rows import OrderRef
from snexec.reconciliation.step_queue import StepQueue
from snexec.reconciliation.steps import PartialFillStep, Step

REF = OrderRef(mode="paper", order_id="o-1", client_order_id="sn-1")


def step(kind: type[Step] = Step, **changes: Any) -> Any:  # noqa: ANN401 - as the fields are
    values: dict[str, Any] = {
        "ref": REF,
        "symbol": "AAPL",
        "source": "stream",
        "reporter": None,
        **changes,
    }
    return kind(**values)


def part(price: int | None = 50) -> PartialFillStep:
    found = step(PartialFillStep, price=None if price is None else Decimal(price))
    assert isinstance(found, PartialFillStep)
    return found


def filled(count: int) -> tuple[StepQueue, list[Step]]:
    """Make a queue of so many parts."""
    queue, steps = StepQueue(), [part(number) for number in range(count)]
    for each in steps:
        assert queue.add(each)
    return queue, list(steps)


def test_steps_wait_in_the_order_in_which_they_came() -> None:
    queue, steps = filled(16)
    assert list(queue.steps) == steps


def test_from_then_on_the_newest_part_stands_for_the_one_before_it() -> None:
    queue, steps = filled(16)
    newest = part(99)
    assert queue.add(newest)
    assert list(queue.steps) == [*steps[:15], newest]


def test_one_without_a_price_has_that_of_the_one_before_it() -> None:
    queue, _steps = filled(16)
    newest = part(None)
    queue.add(newest)
    assert newest.price == 15


def test_no_other_step_is_lost_by_that() -> None:
    queue, steps = filled(16)
    end, later = step(), part()
    assert queue.add(end)
    assert queue.add(later)
    assert list(queue.steps) == [*steps, end, later]


def test_beyond_its_bound_none_is_kept_and_that_is_said() -> None:
    queue = StepQueue()
    for _ in range(64):
        assert queue.add(step())
    assert not queue.add(step())
    assert len(queue.steps) == 64
    assert not queue.add(part())


def test_a_part_at_the_bound_still_gives_its_place_to_a_newer_one() -> None:
    queue = StepQueue()
    for _ in range(63):
        queue.add(step())
    queue.add(part())
    newest = part()
    assert queue.add(newest)
    assert queue.steps[-1] is newest
    assert len(queue.steps) == 64


def test_each_queue_has_its_own_question() -> None:
    one, other = StepQueue(), StepQueue()
    assert other.asking is not one.asking
    assert other.steps is not one.steps
