"""One process a path: who holds the lock beside it, and who is refused."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from snexec.errors import StartError
from snexec.locks import is_shared, lock_database, lock_file
from tests.fakes import warnings_of
from tests.ledger.files import open_real

if TYPE_CHECKING:
    from pathlib import Path


def test_a_second_daemon_is_refused_until_the_first_ends(database: Path) -> None:
    with (
        lock_file(database, owner="database"),
        pytest.raises(StartError, match=r"database: .*snexec\.db is in use by another"),
        lock_file(database, owner="database"),
    ):
        pytest.fail("both have it")
    with lock_file(database, owner="database"):
        pass


def test_a_second_name_of_a_file_is_the_same_file(
    database: Path, tmp_path: Path
) -> None:
    database.touch()
    alias = tmp_path / "alias.db"
    alias.symlink_to(database)
    with (
        lock_file(database, owner="database"),
        pytest.raises(StartError, match="in use"),
        lock_file(alias, owner="database"),
    ):
        pytest.fail("both have it")


def test_a_lock_file_of_a_dead_daemon_stops_nobody(database: Path) -> None:
    beside = database.with_name("snexec.db.lock")
    dead = os.open(beside, os.O_RDWR | os.O_CREAT)
    fcntl.flock(dead, fcntl.LOCK_EX)
    os.close(dead)
    with lock_file(database, owner="database"):
        assert beside.exists()


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_file_is_no_database(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "t.db"
    if kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    with pytest.raises(StartError, match="is no file"), lock_database(path):
        pytest.fail("it is locked")
    assert [each.name for each in tmp_path.iterdir()] == ["t.db"]


def test_a_lock_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    with (
        pytest.raises(StartError, match="cannot make"),
        lock_file(tmp_path / "nowhere" / "snexec.db", owner="database"),
    ):
        pytest.fail("it was made")


def test_a_lock_file_that_is_removed_is_made_and_held_again(
    database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    beside = database.with_name("snexec.db.lock")
    with lock_file(database, owner="database") as lock:
        assert lock.keep() is None
        assert warnings_of(caplog) == []
        beside.unlink()
        assert lock.keep() is None
        assert beside.stat().st_mode & 0o777 == 0o600
        assert warnings_of(caplog) == [
            f"{beside} was removed or replaced while in use: it is made again"
        ]
        with (
            pytest.raises(StartError, match="in use by another"),
            lock_file(database, owner="database"),
        ):
            pytest.fail("both have it")


def test_a_lock_that_another_process_took_meanwhile_is_said(database: Path) -> None:
    beside = database.with_name("snexec.db.lock")
    with lock_file(database, owner="database") as lock:
        beside.unlink()
        with lock_file(database, owner="database"):
            assert "in use by another" in (lock.keep() or "")
        assert lock.keep() is None, "that one has ended"


def test_a_folder_that_is_gone_is_no_rival(tmp_path: Path) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    with lock_file(folder / "snexec.db", owner="database") as lock:
        folder.rename(tmp_path / "there")
        assert lock.keep() is None


# The database itself


needs_ofd = pytest.mark.skipif(
    not hasattr(fcntl, "F_OFD_SETLK"), reason="this system locks names alone"
)


@needs_ofd
def test_a_hard_link_of_a_database_is_the_same_database(
    database: Path, tmp_path: Path
) -> None:
    alias = tmp_path / "alias.db"
    with lock_database(database):
        alias.hardlink_to(database)
        with (
            pytest.raises(StartError, match=r"another snexec runs on .*alias\.db"),
            lock_database(alias),
        ):
            pytest.fail("both have it")
    with lock_database(alias):
        pass


@needs_ofd
def test_other_programs_use_a_database_that_is_locked(database: Path) -> None:
    with lock_database(database):
        ours = open_real(database)
        ours.execute("BEGIN IMMEDIATE")
        ours.execute("INSERT INTO SnexecMeta VALUES ('ours', '1')")
        assert other_program(database) == "database is locked"
        ours.execute("COMMIT")
        assert other_program(database) == "written"
        ours.close()


@needs_ofd
def test_it_does_not_matter_to_sqlite_that_the_lock_was_refused_elsewhere(
    database: Path,
) -> None:
    with lock_database(database):
        ours = open_real(database)
        ours.execute("BEGIN IMMEDIATE")
        said = in_another_process(
            "from snexec.locks import lock_database\n"
            "try:\n"
            "    with lock_database(Path(sys.argv[1])): print('held')\n"
            "except Exception as exc: print(exc)",
            database,
        )
        assert "in use by another snexec daemon" in said
        assert other_program(database) == "database is locked"
        ours.execute("COMMIT")
        ours.close()


def test_a_new_database_is_for_its_owner_alone(database: Path) -> None:
    before = os.umask(0)
    try:
        with lock_database(database):
            assert not database.exists() or database.stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)


def other_program(database: Path) -> str:
    return in_another_process(
        "import sqlite3\n"
        "c = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)\n"
        "try:\n"
        "    c.execute(\"INSERT INTO SnexecMeta VALUES ('theirs', '1')\")\n"
        "    print('written')\n"
        "except sqlite3.Error as exc: print(exc)",
        database,
    )


def in_another_process(program: str, database: Path) -> str:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys\nfrom pathlib import Path\n{program}",
            str(database),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@needs_ofd
def test_whoever_else_has_a_database_open_is_seen(database: Path) -> None:
    with closing(open_real(database)) as ours, database.open("rb") as file:
        ours.execute("SELECT count(*) FROM BotTrade").fetchall()
        assert not is_shared(file.fileno()), "we have it open ourselves"
        with subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import sqlite3, sys; c = sqlite3.connect(sys.argv[1])\n"
                "c.execute('SELECT count(*) FROM BotTrade').fetchall()\n"
                "print('open', flush=True); sys.stdin.read()",
                str(database),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as other:
            assert other.stdout is not None
            other.stdout.readline()
            assert is_shared(file.fileno())
            other.communicate(b"")
        assert not is_shared(file.fileno())
