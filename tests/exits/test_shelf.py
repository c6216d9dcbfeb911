"""The rules applied last and high prices outlive the daemon (SPEC 12.3)."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from snexec.exits.shelf import LedgerShelf
from snexec.ledger import HighPrice
from tests.fakes import InlineWriter, open_store
from tests.ledger.selling import buy

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes import FakeClock

pytestmark = pytest.mark.jumping_time


def high(price: int) -> list[HighPrice]:
    return [HighPrice("sn-1", Decimal(price), Decimal(100))]


async def test_what_is_kept_is_there_at_the_next_start(
    database: Path, clock: FakeClock
) -> None:
    store = open_store(database, clock)
    writer = InlineWriter(store)
    await writer.write(buy)
    shelf = LedgerShelf(writer)
    await shelf.note_rules("the rules")
    await shelf.raise_highs(high(120))
    await shelf.raise_highs(high(110))
    store._db.close()

    store = open_store(database, clock)
    assert store.held.rules() == "the rules"
    [row] = store.held.watched()
    assert row.high_price == 120
    await LedgerShelf(InlineWriter(store)).set_highs(high(110))
    [row] = store.held.watched()
    assert row.high_price == 110
    store._db.close()
