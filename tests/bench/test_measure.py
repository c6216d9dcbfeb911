from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from snexec.bench.measure import out_of_order


@given(st.permutations(list("abcdef")))
def test_out_of_order_is_the_fewest_that_must_go(arrived: list[str]) -> None:
    longest = max(
        size
        for size in range(7)
        for kept in combinations(arrived, size)
        if list(kept) == sorted(kept)
    )

    assert out_of_order(arrived, "abcdef") == len(arrived) - longest


def test_one_that_comes_early_is_one_out_of_order() -> None:
    assert out_of_order(["d", "a", "b", "c"], "abcd") == 1
    assert out_of_order(["a", "c"], "abc") == 0
