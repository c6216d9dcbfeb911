"""Orders in a row that the broker did not want."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snexec.risk.streak import _REMEMBERED_ORDERS, Streak


@pytest.fixture
def streak() -> Streak:
    return Streak()


def test_orders_that_are_unwanted_one_after_the_other_are_counted(
    streak: Streak,
) -> None:
    assert [streak.unwanted(f"sn-{n}") for n in range(5)] == [1, 2, 3, 4, 5]


def test_an_order_that_is_taken_ends_the_row(streak: Streak) -> None:
    streak.unwanted("sn-1")
    streak.unwanted("sn-2")
    streak.taken("sn-3")
    assert streak.unwanted("sn-4") == 1


def test_an_order_that_is_taken_and_then_rejected_ended_nothing(streak: Streak) -> None:
    for n in range(4):
        streak.taken(f"sn-{n}")
    assert [streak.unwanted(f"sn-{n}") for n in (3, 0, 1)] == [1, 1, 2]
    assert streak.unwanted("sn-2") == 4


def test_orders_taken_meanwhile_hide_no_row_of_rejected_ones(streak: Streak) -> None:
    for n in range(9):
        streak.taken(f"sn-{n}")
    assert [streak.unwanted(f"sn-{n}") for n in range(3)] == [1, 2, 3]


def test_an_order_that_buys_ends_the_row_however_long_ago_it_was_taken(
    streak: Streak,
) -> None:
    streak.taken("sn-1")
    streak.unwanted("sn-2")
    streak.bought("sn-1")
    assert streak.unwanted("sn-3") == 1


def test_an_order_whose_rejection_is_told_first_ends_nothing(streak: Streak) -> None:
    streak.unwanted("sn-1")
    streak.unwanted("sn-2")
    streak.taken("sn-2")
    assert streak.unwanted("sn-3") == 3


def test_an_order_keeps_its_place_until_it_is_known_what_became_of_it(
    streak: Streak,
) -> None:
    for order in ("sn-1", "sn-2"):
        streak.expected(order)
    streak.taken("sn-3")
    assert [streak.unwanted(order) for order in ("sn-1", "sn-2")] == [1, 2]
    assert streak.unwanted("sn-4") == 1, "one that was taken stands between"


def test_an_order_of_which_nothing_is_known_yet_neither_counts_nor_ends_a_row(
    streak: Streak,
) -> None:
    streak.unwanted("sn-1")
    streak.expected("sn-2")
    assert streak.unwanted("sn-3") == 2
    assert streak.unwanted("sn-2") == 3


def test_an_order_whose_place_was_kept_ends_the_row_once_it_is_taken(
    streak: Streak,
) -> None:
    streak.unwanted("sn-1")
    streak.expected("sn-2")
    streak.taken("sn-2")
    assert streak.unwanted("sn-3") == 1


def test_what_is_known_of_an_order_is_not_forgotten_by_a_later_place(
    streak: Streak,
) -> None:
    streak.unwanted("sn-1")
    streak.expected("sn-1")
    assert streak.unwanted("sn-2") == 2


def test_the_same_word_twice_counts_once(streak: Streak) -> None:
    assert [streak.unwanted("sn-1") for _ in range(3)] == [1, 1, 1]


def test_orders_without_a_name_are_orders_of_their_own(streak: Streak) -> None:
    assert [streak.unwanted(None) for _ in range(3)] == [1, 2, 3]
    streak.bought(None)
    assert streak.unwanted(None) == 1


def test_it_begins_anew(streak: Streak) -> None:
    streak.unwanted("sn-1")
    streak.end()
    assert streak.unwanted("sn-2") == 1


def test_it_does_not_grow(streak: Streak) -> None:
    for n in range(2 * _REMEMBERED_ORDERS):
        streak.taken(f"sn-{n}")
    assert len(streak._unwanted) == _REMEMBERED_ORDERS


def test_a_row_longer_than_what_is_remembered_is_counted(streak: Streak) -> None:
    for n in range(1, 3 * _REMEMBERED_ORDERS):
        assert streak.unwanted(f"sn-{n}") == n
    streak.taken("taken")
    assert streak.unwanted("sn-0") == 1


@given(st.lists(st.sampled_from(["taken", "refused"]), max_size=50))
def test_refusals_count_since_the_last_order_that_was_taken(words: list[str]) -> None:
    streak, row = Streak(), 0
    for n, word in enumerate(words):
        if word == "taken":
            streak.taken(f"sn-{n}")
            row = 0
        else:
            row += 1
            assert streak.unwanted(f"sn-{n}") == row
