"""Rows that hold what cannot be read, in words that name them (SPEC 10, 11).

Another program put it there. It stops nothing, but what counts in its place must be said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from snexec.ledger.reading import id_of, number_of, seconds_sql, text_of
from snexec.model import MODES

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

_NEWEST = 10_000  # rows that are looked at beside the open ones, for the time it takes
_NAMED = 10
_LONGEST_SHOWN = 40  # characters of a value
_STATUSES = ("open", "closed", "missed")
_NUMBERS = {
    "entryPrice": "counts as unknown",
    "exitPrice": "counts as unknown",
    "shares": "counts as unknown",
    "pnl": "wins nothing",
    "notional": "counts as more dollars than any limit allows",
}
_TIMES = ("entryAt", "exitAt", "createdAt", "updatedAt")
_COLUMNS = ("id", "symbol", "status", "mode", *_NUMBERS, *_TIMES)
_ROWS = (
    f"SELECT {', '.join(_COLUMNS)},"  # noqa: S608 - constants only
    f" {', '.join(seconds_sql(name) for name in _TIMES)} FROM BotTrade"
    " WHERE rowid IN (SELECT rowid FROM BotTrade WHERE status = 'open' UNION SELECT *"
    f" FROM (SELECT rowid FROM BotTrade ORDER BY rowid DESC LIMIT {_NEWEST}))"
)


def describe_oddities(connection: sqlite3.Connection) -> list[str]:
    """Return a line for each row that holds what cannot be read, and what counts then.

    Raises:
        sqlite3.Error: The rows cannot be read.
    """
    table = connection.execute("PRAGMA table_info(BotTrade)").fetchall()
    if lost := set(_COLUMNS) - {str(column["name"]) for column in table}:
        return [f"BotTrade has no {', '.join(sorted(lost))}: a start puts that back"]
    lines: list[str] = []
    more = 0
    for row in connection.execute(_ROWS):
        if not (found := "; ".join(_odd(tuple(row)))):
            continue
        if len(lines) < _NAMED:
            name, symbol = _shown(row["id"]), _shown(row["symbol"])
            lines.append(f"row {name} ({symbol}) cannot be read in full: {found}")
        else:
            more += 1
    if more:
        lines.append(f"{more} more rows hold what cannot be read")
    return lines


def _odd(row: tuple[object, ...]) -> Iterator[str]:
    values = dict(zip(_COLUMNS, row, strict=False))
    mode, status = values["mode"], values["status"]
    if mode is not None and id_of(values["id"]) is None:
        yield "no order has such an id, so nobody is asked about it: end it by hand"
    if (text_of(values["symbol"]) or "\ufffd").count("\ufffd"):
        yield "its symbol is no text, so it blocks no other"
    if mode is not None and mode not in MODES:
        yield f"mode {_shown(mode)} counts in both modes"
    if status not in _STATUSES:
        yield f"status {_shown(status)} is neither open nor ended, and blocks nothing"
    for name, meaning in _NUMBERS.items():
        if values[name] is not None and number_of(values[name]) is None:
            yield f"{name} {_shown(values[name])} is no number, and {meaning}"
    for name, seconds in zip(_TIMES, row[len(_COLUMNS) :], strict=True):
        if values[name] is not None and seconds is None:
            yield (
                f"{name} {_shown(values[name])} is no time: another one of the row"
                " counts, or now"
            )


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
