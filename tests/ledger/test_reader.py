"""Questions to the rows, beside the writer and whatever else uses the file."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from snexec.ledger import reader as reader_module
from snexec.ledger.reader import Reader
from tests.fakes import FakeClock, make_trade, warnings_of
from tests.ledger.broker_says import add_foreign_row

if TYPE_CHECKING:
    from pathlib import Path

    from snexec.ledger.store import Store


@pytest.fixture
def reader(store: Store, database: Path) -> Reader:
    del store  # which makes the file
    return Reader(database, FakeClock())


def test_open_rows_are_counted_whoever_wrote_them(store: Store, reader: Reader) -> None:
    assert reader.count_open() == 0
    store.open_trade(make_trade("sn-1", "AAPL"))
    store.open_trade(make_trade("sn-2", "MSFT", mode="live"))
    add_foreign_row(store, "x", "GE")
    add_foreign_row(store, "y", "KO", "closed")
    assert reader.count_open() == 3


def test_rows_are_counted_beside_a_transaction_that_writes(
    store: Store, reader: Reader
) -> None:
    store.open_trade(make_trade("sn-1", "AAPL"))
    store.begin()
    store.open_trade(make_trade("sn-2", "MSFT"))
    assert reader.count_open() == 1, "what is not durable is not there"
    store.commit()
    assert reader.count_open() == 2


def test_rows_that_cannot_be_counted_are_none_and_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert Reader(tmp_path / "gone.db", FakeClock()).count_open() is None
    assert warnings_of(caplog) == [
        "status: cannot count the open rows: unable to open database file"
    ]
    assert not (tmp_path / "gone.db").exists()


def test_each_question_opens_the_file_that_is_there_now(
    store: Store, reader: Reader, database: Path
) -> None:
    store.open_trade(make_trade())
    assert reader.count_open() == 1
    store._db.close()
    database.unlink()
    with closing(sqlite3.connect(database)) as other:
        other.execute("CREATE TABLE BotTrade (status)")
    assert reader.count_open() == 0


def test_who_reads_cannot_write(reader: Reader) -> None:
    with reader.open() as rows, pytest.raises(sqlite3.OperationalError) as caught:
        rows.open_trade(make_trade())
    assert "readonly" in str(caught.value)


def test_the_connection_is_closed_after_the_question(reader: Reader) -> None:
    with reader.open() as rows:
        assert rows.count_open() == 0
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        rows.count_open()


def test_nothing_is_opened_while_the_files_are_touched(
    store: Store, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del store  # which makes the file
    reader = Reader(database, FakeClock(), lambda: "its log was removed")
    monkeypatch.setattr(reader_module, "connect", pytest.fail)
    with pytest.raises(sqlite3.OperationalError, match="its log was"), reader.open():
        pass
    with pytest.raises(sqlite3.OperationalError, match="its log was"):
        reader.oddities()
