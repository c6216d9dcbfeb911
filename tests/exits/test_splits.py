"""Splits: told from sales and buys by their numbers, and applied once."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from snexec.broker.activities import Activity
from snexec.exits.splits import (
    SplitDay,
    days_of,
    fraction_of,
    is_nearer,
    merged,
    neat,
    ratio_between,
    still_due,
)

MONDAY, TUESDAY, FRIDAY = (date(2026, 1, day) for day in (5, 6, 9))
RATIOS = st.fractions(Fraction(1, 20), 20, max_denominator=20).filter(
    lambda ratio: ratio.numerator <= 20 and abs(ratio - 1) >= Fraction(6, 100)
)
SHARES = st.decimals("0.001", 100_000, places=9)
PRICES = st.decimals("0.5", 5_000, places=2)


def split(day: date, ratio: Fraction | None, symbol: str = "KO") -> SplitDay:
    return SplitDay(symbol, day, ratio)


def activity(day: int, quantity: str | None, symbol: str = "KO") -> Activity:
    return Activity(
        f"id-{day}-{quantity}",
        "SPLIT",
        symbol,
        datetime(2026, 1, day, tzinfo=UTC),
        None if quantity is None else Decimal(quantity),
    )


@given(SHARES, PRICES, RATIOS)
def test_every_split_is_known_by_its_ratio(
    shares: Decimal, price: Decimal, ratio: Fraction
) -> None:
    assume(shares * price > 10)
    step = Decimal("1e-9")
    new = (shares * ratio.numerator / ratio.denominator).quantize(step)
    assume(new * Decimal("0.00001") > step)
    average = (price * ratio.denominator / ratio.numerator).quantize(Decimal("1e-6"))
    assume(average > Decimal("0.01"))
    assert ratio_between((shares, price), (new, average)) == ratio


@given(SHARES, PRICES, st.decimals("0.01", "0.99", places=2))
def test_no_sale_is_a_split(shares: Decimal, price: Decimal, part: Decimal) -> None:
    assert ratio_between((shares, price), (shares * part, price)) is None


@given(SHARES, PRICES, SHARES, PRICES)
def test_no_buy_is_a_split(
    shares: Decimal, price: Decimal, more: Decimal, paid: Decimal
) -> None:
    average = (shares * price + more * paid) / (shares + more)
    assume(more * paid > shares * price / 100)
    assert ratio_between((shares, price), (shares + more, average)) is None


@pytest.mark.parametrize("average", [None, Decimal(0)])
def test_without_averages_no_ratio_is_known(average: Decimal | None) -> None:
    assert ratio_between((Decimal(1), average), (Decimal(2), Decimal(1))) is None
    assert ratio_between((Decimal(1), Decimal(2)), (Decimal(2), average)) is None


@pytest.mark.parametrize("ratio", ["1", "1.03", "0.98", "2.4137", "0", "-2"])
def test_a_number_that_is_no_ratio_of_a_split_is_none(ratio: str) -> None:
    assert neat(Decimal(ratio)) is None


@pytest.mark.parametrize(
    ("new", "old"), [(2, 1), (3, 2), (1, 3), (1, 150), (1, 1500), (1500, 1)]
)
def test_an_announced_ratio_is_exact(new: int, old: int) -> None:
    assert fraction_of(Decimal(new) / Decimal(old)) == Fraction(new, old)


@pytest.mark.parametrize(
    ("shares", "bought", "due"),
    [
        ("10", "10", Fraction(6)),
        ("20", "10", Fraction(3)),
        ("60", "10", Fraction(1)),
        ("25", "10", None),
        ("10", "0", None),
    ],
)
def test_a_row_remembers_by_its_shares_what_it_has_been_through(
    shares: str, bought: str, due: Fraction | None
) -> None:
    splits = [split(FRIDAY, Fraction(3)), split(MONDAY, Fraction(2))]
    assert still_due(splits, Decimal(shares), Decimal(bought)) == due


def test_a_split_of_unknown_ratio_makes_what_is_due_unknown() -> None:
    splits = [split(MONDAY, None), split(FRIDAY, Fraction(2))]
    assert still_due(splits, Decimal(10), Decimal(10)) is None


def test_the_ratio_of_the_last_split_is_told_by_what_it_added() -> None:
    listed = [activity(9, "30"), activity(6, "5"), activity(9, "3", "GE")]
    assert days_of(listed, "KO", Decimal(40), MONDAY) == [
        SplitDay("KO", TUESDAY, None, True),
        SplitDay("KO", FRIDAY, Fraction(4), True),
    ]


def test_a_split_in_two_entries_is_one() -> None:
    listed = [activity(9, "40"), activity(9, "-10")]
    [found] = days_of(listed, "KO", Decimal(40), MONDAY)
    assert found.ratio == 4


@pytest.mark.parametrize("quantity", [None, "40", "99"])
def test_a_change_that_makes_no_sense_has_no_ratio(quantity: str | None) -> None:
    [found] = days_of([activity(9, quantity)], "KO", Decimal(40), MONDAY)
    assert found.ratio is None


def test_the_day_of_the_buy_and_those_before_it_do_not_count() -> None:
    assert days_of([activity(9, "30")], "KO", Decimal(40), FRIDAY) == []


def test_what_was_known_and_then_done_is_one_split() -> None:
    known = [split(MONDAY, Fraction(2)), split(FRIDAY, Fraction(3))]
    done = [SplitDay("KO", TUESDAY, None, True), SplitDay("KO", date(2026, 2, 2), None)]
    assert merged(known, done) == [
        SplitDay("KO", MONDAY, Fraction(2), True),
        SplitDay("KO", FRIDAY, Fraction(3), False),
        SplitDay("KO", date(2026, 2, 2), None),
    ]


@pytest.mark.parametrize(
    ("price", "ratio", "nearer"),
    [
        ("50", Fraction(2), True),
        ("99", Fraction(2), False),
        ("900", Fraction(1, 10), True),
        ("120", Fraction(1, 10), False),
    ],
)
def test_a_price_is_of_the_shares_whose_price_it_is_nearer(
    price: str, ratio: Fraction, *, nearer: bool
) -> None:
    assert is_nearer(Decimal(price), Decimal(100), ratio) is nearer
