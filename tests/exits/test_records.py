"""High prices and rules are kept in few writes, off every rule's way (SPEC 12.3)."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from snexec.exits.book_entry import BookEntry
from snexec.exits.records import Records
from tests.exits.hands import Shelf, make_position
from tests.fakes import InlineWriter, open_store, warnings_of
from tests.ledger.selling import buy, held

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from snexec.ledger import HighPrice
    from snexec.ledger.store import Store
    from tests.fakes import FakeClock

pytestmark = pytest.mark.jumping_time


class Kept:
    """Records of some rows, and what they wrote."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.shelf = Shelf()
        self.records = Records(self.shelf)
        nursery.start_soon(self.records.run)

    async def note(self, *rows: BookEntry) -> None:
        """Note the rows as the monitor does, and let what follows be written."""
        await self.records.note_highs(rows, trio.current_time())
        await wait_all_tasks_blocked()

    @property
    def raised(self) -> list[list[tuple[str, str]]]:
        return shown([highs for _at, highs in self.shelf.raised])

    @property
    def lowered(self) -> list[list[tuple[str, str]]]:
        return shown([highs for _at, highs in self.shelf.lowered])


def shown(writes: Sequence[Sequence[HighPrice]]) -> list[list[tuple[str, str]]]:
    return [[(each.row_id, f"{each.price}") for each in write] for write in writes]


def row(
    high: str | None, symbol: str = "AAPL", *, kept: str | None = None
) -> BookEntry:
    """Make a row that was as high as that, of which the database has another price."""
    known = None if kept is None else Decimal(kept)
    entry = BookEntry(make_position(symbol, high_price=known))
    rise(entry, high)
    return entry


def rise(entry: BookEntry, high: str | None) -> None:
    entry.position.high_price = None if high is None else Decimal(high)


@pytest.fixture
def kept(nursery: trio.Nursery) -> Kept:
    return Kept(nursery)


async def test_the_rules_are_kept_once_for_each_change(kept: Kept) -> None:
    for rules in ("first", "second"):
        kept.records.note_rules(rules)
        await wait_all_tasks_blocked()
    await kept.note()
    assert kept.shelf.rules == ["first", "second"]


async def test_of_rules_that_change_in_the_same_moment_the_last_are_kept(
    kept: Kept,
) -> None:
    for rules in ("first", "second"):
        kept.records.note_rules(rules)
    await wait_all_tasks_blocked()
    assert kept.shelf.rules == ["second"]


@pytest.mark.parametrize(
    ("high", "is_kept"), [("100.09", False), ("100.10", True), ("100.11", True)]
)
async def test_a_high_is_kept_once_it_has_risen_by_a_tenth_of_a_percent(
    kept: Kept, high: str, *, is_kept: bool
) -> None:
    await kept.note(row(high, kept="100"))
    assert kept.raised == ([[("row-AAPL", high)]] if is_kept else [])
    assert kept.lowered == []


async def test_the_first_high_of_a_row_is_kept_whatever_it_is(kept: Kept) -> None:
    await kept.note(row("0.01"))
    assert kept.raised == [[("row-AAPL", "0.01")]]


async def test_what_is_as_it_was_is_not_kept_again(kept: Kept) -> None:
    await kept.note(row("100", kept="100"))
    await kept.note(row(None))
    assert kept.shelf.raised == kept.shelf.lowered == []


async def test_no_high_is_kept_of_a_row_whose_entry_price_is_not_known(
    kept: Kept,
) -> None:
    entry = row("100")
    entry.position.entry_price = None
    await kept.note(entry)
    assert kept.raised == []


async def test_a_row_is_written_at_most_once_in_five_seconds(kept: Kept) -> None:
    entry, other = row("100"), row("50", "MSFT")
    await kept.note(entry)
    await trio.sleep(4.9)
    rise(entry, "110")
    await kept.note(entry, other)
    assert kept.raised == [[("row-AAPL", "100")], [("row-MSFT", "50")]]
    await trio.sleep(0.1)
    await kept.note(entry, other)
    assert kept.raised[2:] == [[("row-AAPL", "110")]]


async def test_rows_that_rise_together_are_one_write(kept: Kept) -> None:
    await kept.note(row("100"), row("50", "MSFT"))
    assert kept.raised == [[("row-AAPL", "100"), ("row-MSFT", "50")]]


async def test_a_high_that_was_taken_back_goes_back_however_little_that_is(
    kept: Kept,
) -> None:
    await kept.note(row("99.99", kept="100"))
    assert kept.lowered == [[("row-AAPL", "99.99")]]
    assert kept.raised == [], "a rise would leave the higher price"


async def test_one_that_goes_back_before_it_was_written_is_only_written_lower(
    kept: Kept,
) -> None:
    entry = row("110", kept="100")
    await kept.records.note_highs([entry], trio.current_time())
    rise(entry, "99")
    await kept.records.note_highs([entry], trio.current_time() + 5)
    await wait_all_tasks_blocked()
    assert (kept.raised, kept.lowered) == ([], [[("row-AAPL", "99")]])


async def test_one_that_rises_again_before_it_went_back_is_written_over_the_old_one(
    kept: Kept,
) -> None:
    entry = row("90", kept="100")
    await kept.records.note_highs([entry], trio.current_time())
    rise(entry, "95")
    await kept.records.note_highs([entry], trio.current_time() + 5)
    await wait_all_tasks_blocked()
    assert (kept.raised, kept.lowered) == ([], [[("row-AAPL", "95")]])


async def test_a_row_that_takes_no_high_keeps_no_other_from_it(
    store: Store, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    writer = InlineWriter(store)
    buy(store, "AAPL")
    buy(store, "MSFT", trade_id="sn-2")
    store._db.execute(
        "CREATE TRIGGER guard BEFORE UPDATE OF highPrice ON BotTrade"
        " WHEN NEW.symbol = 'AAPL' BEGIN SELECT RAISE(ABORT, 'not that one'); END"
    )
    records = Records(writer)
    nursery.start_soon(records.run)
    rows = [row("110"), row("120", "MSFT")]
    for number, entry in enumerate(rows, 1):
        entry.position.row_id = f"sn-{number}"
    for high in ("110", "120"):
        rise(rows[0], high)
        await records.note_highs(rows, trio.current_time())
        await wait_all_tasks_blocked()
        await trio.sleep(5)
    assert held(store).high_price is None
    assert held(store, "sn-2").high_price == 120
    [line] = warnings_of(caplog)
    assert line.startswith(
        "trade=sn-1: its highest price cannot be kept (not that one)"
    )


async def test_rules_that_cannot_be_kept_end_nothing(
    store: Store, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    store._db.execute(
        "CREATE TRIGGER guard BEFORE INSERT ON SnexecMeta"
        " BEGIN SELECT RAISE(ABORT, 'no notes'); END"
    )
    records = Records(InlineWriter(store))
    nursery.start_soon(records.run)
    records.note_rules("strict")
    await wait_all_tasks_blocked()
    assert store.held.rules() is None
    [line] = warnings_of(caplog)
    assert line.startswith("the rules that are applied now cannot be kept (no notes)")


async def test_what_is_kept_is_there_at_the_next_start(
    database: Path, clock: FakeClock, nursery: trio.Nursery
) -> None:
    store = open_store(database, clock)
    buy(store)
    records = Records(InlineWriter(store))
    nursery.start_soon(records.run)
    entry = row("120")
    entry.position.row_id = "sn-1"
    records.note_rules("the rules")
    await records.note_highs([entry], trio.current_time())
    await wait_all_tasks_blocked()
    store._db.close()

    store = open_store(database, clock)
    assert store.held.rules() == "the rules"
    assert held(store).high_price == 120
    records = Records(InlineWriter(store))
    nursery.start_soon(records.run)
    rise(entry, "110")
    await records.note_highs([entry], trio.current_time() + 5)
    await wait_all_tasks_blocked()
    assert held(store).high_price == 110, "a print was taken back"
    store._db.close()
