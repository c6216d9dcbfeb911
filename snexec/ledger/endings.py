"""How rows end without the broker's word: by the operator's, or with a simulation."""

from __future__ import annotations

import logging
import sqlite3
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Literal, NamedTuple

from snexec.ledger.faults import IGNORED, explained, is_of_one_change
from snexec.ledger.reading import number_of, text_of
from snexec.ledger.symbols import symbol_key
from snexec.model import MODES

if TYPE_CHECKING:
    from snexec.model import Mode

log = logging.getLogger("Daemon")

End = Literal["closed", "missed"]

_MILLIONTH = Decimal("0.000001")
_STANDING = (
    "SELECT id, symbol, mode, status, shares, entryPrice, settledAt, signalId,"  # noqa: S608 - names of our own
    " (SELECT total(other.shares) FROM BotTrade AS other WHERE other.status = 'open'"
    "  AND other.id <> BotTrade.id"
    f"  AND {symbol_key('other.symbol')} = {symbol_key('BotTrade.symbol')}"
    "  AND (other.mode = BotTrade.mode OR other.mode IS NULL)) AS claimed"
    " FROM BotTrade WHERE id = ?"
)
_SETTLE = (
    "UPDATE BotTrade SET status = :status, exitReason = 'settled', updatedAt = :now,"
    " settledAt = coalesce(settledAt, :now), exitAt = coalesce(:exit_at, exitAt),"
    " exitPrice = coalesce(:price, exitPrice), pnl = coalesce(:pnl, pnl) WHERE id = :id"
)
# Whoever closed it has said how it ended; only its order is open.
_SETTLE_CLOSED = "UPDATE BotTrade SET settledAt = :now, updatedAt = :now WHERE id = :id"
_END_OPEN = (
    "exitReason = 'simulation_ended', updatedAt = :now,"
    " settledAt = coalesce(settledAt, :now),"
    " exitAt = CASE WHEN shares IS NULL THEN exitAt ELSE :now END,"
    " status = CASE WHEN shares IS NULL THEN 'missed' ELSE 'closed' END"
)
_OPEN = "mode IS NOT NULL AND status = 'open'"
_END_UNSETTLED = "settledAt = :now, updatedAt = :now"
_UNSETTLED = "mode IS NOT NULL AND settledAt IS NULL AND status <> 'open'"


class Standing(NamedTuple):
    """A row that the operator may end.

    Attributes:
        mode: None in another program's row, whatever it holds.
        shares: What it bought, None where nothing or where that is not known.
        entry_price: Dollars a share.
        is_settled: Whether the broker's last word on its order is in it.
        claimed: Shares that other open rows of its symbol say they hold.
    """

    trade_id: str
    symbol: str
    mode: Mode | None
    status: str
    shares: Decimal | None
    entry_price: Decimal | None
    is_settled: bool
    claimed: Decimal
    signal_id: str | None

    @property
    def has_bought(self) -> bool:
        """Return whether its order is known to have bought something."""
        return (
            self.status == "closed"
            or self.shares is not None
            or self.entry_price is not None
        )

    def may_end(self, how: End) -> bool:
        """Return whether the row is ours and has something left that may end so."""
        if self.mode is None or (how == "missed" and self.has_bought):
            return False
        return self.status == "open" or not self.is_settled

    def pnl(self, price: Decimal | None) -> Decimal | None:
        """Return dollars won at a price a share, before fees; None if not known."""
        if price is None or self.shares is None or self.entry_price is None:
            return None
        won = self.shares * price - self.entry_price * self.shares
        return won.quantize(_MILLIONTH, ROUND_HALF_EVEN)


def read_standing(db: sqlite3.Connection, trade_id: str) -> Standing | None:
    """Return what is known of a row; None if it is not there."""
    found = db.execute(_STANDING, [trade_id]).fetchone()
    if found is None:
        return None
    row_id, symbol, mode, status, shares, price, settled_at, signal_id, claimed = found
    return Standing(
        trade_id=str(row_id),
        symbol=text_of(symbol) or "",
        mode=mode if mode in MODES else None,
        status=text_of(status) or "",
        shares=_decimal(shares),
        entry_price=_decimal(price),
        is_settled=settled_at is not None,
        claimed=_decimal(claimed) or Decimal(0),
        signal_id=text_of(signal_id),
    )


def settle(
    db: sqlite3.Connection,
    trade_id: str,
    how: End,
    price: Decimal | None,
    now: str,
) -> Standing | None:
    """End a row by the operator's word (SPEC 12.5, 12.8a).

    Returns:
        The row as it was; None if there is nothing to end.
    """
    row = read_standing(db, trade_id)
    if row is None or not row.may_end(how):
        return None
    if row.status == "closed":
        _change(db, _SETTLE_CLOSED, {"id": trade_id, "now": now})
        return row
    price = price if how == "closed" else None
    pnl = row.pnl(price)
    values: dict[str, object] = {
        "id": trade_id,
        "status": how,
        "now": now,
        "exit_at": now if how == "closed" else None,
        "price": None if price is None else float(price),
        "pnl": None if pnl is None else float(pnl),
    }
    _change(db, _SETTLE, values)
    return row


def end_simulation(db: sqlite3.Connection, now: str) -> int:
    """End what an earlier simulation left open; its account is gone.

    Returns:
        How many rows it left open.
    """
    ended = _end_all(db, _END_OPEN, _OPEN, now)
    _end_all(db, _END_UNSETTLED, _UNSETTLED, now)
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


def _change(db: sqlite3.Connection, statement: str, values: dict[str, object]) -> None:
    if not db.execute(statement, values).rowcount:
        raise sqlite3.IntegrityError(IGNORED)


def _decimal(value: object) -> Decimal | None:
    """Return a column as an exact number; other programs may have put in anything."""
    number = number_of(value)
    return None if number is None else Decimal(str(number))
