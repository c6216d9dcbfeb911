"""BotExit beside its BotTrade row: what is read of both, and how a row closes.

A row and its sells change in one transaction (SPEC 12.2, 12.5).
"""

from __future__ import annotations

import sqlite3
from decimal import Decimal
from typing import TYPE_CHECKING

from snexec.clock import timestamp
from snexec.ledger.exit_row import Sold, is_sold, result_of
from snexec.ledger.faults import IGNORED, check_kept
from snexec.ledger.reading import exact

if TYPE_CHECKING:
    from datetime import datetime

    from snexec.clock import Clock
    from snexec.ledger.counting import Counting
    from snexec.ledger.exit_row import Result
    from snexec.ledger.exit_rows import ExitApplied

SHARE_STEP = Decimal("0.000000001")  # as Alpaca takes quantities

_ROW = (
    "SELECT id, symbol, mode, status, shares, entryPrice, highPrice, exitPrice, pnl,"
    " exitReason, settledAt, signalId FROM BotTrade WHERE id = ?"
)
_EXITS = "SELECT * FROM BotExit WHERE tradeId = ? ORDER BY rowid"
_CLOSE = (
    "UPDATE BotTrade SET status = 'closed', exitPrice = ?, pnl = ?, exitReason = ?,"
    " exitAt = ?, exitOrderId = ?, updatedAt = ? WHERE id = ?"
)
# A row that was closed without its price; the rest of it stays.
_COMPLETE = (
    "UPDATE BotTrade SET exitPrice = ?, pnl = ?, updatedAt = ?, exitReason ="
    " CASE exitReason WHEN 'rebuilt' THEN ? ELSE exitReason END WHERE id = ?"
)


class ExitTable:
    """Reads sells and their rows, over the store's own connection."""

    def __init__(
        self, connection: sqlite3.Connection, counting: Counting, *, clock: Clock
    ) -> None:
        self._db = connection
        self._counting = counting
        self._clock = clock

    def read_from(self, connection: sqlite3.Connection) -> None:
        """Use another connection to the same rows from now on."""
        self._db = connection

    def _row(self, row_id: str) -> sqlite3.Row | None:
        found: sqlite3.Row | None = self._db.execute(_ROW, [row_id]).fetchone()
        return found

    def _exits(self, row_id: str) -> list[sqlite3.Row]:
        return self._db.execute(_EXITS, [row_id]).fetchall()

    def _conclude(
        self,
        applied: ExitApplied,
        row: sqlite3.Row,
        *,
        whole_position: bool,
        at: datetime | None,
    ) -> ExitApplied:
        """Close the row if all of it is sold, and say what is left otherwise.

        Args:
            applied: What became of one sell, which is written.
            row: Its row.
            whole_position: Whether the account holds nothing of the symbol any more.
            at: When it sold last, if that is known.
        """
        exits = self._exits(applied.row_id)
        also_live = (
            each["id"]
            for each in exits
            if each["settledAt"] is None and each["id"] != applied.id
        )
        shares, entry_price = exact(row["shares"]), exact(row["entryPrice"])
        applied = applied._replace(
            also_live=next(also_live, None), shares=shares, entry_price=entry_price
        )
        if shares is None:
            return applied
        sells = sold_by(exits)
        sold = sum((sell.quantity for sell in sells), Decimal(0))
        left = shares - sold
        applied = applied._replace(remaining=max(left, Decimal(0)))
        if applied.executed and left < -SHARE_STEP:
            applied = applied._replace(oversold=-left)
        if not (sold and applied.settled) or not is_sold(
            row["symbol"], shares, sold, applied.price, whole_position=whole_position
        ):
            return applied
        result = result_of(sells, shares, entry_price)
        if may_close(row):
            return self._close(applied, row, result, _last_order(exits), at)
        if row["status"] == "closed" and row["exitPrice"] is row["pnl"] is None:
            return self._complete(applied, result)
        return applied

    def _close(
        self,
        applied: ExitApplied,
        row: sqlite3.Row,
        result: Result,
        order_id: str | None,
        at: datetime | None,
    ) -> ExitApplied:
        moment = self._clock.now()
        at = at or moment
        prices = real(result.price), real(result.pnl)
        values = (
            *(*prices, result.reason, timestamp(at), order_id),
            *(timestamp(moment), applied.row_id),
        )
        self._change_row(_CLOSE, values)
        check_kept(self._db, applied.row_id, {"status": "closed"})
        self._counting.sold(row["mode"], row["symbol"], at.timestamp())
        return applied._replace(
            closed=True,
            row_status="closed",
            exit_price=result.price,
            pnl=result.pnl,
            exit_reason=result.reason,
        )

    def _complete(self, applied: ExitApplied, result: Result) -> ExitApplied:
        if result.price is None:
            return applied
        values = (
            *(real(result.price), real(result.pnl), self._now()),
            *(result.reason, applied.row_id),
        )
        self._change_row(_COMPLETE, values)
        self._counting.row_closes()
        return applied._replace(exit_price=result.price, pnl=result.pnl)

    def _change_row(self, statement: str, values: tuple[object, ...]) -> None:
        if not self._db.execute(statement, values).rowcount:
            raise sqlite3.IntegrityError(IGNORED)

    def _now(self) -> str:
        return timestamp(self._clock.now())


def sold_by(exits: list[sqlite3.Row]) -> list[Sold]:
    """Return what each sell of a row has sold."""
    return [
        Sold(quantity, exact(each["filledAvgPrice"]), each["reason"])
        for each in exits
        if (quantity := exact(each["filledQty"])) is not None
    ]


def may_close(row: sqlite3.Row) -> bool:
    """Return whether evidence of its sale closes a row."""
    status: object = row["status"]
    found_late = status == "missed" and row["exitReason"] == "order_found_late"
    return status == "open" or bool(found_late)


def real(value: Decimal | None) -> float | None:
    """Return a number as BotTrade holds it."""
    return None if value is None else float(value)


def _last_order(exits: list[sqlite3.Row]) -> str | None:
    orders = (each["alpacaOrderId"] for each in reversed(exits) if each["filledQty"])
    return next((each for each in orders if each is not None), None)
