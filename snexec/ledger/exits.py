"""Every statement that touches BotExit, and what a sell makes of its row (SPEC 12.2).

A row and its sells change in one transaction. At most one sell of a row is without its
end at any time; the database itself refuses a second one.
"""

from __future__ import annotations

import math
from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING, Literal

from snexec.clock import timestamp
from snexec.ledger.exit_row import Sell, Sold, is_sold, result_of
from snexec.ledger.exit_rows import (
    ExitApplied,
    NewExit,
    UnsettledExit,
    exit_id,
)
from snexec.model import MODES

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from snexec.clock import Clock
    from snexec.ledger.exit_rows import ExitOutcome, ExitReason, Unplanned
    from snexec.ledger.rows import OrderRef

QUANTITY_STEP = Decimal("0.000000001")  # of shares, as Alpaca takes them

_ROW = (
    "SELECT id, symbol, mode, status, shares, entryPrice, settledAt, signalId"
    " FROM BotTrade WHERE id = ?"
)
_EXITS = (
    "SELECT id, kind, reason, filledQty, filledAvgPrice, settledAt FROM BotExit"
    " WHERE tradeId = ? ORDER BY createdAt, id"
)
_EXIT = "SELECT * FROM BotExit WHERE"
_INSERT = (
    "INSERT INTO BotExit (id, tradeId, kind, reason, qty, filledQty, state, decidedAt,"
    " createdAt, updatedAt) VALUES (?, ?, 'sell', ?, ?, '0', 'planned', ?, ?, ?)"
)
_UPDATE = (
    "UPDATE BotExit SET state = ?, filledQty = ?, filledAvgPrice = ?, alpacaOrderId = ?,"
    " settledAt = ?, updatedAt = ? WHERE id = ?"
)
_CLOSE = (
    "UPDATE BotTrade SET status = 'closed', exitPrice = ?, pnl = ?, exitReason = ?,"
    " exitAt = ?, exitOrderId = ?, updatedAt = ? WHERE id = ? AND status = 'open'"
)
_UNSETTLED = (
    "SELECT BotExit.id, tradeId, symbol, mode, BotExit.alpacaOrderId AS orderId, state,"
    " reason, signalId,"
    " (julianday(decidedAt) - 2440587.5) * 86400.0 AS decided"
    " FROM BotExit JOIN BotTrade ON BotTrade.id = tradeId"
    " WHERE BotExit.settledAt IS NULL AND mode IN ('paper', 'live')"
    " ORDER BY BotExit.createdAt"
)


class Exits:
    """BotExit, over the writer's connection.

    Args:
        closes: Called when a row closes, for the limits that count.
    """

    def __init__(
        self, connection: sqlite3.Connection, clock: Clock, closes: Callable[[], None]
    ) -> None:
        self._db = connection
        self._clock = clock
        self._closes = closes

    def plan(
        self, row_id: str, reason: ExitReason, *, held: str | None, free: Decimal | None
    ) -> NewExit | Unplanned:
        """Write a sell of all that is left of a row, before it leaves.

        Args:
            row_id: The row.
            reason: Why it is sold.
            held: The position's whole quantity as the broker spells it, if it was read.
            free: How much of that no order holds, if it was read.
        """
        row = self._db.execute(_ROW, [row_id]).fetchone()
        exits = self._db.execute(_EXITS, [row_id]).fetchall()
        why_not = _unplanned(row, exits)
        if why_not is not None:
            return why_not
        sold = [exact(each["filledQty"]) or Decimal(0) for each in exits]
        quantity = (exact(row["shares"]) or Decimal(0)) - sum(sold, Decimal(0))
        if free is not None:
            quantity = min(quantity, free)
        quantity = quantity.quantize(QUANTITY_STEP, ROUND_DOWN)
        if quantity <= 0:
            return "none_left"
        position = exact(held)
        whole = position is not None and quantity >= position
        number = 1 + sum(each["kind"] == "sell" for each in exits)
        new = NewExit(
            id=exit_id(row_id, "sell", number),
            row_id=row_id,
            symbol=str(row["symbol"]),
            mode=row["mode"],
            quantity=position if whole and position is not None else quantity,
            reason=reason,
            signal_id=row["signalId"],
            is_whole_position=whole,
        )
        now = self._now()
        values = (new.id, row_id, reason, plain(new.quantity), now, now, now)
        self._db.execute(_INSERT, values)
        return new

    # What the broker says; they return None if no sell of ours matches.

    def apply_working(self, ref: OrderRef) -> ExitApplied | None:
        """Note that the broker knows a sell, and nothing more."""
        return self._apply(ref, lambda sell: sell.works())

    def apply_sold(
        self,
        ref: OrderRef,
        *,
        quantity: Decimal | None,
        price: Decimal | None,
        final: bool,
        whole_position: bool = False,
    ) -> ExitApplied | None:
        """Apply what a sell has sold so far; a final one closes the row if that is all.

        Args:
            ref: The order.
            quantity: Shares, all executions together, where they could be read.
            price: Dollars a share over them, where it could be read.
            final: Whether the order is filled.
            whole_position: Whether the account holds nothing of the symbol any more.
        """
        return self._apply(
            ref,
            lambda sell: sell.sells(quantity, price, final=final),
            whole_position=whole_position,
        )

    def apply_ended(
        self,
        ref: OrderRef,
        how: Literal["canceled", "expired", "rejected"],
        *,
        quantity: Decimal | None,
        price: Decimal | None,
    ) -> ExitApplied | None:
        """Apply the end of a sell, with what it sold before."""
        return self._apply(ref, lambda sell: sell.ends(how, quantity, price))

    def apply_gone(
        self, ref: OrderRef, how: Literal["refused", "dropped"]
    ) -> ExitApplied | None:
        """Note that the broker does not have a sell, unless it has spoken of it."""
        return self._apply(ref, lambda sell: sell.is_gone(how))

    def unsettled(self) -> list[UnsettledExit]:
        """Return the sells without the broker's last word, oldest first."""
        now = self._clock.now().timestamp()
        return [
            UnsettledExit(
                id=row["id"],
                row_id=row["tradeId"],
                symbol=row["symbol"],
                mode=row["mode"],
                order_id=row["orderId"],
                state=row["state"],
                reason=row["reason"],
                age_seconds=max(0.0, now - (row["decided"] or 0.0)),
                signal_id=row["signalId"],
            )
            for row in self._db.execute(_UNSETTLED)
        ]

    def _apply(
        self,
        ref: OrderRef,
        change: Callable[[Sell], ExitOutcome],
        *,
        whole_position: bool = False,
    ) -> ExitApplied | None:
        found = self._find(ref)
        if found is None:
            return None
        exit_row, row = found
        order_id = exit_row["alpacaOrderId"] or ref.order_id
        sell = Sell(
            state=exit_row["state"],
            sold=exact(exit_row["filledQty"]) or Decimal(0),
            price=exact(exit_row["filledAvgPrice"]),
            order_id=order_id,
            is_settled=exit_row["settledAt"] is not None,
        )
        before = (*_columns(sell), exit_row["alpacaOrderId"], sell.is_settled)
        outcome = change(sell)
        now = self._now()
        changed = (*_columns(sell), sell.order_id, sell.is_settled) != before
        if changed:
            settled_at = exit_row["settledAt"] or (now if sell.is_settled else None)
            values = (*_columns(sell), sell.order_id, settled_at, now, exit_row["id"])
            self._db.execute(_UPDATE, values)
        applied = ExitApplied(
            id=exit_row["id"],
            row_id=row["id"],
            symbol=row["symbol"],
            mode=row["mode"],
            signal_id=row["signalId"],
            order_id=sell.order_id,
            reason=exit_row["reason"],
            outcome=outcome,
            changed=changed,
            settled=sell.is_settled,
            quantity=exact(exit_row["qty"]) or Decimal(0),
            sold=sell.sold,
            price=sell.price,
            remaining=Decimal(0),
            closed=False,
            row_status=row["status"],
        )
        return self._conclude(applied, row, whole_position=whole_position)

    def _conclude(
        self, applied: ExitApplied, row: sqlite3.Row, *, whole_position: bool
    ) -> ExitApplied:
        """Close the row if all of it is sold, and say what is left otherwise."""
        shares = exact(row["shares"]) or Decimal(0)
        sells = [
            Sold(quantity, exact(each["filledAvgPrice"]), each["reason"])
            for each in self._db.execute(_EXITS, [row["id"]])
            if (quantity := exact(each["filledQty"])) is not None
        ]
        sold = sum((sell.quantity for sell in sells), Decimal(0))
        left = shares - sold
        applied = applied._replace(remaining=max(left, Decimal(0)))
        if applied.changed and left < -QUANTITY_STEP:
            applied = applied._replace(oversold=-left)
        whole = whole_position and applied.settled
        if not sold or not is_sold(
            row["symbol"], shares, sold, applied.price, whole_position=whole
        ):
            return applied
        if not applied.settled or row["status"] != "open":
            return applied
        result = result_of(sells, shares, exact(row["entryPrice"]))
        now = self._now()
        values = (
            _real(result.price),
            _real(result.pnl),
            result.reason,
            now,
            applied.order_id,
            now,
            row["id"],
        )
        self._db.execute(_CLOSE, values)
        self._closes()
        return applied._replace(
            closed=True, row_status="closed", exit_price=result.price, pnl=result.pnl
        )

    def _find(self, ref: OrderRef) -> tuple[sqlite3.Row, sqlite3.Row] | None:
        """Return a sell and its row, by the broker's id or by ours."""
        found = None
        if ref.order_id is not None:
            by_order = f"{_EXIT} alpacaOrderId = ?"
            found = self._db.execute(by_order, [ref.order_id]).fetchone()
        if found is None and ref.client_order_id is not None:
            found = self._db.execute(
                f"{_EXIT} id = ?", [ref.client_order_id]
            ).fetchone()
            known = None if found is None else found["alpacaOrderId"]
            if known is not None and ref.order_id is not None:
                return None  # a known order of another id: not this one
        if found is None:
            return None
        row = self._db.execute(_ROW, [found["tradeId"]]).fetchone()
        if row is None or row["mode"] != ref.mode:
            return None
        return found, row

    def _now(self) -> str:
        return timestamp(self._clock.now())


def _unplanned(row: sqlite3.Row | None, exits: list[sqlite3.Row]) -> Unplanned | None:
    """Return why a row cannot be sold now; None if it can."""
    if row is None:
        return "not_found"
    shares = exact(row["shares"])
    reasons: list[tuple[bool, Unplanned]] = [
        (row["mode"] not in MODES, "not_ours"),
        (row["status"] != "open", "not_open"),
        (shares is None or shares <= 0, "not_bought"),
        (row["settledAt"] is None, "not_settled"),
        (any(each["settledAt"] is None for each in exits), "closing"),
    ]
    return next((reason for holds, reason in reasons if holds), None)


def exact(value: object) -> Decimal | None:
    """Return a column as an exact number; other programs may have put in anything."""
    if isinstance(value, int | float) and math.isfinite(value):
        return Decimal(str(value))
    if isinstance(value, str):
        try:
            number = Decimal(value)
        except ArithmeticError:
            return None
        return number if number.is_finite() else None
    return None


def plain(number: Decimal) -> str:
    """Spell a number without an exponent or zeros at its end."""
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _columns(sell: Sell) -> tuple[str, str, str | None]:
    price = None if sell.price is None else plain(sell.price)
    return sell.state, plain(sell.sold), price


def _real(value: Decimal | None) -> float | None:
    return None if value is None else float(value)
