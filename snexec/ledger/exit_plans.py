"""Sells before they leave: at most one of a row is without its end (SPEC 12.2, 12.5)."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING

from snexec.ledger.exit_rows import NewExit, exit_id
from snexec.ledger.exit_table import SHARE_STEP, ExitTable, sold_by
from snexec.ledger.held import FORGET_CLOSE
from snexec.ledger.reading import exact, plain
from snexec.model import MODES

if TYPE_CHECKING:
    import sqlite3

    from snexec.ledger.exit_rows import ExitKind, ExitReason, Unplanned

_INSERT = (
    "INSERT INTO BotExit (id, tradeId, kind, reason, qty, filledQty, triggerPrice,"
    " triggerSource, state, decidedAt, createdAt, updatedAt, wholePosition, waits)"
    " VALUES (?, ?, ?, ?, ?, '0', ?, ?, 'planned', ?, ?, ?, ?, ?)"
)
# One question where the row has no sell yet, as nearly none has.
_TO_SELL = (
    "SELECT symbol, mode, status, shares, settledAt, signalId, EXISTS"
    " (SELECT 1 FROM BotExit WHERE tradeId = BotTrade.id) AS wasSold"
    " FROM BotTrade WHERE id = ?"
)
_EXIT = "SELECT * FROM BotExit WHERE id = ?"
_LEAVES = "UPDATE BotExit SET waits = 0 WHERE id = ?"
_NOTE_CANCEL = (
    "UPDATE BotExit SET cancelReason = ?, updatedAt = ? WHERE id = ?"
    " AND settledAt IS NULL AND cancelReason IS NULL"
)


class ExitPlans(ExitTable):
    """Writes what is to be sold before it leaves."""

    def plan(
        self,
        row_id: str,
        reason: ExitReason,
        *,
        held: str | None,
        free: Decimal | None,
        trigger_price: Decimal | None = None,
        trigger_source: str | None = None,
        kind: ExitKind = "sell",
        waits: bool = False,
    ) -> NewExit | Unplanned:
        """Write a sell of all that is left of a row, before it leaves.

        While the market is closed it waits as it is, ``planned``, until ``resume``.

        Args:
            row_id: The row, whose buy buys no more.
            reason: Why it is sold.
            held: The position's whole quantity as the broker spells it, if it was read.
            free: How much of that no order holds, if it was read.
            trigger_price: Dollars a share: of the price that decided it, or of the stop.
            trigger_source: Where that price is from.
            kind: A sell, or a stop that rests at the broker.
            waits: Whether it does not leave now, as the market is closed.
        """
        row = self._db.execute(_TO_SELL, [row_id]).fetchone()
        if row is None:
            return "not_found"
        exits = self._exits(row_id) if row["wasSold"] else []
        if (why_not := unsold(row, exits)) is not None:
            return why_not
        quantity = left_of(row, exits)
        if free is not None and free < quantity:
            quantity = free
        text = plain(quantity.quantize(SHARE_STEP, ROUND_DOWN))
        quantity = Decimal(text)
        if quantity <= 0:
            return "none_left"
        position = exact(held)
        if is_whole := position is not None and quantity >= position:
            quantity = position or quantity
            text = plain(quantity)
        new = NewExit(
            id=next_id(row_id, kind, exits),
            row_id=row_id,
            symbol=str(row["symbol"]),
            mode=row["mode"],
            quantity=quantity,
            reason=reason,
            signal_id=row["signalId"],
            is_whole_position=is_whole,
            kind=kind,
            trigger_price=trigger_price,
            trigger_source=trigger_source,
        )
        now = self._now()
        price = None if trigger_price is None else plain(trigger_price)
        values = (
            *(new.id, row_id, kind, reason, text, price, trigger_source),
            *(now, now, now, is_whole, waits),
        )
        self._db.execute(_INSERT, values)
        if reason == "manual":
            self._db.execute(FORGET_CLOSE, [row_id])  # what was asked for is kept here
        return new

    def resume(self, exit_id: str) -> NewExit | Unplanned:
        """Return a planned sell once more, as it leaves now: same id, same quantity.

        It is ``over`` if it has ended, and ``closing`` if the broker knows it.
        """
        found = self._db.execute(_EXIT, [exit_id]).fetchone()
        row = None if found is None else self._row(found["tradeId"])
        quantity = None if found is None else exact(found["qty"])
        if row is None or quantity is None:
            return "not_found"
        if found["settledAt"] is not None:
            return "over"
        if row["status"] != "open":
            return "not_open"
        if found["state"] != "planned":
            return "closing"
        if found["waits"]:
            self._db.execute(_LEAVES, [exit_id])
        return NewExit(
            id=found["id"],
            row_id=row["id"],
            symbol=str(row["symbol"]),
            mode=row["mode"],
            quantity=quantity,
            reason=found["reason"],
            signal_id=row["signalId"],
            is_whole_position=bool(found["wholePosition"]),
            kind=found["kind"],
            trigger_price=exact(found["triggerPrice"]),
            trigger_source=found["triggerSource"],
            is_resumed=True,
        )

    def note_cancel(self, exit_id: str, reason: ExitReason) -> bool:
        """Note why a sell is canceled, before it is: what is left is sold for that.

        The first reason stays (SPEC 12.8a).

        Returns:
            Whether it was noted; False if the sell has ended, or has a reason.
        """
        cursor = self._db.execute(_NOTE_CANCEL, [reason, self._now(), exit_id])
        return cursor.rowcount == 1


def has_not_left(exit_row: sqlite3.Row) -> bool:
    """Return whether a sell waits for its market, so that the broker cannot have it."""
    return bool(
        exit_row["waits"]
        and exit_row["state"] == "planned"
        and exit_row["alpacaOrderId"] is None
        and exit_row["settledAt"] is None
    )


def unsold(
    row: sqlite3.Row, exits: list[sqlite3.Row], *, by_us: bool = True
) -> Unplanned | None:
    """Return why a row cannot be sold now; None if it can.

    Args:
        row: The row.
        exits: Its sells.
        by_us: Whether it is to be sold by an order of ours. What others did to it, did
            it beside a sell of ours that has not left.
    """
    if not by_us:
        exits = [each for each in exits if not has_not_left(each)]
    shares = exact(row["shares"])
    if row["mode"] not in MODES:
        return "not_ours"
    if row["status"] != "open":
        return "not_open"
    if shares is None or shares <= 0:
        return "not_bought"
    if row["settledAt"] is None:
        return "not_settled"
    return "closing" if any(each["settledAt"] is None for each in exits) else None


def left_of(row: sqlite3.Row, exits: list[sqlite3.Row]) -> Decimal:
    """Return a row's shares that are not sold; below 0 if more was."""
    shares = exact(row["shares"]) or Decimal(0)
    return shares - sum(sell.quantity for sell in sold_by(exits)) if exits else shares


def next_id(row_id: str, kind: ExitKind, exits: list[sqlite3.Row]) -> str:
    """Return the id of a row's next sell; those that were found may leave gaps."""
    stem, last = exit_id(row_id, kind, 0)[:-1], 0
    for each in exits:
        number = each["id"].removeprefix(stem)
        if number.isdecimal():
            last = max(last, int(number))
    return f"{stem}{last + 1}"
