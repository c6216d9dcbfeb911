"""What is known of a position beside its row."""

from __future__ import annotations

from decimal import Decimal

import pytest
import trio

from snexec.exits.book_entry import BookEntry
from snexec.exits.prices import NEVER
from tests.exits.hands import make_position

pytestmark = pytest.mark.jumping_time


async def test_it_goes_on_from_the_highest_price_that_the_row_has() -> None:
    entry = BookEntry(make_position(high_price=Decimal(120)))
    assert entry.prices.highs.highest == entry.written_high == 120
    assert entry.written_at == NEVER, "the next rise need not wait"


async def test_the_rules_hold_for_it_unless_it_is_held_back() -> None:
    entry = BookEntry(make_position())
    assert (entry.is_armed, entry.held_back, entry.waits_until) == (
        *(True, None),
        None,
    )


async def test_a_change_of_its_shares_makes_what_was_read_before_it_worthless() -> None:
    position = make_position(held="0.5", free=Decimal("0.5"))
    entry = BookEntry(position)
    assert entry.changed_at == NEVER
    await trio.sleep(7)
    entry.change()
    assert entry.changed_at == 7
    assert (position.held, position.free) == (None, None)
