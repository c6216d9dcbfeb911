"""A backup is whole or not at all, and never the database itself."""

from __future__ import annotations

import os
import socket
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from snexec.cli import backup
from snexec.clock import SystemClock
from snexec.ledger.schema import open_database
from tests.ledger.hands import add_row

if TYPE_CHECKING:
    from tests.cli.conftest import Desk
    from tests.integration.harness import Box


@pytest.fixture
def target(box: Box) -> Path:
    """Fill the database, whose last row is in its log alone; give where to copy it."""
    open_database(box.database, simulated=True, clock=SystemClock()).close()
    add_row(box.database, id="sn-1", symbol="KO")
    return box.folder / "copy.db"


def symbols(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT symbol FROM BotTrade ORDER BY symbol")
        return [row[0] for row in rows]


def test_what_a_daemon_has_not_put_in_the_file_yet_is_in_the_copy(
    desk: Desk, box: Box, target: Path
) -> None:
    with closing(sqlite3.connect(box.database, isolation_level=None)) as writer:
        writer.execute("UPDATE BotTrade SET symbol = 'PEP'")
        done = desk.run(box.config, "backup", str(target))

    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(f"{target}: 1 row of ")
    assert symbols(target) == ["PEP"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [path.name for path in box.folder.glob("*copy*")] == ["copy.db"]


def test_it_works_a_second_time_over_the_older_one(
    desk: Desk, box: Box, target: Path
) -> None:
    desk.run(box.config, "backup", str(target))
    target.chmod(0o644)
    add_row(box.database, id="sn-2", symbol="AAPL")

    assert desk.run(box.config, "backup", str(target)).status == 0
    assert symbols(target) == ["AAPL", "KO"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize(
    "name", ["itself", "-wal", "-shm", ".lock", "link", "hard link"]
)
def test_the_database_itself_is_never_written_over(
    desk: Desk, box: Box, name: str
) -> None:
    other = Path(f"{box.database}{name}")
    match name:
        case "itself":
            other = box.database
        case "link":
            other.symlink_to(box.database)
        case "hard link":
            os.link(box.database, other)
        case _:
            other.touch()
    before = box.database.read_bytes()

    done = desk.run(box.config, "backup", str(other))

    assert (done.status, done.out) == (1, "")
    assert done.err.endswith("is the database itself: name another file\n")
    assert box.database.read_bytes() == before


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("a socket", "is no file"),
        ("a pipe", "is no file"),
        ("a link to a pipe", "is no file"),
        ("a text", "is there and no backup"),
        ("a database in use", "is there and no backup"),
    ],
)
def test_what_is_no_older_backup_is_never_written_over(
    desk: Desk, box: Box, target: Path, kind: str, why: str
) -> None:
    listening = socket.socket(socket.AF_UNIX)
    match kind:
        case "a socket":
            listening.bind(str(target))
        case "a pipe":
            os.mkfifo(target)
        case "a link to a pipe":
            os.mkfifo(box.folder / "pipe")
            target.symlink_to(box.folder / "pipe")
        case "a text":
            target.write_text('mode = "paper"\n')
        case _:
            open_database(target, simulated=False, clock=SystemClock()).close()
    before = target.lstat()

    done = desk.run(box.config, "backup", str(target))
    listening.close()

    assert (done.status, done.out) == (1, "")
    assert f"{target} {why}" in done.err
    assert target.lstat() == before


def test_an_empty_file_that_is_there_already_is_filled(
    desk: Desk, box: Box, target: Path
) -> None:
    target.touch()
    assert desk.run(box.config, "backup", str(target)).status == 0
    assert symbols(target) == ["KO"]


def test_a_copy_that_fails_leaves_the_older_one(
    desk: Desk, box: Box, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.run(box.config, "backup", str(target))
    before = target.read_bytes()

    def fail(_copy: sqlite3.Connection) -> int:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(backup, "_count", fail)
    add_row(box.database, id="sn-2", symbol="AAPL")
    done = desk.run(box.config, "backup", str(target))

    assert done.status == 1
    assert "is not written" in done.err
    assert target.read_bytes() == before
    assert [path.name for path in box.folder.glob("*copy*")] == ["copy.db"]


def test_where_nothing_can_be_written_is_said(
    desk: Desk, box: Box, target: Path
) -> None:
    done = desk.run(box.config, "backup", str(target / "below.db"))
    assert (done.status, "is not written" in done.err) == (1, True)
    done = desk.run(box.config, "backup", str(box.folder))
    assert (done.status, "is a folder" in done.err) == (1, True)


def test_without_a_database_there_is_nothing_to_copy(desk: Desk, box: Box) -> None:
    done = desk.run(box.config, "backup", str(box.folder / "copy.db"))

    assert (done.status, "nothing to copy" in done.err) == (1, True)
    assert not (box.folder / "copy.db").exists()
