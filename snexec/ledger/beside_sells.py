"""What changes a held row beside our own sells: others' sales, and splits (SPEC 12.7).

Each names what the row was seen to have left. What has changed since is not overwritten,
and what was written before a kill is not written twice.
"""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

from snexec.ledger.exit_plans import has_not_left, left_of, next_id, unsold
from snexec.ledger.exit_row import times
from snexec.ledger.exit_rows import ExitApplied
from snexec.ledger.exit_table import SHARE_STEP, ExitTable, real
from snexec.ledger.held_rows import Split
from snexec.ledger.reading import exact, plain, text_of

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

    from snexec.ledger.exit_rows import Unplanned

_INSERT = (
    "INSERT INTO BotExit (id, tradeId, kind, reason, qty, filledQty, filledAvgPrice,"
    " state, decidedAt, createdAt, updatedAt, settledAt)"
    " VALUES (?, ?, 'external', ?, ?, ?, ?, 'filled', ?, ?, ?, ?)"
)
_SPLIT_ROW = (
    "UPDATE BotTrade SET shares = ?, entryPrice = ?, highPrice = ?, updatedAt = ?"
    " WHERE id = ?"
)
_SPLIT_EXIT = (
    "UPDATE BotExit SET qty = ?, filledQty = ?, filledAvgPrice = ?, triggerPrice = ?,"
    " splitRatio = ?, updatedAt = ? WHERE id = ?"
)
_CUT_EXIT = "UPDATE BotExit SET qty = ?, wholePosition = 0, updatedAt = ? WHERE id = ?"
_DROP_EXIT = (
    "UPDATE BotExit SET state = 'dropped', settledAt = ?, updatedAt = ? WHERE id = ?"
)


class BesideSells(ExitTable):
    """Writes what others did to the shares of a row."""

    def external(
        self,
        row_id: str,
        *,
        quantity: Decimal,
        price: Decimal | None,
        remaining: Decimal,
        reason: Literal["external", "corporate_action"] = "external",
        at: datetime | None = None,
    ) -> ExitApplied | Unplanned:
        """Write what others sold of a row; it closes if nothing is left.

        A sell that waits for its market sells what is left, or is dropped.

        Args:
            row_id: The row.
            quantity: Shares; no more than are left count.
            price: Dollars a share, their mean; None if not known.
            remaining: What the row was seen to have left.
            reason: What took them.
            at: When the last of them went, if that is known.
        """
        row, exits = self._row(row_id), self._exits(row_id)
        if row is None:
            return "not_found"
        if (why_not := unsold(row, exits, by_us=False)) is not None:
            return why_not
        left = left_of(row, exits)
        if left != remaining:
            return "changed"
        quantity = min(quantity, left)
        if quantity <= 0:
            return "none_left"
        new_id, now, amount = next_id(row_id, "external", exits), self._now(), quantity
        values = (
            *(new_id, row_id, reason, plain(amount), plain(amount), _text(price)),
            *(now, now, now, now),
        )
        self._db.execute(_INSERT, values)
        applied = ExitApplied(
            id=new_id,
            row_id=row_id,
            symbol=text_of(row["symbol"]) or "",
            mode=row["mode"],
            signal_id=text_of(row["signalId"]),
            order_id=None,
            reason=reason,
            outcome="fill",
            changed=True,
            settled=True,
            quantity=quantity,
            sold=quantity,
            price=price,
            remaining=Decimal(0),
            closed=False,
            row_status=row["status"],
            kind="external",
            executed=quantity,
        )
        applied = self._conclude(applied, row, whole_position=False, at=at)
        waiting = next((each for each in exits if has_not_left(each)), None)
        return applied if waiting is None else self._cut(waiting, applied)

    def split(
        self, row_id: str, ratio: Fraction, *, remaining: Decimal
    ) -> Split | Unplanned:
        """Restate a row, and what was sold of it, in the shares after a split.

        Quantities are multiplied and prices divided, those of earlier sells too, so
        that what is left, and every dollar won or lost, stay what they are. So is a
        sell that waits for its market.

        Args:
            row_id: The row.
            ratio: New shares for each old one.
            remaining: What the row was seen to have left, in old shares.

        Raises:
            ValueError: The ratio is not above 0.
        """
        if ratio <= 0:
            raise ValueError(f"no split has the ratio {ratio}")
        row, exits = self._row(row_id), self._exits(row_id)
        if row is None:
            return "not_found"
        if (why_not := unsold(row, exits, by_us=False)) is not None:
            return why_not
        if left_of(row, exits) != remaining:
            return "changed"
        for each in exits:
            self._split_exit(each, ratio)
        shares = _scaled(row["shares"], ratio)
        entry_price = _scaled(row["entryPrice"], 1 / ratio)
        high_price = _scaled(row["highPrice"], 1 / ratio)
        values = (real(shares), real(entry_price), real(high_price))
        self._change_row(_SPLIT_ROW, (*values, self._now(), row_id))
        after = self._row(row_id) or row
        return Split(
            row_id=row_id,
            symbol=text_of(row["symbol"]) or "",
            mode=row["mode"],
            signal_id=text_of(row["signalId"]),
            ratio=ratio,
            shares=exact(after["shares"]) or Decimal(0),
            remaining=max(left_of(after, self._exits(row_id)), Decimal(0)),
            entry_price=exact(after["entryPrice"]),
            high_price=exact(after["highPrice"]),
        )

    def _cut(self, waiting: sqlite3.Row, applied: ExitApplied) -> ExitApplied:
        """Have a sell that has not left sell no more than is left; drop it at nothing."""
        exit_id, now = waiting["id"], self._now()
        if applied.closed:
            self._db.execute(_DROP_EXIT, [now, now, exit_id])
            return applied._replace(also_live=None, dropped=exit_id)
        least = min(exact(waiting["qty"]) or Decimal(0), applied.remaining)
        self._db.execute(_CUT_EXIT, [_sellable(least), now, exit_id])
        return applied

    def _split_exit(self, each: sqlite3.Row, ratio: Fraction) -> None:
        quantity, waits = _scaled(each["qty"], ratio), has_not_left(each)
        values = (
            (_sellable(quantity) if waits else _text(quantity)) or each["qty"],
            _text(_scaled(each["filledQty"], ratio)) or each["filledQty"],
            _text(_scaled(each["filledAvgPrice"], 1 / ratio)),
            _text(_scaled(each["triggerPrice"], 1 / ratio)),
            # What the broker says of that order stays in the shares of then.
            str(Fraction(each["splitRatio"] or 1) * (1 if waits else ratio)),
            *(self._now(), each["id"]),
        )
        self._db.execute(_SPLIT_EXIT, values)


def _scaled(value: object, ratio: Fraction) -> Decimal | None:
    number = exact(value)
    return None if number is None else times(number, ratio)


def _sellable(number: Decimal | None) -> str | None:
    """Return a quantity as Alpaca takes it."""
    return None if number is None else plain(number.quantize(SHARE_STEP, ROUND_DOWN))


def _text(number: Decimal | None) -> str | None:
    return None if number is None else plain(number)
