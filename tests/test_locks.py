"""One process a path: who holds the lock beside it, and who is refused."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

import pytest

from snexec.errors import StartError
from snexec.locks import lock_file

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


def test_a_lock_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    with (
        pytest.raises(StartError, match="cannot make"),
        lock_file(tmp_path / "nowhere" / "snexec.db", owner="database"),
    ):
        pytest.fail("it was made")
