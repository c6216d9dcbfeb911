"""Reads BotTrade rows for an operator, beside whoever writes them (SPEC 10).

Other programs write there too, so a column may be missing or hold anything.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import sqlite_utils

from snexec.errors import CommandError
from snexec.ledger import connect, symbol_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

# Milliseconds since 1970, from ISO 8601 in any zone, or from the number that some
# programs write.
_MOMENT = (
    "CASE WHEN typeof({0}) = 'text'"
    " THEN CAST(round((julianday({0}) - 2440587.5) * 86400000) AS INTEGER)"
    " ELSE {0} END"
)
MOMENT = "moment of creation"  # no column is called that
LATENCIES = ("wireMs", "replyMs", "fillMs")  # from the read line to these, in ms


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """Which rows to read; None means any.

    Attributes:
        columns: What each column must hold, by the column's name; a symbol in any
            spelling.
        since: Created then or later, in milliseconds since 1970.
        until: Created before then, in milliseconds since 1970.
        limit: At most this many rows, the newest ones.
        by: The column that both bounds, the order and the ``MOMENT`` are about.
    """

    columns: Mapping[str, str | None] = field(default_factory=dict)
    since: int | None = None
    until: int | None = None
    limit: int | None = None
    by: Literal["createdAt", "exitAt"] = "createdAt"


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The rows found, to be read while the connection is open.

    Attributes:
        columns: The names of the table's columns.
        money: "simulated" or "real", if the file says which.
        rows: The oldest first, each with its ``MOMENT`` beside its columns.
        matching: How many there are, also beyond the limit.
    """

    columns: list[str]
    money: str | None
    rows: Iterator[dict[str, object]]
    matching: Callable[[], int]


@contextmanager
def open_rows(path: Path, query: Query) -> Iterator[QueryResult | None]:
    """Read rows from a file, which is never changed; None if it has no table yet.

    Raises:
        CommandError: It cannot be read.
    """
    if not path.exists():
        yield None
        return
    try:
        with closing(open_to_read(path)) as connection:
            database = sqlite_utils.Database(connection)
            columns = [column.name for column in database["BotTrade"].columns]
            if not columns:
                yield None
                return
            statement, values = _statement(query, set(columns))
            rows: Iterator[dict[str, object]] = database.query(statement, values)
            if query.limit is not None:
                rows = reversed(list(rows))
            matching = partial(_count, connection, query, set(columns))
            yield QueryResult(columns, money_of(connection), rows, matching)
    except sqlite3.Error as exc:
        raise CommandError(f"database: {path} cannot be read: {exc}") from None


def open_to_read(path: Path) -> sqlite3.Connection:
    """Open a file for reading only; its folder may be read-only too.

    Raises:
        sqlite3.Error: It cannot be read.
    """
    connection = connect(path, read_only=True)
    try:
        return _that_reads(connection)
    except sqlite3.OperationalError:
        if Path(f"{path.resolve()}-wal").exists():
            raise
    # Nobody has it open, and in this folder nobody can start to write: it is fixed.
    target = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    connection = sqlite3.connect(target, uri=True)
    connection.row_factory = sqlite3.Row
    connection.text_factory = lambda text: text.decode(errors="replace")
    return _that_reads(connection)


def _that_reads(connection: sqlite3.Connection) -> sqlite3.Connection:
    try:
        connection.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def money_of(connection: sqlite3.Connection) -> str | None:
    """Return which kind of money a file is about, "simulated" or "real"; None if unset.

    Raises:
        sqlite3.Error: It cannot be read.
    """
    known = "SELECT count(*) FROM sqlite_master WHERE name = 'SnexecMeta'"
    if not connection.execute(known).fetchone()[0]:
        return None
    row = connection.execute(
        "SELECT value FROM SnexecMeta WHERE key = 'money'"
    ).fetchone()
    return None if row is None else str(row[0])


def _count(connection: sqlite3.Connection, query: Query, present: set[str]) -> int:
    conditions, values = _conditions(query, present)
    statement = f"SELECT count(*) FROM BotTrade WHERE {conditions}"  # noqa: S608
    return int(connection.execute(statement, values).fetchone()[0])


def _statement(query: Query, present: set[str]) -> tuple[str, list[object]]:
    conditions, values = _conditions(query, present)
    moment = _moment(query, present)
    newest_first = query.limit is not None
    direction = "DESC" if newest_first else "ASC"
    statement = (
        f'SELECT *, {moment} AS "{MOMENT}" FROM BotTrade'  # noqa: S608
        f" WHERE {conditions}"
        f' ORDER BY "{MOMENT}" {direction}, rowid {direction}'
        f" LIMIT {query.limit if newest_first else -1}"
    )
    return statement, values


def _moment(query: Query, present: set[str]) -> str:
    return _MOMENT.format(query.by) if query.by in present else "NULL"


def _conditions(query: Query, present: set[str]) -> tuple[str, list[object]]:
    conditions: list[str] = []
    values: list[object] = []
    for column, value in query.columns.items():
        if value is not None:
            values.append(value)
            given = f"?{len(values)}"
            if column not in present:  # which counts as null in every row
                conditions.append(f"{given} IS NULL")
            elif column == "symbol":
                conditions.append(f"{symbol_key('symbol')} = {symbol_key(given)}")
            else:
                conditions.append(f'"{column}" = {given}')
    moment = _moment(query, present)
    for sign, bound in ((">=", query.since), ("<", query.until)):
        if bound is not None:
            conditions.append(f"{moment} {sign} ?")
            values.append(bound)
    return " AND ".join(conditions) or "1", values
