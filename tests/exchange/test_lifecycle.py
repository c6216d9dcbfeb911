"""What happens to an order after its acceptance, in steps."""

import random
from decimal import Decimal
from typing import Any

import pytest

from snexec.exchange.lifecycle import Step, plan
from snexec.exchange.settings import Behaviour, ExchangeSettings


def life(ratio: float = 0.0, seed: int = 1, **behaviour: Any) -> list[Step]:  # noqa: ANN401 - as the fields are
    settings = ExchangeSettings(fill_delay_sec=0.5, partial_fill_ratio=ratio)
    rng = random.Random(seed)  # noqa: S311
    return plan(Behaviour(**behaviour), settings, rng)


def test_an_order_is_filled_whole_after_the_exchanges_own_delay() -> None:
    assert life() == [Step(after_sec=0.5, deed="execute")]


@pytest.mark.parametrize("delay", [0.0, 3.0])
def test_or_after_the_delay_that_is_set_for_it(delay: float) -> None:
    assert life(fill_delay_sec=delay) == [Step(after_sec=delay, deed="execute")]


def test_one_that_is_rejected_has_bought_nothing_before() -> None:
    steps = life(reject=True, partial_fills=2)
    assert steps == [Step(after_sec=0.5, deed="rejected")]


def test_parts_come_before_the_last_and_are_equal() -> None:
    steps = life(partial_fills=3)
    assert [step.share for step in steps] == [Decimal("0.25")] * 3 + [None]
    assert {step.deed for step in steps} == {"execute"}


@pytest.mark.parametrize("status", ["canceled", "expired", "replaced", "held"])
def test_it_may_end_otherwise_after_its_parts(status: str) -> None:
    steps = life(partial_fills=1, end_status=status)
    assert steps == [
        Step(after_sec=0.5, deed="execute", share=Decimal("0.5")),
        Step(after_sec=0.5, deed=status),  # type: ignore[arg-type]
    ]


def test_one_that_never_ends_works_on_after_its_parts() -> None:
    assert life(end_status="never") == []
    assert len(life(end_status="never", partial_fills=2)) == 2


def test_some_are_filled_in_two_parts_by_chance() -> None:
    first, last = life(ratio=1.0)
    assert first.share is not None
    assert Decimal("0.1") <= first.share <= Decimal("0.9")
    assert last.share is None


def test_none_is_by_chance_that_ends_otherwise() -> None:
    assert life(ratio=1.0, end_status="canceled") == [
        Step(after_sec=0.5, deed="canceled")
    ]
