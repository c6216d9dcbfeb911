"""The last accepted prices in few bytes, none of them rounded."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from snexec.exits.ticks import Ticks

if TYPE_CHECKING:
    from snexec.exits.prices import Source


def make(*prices: str, source: Source = "stream", keep: int = 3) -> Ticks:
    """Make ticks whose times and prints count up from 1."""
    ticks = Ticks()
    for number, price in enumerate(prices, 1):
        ticks.append(float(price), float(number), number, source, keep=keep)
    return ticks


def shown(ticks: Ticks, count: int) -> list[int]:
    return [int(price) for price in ticks.prices(count)]


@pytest.mark.parametrize("price", ["0.0001", "180.02", "189.5801", "98765.4321"])
def test_a_price_is_given_back_digit_by_digit(price: str) -> None:
    assert make(price).prices(1) == (Decimal(price),)


def test_no_more_than_so_many_are_kept_the_newest_last() -> None:
    ticks = make("1", "2", "3", "4", keep=3)
    assert len(ticks) == 3
    assert shown(ticks, 3) == [2, 3, 4]
    assert shown(ticks, 2) == [3, 4]


def test_the_last_one_says_when_it_was_its_print_and_where_it_is_from() -> None:
    ticks = make("1", "2")
    ticks.append(3.0, 7.5, 0, "positions", keep=3)
    assert (ticks.at, ticks.number, ticks.source) == (7.5, 0, "positions")


@pytest.mark.parametrize("source", ["positions", "snapshots", "stream"])
def test_every_source_is_given_back(source: Source) -> None:
    assert make("1", source=source).source == source


def test_the_lowest_of_the_last_few_is_no_older_one() -> None:
    ticks = make("1", "3", "2")
    assert ticks.least(2) == 2
    assert ticks.least(3) == 1


def test_of_the_last_few_each_print_is_named() -> None:
    assert make("1", "3", "2").prints(2) == [2, 3]


@pytest.mark.parametrize(("number", "left"), [(1, [3, 2]), (2, [1, 2]), (3, [1, 3])])
def test_a_print_is_forgotten_wherever_it_stands(number: int, left: list[int]) -> None:
    ticks = make("1", "3", "2")
    assert ticks.remove(number)
    assert shown(ticks, 3) == left
    assert not ticks.remove(number), "it was forgotten"


def test_a_print_that_counted_twice_is_forgotten_twice() -> None:
    ticks = make("1")
    ticks.append(2.0, 2.0, 1, "snapshots", keep=3)
    assert ticks.remove(1)
    assert len(ticks) == 0


def test_the_price_of_a_print_is_not_taken_for_its_number() -> None:
    ticks = make("7")
    assert not ticks.remove(7)
    assert shown(ticks, 1) == [7]


def test_all_are_forgotten_at_once() -> None:
    ticks = make("1", "2")
    ticks.clear()
    assert len(ticks) == 0


@pytest.mark.parametrize(
    ("sources", "count", "name"),
    [
        (("stream",), 1, "1 print"),
        (("stream", "stream"), 2, "2 prints"),
        (("snapshots", "positions"), 2, "2 polls"),
        (("positions",), 1, "1 poll"),
        (("positions", "stream"), 2, "2 prices"),
        (("positions", "stream"), 1, "1 print"),
    ],
)
def test_they_are_named_by_what_they_are(
    sources: tuple[Source, ...], count: int, name: str
) -> None:
    ticks = Ticks()
    for source in sources:
        ticks.append(1.0, 1.0, 1, source, keep=3)
    assert ticks.name(count) == name
