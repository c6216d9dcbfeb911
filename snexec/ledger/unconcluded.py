"""Rows of found orders of which nobody knows yet whether their shares were sold (SPEC 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

    from snexec.model import AccountName

_NOTE = "INSERT OR REPLACE INTO SnexecMeta VALUES ('unconcluded ' || ?, ?)"
_FORGET = "DELETE FROM SnexecMeta WHERE key = 'unconcluded ' || ?"
_ALL = (
    "SELECT substr(key, 13) FROM SnexecMeta WHERE key GLOB 'unconcluded *'"
    " AND value = ?"
)


class Unconcluded:
    """Notes them in the file, within the store's transactions: a stop forgets none."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def read_from(self, connection: sqlite3.Connection) -> None:
        """Use another connection to the same rows from now on."""
        self._db = connection

    def note(self, trade_id: str, mode: AccountName) -> None:
        """Note a row: what its order has bought may be sold."""
        self._db.execute(_NOTE, [trade_id, mode])

    def forget(self, trade_id: str) -> None:
        """Note that it is known what became of a row's shares."""
        self._db.execute(_FORGET, [trade_id])

    def of(self, mode: AccountName) -> list[str]:
        """Return the ids of a mode's rows."""
        return [str(trade_id) for (trade_id,) in self._db.execute(_ALL, [mode])]
