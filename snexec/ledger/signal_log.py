"""What became of signals, and why: a table of its own, that nothing else reads (SPEC 15).

Written in batches behind the orders, and lost rather than waited for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

KEPT = 10_000
_TABLE = (
    "CREATE TABLE IF NOT EXISTS SignalLog (at DATETIME NOT NULL, signalId TEXT,"
    " symbol TEXT, mode TEXT, outcome TEXT NOT NULL, reason TEXT, figures TEXT)"
)
_ADD = "INSERT INTO SignalLog VALUES (?, ?, ?, ?, ?, ?, ?)"
_PRUNE = "DELETE FROM SignalLog WHERE rowid <= (SELECT max(rowid) FROM SignalLog) - ?"


class Decision(NamedTuple):
    """What became of a signal.

    Attributes:
        at: When, as rows carry it.
        outcome: ``skipped``, ``placed``, ``refused``.
        reason: Why, where it was not ordered.
        figures: More of it, as JSON.
    """

    at: str
    signal_id: str | None
    symbol: str | None
    mode: str | None
    outcome: str
    reason: str | None
    figures: str | None


class SignalTable:
    """Writes them, in the writer's turn."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def read_from(self, connection: sqlite3.Connection) -> None:
        """Use another connection from now on."""
        self._db = connection

    def add(self, decisions: Sequence[Decision]) -> None:
        """Add decisions, and remove the oldest beyond what is kept."""
        self._db.execute(_TABLE)
        self._db.executemany(_ADD, decisions)
        self._db.execute(_PRUNE, [KEPT])
