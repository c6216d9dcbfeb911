"""What is read from one sight of a position, beside what its row claims (SPEC 12.7)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from snexec.exits.sights import Case, Claim, Sight

NOON = datetime(2026, 1, 5, 17, tzinfo=UTC)


def make_claim(**changes: Any) -> Claim:  # noqa: ANN401 - as the fields are
    values: dict[str, Any] = {
        "symbol": "AAPL",
        "shares": Decimal(10),
        "remaining": Decimal(10),
        "entry_price": Decimal(100),
        "entry_at": NOON - timedelta(hours=1),
        "order_id": "o-1",
        "is_selling": False,
        "quiet_seconds": 3600.0,
    }
    return Claim(**values | changes)


def make_sight(quantity: str, **changes: Any) -> Sight:  # noqa: ANN401 - likewise
    values: dict[str, Any] = {
        "at": 1000.0,
        "moment": NOON,
        "quantity": Decimal(quantity),
        "average": Decimal(100),
        "price": None,
        "remaining": Decimal(10),
    }
    return Sight(**values | changes)


def seen(quantity: str, **changes: Any) -> Case:  # noqa: ANN401 - likewise
    values: dict[str, Any] = {
        "claim": make_claim(),
        "now": make_sight(quantity),
        "is_listed": True,
    }
    return Case(**values | changes)


# What is missing


@pytest.mark.parametrize(
    ("quantity", "missing"), [("10", "0"), ("12", "0"), ("9.5", "0.5"), ("0", "10")]
)
def test_only_what_the_row_claims_can_be_missing(quantity: str, missing: str) -> None:
    assert seen(quantity).missing == Decimal(missing)


@pytest.mark.parametrize(
    ("quantity", "price", "is_smaller"),
    [
        ("9.9", None, True),
        ("9.9998", "100", True),  # two cents
        ("9.9999", "100", True),  # one cent
        ("9.99991", "100", False),  # less
        ("9.99991", "1000", True),  # is more where a share is dearer
        ("9.999999", "1000000", False),  # a millionth of a share, whatever it costs
        ("10", "100", False),
        ("11", "100", False),
    ],
)
def test_dust_is_not_missing(
    quantity: str, price: str | None, *, is_smaller: bool
) -> None:
    worth = None if price is None else Decimal(price)
    now = make_sight(quantity, price=worth)
    assert seen(quantity, now=now).is_smaller is is_smaller


def test_without_a_price_now_dust_is_worth_what_was_paid() -> None:
    assert not seen("9.99991").is_smaller
    dear = make_claim(entry_price=Decimal(1000))
    assert seen("9.99991", claim=dear).is_smaller
    unknown = make_claim(entry_price=None)
    assert seen("9.99991", claim=unknown).is_smaller, "who knows what it is worth"


@pytest.mark.parametrize(
    ("quantity", "is_none_left"),
    [("0", True), ("0.000001", True), ("0.0000011", False)],
)
def test_dust_alone_is_nothing(quantity: str, *, is_none_left: bool) -> None:
    case = seen(quantity)
    assert case.is_none_left is is_none_left
    assert case.is_smaller


def test_a_last_bit_that_is_gone_is_missing_even_if_it_was_dust() -> None:
    claim = make_claim(remaining=Decimal("0.00001"))
    assert seen("0", claim=claim).is_smaller


@pytest.mark.parametrize(("quantity", "is_smaller"), [("9.95", False), ("9.94", True)])
def test_the_fee_that_is_kept_of_coins_is_not_missing(
    quantity: str, *, is_smaller: bool
) -> None:
    claim = make_claim(symbol="BTC/USD")
    assert seen(quantity, claim=claim).is_smaller is is_smaller


# What is there beyond the claim


@pytest.mark.parametrize(
    ("quantity", "growth"), [("15", "0"), ("16", "1"), ("12", "-3")]
)
def test_growth_is_of_what_is_not_the_rows(quantity: str, growth: str) -> None:
    """Others held 5 beside the row's 10 before."""
    case = seen(quantity, before=make_sight("15"))
    assert case.growth == Decimal(growth)
    assert case.has_grown is (Decimal(growth) > 0)


@pytest.mark.parametrize(
    ("quantity", "has_grown"), [("10.000001", False), ("10.0000011", True)]
)
def test_dust_is_no_growth(quantity: str, *, has_grown: bool) -> None:
    assert seen(quantity, before=make_sight("10")).has_grown is has_grown


def test_without_a_sight_before_nothing_has_grown() -> None:
    assert seen("99").growth == 0
    assert not seen("99").has_grown


def test_what_was_just_sold_of_the_row_is_no_growth_of_others() -> None:
    before = make_sight("15", remaining=Decimal(10))
    claim = make_claim(remaining=Decimal(4))
    assert seen("9", claim=claim, before=before).growth == 0


# Since when


def test_what_is_wrong_may_have_happened_since_the_buy() -> None:
    assert seen("0").since == NOON - timedelta(hours=1)


def test_or_since_a_minute_before_it_was_last_whole() -> None:
    before = make_sight("10", moment=NOON - timedelta(minutes=5))
    assert seen("0", before=before).since == NOON - timedelta(minutes=6)


def test_but_never_before_the_buy() -> None:
    before = make_sight("10", moment=NOON - timedelta(hours=1))
    assert seen("0", before=before).since == NOON - timedelta(hours=1)


@pytest.mark.parametrize(
    ("first", "stands_since"),
    [
        (None, 0.0),
        (make_sight("9", at=970.0), 30.0),
        (make_sight("8", at=970.0), 0.0),
        (make_sight("9", at=970.0, remaining=Decimal(9)), 0.0),
        (make_sight("9", at=970.0, price=Decimal(7), average=Decimal(7)), 30.0),
    ],
    ids=["not seen", "the same", "another", "of another claim", "at another price"],
)
def test_it_stands_since_it_was_first_seen_like_this(
    first: Sight | None, stands_since: float
) -> None:
    case = seen("9", first=first)
    assert case.stands_since == stands_since
    assert case.is_begun is (stands_since > 0)


def test_it_is_begun_in_the_moment_in_which_it_is_first_seen() -> None:
    assert seen("9", first=make_sight("9")).is_begun


# Splits


def test_a_split_is_seen_from_the_last_sight() -> None:
    before = make_sight("12", average=Decimal(90))
    now = make_sight("24", average=Decimal(45))
    assert seen("24", before=before, now=now).restated == 2


def test_or_from_the_claim_where_there_is_none() -> None:
    now = make_sight("1", average=Decimal(1000))
    assert seen("1", now=now).restated == Fraction(1, 10)


# Days


def test_a_claims_day_is_that_of_its_buy() -> None:
    entry_at = datetime(2026, 1, 5, 2, tzinfo=UTC)
    assert make_claim(entry_at=entry_at).entry_day == date(2026, 1, 4)


def test_a_case_keeps_what_it_had_when_something_was_asked() -> None:
    case = seen("9")
    assert case.having(is_gone=True).is_gone
    assert case.having(is_gone=True).claim is case.claim
    assert case.is_gone is None
