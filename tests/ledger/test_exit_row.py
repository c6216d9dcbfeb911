"""What the broker's words make of one sell, in whatever order they come."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snexec.ledger.exit_row import Result, Sell, Sold, result_of

if TYPE_CHECKING:
    from collections.abc import Callable

FINAL = {"filled", "canceled", "expired", "rejected", "refused", "dropped"}
GIVEN_UP = {"refused", "dropped"}

WORDS: dict[str, Callable[[Sell], object]] = {
    "working": lambda sell: sell.works(),
    "part": lambda sell: sell.sells(Decimal("0.2"), Decimal(90), final=False),
    "more": lambda sell: sell.sells(Decimal("0.4"), Decimal(91), final=False),
    "fill": lambda sell: sell.sells(Decimal("0.5"), Decimal(92), final=True),
    "unreadable": lambda sell: sell.sells(None, None, final=True),
    "canceled": lambda sell: sell.ends("canceled", Decimal("0.2"), Decimal(90)),
    "expired": lambda sell: sell.ends("expired", Decimal(0), None),
    "ended": lambda sell: sell.ends("rejected", None, None),
    "refused": lambda sell: sell.is_gone("refused"),
    "dropped": lambda sell: sell.is_gone("dropped"),
}


def planned(order_id: str | None = None) -> Sell:
    return Sell("planned", Decimal(0), None, order_id, is_settled=False)


@given(st.lists(st.sampled_from(sorted(WORDS)), max_size=8), st.booleans())
def test_no_order_of_what_is_said_undoes_what_was_sold_or_final(
    words: list[str],
    other_lives: bool,
) -> None:
    sell = planned()
    sell.other_lives = other_lives
    for word in words:
        before = (sell.state, sell.sold, sell.is_settled)
        WORDS[word](sell)
        assert sell.sold >= before[1]
        assert sell.is_settled == (sell.state in FINAL)
        if before[0] in FINAL - GIVEN_UP:
            assert sell.state == before[0], "the broker has said so finally"
        if before[2] and other_lives:
            assert sell.is_settled, "there is never a second one under way"


@pytest.mark.parametrize("given_up", ["refused", "dropped"])
@pytest.mark.parametrize(
    ("word", "outcome", "state"),
    [
        ("working", "working", "working"),
        ("part", "partial_fill", "working"),
        ("unreadable", "working", "working"),
        ("fill", "fill", "filled"),
        ("canceled", "canceled", "canceled"),
        ("expired", "expired", "expired"),
    ],
)
def test_what_was_given_up_is_what_the_broker_says_of_it_later(
    given_up: str, word: str, outcome: str, state: str
) -> None:
    sell = planned()
    WORDS[given_up](sell)
    sell.order_id = "o-1"
    assert WORDS[word](sell) == outcome
    assert (sell.state, sell.is_settled) == (state, state in FINAL)


def test_what_was_given_up_is_not_under_way_again_beside_the_next_one() -> None:
    sell = planned()
    WORDS["dropped"](sell)
    sell.order_id, sell.other_lives = "o-1", True
    assert WORDS["working"](sell) == "found_late"
    assert WORDS["part"](sell) == "found_late"
    assert (sell.state, sell.is_settled) == ("dropped", True)
    assert sell.sold == Decimal("0.2"), "what it sold is sold"
    assert WORDS["fill"](sell) == "fill"
    assert (sell.state, sell.is_settled) == ("filled", True)


def test_more_sold_than_at_its_end_is_sold() -> None:
    sell = planned("o-1")
    WORDS["canceled"](sell)
    assert WORDS["fill"](sell) == "partial_fill"
    assert (sell.state, sell.sold) == ("canceled", Decimal("0.5"))


@pytest.mark.parametrize("word", ["refused", "dropped"])
def test_what_the_broker_has_spoken_of_is_never_taken_for_gone(word: str) -> None:
    for sell in (planned("o-1"), planned()):
        if sell.order_id is None:
            WORDS["part"](sell)
        assert WORDS[word](sell) == "unchanged"
        assert not sell.is_settled


def test_a_fill_that_cannot_be_read_is_not_final() -> None:
    sell = planned()
    assert WORDS["unreadable"](sell) == "working"
    assert (sell.state, sell.is_settled) == ("working", False)
    assert WORDS["ended"](sell) == "unchanged"
    assert not sell.is_settled


@pytest.mark.parametrize(
    ("sells", "entry", "expected"),
    [
        ([("1", "110", "a")], "100", ("110", "10", "a")),
        ([("0.4", "110", "a"), ("0.6", "90", "b")], "100", ("98", "-2", "b")),
        ([("1", None, "a")], "100", (None, None, "a")),
        ([("1", "110", "a")], None, ("110", None, "a")),
        ([("0", None, "b"), ("1", "110", "a")], "100", ("110", "10", "a")),
        ([("0.3", "1.0000005", "a")], "1", ("1.000000", "-0.7", "a")),
        ([("0.3", "1.0000015", "a")], "1", ("1.000002", "-0.7", "a")),
    ],
)
def test_the_result_is_exact_to_a_millionth_of_a_dollar(
    sells: list[tuple[str, str | None, str]],
    entry: str | None,
    expected: tuple[str | None, str | None, str],
) -> None:
    parts = [
        Sold(Decimal(quantity), None if price is None else Decimal(price), reason)
        for quantity, price, reason in sells
    ]
    found = result_of(parts, Decimal(1), None if entry is None else Decimal(entry))
    price, pnl, reason = expected
    assert found == Result(
        None if price is None else Decimal(price),
        None if pnl is None else Decimal(pnl),
        reason,
    )
