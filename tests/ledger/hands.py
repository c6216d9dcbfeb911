"""Another program's hands in the file: triggers, rules, and rows of any content."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

NOT_UTF8 = b"\xffAAPL"
# Each keeps rows of DOOM, and no others, from being written; and what is said of it.
TRIGGERS = {
    "refuses": (
        "BEFORE {} ON BotTrade WHEN NEW.symbol = 'DOOM'"
        " BEGIN SELECT RAISE(ABORT, 'no, it''s ours'); END",
        "trigger guard of another program refuses the row: no, it's ours; mend or drop"
        " it",
    ),
    "undoes all": (
        "BEFORE {} ON BotTrade WHEN NEW.symbol = 'DOOM'"
        " BEGIN SELECT RAISE(ROLLBACK, 'all of it'); END",
        "trigger guard of another program refuses the row: all of it; mend or drop it",
    ),
    "ignores": (
        "BEFORE {} ON BotTrade WHEN NEW.symbol = 'DOOM' BEGIN SELECT RAISE(IGNORE); END",
        "trigger guard of another program ignores the change: mend or drop it",
    ),
    "takes back": (
        "AFTER {0} ON BotTrade WHEN NEW.symbol = 'DOOM' BEGIN"
        " DELETE FROM BotTrade WHERE '{0}' = 'INSERT' AND id = NEW.id;"
        " UPDATE BotTrade SET status = 'open', shares = null, settledAt = null,"
        " alpacaOrderId = null WHERE '{0}' = 'UPDATE' AND id = NEW.id; END",
        "trigger guard of another program undoes the change: mend or drop it",
    ),
    "computes": (
        "BEFORE {} ON BotTrade WHEN NEW.symbol = 'DOOM'"
        " BEGIN SELECT abs(-9223372036854775807 - 1); END",
        "trigger guard of another program fails: integer overflow; mend or drop it",
    ),
}


def write(path: Path, *statements: str | tuple[str, list[object]]) -> None:
    """Run statements over a connection of their own, each in its own transaction."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        for statement in statements:
            if isinstance(statement, str):
                other.execute(statement)
            else:
                other.execute(*statement)


def trigger(path: Path, kind: str, on: str) -> None:
    """Make the trigger ``guard`` of a kind, on INSERT, UPDATE or DELETE."""
    write(path, f"CREATE TRIGGER guard {TRIGGERS[kind][0].format(on)}")


def drop_trigger(path: Path) -> None:
    """Drop the trigger again."""
    write(path, "DROP TRIGGER guard")


def add_row(path: Path, **columns: object) -> None:
    """Write a row with these columns; text may be given as bytes."""
    values: dict[str, object] = {
        "id": "x",
        "symbol": "GE",
        "status": "open",
        "createdAt": "2026-01-05T14:00:00.000Z",
        "updatedAt": "2026-01-05T14:00:00.000Z",
        **columns,
    }
    places = (
        "CAST(? AS TEXT)" if isinstance(value, bytes) else "?"
        for value in values.values()
    )
    write(
        path,
        (
            f"INSERT INTO BotTrade ({', '.join(values)}) VALUES ({', '.join(places)})",  # noqa: S608
            list(values.values()),
        ),
    )
