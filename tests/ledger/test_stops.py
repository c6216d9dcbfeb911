"""How the last run on a file ended: whether the file has every order's row."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from snexec.clock import SystemClock
from snexec.ledger.ledger import Ledger
from snexec.ledger.schema import open_database
from snexec.ledger.store import Store
from tests.fakes import make_trade
from tests.ledger.files import make_foreign

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import LoggedErrors

BOTH = {"paper", "live"}


class CrashError(Exception):
    """A fault that ends a run."""


@contextmanager
def opened(path: Path, *, simulated: bool = False) -> Iterator[Ledger]:
    """Open a file as a start does, and close it as a stop does."""
    clock = SystemClock()
    connection = open_database(path, simulated=simulated, clock=clock)
    with closing(Store(connection, clock=clock)) as store:
        ledger = Ledger(store, path=path, clock=clock)
        ledger.load(simulated=simulated, tally=False)
        yield ledger


def in_time() -> float:
    """Return a deadline that nothing here needs."""
    return trio.current_time() + 10


async def run(ledger: Ledger, *names: str, crash: bool = False) -> None:
    """Run until stopped, and write a row for each of these names."""
    async with ledger.writing(until=in_time):
        for name in names:
            trade = make_trade(name, name)
            await ledger.writer.write(partial(Store.open_trade, trade=trade))
        if crash:
            raise CrashError


def changed_at(path: Path) -> int:
    """Return when a file was changed, or what is known of it."""
    return path.stat().st_ctime_ns


def notes(path: Path) -> dict[str, str]:
    """Return the file's notes."""
    with closing(sqlite3.connect(path)) as other:
        return dict(other.execute("SELECT key, value FROM SnexecMeta"))


def complete(path: Path, *, simulated: bool = False) -> set[str]:
    """Return of which modes a start would say that they have every row."""
    with opened(path, simulated=simulated) as ledger:
        return set(ledger.complete)


async def test_a_new_file_and_one_that_was_stopped_in_good_order_have_every_row(
    database: Path,
) -> None:
    for name in ("KO", "MO", "PM"):
        with opened(database) as ledger:
            assert ledger.complete == BOTH
            await run(ledger, name)
    assert complete(database) == BOTH


async def test_a_run_that_ends_otherwise_leaves_a_file_that_may_lack_some(
    database: Path,
) -> None:
    with opened(database) as ledger, pytest.raises(ExceptionGroup):
        await run(ledger, "KO", crash=True)
    assert complete(database) == set()


async def test_a_start_takes_the_note_away_beside_all_else(database: Path) -> None:
    with opened(database) as ledger:
        await run(ledger, "KO")
    with opened(database) as ledger:
        async with ledger.writing(until=in_time):
            while "stopped" in notes(database):  # noqa: ASYNC110 - a thread writes
                await trio.sleep(0.01)
            assert ledger.writer.status().applied == 0, "it is told as no change"


async def test_in_a_file_without_rows_the_first_change_takes_it_away(
    database: Path,
) -> None:
    with opened(database) as ledger:
        async with ledger.writing(until=in_time):
            await trio.sleep(0.05)
            assert (ledger.writer.status().tries, "stopped" in notes(database)) == (
                0,
                True,
            )
            await ledger.writer.write(lambda _store: None)
            assert "stopped" not in notes(database)
            assert ledger.writer.status().tries == 1


async def test_a_commit_that_fails_has_taken_nothing_away(
    database: Path, monkeypatch: pytest.MonkeyPatch, logged_errors: LoggedErrors
) -> None:
    real, fails = Store.commit, [True]

    def commit(store: Store) -> None:
        if fails and fails.pop():
            raise sqlite3.OperationalError("disk I/O error")
        real(store)

    with opened(database) as ledger:
        monkeypatch.setattr(Store, "commit", commit)
        async with ledger.writing(until=in_time):
            await ledger.writer.write(lambda _store: None)
            assert "stopped" not in notes(database)
            assert ledger.writer.status().tries == 2
    assert len(logged_errors.take()) == 1


async def test_a_backup_of_a_running_daemon_may_lack_some(
    database: Path, tmp_path: Path
) -> None:
    with opened(database) as ledger:
        await run(ledger, "KO")
    backups = [tmp_path / "vacuumed.db", tmp_path / "copied.db"]
    with opened(database) as ledger:
        async with ledger.writing(until=in_time):
            await ledger.writer.write(lambda _store: None)
            with (
                closing(sqlite3.connect(database)) as other,
                closing(sqlite3.connect(backups[1])) as copy,
            ):
                other.execute(f"VACUUM INTO '{backups[0]}'")
                other.backup(copy)
    assert complete(database) == BOTH
    assert [complete(each) for each in backups] == [set(), set()]


@pytest.mark.parametrize("minutes", [-1, 1])
async def test_a_copy_of_a_file_that_was_stopped_in_good_order_may_lack_some(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    at = SystemClock().now() - timedelta(minutes=minutes)
    with opened(database) as ledger:
        monkeypatch.setattr(ledger.clock, "now", lambda: at)
        await run(ledger, "KO")
    shutil.copy2(database, tmp_path / "copy.db")
    assert complete(tmp_path / "copy.db") == set()


async def test_who_reads_the_file_between_two_runs_changes_nothing(
    database: Path,
) -> None:
    with opened(database) as ledger:
        await run(ledger, "KO")
    before = changed_at(database)
    with closing(sqlite3.connect(database)) as other:
        assert other.execute("SELECT count(*) FROM BotTrade").fetchone() == (1,)
    with opened(database):
        pass
    assert changed_at(database) == before


async def test_a_stop_that_could_not_write_all_is_none_in_good_order(
    database: Path,
) -> None:
    with opened(database) as ledger:
        ledger._store._db.execute("PRAGMA busy_timeout = 1")
        ledger._store._patience_ms = 1
        with closing(sqlite3.connect(database, isolation_level=None)) as other:
            async with ledger.writing(until=trio.current_time):
                await ledger.writer.write(lambda _store: None)
                other.execute("BEGIN IMMEDIATE")
                ledger.writer.put(_Late())
            other.execute("ROLLBACK")
    assert complete(database) == set()


class _Late:
    """A change that comes too late."""

    def apply(self, _store: Store) -> None:
        pass

    def done(self, _result: None) -> None:
        pass

    def failed(self, error: Exception) -> None:
        raise error


async def test_what_a_run_has_not_found_out_the_next_one_does_not_know(
    database: Path,
) -> None:
    with opened(database) as ledger, suppress(ExceptionGroup):
        await run(ledger, "KO", crash=True)
    with opened(database) as ledger:
        await run(ledger)
    assert complete(database) == set(), "the broker was away"
    with opened(database) as ledger:
        ledger.complete.add("paper")
        await run(ledger)
    assert complete(database) == {"paper"}


async def test_a_simulation_notes_nothing(database: Path) -> None:
    with opened(database, simulated=True) as ledger:
        await run(ledger, "KO")
        notes = dict(ledger._store._db.execute("SELECT key, value FROM SnexecMeta"))
    with opened(database, simulated=True) as ledger:
        await run(ledger)
        assert notes == dict(
            ledger._store._db.execute("SELECT key, value FROM SnexecMeta")
        )


def test_a_file_of_an_earlier_version_may_lack_some(database: Path) -> None:
    make_foreign(database)
    assert complete(database) == set()


@pytest.mark.parametrize(
    "value",
    ["", " ", "paper", "yesterday paper", "1970-01-01T00:00:00Z", None, b"\xff"],
)
def test_a_note_that_says_nothing_is_none(database: Path, value: object) -> None:
    with opened(database) as ledger:
        ledger._store._db.execute("UPDATE SnexecMeta SET value = ?", [value])
        assert ledger._store.stop_note.read(changed_at=0) == set()


@pytest.mark.parametrize("how", ["ABORT", "ROLLBACK", "FAIL"])
async def test_a_file_whose_notes_cannot_be_changed_takes_rows_all_the_same(
    database: Path, how: str
) -> None:
    with opened(database) as ledger:
        ledger._store._db.execute(
            "CREATE TRIGGER t BEFORE DELETE ON SnexecMeta"
            f" BEGIN SELECT RAISE({how}, 'no'); END"
        )
        await run(ledger, "KO", "MO")
        assert ledger.writer.status().abandoned == 0
        assert ledger._store.count_open() == 2
