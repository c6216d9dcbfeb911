"""Sells of ours that the broker has and the file does not (SPEC 12.2, 13)."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from snexec.clock import timestamp
from snexec.ledger.exit_rows import ExitApplied, kind_of_exit, row_of_exit
from snexec.ledger.exit_table import ExitTable
from snexec.ledger.reading import exact, plain, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from snexec.ledger.exit_rows import ExitOutcome, FoundExit, NotAdopted

# Why it was sold, as far as an order tells.
_REASON = {"sell": "rebuilt", "stop": "stop_loss"}
_OUTCOMES: dict[str | None, ExitOutcome] = {
    None: "working",
    "filled": "fill",
    "canceled": "canceled",
    "expired": "expired",
    "rejected": "rejected",
}
_KNOWN = "SELECT 1 FROM BotExit WHERE id = ?"
_KNOWN_ORDER = "SELECT 1 FROM BotExit WHERE id = ? OR alpacaOrderId = ?"
_INSERT = (
    "INSERT INTO BotExit (id, tradeId, kind, reason, qty, filledQty, filledAvgPrice,"
    " triggerPrice, triggerSource, state, alpacaOrderId, decidedAt, createdAt,"
    " updatedAt, settledAt) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class FoundExits(ExitTable):
    """Writes such sells beside the rows that they sold."""

    def unknown(self, exit_ids: Iterable[str]) -> list[str]:
        """Return those ids of sells that the file does not have."""
        return [
            each
            for each in exit_ids
            if self._db.execute(_KNOWN, [each]).fetchone() is None
        ]

    def adopt(self, found: FoundExit) -> ExitApplied | NotAdopted:
        """Write a sell that was found; its row closes if that was all of it.

        What a sold coin lacks of what was bought was its fee. A sell that works is
        unsettled from here on, as any.
        """
        known = [found.id, found.order_id]
        if self._db.execute(_KNOWN_ORDER, known).fetchone() is not None:
            return "known"
        row = self._row(row_of_exit(found.id) or "")
        if row is None or row["mode"] != found.mode:
            return "no_row"
        if row["settledAt"] is None or exact(row["shares"]) is None:
            return "not_bought"
        is_over = found.ended is not None
        lives = any(each["settledAt"] is None for each in self._exits(row["id"]))
        if lives and not is_over:
            return "closing"
        kind, now = kind_of_exit(found.id), self._now()
        reason = _REASON[kind]
        price, stop = (
            None if each is None else plain(each)
            for each in (found.price, found.stop_price)
        )
        values = (
            *(found.id, row["id"], kind, reason, plain(found.quantity)),
            *(plain(found.sold), price, stop, None if stop is None else "stop"),
            *(found.ended or "working", found.order_id, timestamp(found.placed_at)),
            *(now, now, now if is_over else None),
        )
        self._db.execute(_INSERT, values)
        applied = ExitApplied(
            id=found.id,
            row_id=row["id"],
            symbol=text_of(row["symbol"]) or "",
            mode=row["mode"],
            signal_id=text_of(row["signalId"]),
            order_id=found.order_id,
            reason=reason,
            outcome=_OUTCOMES[found.ended],
            changed=True,
            settled=is_over,
            quantity=found.quantity,
            sold=found.sold,
            price=found.price,
            remaining=Decimal(0),
            closed=False,
            row_status=row["status"],
            kind=kind,
            executed=found.sold,
        )
        whole = found.ended == "filled"
        return self._conclude(applied, row, whole_position=whole, at=found.ended_at)
