"""The database's tables and indices, and their migration (SPEC 10, 11)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from snexec.clock import timestamp
from snexec.errors import StartError
from snexec.ledger.file import connect, is_large, make_file, refuse_damaged, tune
from snexec.ledger.stops import note_stop
from snexec.ledger.symbols import OPEN_TWICE, respell_rows, symbol_key
from snexec.model import ACCOUNTS
from snexec.permissions import files_of, make_private

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from snexec.clock import Clock

SCHEMA_VERSION = 5
# Of a new file. An order's row touches six pages, and its commit writes all of them:
# with SQLite's own 4096 bytes a commit takes a tenth longer and three times the space.
_PAGE_BYTES = 1024

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
    "highPrice": "REAL",
    "exitOrderId": "TEXT",
}

# Amounts are decimal TEXT: what the broker said, to the last digit. The last three
# columns are why it is canceled, whether it sells all that the account holds, and how
# many shares a share of the order's time is by now (`new/old`), if there was a split.
_EXIT_TABLE = (
    "CREATE TABLE IF NOT EXISTS BotExit (id TEXT PRIMARY KEY, tradeId TEXT NOT NULL,"
    " kind TEXT NOT NULL, reason TEXT NOT NULL, qty TEXT NOT NULL,"
    " filledQty TEXT NOT NULL, filledAvgPrice TEXT, triggerPrice TEXT,"
    " triggerSource TEXT, state TEXT NOT NULL, alpacaOrderId TEXT,"
    " decidedAt DATETIME NOT NULL, wireMs REAL, fillMs REAL,"
    " createdAt DATETIME NOT NULL, updatedAt DATETIME NOT NULL, settledAt DATETIME,"
    " cancelReason TEXT, wholePosition INTEGER, splitRatio TEXT,"
    " waits INTEGER)"
)

_INDICES = {
    "BotTrade_one_open_per_symbol": (
        "CREATE UNIQUE INDEX BotTrade_one_open_per_symbol"
        f" ON BotTrade ({symbol_key('symbol')}) WHERE status = 'open'"
    ),
    "BotTrade_alpacaOrderId": (
        # Partial, so that it costs nothing in the moment before an order leaves.
        "CREATE INDEX BotTrade_alpacaOrderId ON BotTrade (alpacaOrderId)"
        " WHERE alpacaOrderId IS NOT NULL"
    ),
    "BotTrade_unsettled_not_open": (
        # Open rows are in the index above, and pay for one only.
        "CREATE INDEX BotTrade_unsettled_not_open ON BotTrade (mode)"
        " WHERE settledAt IS NULL AND mode IS NOT NULL AND status <> 'open'"
    ),
    "BotTrade_closed": (
        # For recent wins and losses. The row of a new order is not in it.
        "CREATE INDEX BotTrade_closed ON BotTrade (exitAt, pnl, mode, status)"
        " WHERE status = 'closed'"
    ),
    "BotExit_one_unsettled_per_trade": (
        "CREATE UNIQUE INDEX BotExit_one_unsettled_per_trade ON BotExit (tradeId)"
        " WHERE settledAt IS NULL"
    ),
    "BotExit_tradeId": "CREATE INDEX BotExit_tradeId ON BotExit (tradeId)",
    "BotExit_alpacaOrderId": (
        "CREATE INDEX BotExit_alpacaOrderId ON BotExit (alpacaOrderId)"
        " WHERE alpacaOrderId IS NOT NULL"
    ),
}


def open_database(path: Path, *, simulated: bool, clock: Clock) -> sqlite3.Connection:
    """Open the database for writing, migrated to this version.

    Raises:
        StartError: It is unusable, newer than this program, holds two open rows of
            one symbol, or belongs to the other kind of money; it is left untouched.
    """
    prepare = partial(_check_and_migrate, simulated=simulated, clock=clock)
    return _open(path, prepare)


def open_unmigrated(path: Path, *, simulated: bool) -> sqlite3.Connection:
    """Open the database to end rows of which a migration may complain.

    Raises:
        StartError: It is unusable, newer than this program, or belongs to the other
            kind of money.
    """
    return _open(path, partial(_check, kind=_kind(simulated=simulated)))


def _open(
    path: Path, prepare: Callable[[sqlite3.Connection, Path], object]
) -> sqlite3.Connection:
    try:
        make_file(path)
        if _is_database(path):
            make_private(files_of(path))  # the log gets the mode of the database
        connection = connect(path)
    except sqlite3.Error as exc:
        raise StartError(f"database: cannot open {path}: {exc}") from None
    try:
        prepare(connection, path)
    except sqlite3.Error as exc:
        connection.close()
        raise StartError(f"database: {path} cannot be used: {exc}") from None
    except BaseException:
        connection.close()
        raise
    return connection


def _is_database(path: Path) -> bool:
    """Return whether a file may be ours; nothing is made or locked to find out."""
    uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as probe:
            probe.execute("PRAGMA schema_version").fetchone()
    except sqlite3.Error:
        return False
    return True


def _check(
    connection: sqlite3.Connection, path: Path, *, kind: str
) -> tuple[int, set[str]]:
    """Return the file's version and what is in it, if this program may use it."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise StartError(
            f"database: {path} has schema version {version}, and this snexec knows"
            f" {SCHEMA_VERSION} at most: upgrade snexec or name another file"
        )
    if not is_large(connection):
        refuse_damaged(connection, path)
    present = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if "SnexecMeta" in present:
        check_kind(connection, path, kind)
    return int(version), present


def _check_and_migrate(
    connection: sqlite3.Connection, path: Path, *, simulated: bool, clock: Clock
) -> None:
    kind = _kind(simulated=simulated)
    version, present = _check(connection, path, kind=kind)
    is_current = version == SCHEMA_VERSION and present >= {
        "SnexecMeta",
        "BotTrade",
        "BotExit",
        *_INDICES,
    }
    is_current = is_current and _columns(connection).keys() >= _COLUMNS.keys()
    connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
    if not is_current:
        _migrate(connection, path, version, kind=kind, now=timestamp(clock.now()))
    tune(connection)


def _kind(*, simulated: bool) -> str:
    return "simulated" if simulated else "real"


def kind_words(kind: str) -> str:
    """Return what a file's trades are; whether paper or live their rows say."""
    return "Alpaca trades (paper or live)" if kind == "real" else f"{kind} trades"


def check_kind(connection: sqlite3.Connection, path: Path, kind: str) -> None:
    """Keep what was simulated and what was ordered at Alpaca apart.

    Raises:
        StartError: The file holds the other kind.
    """
    row = connection.execute(
        "SELECT value FROM SnexecMeta WHERE key = 'money'"
    ).fetchone()
    if row is not None and row[0] != kind:
        raise StartError(
            f"database: {path} holds {kind_words(row[0])}, and this configuration makes"
            f" {kind_words(kind)}: name another file in `database`"
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
        if version < 4:
            connection.execute("DROP INDEX IF EXISTS BotTrade_one_open_per_symbol")
        _create_missing(connection, columns, kind=kind, now=now)
        if version < 4:
            respell_rows(connection, now=now)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    except BaseException:
        if connection.in_transaction:  # a trigger may have ended it
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _columns(connection: sqlite3.Connection) -> dict[str, sqlite3.Row]:
    """Return the file's own description of BotTrade's columns, by name; empty if new.

    Not by sqlite-utils, which imports pandas where that is installed: a first start
    would take twice as long.
    """
    rows = connection.execute("PRAGMA table_info(BotTrade)").fetchall()
    return {row["name"]: row for row in rows}


def check_rows(connection: sqlite3.Connection, path: Path) -> None:
    """Check a table that another program may have made.

    Raises:
        StartError: It is not the table that snexec knows, or a symbol has two open
            rows.
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
    twice = connection.execute(OPEN_TWICE).fetchall()
    if twice:
        named = "; ".join(f"{symbol}: {ids}" for symbol, ids in twice)
        raise StartError(
            f"database: {path} has more than one open row of a symbol ({named}):"
            " close all but one of them (snexec settle TRADE --as closed, or missed)"
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
        # Another program's table; the file itself has to refuse a repeated id.
        execute("CREATE UNIQUE INDEX IF NOT EXISTS BotTrade_id ON BotTrade (id)")
    if not columns:
        declared = ", ".join(f'"{name}" {kind}' for name, kind in _COLUMNS.items())
        execute(f"CREATE TABLE BotTrade ({declared})")
        note_stop(connection, ACCOUNTS, now=now)
    else:
        for name, column_type in _COLUMNS.items():
            if name not in columns:
                execute(f'ALTER TABLE BotTrade ADD COLUMN "{name}" {column_type}')
    execute(_EXIT_TABLE)
    known = {
        name
        for (name,) in execute("SELECT name FROM sqlite_master WHERE type = 'index'")
    }
    for name, statement in _INDICES.items():
        if name not in known:
            execute(statement)


def column_names() -> tuple[str, ...]:
    """Return the column names of a BotTrade table of this version."""
    return tuple(_COLUMNS)
