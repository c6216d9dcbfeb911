"""A price that jumps counts once a second source is near it (SPEC 12.4)."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from snexec.exits.prices import Instant, Price
from snexec.exits.second import SecondSources, are_near
from tests.exits.hands import make_exits

if TYPE_CHECKING:
    from snexec.exits.prices import Source

SETTINGS = make_exits(max_price_age_sec=15)
WALL = 1_000_000.0


def now(elapsed: float = 0.0) -> Instant:
    return Instant(WALL + elapsed, elapsed)


def price(of: str = "100", source: Source = "stream", *, at: float = 0.0) -> Price:
    return Price("AAPL", Decimal(of), WALL + at, source)


def doubting(said: Price) -> SecondSources:
    second = SecondSources()
    second.doubt(said, now())
    return second


def test_nothing_agrees_while_nothing_else_is_known() -> None:
    assert not SecondSources().agree(price(), now(), SETTINGS)


@pytest.mark.parametrize(
    ("other", "agrees"),
    [("94.99", False), ("95", True), ("105", True), ("105.01", False)],
)
def test_another_price_is_near_within_five_percent(other: str, *, agrees: bool) -> None:
    assert are_near(Decimal(other), Decimal(100)) is agrees


@pytest.mark.parametrize(
    ("snapshot", "agrees"),
    [("94.99", False), ("95", True), ("105", True), ("105.01", False)],
)
def test_so_does_a_snapshot(snapshot: str, *, agrees: bool) -> None:
    second = SecondSources()
    second.hear_snapshot(Decimal(snapshot), 0.0)
    assert second.agree(price(), now(), SETTINGS) is agrees


def test_a_snapshot_agrees_where_the_bid_does_not() -> None:
    second = doubting(price())
    assert second.settled(now(), SETTINGS, Decimal(50)) is None
    second.hear_snapshot(Decimal(100), 0.0)
    assert second.settled(now(), SETTINGS, Decimal(50)) is not None


@pytest.mark.parametrize(("age", "counts"), [(15.0, True), (15.1, False)])
def test_a_snapshot_counts_until_it_is_too_old(age: float, *, counts: bool) -> None:
    second = SecondSources()
    second.hear_snapshot(Decimal(100), 0.0)
    assert second.agree(price(at=age), now(age), SETTINGS) is counts


@pytest.mark.parametrize(("at", "counts"), [(115.0, True), (115.1, False)])
def test_its_age_counts_from_when_it_was(at: float, *, counts: bool) -> None:
    second = SecondSources()
    second.hear_snapshot(Decimal(100), 100.0)
    assert second.agree(price(), now(at), SETTINGS) is counts


def test_a_snapshot_is_no_second_source_of_itself() -> None:
    second = SecondSources()
    second.hear_snapshot(Decimal(100), 0.0)
    said = price(source="snapshots")
    assert not second.agree(said, now(), SETTINGS)
    second.doubt(said, now())
    assert not second.agree(said, now(), SETTINGS), "nor is its own doubt"


def test_a_snapshot_is_borne_out_by_the_price_that_was_doubted_before() -> None:
    second = doubting(price("100"))
    near, far = price("104", "snapshots"), price("106", "snapshots")
    assert second.agree(near, now(), SETTINGS)
    assert not second.agree(far, now(), SETTINGS)
    assert not second.agree(near, now(15.1), SETTINGS), "it is too old by then"


def test_a_doubted_price_is_settled_once_another_agrees() -> None:
    said = price()
    second = doubting(said)
    assert second.settled(now(), SETTINGS, None) is None
    assert second.settled(now(1.0), SETTINGS, Decimal(101)) is said


def test_without_a_doubt_nothing_is_settled() -> None:
    assert SecondSources().settled(now(), SETTINGS, Decimal(100)) is None


def test_a_doubted_price_that_is_too_old_is_forgotten() -> None:
    second = doubting(price())
    assert second.settled(now(15.1), SETTINGS, Decimal(100)) is None
    assert second.doubted is None


def test_the_age_of_a_doubt_is_that_of_its_price() -> None:
    second = SecondSources()
    second.doubt(price(at=-10.0), now())
    assert second.settled(now(5.0), SETTINGS, Decimal(100)) is not None
    assert second.settled(now(5.1), SETTINGS, Decimal(100)) is None


@pytest.mark.parametrize(("number", "doubted"), [(7, False), (8, True)])
def test_a_print_that_never_was_is_not_doubted_any_more(
    number: int, *, doubted: bool
) -> None:
    second = doubting(price()._replace(number=7))
    second.take_back(number)
    assert (second.doubted is not None) is doubted


def test_a_price_that_counts_ends_the_doubt_and_the_next_one_is_news() -> None:
    second = doubting(price())
    second.is_reported = True
    second.trust()
    assert (second.doubted, second.is_reported) == (None, False)
