"""A memory that is bounded, and long enough."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from snexec.recent import Recent


@given(st.integers(1, 10), st.lists(st.integers(0, 30), max_size=100))
def test_the_last_keys_are_remembered_and_not_more_than_twice_as_many(
    count: int, keys: list[int]
) -> None:
    recent = Recent[int](count)
    for key in keys:
        recent.add(key)
    last = list(dict.fromkeys(reversed(keys)))
    remembered = [key for key in range(31) if key in recent]
    assert set(last[:count]) <= set(remembered) <= set(keys)
    assert len(remembered) <= 2 * count


def test_nothing_is_remembered_at_first() -> None:
    assert 1 not in Recent[int](5)
