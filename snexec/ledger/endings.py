"""How rows end without the broker's word: by the operator's, or with a simulation."""

from __future__ import annotations

import logging
import sqlite3
from typing import TYPE_CHECKING

from snexec.ledger.faults import IGNORED, explained, is_of_one_change
from snexec.ledger.reading import plain, text_of
from snexec.ledger.standing import read_standing

if TYPE_CHECKING:
    from decimal import Decimal

    from snexec.ledger.standing import End, Standing

log = logging.getLogger("Daemon")

_SETTLE = (
    "UPDATE BotTrade SET status = :status, exitReason = 'settled', updatedAt = :now,"
    " settledAt = coalesce(settledAt, :now), exitAt = coalesce(:exit_at, exitAt),"
    " exitPrice = coalesce(:price, exitPrice), pnl = coalesce(:pnl, pnl) WHERE id = :id"
)
# Whoever closed it has said how it ended; only its order is open.
_SETTLE_CLOSED = "UPDATE BotTrade SET settledAt = :now, updatedAt = :now WHERE id = :id"
# A row whose sale has no price gets the operator's; how it ended is known.
_COMPLETE = (
    "UPDATE BotTrade SET exitPrice = :price, pnl = :pnl, updatedAt = :now"
    " WHERE id = :id"
)
_COMPLETE_EXITS = (
    "UPDATE BotExit SET filledAvgPrice = :price, updatedAt = :now WHERE tradeId = :id"
    " AND filledAvgPrice IS NULL AND CAST(filledQty AS REAL) > 0"
)
_END_EXIT = (
    "UPDATE BotExit SET state = 'dropped', settledAt = :now, updatedAt = :now"
    " WHERE id = :id AND settledAt IS NULL"
)
_END_EXITS = (
    "UPDATE BotExit SET state = 'dropped', settledAt = :now, updatedAt = :now"
    " WHERE settledAt IS NULL"
)
_END_OPEN = (
    "exitReason = 'simulation_ended', updatedAt = :now,"
    " settledAt = coalesce(settledAt, :now),"
    " exitAt = CASE WHEN shares IS NULL THEN exitAt ELSE :now END,"
    " status = CASE WHEN shares IS NULL THEN 'missed' ELSE 'closed' END"
)
_OPEN = "mode IS NOT NULL AND status = 'open'"
_END_UNSETTLED = "settledAt = :now, updatedAt = :now"
_UNSETTLED = "mode IS NOT NULL AND settledAt IS NULL AND status <> 'open'"


def settle(
    db: sqlite3.Connection,
    trade_id: str,
    how: End,
    price: Decimal | None,
    now: str,
) -> Standing | None:
    """End a row by the operator's word, or complete the price of one (SPEC 12.5, 12.8a).

    Args:
        db: The rows.
        trade_id: The row's id.
        how: What it becomes.
        price: Dollars a share of what is not sold, or was at a price that is not known.
        now: As in rows.

    Returns:
        The row as it was; None if there is nothing to end.
    """
    row = read_standing(db, trade_id)
    if row is None or not row.may_end(how):
        return None
    if row.status == "closed" and row.is_settled and price is None:
        return None
    if row.status == "closed":
        if not row.is_settled:
            _change(db, _SETTLE_CLOSED, {"id": trade_id, "now": now})
        if row.lacks_price and price is not None:
            _change(db, _COMPLETE, _values(row, price, now))
            _complete_exits(db, trade_id, price, now)
        return row
    price = price if how == "closed" else None
    values = {"status": how, "exit_at": now if how == "closed" else None}
    _change(db, _SETTLE, values | _values(row, price, now))
    if row.live_exit is not None:
        db.execute(_END_EXIT, {"id": row.live_exit, "now": now})
    if row.sold and price is not None:
        _complete_exits(db, trade_id, price, now)
    return row


def end_simulation(db: sqlite3.Connection, now: str) -> int:
    """End what an earlier simulation left open; its account is gone.

    Returns:
        How many rows it left open.
    """
    ended = _end_all(db, _END_OPEN, _OPEN, now)
    _end_all(db, _END_UNSETTLED, _UNSETTLED, now)
    db.execute(_END_EXITS, {"now": now})
    return ended


def _end_all(db: sqlite3.Connection, end: str, which: str, now: str) -> int:
    """End rows, and leave those that another program's rule holds as they are.

    Returns:
        How many were ended.
    """
    statement = f"UPDATE BotTrade SET {end} WHERE {which}"  # noqa: S608 - constants
    try:
        return db.execute(statement, {"now": now}).rowcount
    except sqlite3.Error as exc:
        if not is_of_one_change(exc):
            raise
    found = db.execute(f"SELECT rowid, id FROM BotTrade WHERE {which}").fetchall()  # noqa: S608
    ended = 0
    for row, trade_id in found:
        try:
            ended += db.execute(
                f"{statement} AND rowid = :row", {"now": now, "row": row}
            ).rowcount
        except sqlite3.Error as exc:
            if not is_of_one_change(exc):
                raise
            log.error(  # noqa: TRY400 - the reason says it all
                "trade=%s of an earlier simulation stays as it is: %s",
                text_of(trade_id),
                explained(exc, db),
            )
    return ended


def _values(row: Standing, price: Decimal | None, now: str) -> dict[str, object]:
    price, pnl = row.mean_price(price), row.pnl(price)
    return {
        "id": row.trade_id,
        "now": now,
        "price": None if price is None else float(price),
        "pnl": None if pnl is None else float(pnl),
    }


def _complete_exits(
    db: sqlite3.Connection, trade_id: str, price: Decimal, now: str
) -> None:
    db.execute(_COMPLETE_EXITS, {"id": trade_id, "price": plain(price), "now": now})


def _change(db: sqlite3.Connection, statement: str, values: dict[str, object]) -> None:
    if not db.execute(statement, values).rowcount:
        raise sqlite3.IntegrityError(IGNORED)
