"""The database file: who may use it, its tables, and their migration (SPEC 10, 11)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from snexec.clock import timestamp
from snexec.errors import StartError

if TYPE_CHECKING:
    from snexec.clock import Clock

SCHEMA_VERSION = 3
_BUSY_TIMEOUT_SECONDS = 2.0  # a longer lock is waited for by trying again
_CHECKPOINT_PATIENCE_MS = 20
# Of a new file. An order's row touches six pages, all of which its commit writes: with
# SQLite's own 4096 bytes a commit takes a tenth longer, and three times the disk.
_PAGE_BYTES = 1024
_LONG_LOG_BYTES = 16_000_000
_QUICKLY_CHECKED_BYTES = 8_000_000

_COLUMNS: dict[str, str] = {
    "id": "TEXT PRIMARY KEY",
    "symbol": "TEXT NOT NULL",
    "entryPrice": "REAL",
    "exitPrice": "REAL",
    "shares": "REAL",
    "pnl": "REAL",
    "catalystType": "TEXT",
    "catalystTier": "INTEGER",
    "exitReason": "TEXT",
    "status": "TEXT NOT NULL",
    "alpacaOrderId": "TEXT",
    "entryAt": "DATETIME",
    "exitAt": "DATETIME",
    "createdAt": "DATETIME NOT NULL",
    "updatedAt": "DATETIME NOT NULL",
    "settledAt": "DATETIME",
    "mode": "TEXT",
    "notional": "REAL",
    "starRating": "INTEGER",
    "priceAtSignal": "REAL",
    "signalId": "TEXT",
    "wireMs": "REAL",
    "replyMs": "REAL",
    "fillMs": "REAL",
}

_INDICES = {
    "BotTrade_one_open_per_symbol": (
        "CREATE UNIQUE INDEX BotTrade_one_open_per_symbol"
        " ON BotTrade (symbol) WHERE status = 'open'"
    ),
    "BotTrade_alpacaOrderId": (
        # Partial, so that it costs nothing in the moment before an order leaves.
        "CREATE INDEX BotTrade_alpacaOrderId ON BotTrade (alpacaOrderId)"
        " WHERE alpacaOrderId IS NOT NULL"
    ),
    "BotTrade_unsettled_not_open": (
        # The open ones have their index above, and pay for one only.
        "CREATE INDEX BotTrade_unsettled_not_open ON BotTrade (mode)"
        " WHERE settledAt IS NULL AND mode IS NOT NULL AND status <> 'open'"
    ),
    "BotTrade_closed": (
        # For what was won and lost of late. An order's row has no part in it.
        "CREATE INDEX BotTrade_closed ON BotTrade (exitAt, pnl, mode, status)"
        " WHERE status = 'closed'"
    ),
}


def connect(
    path: Path, *, read_only: bool = False, create: bool = True
) -> sqlite3.Connection:
    """Open a connection that may be used from any one thread at a time."""
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
    return connection


def check_large(path: Path) -> None:
    """Read a file through that was too large for that at the start, in a thread.

    It takes a second and more for 500 MB.

    Raises:
        StartError: It is damaged.
        sqlite3.Error: It cannot be read.
    """
    with closing(connect(path, read_only=True)) as connection:
        if _is_large(connection):
            refuse_damaged(connection, path)


def _is_large(connection: sqlite3.Connection) -> bool:
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    return bool(pages * _page_bytes(connection) > _QUICKLY_CHECKED_BYTES)


def _page_bytes(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA page_size").fetchone()[0])


def refuse_damaged(connection: sqlite3.Connection, path: Path) -> None:
    """Have SQLite look a file through.

    Raises:
        StartError: It is damaged.
    """
    damage = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if damage != "ok":
        raise StartError(f"database: {path} is damaged: {damage}")


def checkpoint(path: Path) -> None:
    """Copy the write-ahead log into the database file, beside whoever writes.

    Of the tables it writes its own note in SnexecMeta only.

    Raises:
        sqlite3.Error: It cannot be done now.
    """
    with closing(connect(path, create=False)) as connection:
        connection.execute(f"PRAGMA busy_timeout = {_CHECKPOINT_PATIENCE_MS}")
        row = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if row[1] * _page_bytes(connection) > _LONG_LOG_BYTES:
            # Writers wait a moment, or a busy daemon's log would grow for ever.
            connection.execute("PRAGMA wal_checkpoint(RESTART)")
        # The log begins anew with the next write, which syncs twice: not an order's.
        connection.execute(
            "INSERT OR REPLACE INTO SnexecMeta VALUES ('checkpoint', datetime('now'))"
        )


def open_database(path: Path, *, simulated: bool, clock: Clock) -> sqlite3.Connection:
    """Open the database for writing, migrated to this version.

    Raises:
        StartError: It is unusable, newer than this program, holds two open rows of
            one symbol, or belongs to the other kind of money; it is left untouched.
    """
    try:
        connection = connect(path)
    except sqlite3.Error as exc:
        raise StartError(f"database: cannot open {path}: {exc}") from None
    try:
        _check_and_migrate(connection, path, simulated=simulated, clock=clock)
    except sqlite3.Error as exc:
        connection.close()
        raise StartError(f"database: {path} cannot be used: {exc}") from None
    except BaseException:
        connection.close()
        raise
    return connection


def _check_and_migrate(
    connection: sqlite3.Connection, path: Path, *, simulated: bool, clock: Clock
) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise StartError(
            f"database: {path} has schema version {version}, and this snexec knows"
            f" {SCHEMA_VERSION} at most: upgrade snexec or name another file"
        )
    if not _is_large(connection):
        refuse_damaged(connection, path)
    present = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    kind = "simulated" if simulated else "real"
    if "SnexecMeta" in present:
        check_kind(connection, path, kind)
    is_current = version == SCHEMA_VERSION and present >= {
        "SnexecMeta",
        "BotTrade",
        *_INDICES,
    }
    connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
    if not is_current:
        _migrate(connection, path, version, kind=kind, now=timestamp(clock.now()))
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cache_size = -1000")  # kB; the system has the rest
    # `checkpoint` does it, in a thread: no order waits for one.
    connection.execute("PRAGMA wal_autocheckpoint = 0")


def check_kind(connection: sqlite3.Connection, path: Path, kind: str) -> None:
    """Keep simulated and real money apart.

    Raises:
        StartError: The file holds the other kind.
    """
    row = connection.execute(
        "SELECT value FROM SnexecMeta WHERE key = 'money'"
    ).fetchone()
    if row is not None and row[0] != kind:
        raise StartError(
            f"database: {path} holds {row[0]} trades, and this configuration trades"
            f" {kind} money: name another file in `database`"
        )


def _migrate(
    connection: sqlite3.Connection, path: Path, version: int, *, kind: str, now: str
) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        columns = _columns(connection)
        if columns:
            check_rows(connection, path)
        if version < 2:
            connection.execute("DROP INDEX IF EXISTS BotTrade_alpacaOrderId")
        if version < 3:
            connection.execute("DROP INDEX IF EXISTS BotTrade_unsettled")
        _create_missing(connection, columns, kind=kind, now=now)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _columns(connection: sqlite3.Connection) -> dict[str, sqlite3.Row]:
    """Return what the file says of BotTrade's columns, by name; nothing if it has none.

    By hand, as sqlite-utils brings pandas along where that is installed, and a first
    start would take twice as long.
    """
    rows = connection.execute("PRAGMA table_info(BotTrade)").fetchall()
    return {row["name"]: row for row in rows}


def check_rows(connection: sqlite3.Connection, path: Path) -> None:
    """Look at a table that another program may have made.

    Raises:
        StartError: It is not the one that snexec knows, or a symbol is open twice.
    """
    columns = _columns(connection)
    foreign = [
        name
        for name, column in columns.items()
        if name not in _COLUMNS and column["notnull"] and column["dflt_value"] is None
    ]
    needed = [
        name
        for name, kind in _COLUMNS.items()
        if name not in columns and ("NOT NULL" in kind or "PRIMARY" in kind)
    ]
    if foreign or needed:
        raise StartError(
            f"database: {path}: the table BotTrade is not the one that snexec knows"
            f" (columns {', '.join(foreign + needed)})"
        )
    twice = connection.execute(
        "SELECT symbol, group_concat(id, ', ') FROM BotTrade WHERE status = 'open'"
        " GROUP BY symbol HAVING count(*) > 1"
    ).fetchall()
    if twice:
        named = "; ".join(f"{symbol}: {ids}" for symbol, ids in twice)
        raise StartError(
            f"database: {path} has more than one open row of a symbol ({named}):"
            " close all but one of them"
        )


def _create_missing(
    connection: sqlite3.Connection,
    columns: dict[str, sqlite3.Row],
    *,
    kind: str,
    now: str,
) -> None:
    execute = connection.execute
    execute("CREATE TABLE IF NOT EXISTS SnexecMeta (key TEXT PRIMARY KEY, value TEXT)")
    execute("INSERT OR IGNORE INTO SnexecMeta VALUES ('money', ?)", [kind])
    execute("INSERT OR IGNORE INTO SnexecMeta VALUES ('since', ?)", [now])
    if columns and not columns["id"]["pk"]:
        # Another program's table; whether an id is repeated is for the file to tell.
        execute("CREATE UNIQUE INDEX IF NOT EXISTS BotTrade_id ON BotTrade (id)")
    if not columns:
        declared = ", ".join(f'"{name}" {kind}' for name, kind in _COLUMNS.items())
        execute(f"CREATE TABLE BotTrade ({declared})")
    else:
        for name, column_type in _COLUMNS.items():
            if name not in columns:
                execute(f'ALTER TABLE BotTrade ADD COLUMN "{name}" {column_type}')
    known = {
        name
        for (name,) in execute("SELECT name FROM sqlite_master WHERE type = 'index'")
    }
    for name, statement in _INDICES.items():
        if name not in known:
            execute(statement)


def column_names() -> tuple[str, ...]:
    """Name the columns of a BotTrade table of this version."""
    return tuple(_COLUMNS)
