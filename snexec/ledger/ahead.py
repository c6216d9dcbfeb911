"""Rows dated ahead of this machine's clock: named, as limits that count would trip on them.

Another program writes such a date, or a clock that was wrong. What is dated up to tomorrow
counts as of now: the clock may have been set back since, or the other program may write its
own zone's time. What is dated later counts for no limit, or its brakes would hold for good.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from snexec.clock import timestamp
from snexec.recent import Recent

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable
    from datetime import datetime

log = logging.getLogger("Daemon")

_NO_CLOCK_IS_SO_FAR_OFF = timedelta(minutes=5)
_ZONES = timedelta(days=1)  # texts of any zone, compared as texts
_NEWEST_ROWS = 2_000  # of those without an index: a start has no time for all of them
_ALL_ROWS = -1
_NAMED_ROWS = 3
_REMEMBERED_ROWS = 1024
_COLUMNS = ("createdAt", "entryAt", "exitAt")
_TEXT_IS_AHEAD = "{0} > :loosely AND julianday({0}) > julianday(:soon)"
_NUMBER_IS_AHEAD = "{0} > :soon_ms AND {0} < ''"  # milliseconds, before all text
_IS_AHEAD = f"({_TEXT_IS_AHEAD} OR {_NUMBER_IS_AHEAD})"
_ANY_IS_AHEAD = " OR ".join(map(_IS_AHEAD.format, _COLUMNS))
_LATEST = ", ".join(
    f"CASE WHEN {_IS_AHEAD.format(name)} THEN CAST({name} AS TEXT) ELSE '' END"
    for name in _COLUMNS
)
# As bytes: another program's text need not be UTF-8.
_SELECT = "SELECT CAST(id AS BLOB), CAST(symbol AS BLOB), CAST({0} AS BLOB) AS date"
_SELECT_CLOSED = f"{_SELECT.format('exitAt')} FROM BotTrade WHERE status = 'closed'"
# Each half is a range of the index: closed rows are looked at on an order's way.
CLOSED = (
    f"{_SELECT_CLOSED} AND {_TEXT_IS_AHEAD.format('exitAt')}"
    f" UNION ALL {_SELECT_CLOSED} AND {_NUMBER_IS_AHEAD.format('exitAt')} LIMIT 100"
)
_NEWEST = (
    f"{_SELECT.format(f'max({_LATEST})')} FROM"  # noqa: S608
    " (SELECT id, symbol, createdAt, entryAt, exitAt FROM BotTrade"
    " ORDER BY rowid DESC LIMIT :rows)"
    f" WHERE {_ANY_IS_AHEAD} ORDER BY date DESC LIMIT 100"
)


class DatedAhead(NamedTuple):
    """A row with a date ahead of the clock: its id, its symbol, the latest date."""

    trade_id: str
    symbol: str
    date: str


def find_ahead(
    connection: sqlite3.Connection, moment: datetime, *, rows: int = _ALL_ROWS
) -> list[DatedAhead]:
    """Return rows dated more than five minutes ahead, at most 100, the latest first.

    Args:
        connection: Reads the rows.
        moment: Now.
        rows: Among how many of the newest ones; closed ones are found among all.
    """
    values = _values(moment) | {"rows": rows}
    found = {
        row.trade_id: row
        for statement in (CLOSED, _NEWEST)
        for row in map(_read, connection.execute(statement, values))
    }
    return sorted(found.values(), key=_date, reverse=True)


def named(rows: list[DatedAhead]) -> str:
    """Name the rows that are dated furthest ahead, and say how many there are."""
    shown = ", ".join(
        f"{row.symbol} trade={row.trade_id} {row.date}" for row in rows[:_NAMED_ROWS]
    )
    more = len(rows) - _NAMED_ROWS
    return f"{shown} and {more} more" if more > 0 else shown


class AheadWatch:
    """Warns of each row dated ahead, once, from the start on."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._told: Recent[str] | None = None  # until the start has looked

    def read_from(self, connection: sqlite3.Connection) -> None:
        """Read over another connection to the same rows from now on."""
        self._db = connection

    def begin(self, moment: datetime) -> None:
        """Warn of the rows that are there at the start."""
        self._told = Recent(_REMEMBERED_ROWS)
        self._tell(find_ahead(self._db, moment, rows=_NEWEST_ROWS))

    def look(self, moment: datetime) -> None:
        """Warn of closed rows that have come since."""
        if self._told is not None:
            found = self._db.execute(CLOSED, _values(moment)).fetchall()
            self._tell(sorted(map(_read, found), key=_date, reverse=True))

    def _tell(self, rows: Iterable[DatedAhead]) -> None:
        told = self._told
        assert told is not None  # noqa: S101 - who tells has begun
        new = [row for row in rows if row.trade_id not in told]
        if not new:
            return
        for row in new:
            told.add(row.trade_id)
        log.warning(
            "rows are dated ahead of this machine's clock (%s): those of later than"
            " tomorrow count for no limit; look at the clock, or correct the rows",
            named(new),
        )


def _date(row: DatedAhead) -> str:
    return row.date


def _read(row: Iterable[bytes | None]) -> DatedAhead:
    return DatedAhead(*((each or b"").decode(errors="replace")[:64] for each in row))


def _values(moment: datetime) -> dict[str, object]:
    soon = moment + _NO_CLOCK_IS_SO_FAR_OFF
    return {
        "soon": timestamp(soon),
        "loosely": timestamp(soon - _ZONES),
        "soon_ms": round(soon.timestamp() * 1000),
    }
