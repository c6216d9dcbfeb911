"""How answers spell amounts and times."""

from __future__ import annotations

from decimal import Decimal

import pytest

from snexec.web.spelling import (
    age,
    dollars,
    exactly,
    number,
    percent,
    text,
    unix,
    whole,
)

NOTHING: list[object] = [
    None,
    True,
    "x",
    b"\xff",
    float("nan"),
    float("inf"),
    "NaN",
    "-Infinity",
    [],
]


@pytest.mark.parametrize(
    ("value", "spelled"),
    [(0.5, "0.5"), (100, "100"), ("1.2500", "1.25"), (Decimal("1E+3"), "1000"),
     (1e-9, "0.000000001"), (0, "0"), (-3.10, "-3.1")],
)  # fmt: skip
def test_amounts_are_exact(value: object, spelled: str) -> None:
    assert exactly(value) == spelled


@pytest.mark.parametrize(
    ("value", "spelled"),
    [(0.1 + 0.2, "0.30"), (-0.001, "0.00"), (1234567.891, "1234567.89"), ("5", "5.00")],
)
def test_dollars_have_cents(value: object, spelled: str) -> None:
    assert dollars(value) == spelled


def test_what_is_no_amount_is_none() -> None:
    for value in NOTHING:
        assert exactly(value) is None
        assert dollars(value) is None
        assert percent(value, 1) is None
    assert dollars(1e300) is None
    assert percent(5, 0) is None
    assert (number("5"), whole(3.0), age(0.12345)) == (None, 3, 0.123)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("2026-01-05T14:30:00.000Z", 1767623400.0), ("2026-01-05T09:30:00-05:00", 1767623400.0),
     ("2026-01-05 14:30:00", 1767623400.0), (1767623400, 1767623400.0),
     (1767623400000, 1767623400.0), ("soon", None), (None, None)],
)  # fmt: skip
def test_times_of_any_program_are_seconds(value: object, seconds: float | None) -> None:
    assert unix(value) == seconds


def test_bytes_are_shown_as_text() -> None:
    assert (text(b"\xff"), text("a"), text(None), text(5)) == ("ff", "a", None, "5")
