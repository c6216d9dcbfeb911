"""What the broker says of sells, as it is written to them and to their rows (SPEC 12.5)."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

from snexec.assets import may_be
from snexec.ledger.beside_sells import BesideSells
from snexec.ledger.exit_plans import ExitPlans
from snexec.ledger.exit_reads import UNSETTLED, read_record, read_unsettled_exit
from snexec.ledger.exit_row import Sell, in_new_shares
from snexec.ledger.exit_rows import ExitApplied
from snexec.ledger.found_exits import FoundExits
from snexec.ledger.reading import exact, plain, text_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from datetime import datetime

    from snexec.latency import Times
    from snexec.ledger.exit_rows import ExitOutcome, ExitRecord, UnsettledExit
    from snexec.ledger.rows import OrderRef

_BY_ORDER = "SELECT * FROM BotExit WHERE alpacaOrderId = ?"
_BY_ID = "SELECT * FROM BotExit WHERE id = ?"
_UPDATE = (
    "UPDATE BotExit SET state = ?, filledQty = ?, filledAvgPrice = ?, alpacaOrderId = ?,"
    " settledAt = ?, updatedAt = ?, wireMs = coalesce(wireMs, ?),"
    " fillMs = coalesce(fillMs, ?) WHERE id = ?"
)


class Exits(ExitPlans, BesideSells, FoundExits):
    """The sells of the rows."""

    # What the broker says; they return None if no sell of ours matches.

    def apply_working(
        self, ref: OrderRef, *, times: Times | None = None
    ) -> ExitApplied | None:
        """Note that the broker knows a sell, and nothing more."""
        return self._apply(ref, lambda sell, _ratio: sell.works(), times=times)

    def apply_sold(
        self,
        ref: OrderRef,
        *,
        quantity: Decimal | None,
        price: Decimal | None,
        final: bool,
        at: datetime | None = None,
        times: Times | None = None,
    ) -> ExitApplied | None:
        """Apply what a sell has sold so far; a final one closes the row if that is all.

        Args:
            ref: The order.
            quantity: Shares, all executions together, where they could be read.
            price: Dollars a share over them, where it could be read.
            final: Whether the order is filled.
            at: When it sold last, if that is known.
            times: How long it took, as far as that is known.
        """

        def sells(sell: Sell, ratio: Fraction) -> ExitOutcome:
            said = in_new_shares(quantity, price, ratio, sell.sold)
            return sell.sells(*said, final=final)

        return self._apply(ref, sells, at=at, times=times)

    def apply_ended(
        self,
        ref: OrderRef,
        how: Literal["canceled", "expired", "rejected"],
        *,
        quantity: Decimal | None,
        price: Decimal | None,
        at: datetime | None = None,
    ) -> ExitApplied | None:
        """Apply the end of a sell, with what it sold before, and when it sold last."""

        def ends(sell: Sell, ratio: Fraction) -> ExitOutcome:
            return sell.ends(how, *in_new_shares(quantity, price, ratio, sell.sold))

        return self._apply(ref, ends, at=at)

    def apply_gone(
        self, ref: OrderRef, how: Literal["refused", "dropped"]
    ) -> ExitApplied | None:
        """Note that the broker does not have a sell, unless it has spoken of it."""
        return self._apply(ref, lambda sell, _ratio: sell.is_gone(how))

    # What is known.

    def unsettled(self) -> list[UnsettledExit]:
        """Return the sells without the broker's last word, oldest first."""
        now = self._clock.now().timestamp()
        return [read_unsettled_exit(row, now) for row in self._db.execute(UNSETTLED)]

    def of(self, row_id: str) -> list[ExitRecord]:
        """Return all sells of a row, in the order in which they were decided."""
        return [read_record(each) for each in self._exits(row_id)]

    def _apply(
        self,
        ref: OrderRef,
        change: Callable[[Sell, Fraction], ExitOutcome],
        *,
        at: datetime | None = None,
        times: Times | None = None,
    ) -> ExitApplied | None:
        found = self._find(ref)
        if found is None:
            return None
        exit_row, row = found
        order_id = exit_row["alpacaOrderId"]
        if ref.order_id is not None and (order_id is None or ref.is_answer):
            order_id = ref.order_id
        sell = self._sell(exit_row, order_id)
        before = (*_columns(sell), exit_row["alpacaOrderId"], sell.is_settled)
        sold_before = sell.sold
        outcome = change(sell, Fraction(exit_row["splitRatio"] or 1))
        changed = (*_columns(sell), sell.order_id, sell.is_settled) != before
        if changed or times is not None:
            now = self._now()
            settled_at = (exit_row["settledAt"] or now) if sell.is_settled else None
            values = (
                *(*_columns(sell), sell.order_id, settled_at, now),
                *(None if times is None else times.wire_ms,),
                *(None if times is None else times.fill_ms, exit_row["id"]),
            )
            self._db.execute(_UPDATE, values)
        applied = ExitApplied(
            id=exit_row["id"],
            row_id=row["id"],
            symbol=text_of(row["symbol"]) or "",
            mode=row["mode"],
            signal_id=text_of(row["signalId"]),
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
            kind=exit_row["kind"],
            executed=sell.sold - sold_before,
        )
        whole = bool(exit_row["wholePosition"])
        return self._conclude(
            applied, row, whole_position=whole and sell.state == "filled", at=at
        )

    def _sell(self, exit_row: sqlite3.Row, order_id: str | None) -> Sell:
        return Sell(
            state=exit_row["state"],
            sold=exact(exit_row["filledQty"]) or Decimal(0),
            price=exact(exit_row["filledAvgPrice"]),
            order_id=order_id,
            is_settled=exit_row["settledAt"] is not None,
            other_lives=any(
                each["settledAt"] is None and each["id"] != exit_row["id"]
                for each in self._exits(exit_row["tradeId"])
            ),
        )

    def _find(self, ref: OrderRef) -> tuple[sqlite3.Row, sqlite3.Row] | None:
        """Return a sell and its row, by the broker's id or by ours."""
        found = None
        if ref.order_id is not None:
            found = self._db.execute(_BY_ORDER, [ref.order_id]).fetchone()
        if found is None and ref.client_order_id is not None:
            found = self._db.execute(_BY_ID, [ref.client_order_id]).fetchone()
            known = None if found is None else found["alpacaOrderId"]
            if known is not None and ref.order_id is not None and not ref.is_answer:
                return None  # a known order of another id: not this one
        if found is None or (row := self._row(found["tradeId"])) is None:
            return None
        of_another = (
            row["mode"] != ref.mode
            or ref.side not in {None, "sell"}
            or not may_be(text_of(row["symbol"]) or "", ref.symbol)
        )
        return None if of_another else (found, row)


def _columns(sell: Sell) -> tuple[str, str, str | None]:
    price = None if sell.price is None else plain(sell.price)
    return sell.state, plain(sell.sold), price
