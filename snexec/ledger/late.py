"""Rows that gave way to a newer row of their symbol, and get its place back (SPEC 8, 11).

Such a row is missed, as ``order_found_late``: two rows of a symbol are never open. Where
the newer one ends and has bought nothing, what the older one bought is the symbol's.
"""

from __future__ import annotations

import logging
import sqlite3
from typing import TYPE_CHECKING

from snexec.ledger.faults import check_kept, explained
from snexec.ledger.reading import text_of
from snexec.ledger.symbols import open_row, symbol_key
from snexec.logs import about
from snexec.recent import Recent

if TYPE_CHECKING:
    from snexec.ledger.counting import Counting
    from snexec.ledger.unconcluded import Unconcluded

log = logging.getLogger("Recovery")

_NOTE = "INSERT OR REPLACE INTO SnexecMeta VALUES ('late ' || ?, ?)"
_FORGET = "DELETE FROM SnexecMeta WHERE key = 'late ' || ?"
_IS_ANY = "SELECT 1 FROM SnexecMeta WHERE key GLOB 'late *' LIMIT 1"
_INSTEAD_OF = "SELECT value FROM SnexecMeta WHERE key = 'late ' || ?"
_IS_LATE = (
    "status = 'missed' AND exitReason = 'order_found_late' AND mode IS NOT NULL"
    " AND (settledAt IS NULL OR shares IS NOT NULL)"
)
# From the notes, of which there are few, to their rows.
_NEWEST = (
    "SELECT id, symbol, mode FROM SnexecMeta CROSS JOIN BotTrade"  # noqa: S608
    f" ON id = substr(key, 6) WHERE key GLOB 'late *' AND {_IS_LATE}"
    f" AND {symbol_key('symbol')} = {symbol_key('?1')}"
    " ORDER BY createdAt DESC LIMIT 1"
)
_ROW = f"SELECT id, symbol, mode FROM BotTrade WHERE id = ? AND {_IS_LATE}"  # noqa: S608
_OPEN = (
    "UPDATE BotTrade SET status = 'open', exitReason = NULL, updatedAt = ? WHERE id = ?"
)
_REMEMBERED = 64


class LateRows:
    """Knows such rows by notes of its own, within the store's transactions."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        counting: Counting,
        unconcluded: Unconcluded,
    ) -> None:
        self._db = connection
        self._counting = counting
        self._unconcluded = unconcluded
        self._said = Recent[tuple[str, str]](_REMEMBERED)  # a commit may be tried again

    def read_from(self, connection: sqlite3.Connection) -> None:
        """Use another connection to the same rows from now on."""
        self._db = connection

    @property
    def is_any(self) -> bool:
        """Whether there may be such a row."""
        return self._db.execute(_IS_ANY).fetchone() is not None

    def gave_way(self, trade_id: str, newer_id: str) -> None:
        """Note that a row is missed because its symbol has a newer open row."""
        self._db.execute(_NOTE, [trade_id, newer_id])

    def forget(self, trade_id: str) -> None:
        """Note that a row is none of these any more."""
        self._db.execute(_FORGET, [trade_id])

    def open_in_place_of(self, ended_id: str, symbol: str, *, now: str) -> str | None:
        """Open the newest such row of a symbol whose open row has bought nothing.

        Whether the account still holds what it bought is asked later.

        Args:
            ended_id: The row that has ended, or is gone.
            symbol: In any spelling.
            now: For ``updatedAt``.

        Returns:
            Which row is open instead, if there was one.
        """
        if not self.is_any:
            return None
        found = self._db.execute(_NEWEST, [symbol]).fetchone()
        return None if found is None else self._open(found, ended_id, now)

    def open_again(self, trade_id: str, *, now: str) -> bool:
        """Open such a row, if its symbol has no open row any more.

        Returns:
            Whether it is none of these; one that is open now is looked at once more, as
            positions lag behind.
        """
        found = self._db.execute(_ROW, [trade_id]).fetchone()
        if found is None:
            self.forget(trade_id)
            return True
        newer = self._db.execute(_INSTEAD_OF, [trade_id]).fetchone()
        newer_id = None if newer is None else text_of(newer[0])
        self._open(found, newer_id, now)
        return False

    def _open(self, row: sqlite3.Row, newer_id: str | None, now: str) -> str | None:
        trade_id, symbol, mode = row
        if open_row(self._db, symbol) is not None:
            return None
        try:
            self._db.execute(_OPEN, [now, trade_id])
            check_kept(self._db, trade_id, {"status": "open"})
        except sqlite3.IntegrityError as exc:
            if not self._db.in_transaction:  # a trigger may end it
                raise
            self._say(
                f"cannot be opened again ({explained(exc, self._db)}): close its shares"
                " by hand",
                *(trade_id, newer_id, symbol),
            )
            return None
        self._counting.row_opens(mode)
        self.forget(trade_id)
        self._unconcluded.note(trade_id, mode)
        self._say(
            "is open again and holds what it bought", *(trade_id, newer_id, symbol)
        )
        return str(trade_id)

    def _say(self, what: str, trade_id: str, newer_id: str | None, symbol: str) -> None:
        if (trade_id, what) in self._said:
            return
        self._said.add((trade_id, what))
        log.error(
            "%s trade=%s had given way to trade=%s, which has ended: its row %s",
            *(symbol, trade_id, newer_id, what),
            extra=about(symbol=symbol, trade_id=trade_id),
        )
