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


@given(st.lists(st.sampled_from(sorted(WORDS)), max_size=8))
def test_no_order_of_what_is_said_undoes_what_was_sold_or_final(
    words: list[str],
) -> None:
    sell = planned()
    for word in words:
        before = (sell.state, sell.sold, sell.is_settled)
        WORDS[word](sell)
        assert sell.sold >= before[1]
        assert sell.is_settled or not before[2]
        assert sell.is_settled == (sell.state in FINAL)
        if before[2]:
            assert sell.state == before[0]


@pytest.mark.parametrize("word", ["refused", "dropped"])
def test_what_the_broker_has_spoken_of_is_never_taken_for_gone(word: str) -> None:
    for sell in (planned("o-1"), planned()):
        if sell.order_id is None:
            WORDS["part"](sell)
        assert WORDS[word](sell) == "unchanged"
        assert not sell.is_settled


def test_a_fill_that_cannot_be_read_is_not_final() -> None:
    sell = planned()
    assert WORDS["unreadable"](sell) == "unchanged"
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
