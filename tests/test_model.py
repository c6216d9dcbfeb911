"""The words that all parts share: modes, stars, sides, cents."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snexec.model import MODES, counted, plain, to_cents


def test_an_account_is_paper_or_live() -> None:
    assert MODES == ("paper", "live")


# Cents


@pytest.mark.parametrize(
    ("dollars", "text"),
    [
        ("100", "100.00"),
        ("100.0", "100.00"),
        ("50.1", "50.10"),
        ("1", "1.00"),
        ("1.005", "1.00"),
        ("1.009", "1.00"),
        ("1.019999", "1.01"),
        ("99.995", "99.99"),
        ("99.999999999999999", "99.99"),
        ("33.333333", "33.33"),
        ("1E+3", "1000.00"),
        ("1000000000", "1000000000.00"),
        ("1000000000.999", "1000000000.99"),
    ],
)
def test_a_notional_is_rounded_down_to_cents(dollars: str, text: str) -> None:
    assert str(to_cents(Decimal(dollars))) == text


@given(st.decimals(min_value=1, max_value=1_000_000_000, allow_nan=False))
def test_a_notional_is_never_more_and_less_than_a_cent_less(dollars: Decimal) -> None:
    text = str(to_cents(dollars))

    assert 0 <= dollars - Decimal(text) < Decimal("0.01")
    assert text[-3] == "."
    assert text.replace(".", "").isdigit()


# Digits


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("6.0", "6"),
        ("100", "100"),
        ("1E+2", "100"),
        ("0.533386947", "0.533386947"),
        ("0.0000000004", "0.0000000004"),
        ("4E-10", "0.0000000004"),
        ("-0.50", "-0.5"),
        ("0.000", "0"),
    ],
)
def test_a_number_is_shown_in_digits(number: str, text: str) -> None:
    assert plain(Decimal(number)) == text


# Counts


@pytest.mark.parametrize(
    ("count", "noun", "said"),
    [
        (0, "row", "0 rows"),
        (1, "row", "1 row"),
        (2, "row", "2 rows"),
        (1, "row of trades", "1 row of trades"),
        (3, "row of trades", "3 rows of trades"),
    ],
)
def test_one_is_one_and_others_are_many(count: int, noun: str, said: str) -> None:
    assert counted(count, noun) == said
