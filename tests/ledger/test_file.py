"""The database's file: who may open it, its damage, its write-ahead log."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from snexec.errors import StartError
from snexec.ledger import file
from snexec.ledger.file import checkpoint, connect, make_file
from snexec.ledger.store import Store
from tests.fakes import FakeClock, make_trade
from tests.ledger.files import (
    EXIT_BLOCK,
    FIRST_BLOCK,
    LATENCY_BLOCK,
    SECOND_BLOCK,
    columns,
    contents,
    make_foreign,
    open_real,
)

if TYPE_CHECKING:
    from pathlib import Path

# The write-ahead log


def test_a_checkpoint_empties_the_log_beside_the_writer(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file, "_LONG_LOG_BYTES", 10_000)
    with closing(open_real(database)) as connection:
        store = Store(connection, clock=FakeClock())
        for number in range(20):
            store.open_trade(make_trade(f"sn-{number}", f"S{number}"))
        assert connection.execute("PRAGMA wal_autocheckpoint").fetchone()[0] == 0
        checkpoint(database)
        store.open_trade(make_trade("sn-20", "S20"))
        frames = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]
        assert 0 < frames < 10, "it began anew"


def test_a_checkpoint_makes_no_file_anew(database: Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        checkpoint(database)
    assert not database.exists()


# A new file


def test_a_new_file_is_its_owners_alone_and_an_old_one_is_left(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    before = os.umask(0)
    try:
        make_file(path)
        assert path.stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)
    path.write_text("rows")
    path.chmod(0o640)
    make_file(path)
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("rows", 0o640)
    make_file(tmp_path / "nowhere" / "t.db")  # SQLite says what is wrong


# Damage


def test_a_damaged_database_is_refused(database: Path) -> None:
    make_foreign(database, *((f"id-{n}" * 9, f"S{n}", "open") for n in range(2000)))
    damaged = bytearray(contents(database))
    damaged[8192:12288] = b"\xff" * 4096
    database.write_bytes(damaged)
    with pytest.raises(StartError, match=r"damaged|malformed"):
        open_real(database)
    assert contents(database) == bytes(damaged)


# Locks


def test_a_lock_of_another_program_is_waited_for(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_foreign(database)
    monkeypatch.setattr(file, "_BUSY_TIMEOUT_SECONDS", 20.0)
    other = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    release = threading.Timer(0.2, lambda: other.execute("COMMIT"))
    release.start()
    with closing(open_real(database)) as connection:
        assert (
            columns(connection)
            == FIRST_BLOCK + SECOND_BLOCK + LATENCY_BLOCK + EXIT_BLOCK
        )
    release.join()
    other.close()


def test_a_lock_that_stays_is_an_error_that_names_the_file(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_foreign(database)
    monkeypatch.setattr(file, "_BUSY_TIMEOUT_SECONDS", 0.05)
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StartError, match=r"snexec\.db cannot be used: .*locked"):
            open_real(database)


# Paths and readers


def test_a_reader_cannot_write(database: Path) -> None:
    open_real(database).close()
    with (
        closing(connect(database, read_only=True)) as reader,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        reader.execute("DELETE FROM BotTrade")


def test_a_reader_makes_no_file(database: Path) -> None:
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        connect(database, read_only=True)
    assert not database.exists()


def test_a_path_with_odd_characters_is_that_path(tmp_path: Path) -> None:
    path = tmp_path / "a?b#c %41 ü.db"
    open_real(path).close()
    assert path.exists()
