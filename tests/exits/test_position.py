"""A position says whether a stop of it rests at the broker."""

from __future__ import annotations

import pytest

from tests.exits.hands import make_position


@pytest.mark.parametrize(
    ("live_exit", "state", "rests"),
    [
        ("sn-1-s1", "watched", True),
        ("sn-1-s12", "watched", True),
        ("sn-1-x1", "watched", False),
        (None, "watched", False),
        ("sn-1-s1", "closing", False),
        ("sn-1-s1", "blocked", False),
    ],
)
def test_a_stop_rests_until_something_is_being_sold(
    live_exit: str | None, state: str, *, rests: bool
) -> None:
    position = make_position(live_exit=live_exit, state=state)
    assert position.has_resting_stop is rests
