"""Rows of which the broker knows no order: their orders may be sent once more (SPEC 13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snexec.clock import timestamp
from snexec.ledger.faults import check_kept
from snexec.ledger.symbols import open_row

if TYPE_CHECKING:
    import sqlite3

    from snexec.clock import Clock
    from snexec.ledger.counting import Counting
    from snexec.ledger.rows import NewTrade, Opening
    from snexec.risk import Limits

_STATUS = (
    "SELECT status FROM BotTrade WHERE id = ? AND symbol = ? AND alpacaOrderId IS NULL"
    " AND settledAt IS NULL AND shares IS NULL AND entryPrice IS NULL"
    " AND (status = 'open' OR (status = 'missed' AND exitReason = 'order_not_found'))"
)
_OPEN = (
    "UPDATE BotTrade SET status = 'open', exitReason = NULL, updatedAt = ?,"
    " notional = ?, starRating = ? WHERE id = ?"
)


class UnsentRows:
    """Opens such rows again, over the store's own connection and within its transactions."""

    def __init__(
        self, connection: sqlite3.Connection, counting: Counting, *, clock: Clock
    ) -> None:
        self._db = connection
        self._counting = counting
        self._clock = clock

    def read_from(self, connection: sqlite3.Connection) -> None:
        """Use another connection to the same rows from now on."""
        self._db = connection

    def open_again(self, trade: NewTrade, limits: Limits | None) -> Opening:
        """Open the row of an order that is about to leave, perhaps once more.

        Args:
            trade: The row as it would be drawn up now.
            limits: What is asked before one that was given up is open again; one that
                is open still counts already.

        Returns:
            "repeated" where the broker has spoken of the order, where somebody has ended
            its row otherwise, or where the row is of another symbol's order.

        Raises:
            sqlite3.IntegrityError: A rule of another program's forbids it.
        """
        found = self._db.execute(_STATUS, [trade.id, trade.symbol]).fetchone()
        if found is None:
            return "repeated"
        moment = self._clock.now()
        if found[0] == "missed":
            if open_row(self._db, trade.symbol) is not None:
                return "symbol_open"
            if limits is not None:
                counts = self._counting.count(
                    trade.symbol, trade.mode, trade.notional, limits, moment
                )
                if (reason := limits.stop(counts)) is not None:
                    return reason
            self._counting.row_opens(trade.mode)
        values = (timestamp(moment), float(trade.notional), trade.stars, trade.id)
        self._db.execute(_OPEN, values)
        check_kept(self._db, trade.id, {"status": "open"})
        return "again"
