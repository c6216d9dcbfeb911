"""Transactions of the store: none begins where its rows would not be kept."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from tests.fakes import make_trade, rows_of

if TYPE_CHECKING:
    from pathlib import Path

    from snexec.ledger.store import Store


def test_what_is_rolled_back_was_never_written(store: Store) -> None:
    store.begin()
    store.open_trade(make_trade())
    store.rollback()
    assert rows_of(store) == {}
    store.rollback()  # without a transaction it does nothing


def test_what_came_after_the_mark_can_be_undone_alone(store: Store) -> None:
    store.begin()
    store.open_trade(make_trade("sn-1", "AAPL"))
    store.savepoint()
    store.open_trade(make_trade("sn-2", "MSFT"))
    store.undo_to_savepoint()
    store.commit()
    assert list(rows_of(store)) == ["sn-1"]


def test_nothing_begins_while_a_file_is_not_what_it_was(
    store: Store, database: Path
) -> None:
    store.unsettled()
    store.watch.begin()
    elsewhere = database.rename(database.with_name("elsewhere.db"))
    assert store.watch.look() is not None
    with pytest.raises(sqlite3.OperationalError, match="removed or replaced"):
        store.begin()
    store.rollback()
    elsewhere.rename(database)
    store.mend()
    store.begin()
    store.commit()


def test_a_row_that_is_committed_to_a_lost_file_is_known_to_be(
    store: Store, database: Path
) -> None:
    store.unsettled()
    store.watch.begin()
    store.begin()
    store.open_trade(make_trade())
    database.unlink()
    store.commit()
    assert store.watch.damage is not None


def test_a_store_that_is_closed_leaves_one_file(store: Store, database: Path) -> None:
    store.begin()
    store.open_trade(make_trade())
    store.commit()
    store.watch.begin()
    store.close()
    assert [path.name for path in database.parent.iterdir()] == [database.name]
