"""Which stop should rest at the broker for a row (SPEC 12.6)."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest

from snexec.exits.stops import Stop, next_deed, stop_for
from tests.exits.hands import make_exits, make_position

SET = {"broker_stop": True, "hard_stop_loss_pct": 5}


def stop(high: str | None = None, **keys: Any) -> Stop | None:  # noqa: ANN401 - by name
    row = {k: keys.pop(k) for k in list(keys) if k in POSITION}
    if high is not None:
        row["high_price"] = Decimal(high)
    return stop_for(make_position(**row), make_exits(**(SET | keys)))


POSITION = {"symbol", "remaining", "entry_price", "is_settled", "rests", "is_doubted"}


def test_it_rests_below_the_rows_own_entry_price_for_all_that_is_left() -> None:
    assert stop() == Stop(Decimal("95.00"), Decimal("0.5"), "stop_loss")
    assert stop(remaining=Decimal("0.2")) == Stop(Decimal("95.00"), Decimal("0.2"))


def test_its_own_percentage_goes_before_that_of_the_rule() -> None:
    assert stop(broker_stop_pct=7) == Stop(Decimal("93.00"), Decimal("0.5"))


@pytest.mark.parametrize(
    ("entry", "price"),
    [
        ("189.58", "180.10"),  # 180.101
        ("1.0525", "0.9998"),  # 0.999875: below a dollar there are four places
        ("1.0527", "1.00"),  # 1.000065
        ("0.12345", "0.1172"),  # 0.1172775
    ],
)
def test_its_price_is_rounded_down_to_what_alpaca_takes(entry: str, price: str) -> None:
    found = stop(entry_price=Decimal(entry))
    assert found is not None
    assert f"{found.price:f}" == price


def test_one_that_would_rest_at_nothing_does_not_rest() -> None:
    assert stop(entry_price=Decimal("0.0001")) is None


def test_the_trailing_stop_takes_it_up_once_it_is_higher() -> None:
    trailing = {"trailing_stop_pct": 10, "trailing_start_pct": 5}
    assert stop("104", **trailing) == Stop(Decimal("95.00"), Decimal("0.5"))
    assert stop("105", **trailing) == Stop(Decimal("95.00"), Decimal("0.5"))
    raised = Stop(Decimal("99.00"), Decimal("0.5"), "trailing_stop")
    assert stop("110", **trailing) == raised


@pytest.mark.parametrize(
    "changes",
    [
        {"broker_stop": False},
        {"enabled": False},
        {"symbol": "BTC/USD"},
        {"is_settled": False},
        {"rests": "a split, 2 for 1, does not show in its position yet"},
        {"is_doubted": True},
        {"entry_price": None},
        {"remaining": Decimal("1e-10")},
    ],
)
def test_none_rests(changes: dict[str, Any]) -> None:
    assert stop(**changes) is None


def test_without_exits_none_rests() -> None:
    assert stop_for(make_position(), None) is None


# From what rests to what should.

LOW = Stop(Decimal("95.00"), Decimal("0.5"))
HIGH = Stop(Decimal("96.00"), Decimal("0.5"), "trailing_stop")


def test_what_is_missing_is_placed_and_what_is_too_much_is_taken_back() -> None:
    assert next_deed(LOW, None, rested=0.0) == "place"
    assert next_deed(None, LOW, rested=0.0) == "cancel"
    assert next_deed(None, None, rested=math.inf) is None
    assert next_deed(LOW, LOW._replace(reason="trailing_stop"), rested=1e9) is None


def test_another_price_waits_until_it_has_rested_for_a_minute() -> None:
    assert next_deed(HIGH, LOW, rested=59.9) is None
    assert next_deed(HIGH, LOW, rested=60.0) == "replace"


def test_another_quantity_does_not_wait() -> None:
    less = LOW._replace(quantity=Decimal("0.2"))
    assert next_deed(less, LOW, rested=0.0) == "replace"
