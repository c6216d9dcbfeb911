"""The database's file: connections to it, its damage, its write-ahead log."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from operator import methodcaller
from typing import TYPE_CHECKING

from snexec.errors import StartError

if TYPE_CHECKING:
    from pathlib import Path

_BUSY_TIMEOUT_SECONDS = 2.0  # a longer lock is waited out by trying again
_CHECKPOINT_PATIENCE_MS = 20
_LONG_LOG_BYTES = 16_000_000
_QUICKLY_CHECKED_BYTES = 8_000_000
# Other programs write what they like: one text that is not UTF-8 must fail no statement.
_readable_text = methodcaller("decode", "utf-8", "replace")


def connect(
    path: Path, *, read_only: bool = False, create: bool = True
) -> sqlite3.Connection:
    """Open a connection that any thread may use, one at a time."""
    mode = "ro" if read_only else "rwc" if create else "rw"
    target = f"{path.absolute().as_uri()}?mode={mode}"
    connection = sqlite3.connect(
        target,
        uri=True,
        timeout=_BUSY_TIMEOUT_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.row_factory = sqlite3.Row
    connection.text_factory = _readable_text
    return connection


def make_file(path: Path) -> None:
    """Make an empty file that is its owner's alone, unless there is one."""
    with suppress(OSError):  # SQLite says what is wrong
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def tune(connection: sqlite3.Connection) -> None:
    """Have a connection write durably, with a log that ``checkpoint`` keeps short."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cache_size = -1000")  # kB; the system caches the rest
    # `checkpoint` does that, in a thread: no order waits for it.
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    with suppress(sqlite3.Error):
        # A log that a kill left looks like a checkpoint that has begun, up to the next
        # one: while one has, nobody can tell a file that was written over.
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def refuse_damaged(connection: sqlite3.Connection, path: Path) -> None:
    """Have SQLite check a whole file.

    Raises:
        StartError: It is damaged.
    """
    damage = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if damage != "ok":
        raise StartError(f"database: {path} is damaged: {damage}")


def is_large(connection: sqlite3.Connection) -> bool:
    """Return whether a file is too large to be checked during a start."""
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    return bool(pages * _page_bytes(connection) > _QUICKLY_CHECKED_BYTES)


def check_large(path: Path) -> None:
    """Check a file that was too large for it at the start; call it in a thread.

    500 MB take a second or more.

    Raises:
        StartError: It is damaged.
        sqlite3.Error: It cannot be read.
    """
    with closing(connect(path, read_only=True)) as connection:
        if is_large(connection):
            refuse_damaged(connection, path)


def checkpoint(path: Path) -> None:
    """Copy the write-ahead log into the database file while others may write.

    The only table it writes to is SnexecMeta, where it leaves a note of its own.

    Raises:
        sqlite3.Error: It cannot be done now.
    """
    with closing(connect(path, create=False)) as connection:
        connection.execute(f"PRAGMA busy_timeout = {_CHECKPOINT_PATIENCE_MS}")
        _busy, log_pages, _copied = connection.execute(
            "PRAGMA wal_checkpoint(PASSIVE)"
        ).fetchone()
        if log_pages * _page_bytes(connection) > _LONG_LOG_BYTES:
            # Writers wait a moment, or a busy daemon's log would grow forever.
            connection.execute("PRAGMA wal_checkpoint(RESTART)")
        # The next write starts the log anew and syncs twice: this one, not an order's.
        connection.execute(
            "INSERT OR REPLACE INTO SnexecMeta VALUES ('checkpoint', datetime('now'))"
        )


def _page_bytes(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA page_size").fetchone()[0])
