"""A win rate that has stopped all trading may begin anew."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.ledger.test_counting import (
    MIDNIGHT,
    NOON,
    Other,
    clock,
    open_one,
    other,
)

if TYPE_CHECKING:
    from snexec.ledger.store import Store

__all__ = ["clock", "other"]  # fixtures

RATE: dict[str, Any] = {"min_win_rate": 0.5, "min_win_rate_trades": 3}


@pytest.fixture
def locked(store: Store, other: Other) -> Store:
    """Give a store that the win rate keeps from opening any row."""
    for _ in range(4):
        other.closes(-1.0, MIDNIGHT)
    other.closes(-1.0, None)
    other.closes(-1.0, 1_767_600_000_000)
    assert open_one(store, 1, **RATE) == "win_rate"
    assert open_one(store, 1, **RATE) == "win_rate", "nothing else ends it"
    return store


def test_a_new_window_counts_no_row_of_before(locked: Store) -> None:
    locked.begin()
    locked.begin_win_window(NOON)
    locked.commit()

    assert open_one(locked, 1, **RATE) == "opened"


def test_rows_that_are_closed_in_the_window_count(locked: Store, other: Other) -> None:
    locked.begin()
    locked.begin_win_window(NOON)
    locked.commit()
    after = (NOON + timedelta(seconds=5)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    for _ in range(3):
        assert open_one(locked, _ + 10, **RATE) == "opened"
        other.closes(-1.0, after)

    assert open_one(locked, 20, **RATE) == "win_rate"


def test_a_window_that_was_rolled_back_began_never(locked: Store) -> None:
    locked.begin()
    locked.begin_win_window(NOON)
    locked.rollback()

    assert open_one(locked, 1, **RATE) == "win_rate"
