"""What is in hand when a file is touched is saved, before anything can take it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from snexec.ledger.damage import FilesLostError
from snexec.ledger.file import checkpoint, connect
from snexec.ledger.schema import open_database
from snexec.ledger.store import Store
from tests.fakes import FakeClock, make_trade, rows_of, warnings_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import LoggedErrors

ALL = [f"sn-{number}" for number in range(6)]


@pytest.fixture
def watched(database: Path) -> Iterator[Store]:
    """Give a store with six rows, the last two of them in its log alone."""
    store = Store(
        open_database(database, simulated=False, clock=FakeClock()), clock=FakeClock()
    )
    for number, name in enumerate(ALL):
        if number == 4:
            checkpoint(database)
        write(store, name)
    store.watch.begin()
    yield store
    store.close()


def write(store: Store, trade_id: str) -> None:
    store.begin()
    store.open_trade(make_trade(trade_id, trade_id.replace("sn-", "S")))
    store.commit()


def ids_in(path: Path) -> list[str]:
    """Return what a copy of a database alone holds, as a restart would find it."""
    copy = path.with_name("as-after-a-kill.db")
    shutil.copy(path, copy)
    with closing(sqlite3.connect(copy)) as connection:
        return [row[0] for row in connection.execute("SELECT id FROM BotTrade")]


def wal(database: Path) -> Path:
    return database.with_name(f"{database.name}-wal")


def shm(database: Path) -> Path:
    return database.with_name(f"{database.name}-shm")


def touched(store: Store) -> None:
    assert store.watch.look() is not None


@pytest.mark.parametrize("endings", [("-wal",), ("-shm",), ("-wal", "-shm")])
def test_a_log_without_a_name_is_written_back_and_writing_goes_on(
    watched: Store,
    database: Path,
    endings: tuple[str, ...],
    caplog: pytest.LogCaptureFixture,
) -> None:
    for ending in endings:
        database.with_name(database.name + ending).unlink()
    touched(watched)
    watched.mend()
    assert ids_in(database) == ALL
    write(watched, "sn-9")
    assert watched.watch.look() is None
    with closing(sqlite3.connect(database)) as other:  # which sees the new log
        assert other.execute("SELECT count(*) FROM BotTrade").fetchone() == (7,)
    assert list(rows_of(watched)) == [*ALL, "sn-9"]
    [warning] = warnings_of(caplog)
    assert f"every row is in {database} itself now" in warning


def test_it_is_written_as_durably_as_before(watched: Store, database: Path) -> None:
    wal(database).unlink()
    touched(watched)
    watched.wait_for_locks(1.5)
    watched.mend()
    for name, value in {
        "journal_mode": "wal",
        "synchronous": 2,
        "wal_autocheckpoint": 0,
        "busy_timeout": 1500,
    }.items():
        assert watched._db.execute(f"PRAGMA {name}").fetchone()[0] == value, name


def test_no_connection_is_left_open_on_the_way(
    watched: Store, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = [watched._db]
    use = watched._mender._use

    def noted(connection: sqlite3.Connection) -> None:
        used.append(connection)
        use(connection)

    monkeypatch.setattr(watched._mender, "_use", noted)
    wal(database).unlink()
    touched(watched)
    watched.mend()
    *left, now = used
    assert now is watched._db
    for connection in left:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")


def test_a_reader_in_the_way_is_waited_for(watched: Store, database: Path) -> None:
    watched.wait_for_locks(0)
    with closing(sqlite3.connect(database, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM BotTrade").fetchall()
        wal(database).unlink()
        touched(watched)
        with pytest.raises(FilesLostError):
            watched.mend()
        assert ids_in(database) == ALL, "a kill may come at any time"
    watched.mend()
    write(watched, "sn-9")
    assert list(rows_of(watched)) == [*ALL, "sn-9"]


@pytest.mark.skipif(sys.platform != "linux", reason="nobody tells what is open")
@pytest.mark.parametrize("endings", [("-shm",), ("-wal", "-shm")])
def test_a_connection_of_ours_that_keeps_the_nameless_index_alive_is_waited_for(
    watched: Store, database: Path, endings: tuple[str, ...]
) -> None:
    with closing(connect(database, read_only=True)) as reader:  # as `status` has one
        reader.execute("SELECT count(*) FROM BotTrade").fetchall()
        for ending in endings:
            database.with_name(database.name + ending).unlink()
        touched(watched)
        for _ in range(2):
            with pytest.raises(FilesLostError, match="removed or replaced"):
                watched.mend()
            assert watched.watch.damage is not None
            assert ids_in(database) == ALL, "a kill may come at any time"
    watched.mend()
    assert shm(database).exists(), "or other programs would make one of their own"
    write(watched, "sn-9")
    with closing(sqlite3.connect(database)) as other:
        other.execute("UPDATE BotTrade SET status = 'closed' WHERE id = 'sn-5'")
        other.commit()
    assert watched.watch.look() is None
    assert list(rows_of(watched)) == [*ALL, "sn-9"]


@pytest.mark.parametrize("is_noticed", [False, True])
def test_a_file_that_goes_again_in_that_moment_is_tried_again(
    watched: Store, database: Path, monkeypatch: pytest.MonkeyPatch, *, is_noticed: bool
) -> None:
    begin = watched.watch.begin

    def too_late() -> None:
        monkeypatch.setattr(watched.watch, "begin", begin)
        wal(database).unlink()
        if is_noticed:
            wal(database).open()  # as `begin` does
        begin()

    wal(database).unlink()
    touched(watched)
    monkeypatch.setattr(watched.watch, "begin", too_late)
    with pytest.raises(FilesLostError, match="removed or replaced"):
        watched.mend()
    with pytest.raises(FilesLostError, match="removed or replaced"):
        watched.begin()
    watched.mend()
    assert list(rows_of(watched)) == ALL


MONITOR = """
import sqlite3, sys
other = sqlite3.connect(sys.argv[1], isolation_level=None)
other.execute("SELECT count(*) FROM BotTrade").fetchall()
print("reads", flush=True)
sys.stdin.readline()
other.execute("UPDATE BotTrade SET status = 'closed' WHERE id = 'sn-5'")
print("has written", flush=True)
sys.stdin.readline()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="nobody tells who has it open")
@pytest.mark.parametrize("endings", [("-wal",), ("-wal", "-shm")])
def test_a_program_that_has_the_old_files_open_is_waited_for(
    watched: Store, database: Path, endings: tuple[str, ...]
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", MONITOR, str(database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as monitor:
        assert monitor.stdin is not None
        assert monitor.stdout is not None
        assert monitor.stdout.readline() == "reads\n"
        for ending in endings:
            database.with_name(database.name + ending).unlink()
        touched(watched)
        with pytest.raises(FilesLostError):
            watched.mend()
        assert ids_in(database) == ALL, "a kill may come at any time"
        monitor.stdin.write("\n")
        monitor.stdin.flush()
        assert monitor.stdout.readline() == "has written\n"
        with pytest.raises(FilesLostError):
            watched.mend()
        monitor.stdin.close()
        monitor.wait()
    watched.mend()
    rows = rows_of(watched)
    assert list(rows) == ALL
    assert rows["sn-5"]["status"] == "closed", "what it wrote is not lost either"
    write(watched, "sn-9")


def test_a_database_without_a_name_is_copied_once(
    watched: Store, database: Path, logged_errors: LoggedErrors
) -> None:
    database.unlink()
    touched(watched)
    for _ in range(2):
        with pytest.raises(FilesLostError, match="removed or replaced"):
            watched.mend()
    [copy] = database.parent.glob("snexec.db.2*")
    assert ids_in(copy) == ALL
    assert copy.stat().st_mode & 0o777 == 0o600
    [error] = logged_errors.take()
    assert f"every row that was in it up to now is in {copy}" in error
    assert wal(database).exists(), "it fits the file, should that come back"


def test_a_log_that_does_not_fit_what_is_there_is_put_aside(
    watched: Store, database: Path, tmp_path: Path, logged_errors: LoggedErrors
) -> None:
    backup = tmp_path / "backup.db"
    with closing(open_database(backup, simulated=False, clock=FakeClock())):
        pass
    shutil.copyfile(backup, database)
    touched(watched)
    with pytest.raises(FilesLostError, match="written over"):
        watched.mend()
    assert not wal(database).exists()
    assert not shm(database).exists()
    [aside] = database.parent.glob("snexec.db-wal.2*")
    assert aside.stat().st_size > 0
    [error] = logged_errors.take()
    assert f"put aside as {aside}" in error
    watched.close()
    assert database.read_bytes() == backup.read_bytes(), "the backup is as it was"


def test_a_log_that_was_cut_is_saved_from_memory(
    watched: Store, database: Path, logged_errors: LoggedErrors
) -> None:
    watched._db.execute("PRAGMA integrity_check").fetchall()  # reads every page
    os.truncate(wal(database), 0)
    touched(watched)
    with pytest.raises(FilesLostError, match="cut short"):
        watched.mend()
    [copy] = database.parent.glob("snexec.db.2*")
    assert ids_in(copy) == ALL
    assert len(logged_errors.take()) == 1


def test_a_copy_that_is_not_whole_is_not_kept(
    watched: Store, database: Path, logged_errors: LoggedErrors
) -> None:
    wal(database).write_bytes(b"\xff" * wal(database).stat().st_size)
    watched._db.execute("PRAGMA shrink_memory")
    touched(watched)
    with pytest.raises(FilesLostError, match="cut short"):
        watched.mend()
    assert not list(database.parent.glob("snexec.db.2*"))
    [error] = logged_errors.take()
    assert "what is in hand cannot be saved" in error


def test_a_connection_to_files_that_were_touched_is_left_as_it_is(
    watched: Store, database: Path, logged_errors: LoggedErrors
) -> None:
    before = database.read_bytes()
    os.truncate(wal(database), wal(database).stat().st_size // 2)
    touched(watched)
    watched.close()
    assert database.read_bytes() == before, "closing would copy the log into it"
    assert logged_errors.take() == []


def test_without_damage_nothing_is_mended(watched: Store, database: Path) -> None:
    connection = watched._db
    watched.mend()
    assert watched._db is connection
    assert not list(database.parent.glob("*.2*"))
