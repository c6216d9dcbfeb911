"""Whose fault an error is, the disk's or one change's, in words that fit (SPEC 10)."""

from __future__ import annotations

import re
import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# The file cannot be read or written now, whatever is asked of it: tried again. Any other
# error is about what one change asks for, or about what another program put in its way.
_OF_THE_FILE = frozenset(
    {
        sqlite3.SQLITE_INTERNAL,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_ABORT,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_SCHEMA,
        sqlite3.SQLITE_NOLFS,
        sqlite3.SQLITE_AUTH,
        sqlite3.SQLITE_NOTADB,
    }
)
IGNORED = "the change is ignored"
_UNDONE = "the change is undone"
_TRIGGERS = (
    "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
    " AND lower(tbl_name) = 'bottrade'"
)
_NO_COLUMN = re.compile(r"no such column: (\w+)$|BotTrade has no column named (\w+)$")


def is_of_one_change(error: Exception) -> bool:
    """Return whether an error that a change met ends that change alone."""
    if not isinstance(error, sqlite3.Error):
        return True
    code = getattr(error, "sqlite_errorcode", None)
    if (
        code is None
    ):  # not SQLite's own: Python's, about values, or of a file that is gone
        return not isinstance(error, sqlite3.OperationalError)
    if code == sqlite3.SQLITE_CORRUPT_VTAB:  # another program's search index, say
        return True
    return code & 0xFF not in _OF_THE_FILE


def explained(error: Exception, connection: sqlite3.Connection) -> Exception:
    """Return an error of one change in words that say whose rule it met.

    Args:
        error: What the change met.
        connection: Asked for the triggers that stand in the way.
    """
    if not isinstance(error, sqlite3.Error):
        return error
    found = type(error)(_words(error, connection))
    found.__cause__ = error
    return found


def check_kept(
    connection: sqlite3.Connection, trade_id: object, columns: Mapping[str, object]
) -> None:
    """Check that a row holds what was just written to it.

    For where a trigger has written too, as it may have put back or removed the row.

    Raises:
        sqlite3.IntegrityError: It holds something else, or is not there.
    """
    names = tuple(columns)
    found = connection.execute(
        f"SELECT {', '.join(names)} FROM BotTrade WHERE id = ?",  # noqa: S608 - ours
        [trade_id],
    ).fetchone()
    if found is None or any(
        found[name] != columns[name] and str(found[name]) != str(columns[name])
        for name in names
    ):
        raise sqlite3.IntegrityError(_UNDONE)


def _words(  # noqa: PLR0911 - one return a kind of fault, as a table
    error: sqlite3.Error, connection: sqlite3.Connection
) -> str:
    text, code = str(error), getattr(error, "sqlite_errorcode", None)
    if text.endswith((": BotTrade", ".BotTrade")) and "no such table" in text:
        return "the table BotTrade is gone: restore it from a backup"
    triggers = _triggers(text, connection)
    one = f"trigger {', '.join(triggers)} of another program"
    if text == IGNORED:
        if triggers:
            return f"{one} ignores the change: mend or drop it"
        return "the row has changed its id meanwhile, or it is no text"
    if text == _UNDONE:
        return f"{one} undoes the change: mend or drop it"
    if code == sqlite3.SQLITE_CONSTRAINT_TRIGGER:
        return f"{one} refuses the row: {text}; mend or drop it"
    lost = _NO_COLUMN.search(text)
    if lost is not None and not _name(triggers, lost[1] or lost[2], connection):
        return (
            f"{text}: another program has altered the table; start snexec again, which"
            " puts the column back"
        )
    if code in {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT_VTAB} and triggers:
        return f"{one} fails: {text}; mend or drop it"
    if isinstance(error, sqlite3.IntegrityError):
        return f"a rule of another program forbids the row: {text}"
    return text


def _triggers(text: str, connection: sqlite3.Connection) -> list[str]:
    """Return the triggers that may have said this, or else all that the table has."""
    found = {str(name): str(sql) for name, sql in connection.execute(_TRIGGERS)}
    last_word = text.rpartition(": ")[2].rpartition(".")[2]
    for words in (text.replace("'", "''"), last_word):
        if likely := [name for name, sql in found.items() if words in sql]:
            return likely
    return list(found)


def _name(triggers: list[str], column: str, connection: sqlite3.Connection) -> bool:
    """Return whether any of these triggers speaks of a column."""
    found = {str(name): str(sql) for name, sql in connection.execute(_TRIGGERS)}
    return any(column in found.get(name, "") for name in triggers)
