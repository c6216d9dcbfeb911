"""The files that rows are kept in: whatever others do to them is noticed, or harmless."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from snexec.ledger.damage import Loss
from snexec.ledger.file import checkpoint
from snexec.ledger.schema import open_database
from snexec.ledger.store import Store
from snexec.ledger.watch import FileWatch
from tests.fakes import FakeClock, make_trade

if TYPE_CHECKING:
    from collections.abc import Iterator

SHELL = """
import sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2:]:
    c.execute(statement).fetchall()
c.close()
"""


@pytest.fixture
def watched(database: Path) -> Iterator[Store]:
    """Give a store with a few rows in its log, whose files are watched."""
    store = Store(
        open_database(database, simulated=False, clock=FakeClock()), clock=FakeClock()
    )
    for number in range(4):
        write(store, number)
    store.watch.begin()
    yield store
    store.close()


def write(store: Store, number: int) -> None:
    store.begin()
    store.open_trade(make_trade(f"sn-{number}", f"S{number}"))
    store.commit()


def beside(database: Path, ending: str) -> Path:
    return database.with_name(database.name + ending)


def another_program(database: Path, *statements: str) -> None:
    subprocess.run(
        [sys.executable, "-c", SHELL, str(database), *statements], check=True
    )


# What others may do


HARMLESS: dict[str, tuple[str, ...]] = {
    "reads": ("SELECT count(*) FROM BotTrade",),
    "closes a row": ("UPDATE BotTrade SET status = 'closed' WHERE id = 'sn-1'",),
    "checkpoints": ("PRAGMA wal_checkpoint(PASSIVE)",),
    "checkpoints and cuts the log": ("PRAGMA wal_checkpoint(TRUNCATE)",),
    "starts the log anew": (
        "PRAGMA wal_checkpoint(RESTART)",
        "UPDATE BotTrade SET status = 'closed' WHERE id = 'sn-1'",
    ),
    "makes a large change": (
        "CREATE TABLE IF NOT EXISTS Other (a)",
        "INSERT INTO Other VALUES (zeroblob(3000000))",
        "PRAGMA wal_checkpoint(TRUNCATE)",
    ),
    "vacuums": ("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"),
    "takes a change back": ("BEGIN", "DELETE FROM BotTrade", "ROLLBACK"),
}


@pytest.mark.parametrize("statements", HARMLESS.values(), ids=HARMLESS)
@pytest.mark.parametrize("writes_between", [True, False])
def test_what_another_program_does_through_sqlite_is_no_damage(
    watched: Store,
    database: Path,
    statements: tuple[str, ...],
    writes_between: bool,
) -> None:
    for number in range(10, 13):
        another_program(database, *statements[: 1 if number > 10 else None])
        if writes_between:
            write(watched, number)
        assert watched.watch.look() is None


def test_a_checkpoint_of_our_own_is_no_damage(watched: Store, database: Path) -> None:
    for number in range(10, 14):
        checkpoint(database)
        assert watched.watch.look() is None
        write(watched, number)
        assert watched.watch.damage is None


def test_a_copy_that_is_made_meanwhile_is_no_damage(
    watched: Store, database: Path, tmp_path: Path
) -> None:
    another_program(database, f"VACUUM INTO '{tmp_path / 'backup.db'}'")
    shutil.copy(database, tmp_path / "copy.db")
    assert watched.watch.look() is None


def test_a_new_date_alone_is_no_damage(watched: Store, database: Path) -> None:
    os.utime(database, (1, 1))
    assert watched.watch.look() is None


def test_a_file_system_without_a_log_is_no_damage(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE BotTrade (id)")
        watch = FileWatch(str(database))
        watch.begin()
        assert watch.damage is None, "SQLite does without one there, and so do we"
        watch.close()


def test_a_database_in_memory_has_no_files() -> None:
    watch = FileWatch("")
    watch.begin()
    assert watch.look() is None


# What nobody may do


def remove(path: Path) -> None:
    path.unlink()


def replace(path: Path) -> None:
    shutil.copy(path, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


def cut(path: Path) -> None:
    os.truncate(path, 0)


def cut_in_half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def write_over(path: Path) -> None:
    path.write_bytes(b"\xff" * path.stat().st_size)


Harm = tuple[Callable[[Path], None], str, Loss, str]
HARMFUL: list[Harm] = [
    (remove, "", Loss.NAME, "was removed or replaced"),
    (replace, "", Loss.NAME, "was removed or replaced"),
    (cut, "", Loss.CONTENT, "was written over while in use"),
    (cut_in_half, "", Loss.CONTENT, "was written over while in use"),
    (write_over, "", Loss.CONTENT, "was written over while in use"),
    (remove, "-wal", Loss.NAME_OF_LOG, "was removed or replaced"),
    (replace, "-wal", Loss.OTHERS_LOG, "was removed or replaced"),
    (cut, "-wal", Loss.LOG, "was cut short or written over"),
    (cut_in_half, "-wal", Loss.LOG, "was cut short or written over"),
    (write_over, "-wal", Loss.LOG, "was cut short or written over"),
    (remove, "-shm", Loss.NAME_OF_LOG, "was removed or replaced"),
    (replace, "-shm", Loss.OTHERS_LOG, "was removed or replaced"),
    (cut, "-shm", Loss.INDEX, "was cut short"),
]


def name_of(harm: Harm) -> str:
    return f"{harm[0].__name__} {harm[1] or 'database'}"


@pytest.mark.parametrize("harm", HARMFUL, ids=name_of)
def test_what_is_done_to_a_file_is_noticed(
    watched: Store,
    database: Path,
    harm: Harm,
) -> None:
    attack, ending, loss, words = harm
    checkpoint(database)
    write(watched, 10)
    write(watched, 11)
    assert watched.watch.look(at_leisure=True) is None
    attack(beside(database, ending))
    damage = watched.watch.look()
    assert damage is not None
    assert damage.what == f"{beside(database, ending)} {words}"
    assert damage.loss is loss


@pytest.mark.parametrize(
    "harm", [harm for harm in HARMFUL if harm[1] != "-shm"], ids=name_of
)
def test_it_is_noticed_by_the_next_row(
    watched: Store, database: Path, harm: Harm
) -> None:
    attack, ending, loss, _words = harm
    checkpoint(database)
    write(watched, 10)
    write(watched, 11)
    assert watched.watch.look(at_leisure=True) is None
    attack(beside(database, ending))
    write(watched, 12)
    if attack in {write_over, cut_in_half} and loss is Loss.LOG:
        # No hole of a block or more tells of it any sooner.
        assert watched.watch.look() is not None
    assert watched.watch.damage is not None, "before its order leaves"
    with pytest.raises(sqlite3.OperationalError, match="was "):
        write(watched, 13)


def test_a_backup_that_is_copied_over_the_database_is_noticed(
    watched: Store, database: Path, tmp_path: Path
) -> None:
    backup = tmp_path / "backup.db"
    another_program(database, f"VACUUM INTO '{backup}'")
    for number in range(10, 40):
        write(watched, number)
    checkpoint(database)
    write(watched, 50)
    watched.watch.look(at_leisure=True)
    inode = database.stat().st_ino
    shutil.copyfile(backup, database)
    assert database.stat().st_ino == inode
    write(watched, 51)
    assert watched.watch.damage is not None
    assert watched.watch.damage.loss is Loss.CONTENT


def test_a_file_that_is_put_back_is_no_damage_any_more(
    watched: Store, database: Path
) -> None:
    elsewhere = database.with_name("elsewhere.db")
    database.rename(elsewhere)
    assert watched.watch.look() is not None
    elsewhere.rename(database)
    assert watched.watch.look() is None


def test_a_folder_that_is_moved_away_is_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    path = folder / "t.db"
    with closing(open_database(path, simulated=False, clock=FakeClock())) as connection:
        store = Store(connection, clock=FakeClock())
        write(store, 1)
        store.watch.begin()
        folder.rename(tmp_path / "there")
        damage = store.watch.look()
        assert damage is not None
        assert damage.loss is Loss.NAME
        store.watch.close()


def test_a_row_of_another_program_in_a_log_of_its_own_is_not_taken_for_ours(
    watched: Store, database: Path
) -> None:
    beside(database, "-wal").unlink()
    beside(database, "-shm").unlink()
    another_program(database, "CREATE TABLE Other (a)", "INSERT INTO Other VALUES (1)")
    damage = watched.watch.look()
    # It closed last in its own log's eyes; what it wrote may be there still.
    assert damage is not None
    assert damage.loss in {Loss.OTHERS_LOG, Loss.NAME_OF_LOG, Loss.CONTENT}


@pytest.mark.usefixtures("watched")
def test_a_file_that_is_written_over_after_a_crash_is_noticed(
    database: Path, tmp_path: Path
) -> None:
    crashed = tmp_path / "crashed.db"
    for ending in ("", "-wal"):
        shutil.copyfile(beside(database, ending), beside(crashed, ending))
    with closing(sqlite3.connect(database)) as other:
        other.execute("VACUUM INTO ?", [str(tmp_path / "backup.db")])
    again = Store(
        open_database(crashed, simulated=False, clock=FakeClock()), clock=FakeClock()
    )
    again.watch.begin()
    write(again, 10)
    assert again.watch.look(at_leisure=True) is None

    shutil.copyfile(tmp_path / "backup.db", crashed)
    damage = again.watch.look(at_leisure=True)
    again.close()
    assert damage is not None
    assert damage.loss is Loss.CONTENT
