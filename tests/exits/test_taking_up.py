"""Rows that the book takes up while the daemon runs."""

from __future__ import annotations

import sqlite3
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
import trio

from snexec.exits import taking_up
from snexec.exits.book import PositionBook
from snexec.exits.taking_up import take_up, take_up_all
from snexec.ledger import OrderRef
from tests.exits.test_book import bought, sold
from tests.fakes import make_trade
from tests.orders.hearing import buy

if TYPE_CHECKING:
    from tests.fakes import Rig

pytestmark = pytest.mark.jumping_time


@pytest.fixture
async def book(rig: Rig) -> PositionBook:
    return PositionBook(rig.clock)


def known(book: PositionBook) -> list[str]:
    return sorted(each.position.row_id for each in book)


def hold(rig: Rig, *numbers: int) -> None:
    for number in numbers:
        buy(rig, f"sn-{number}", f"S{number}")


async def test_what_is_bought_is_not_kept_while_nothing_follows_it(
    rig: Rig, book: PositionBook
) -> None:
    hold(rig, 1)
    book.bought(bought(trade_id="sn-1", symbol="S1"))
    assert (known(book), book.missed) == ([], None), "it would take memory for each row"


async def test_one_symbol_is_taken_up_and_followed_from_then_on(
    rig: Rig, book: PositionBook
) -> None:
    hold(rig, 1, 2)
    await take_up(book, rig.ledger.writer, "S2")
    assert known(book) == ["sn-2"]
    book.sold(sold(row_id="sn-2", closed=True, row_status="closed"))
    assert known(book) == []
    await take_up(book, rig.ledger.writer, "NONE")
    assert known(book) == []


async def test_all_are_taken_up_page_by_page(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking_up, "_PAGE", 3)
    for held in (0, 1, 3, 7):
        hold(rig, *range(len(rig.rows()), held))
        again = PositionBook(rig.clock)
        await take_up_all(again, rig.ledger.writer)
        assert (len(again), again.follows_all, again.missed) == (held, True, None)


async def test_what_happens_to_rows_meanwhile_is_not_missed(
    rig: Rig,
    book: PositionBook,
    nursery: trio.Nursery,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(taking_up, "_PAGE", 1)
    writer = rig.ledger.writer
    rig.open_row(make_trade("sn-0", "S0"))  # nothing of it is bought yet
    hold(rig, 1, 2)
    writer.delay_seconds = 1.0
    nursery.start_soon(take_up_all, book, writer)
    await trio.sleep(2.5)  # two pages are read
    assert known(book) == ["sn-1"]
    rig.store.apply_fill(
        OrderRef("paper", "o-0", "sn-0"), price=Decimal(100), quantity=Decimal(1)
    )
    book.bought(bought(trade_id="sn-0", symbol="S0"))
    book.sold(sold(row_id="sn-1", closed=True, row_status="closed"))
    hold(rig, 3)
    book.bought(bought(trade_id="sn-3", symbol="S3"))
    await trio.sleep(10)
    assert (known(book), book.follows_all) == (["sn-0", "sn-2", "sn-3"], True)
    book.bought(bought(trade_id="sn-4", symbol="S4"))
    assert known(book) == ["sn-0", "sn-2", "sn-3", "sn-4"]


async def test_a_row_that_cannot_be_read_is_said(rig: Rig, book: PositionBook) -> None:
    rig.store._db.execute("DROP TABLE SnexecMeta")
    with pytest.raises(sqlite3.Error):
        await take_up(book, rig.ledger.writer, "S1")
