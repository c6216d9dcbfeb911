"""The highest confirmed price goes back to the highest that remains (SPEC 12.8a)."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from snexec.exits.highs import Highs


def offered(*values: float, base: Decimal | None = None) -> Highs:
    """Offer values, each confirmed by a print of its own: 1, 2, …"""
    highs = Highs(base)
    for number, value in enumerate(values, 1):
        highs.offer(float(value), [number])
    return highs


def test_nothing_is_the_highest_at_first() -> None:
    assert Highs().highest is None
    assert Highs(Decimal(7)).highest == 7


def test_the_highest_only_rises() -> None:
    assert offered(10, 12, 11).highest == 12


def test_it_goes_back_to_the_highest_that_remains() -> None:
    highs = offered(10, 110, 11, 12, 11.5)
    assert highs.take_back(2)
    assert highs.highest == 12
    assert highs.take_back(4)
    assert highs.highest == Decimal("11.5")


def test_it_does_not_go_below_what_an_earlier_run_has_seen() -> None:
    highs = offered(110, base=Decimal(50))
    assert highs.take_back(1)
    assert highs.highest == 50


def test_what_was_not_the_highest_changes_nothing() -> None:
    highs = offered(10, 12, 11)
    assert not highs.take_back(3)
    assert not highs.take_back(99)
    assert highs.highest == 12


def test_a_value_goes_with_any_of_the_prints_that_confirmed_it() -> None:
    highs = Highs()
    highs.offer(10.0, [1, 2])
    highs.offer(20.0, [2, 3])
    assert highs.take_back(3)
    assert highs.highest == 10
    assert highs.take_back(2)
    assert highs.highest is None


def test_what_nobody_can_take_back_stays() -> None:
    highs = offered(30)
    highs.offer(20.0, [0])
    assert highs.take_back(1)
    assert highs.highest == 20


def test_a_bad_print_is_known_however_many_follow() -> None:
    highs = offered(*range(10, 50), 110, *([30] * 1000))
    assert highs.take_back(41)
    assert highs.highest == 49


def test_what_was_confirmed_by_another_count_of_prints_is_not_lost() -> None:
    highs = offered(10, 12)
    highs.offer(11.0, [7, 8])
    assert highs.highest == 12


@given(st.lists(st.integers(1, 10**9), max_size=4), st.data())
def test_with_few_prints_it_is_the_maximum_of_the_rest(
    cents: list[int], data: st.DataObject
) -> None:
    values = [Decimal(each) / 100 for each in cents]
    highs = Highs()
    for number, value in enumerate(values, 1):
        highs.offer(float(value), [number])
    gone = data.draw(st.sets(st.integers(1, 4)))
    for number in gone:
        highs.take_back(number)
    rest = [value for number, value in enumerate(values, 1) if number not in gone]
    assert highs.highest == max(rest, default=None)


@given(
    values=st.lists(st.integers(90, 110), min_size=1, max_size=20),
    taken=st.lists(st.integers(1, 20), max_size=20),
    base=st.one_of(st.none(), st.integers(90, 110).map(Decimal)),
)
def test_what_is_not_taken_would_change_nothing(
    values: list[int], taken: list[int], base: Decimal | None
) -> None:
    spared, all_offered = Highs(base), Highs(base)
    for number, value in enumerate(values, 1):
        all_offered.offer(float(value), [number])
        if spared.takes(float(value)):
            spared.offer(float(value), [number])
        assert spared.highest == all_offered.highest
    for number in taken:
        assert spared.take_back(number) == all_offered.take_back(number)
        assert spared.highest == all_offered.highest
