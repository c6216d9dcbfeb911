"""A price that jumps counts once a second source is near it (SPEC 12.4)."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from snexec.exits.prices import Instant, Price
from snexec.exits.second import SecondSources
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
    ("bid", "agrees"),
    [("94.99", False), ("95", True), ("105", True), ("105.01", False)],
)
def test_a_bid_agrees_within_five_percent_of_the_price(
    bid: str, *, agrees: bool
) -> None:
    second = SecondSources()
    second.hear_bid(Decimal(bid), 0.0)
    assert second.agree(price(), now(), SETTINGS) is agrees


@pytest.mark.parametrize(
    ("snapshot", "agrees"),
    [("94.99", False), ("95", True), ("105", True), ("105.01", False)],
)
def test_so_does_a_snapshot(snapshot: str, *, agrees: bool) -> None:
    second = SecondSources()
    second.hear_snapshot(Decimal(snapshot), 0.0)
    assert second.agree(price(), now(), SETTINGS) is agrees


def test_a_snapshot_agrees_where_the_bid_does_not() -> None:
    second = SecondSources()
    second.hear_bid(Decimal(50), 0.0)
    second.hear_snapshot(Decimal(100), 0.0)
    assert second.agree(price(), now(), SETTINGS)


@pytest.mark.parametrize(("age", "counts"), [(15.0, True), (15.1, False)])
def test_both_count_until_they_are_too_old(age: float, *, counts: bool) -> None:
    by_bid, by_snapshot = SecondSources(), SecondSources()
    by_bid.hear_bid(Decimal(100), 0.0)
    by_snapshot.hear_snapshot(Decimal(100), 0.0)
    for second in (by_bid, by_snapshot):
        assert second.agree(price(at=age), now(age), SETTINGS) is counts
    assert (by_bid.bid(age, SETTINGS) is not None) is counts


@pytest.mark.parametrize(("at", "counts"), [(115.0, True), (115.1, False)])
def test_their_age_counts_from_when_they_were(at: float, *, counts: bool) -> None:
    second = SecondSources()
    second.hear_bid(Decimal(100), 100.0)
    assert (second.bid(at, SETTINGS) is not None) is counts
    by_snapshot = SecondSources()
    by_snapshot.hear_snapshot(Decimal(100), 100.0)
    assert by_snapshot.agree(price(), now(at), SETTINGS) is counts


@pytest.mark.parametrize("bid", [None, Decimal(0)])
def test_where_nobody_bids_there_is_no_bid(bid: Decimal | None) -> None:
    second = SecondSources()
    second.hear_bid(Decimal(100), 0.0)
    second.hear_bid(bid, 1.0)
    assert second.bid(1.0, SETTINGS) is None


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
    assert second.settled(now(), SETTINGS) is None
    second.hear_bid(Decimal(101), 1.0)
    assert second.settled(now(1.0), SETTINGS) is said


def test_without_a_doubt_nothing_is_settled() -> None:
    second = SecondSources()
    second.hear_bid(Decimal(100), 0.0)
    assert second.settled(now(), SETTINGS) is None


def test_a_doubted_price_that_is_too_old_is_forgotten() -> None:
    second = doubting(price())
    second.hear_bid(Decimal(100), 15.0)
    assert second.settled(now(15.1), SETTINGS) is None
    assert second.doubted is None


def test_the_age_of_a_doubt_is_that_of_its_price() -> None:
    second = SecondSources()
    second.doubt(price(at=-10.0), now())
    second.hear_bid(Decimal(100), 0.0)
    assert second.settled(now(5.0), SETTINGS) is not None
    assert second.settled(now(5.1), SETTINGS) is None


def test_a_price_that_counts_ends_the_doubt_and_the_next_one_is_news() -> None:
    second = doubting(price())
    second.is_reported = True
    second.trust()
    assert (second.doubted, second.is_reported) == (None, False)
