"""How amounts, times and foreign text look."""

from __future__ import annotations

import math

import pytest

from snexec.cli import formats


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), (3, "3"), ("AAPL", "AAPL"), ("a\x1b[31mb\n", "a\\x1b[31mb\\n")],
)
def test_foreign_text_cannot_steer_the_terminal(value: object, shown: str) -> None:
    assert formats.foreign(value) == shown


@pytest.mark.parametrize("value", ["1", b"1", True, None, math.nan, math.inf, 10**400])
def test_what_is_no_finite_number_is_none(value: object) -> None:
    assert formats.number(value) is None


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (formats.dollars(1234.5), "$1,234.50"),
        (formats.dollars(-0.5), "-$0.50"),
        (formats.price(187.177), "187.177"),
        (formats.price(64000.0), "64,000.00"),
        (formats.price(0.00001234), "0.00001234"),
        (formats.shares(0.533386947), "0.533386947"),
        (formats.shares(12.0), "12"),
        (formats.brief_shares(0.533386947), "0.533387"),
        (formats.brief_shares(0.000001234), "0.000001234"),
        (formats.percent(-0.0123), "-0.01%"),
        (formats.duration(-1), "0 s"),
        (formats.duration(61), "1 min 1 s"),
        (formats.duration(3 * 3600 + 720), "3 h 12 min"),
        (formats.duration(90_000), "1 d 1 h"),
        (formats.age(59), "59s"),
        (formats.age(3600), "1h"),
        (formats.age(-5), "in the future"),
    ],
)
def test_an_amount_is_short_and_loses_nothing(shown: str, expected: str) -> None:
    assert shown == expected
