"""A day of trades: every reason closes what it is to close, and both books agree.

The long form is for the nightly run, and for whoever changes how positions are closed::

    python -m pytest -m soak -n 0 tests/day
"""

from __future__ import annotations

import sys
from typing import get_args

import pytest

from tests.day.day import Day, Reason, live_through

_REASONS: tuple[Reason, ...] = get_args(Reason)
# What others did is believed no sooner than half a minute after a fill of ours.
_SOON: tuple[Reason, ...] = _REASONS[:6]


async def test_a_short_day_ends_with_the_books_of_the_exchange() -> None:
    day = Day(
        trades=dict.fromkeys(_SOON, 2),
        hold=5.5,
        last_buys=4.0,
        flatten=8.5,
    )
    books = await live_through(day)
    assert books.differences == [], books.table()


@pytest.mark.soak
async def test_a_long_day_of_every_reason_ends_with_the_books_of_the_exchange(
    capsys: pytest.CaptureFixture[str],
) -> None:
    day = Day(
        trades=dict.fromkeys(_REASONS, 25),
        hold=42.0,
        last_buys=25.0,
        flatten=54.0,
    )
    books = await live_through(day)
    with capsys.disabled():
        sys.stdout.write(f"\n{books.table()}\n")
    assert books.differences == []
