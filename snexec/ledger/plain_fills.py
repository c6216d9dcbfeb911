"""The final fill of an open row, in two short statements, as almost all of them come.

What makes any other row, or any other word of the broker's, is ``Row``'s to say, which
has to read the row first. Here the row is written only if it is just as one would expect:
else nothing is written, and nothing is lost but the look.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from snexec.ledger.faults import check_kept
from snexec.ledger.reading import number_of, text_of
from snexec.ledger.rows import Applied

if TYPE_CHECKING:
    import sqlite3
    from decimal import Decimal

    from snexec.latency import Times
    from snexec.ledger.rows import OrderRef

_BUYS = ("buy", "", None)  # as the broker spells what is none of a sell
_NO_TIMES = (None, None, None)
# A time that is there stays, if it is one.
_TIMES = ", ".join(
    f"{name} = CASE WHEN typeof({name}) IN ('integer', 'real') THEN {name}"
    f" ELSE coalesce(?, {name}) END"
    for name in ("wireMs", "replyMs", "fillMs")
)
_FILL = (
    f"UPDATE BotTrade SET entryPrice = ?, shares = ?, settledAt = ?, updatedAt = ?, {_TIMES}"  # noqa: S608
    " WHERE id = ? AND alpacaOrderId = ? AND symbol = ? AND mode = ?"
    " AND status = 'open' AND settledAt IS NULL"
)
_SAID = (
    "SELECT signalId, exitReason, fillMs, notional, entryAt FROM BotTrade WHERE id = ?"
)


class PlainFills:
    """Applies them over the store's connection, within its transactions."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def read_from(self, connection: sqlite3.Connection) -> None:
        """Use another connection to the same rows from now on."""
        self._db = connection

    def apply(
        self,
        ref: OrderRef,
        price: Decimal | None,
        quantity: Decimal | None,
        times: Times | None,
        now: str,
    ) -> Applied | None:
        """Apply a fill; None where it or its row is not as plain, and nothing is changed."""
        if price is None or quantity is None or ref.side not in _BUYS or not ref.symbol:
            return None
        entry_price, shares = float(price), float(quantity)
        names = ref.client_order_id, ref.order_id, ref.symbol, ref.mode
        values = (entry_price, shares, now, now, *(times or _NO_TIMES), *names)
        written = self._db.total_changes
        if not self._db.execute(_FILL, values).rowcount:
            return None
        if self._db.total_changes != written + 1:  # a trigger has written too
            bought = {"entryPrice": entry_price, "shares": shares, "settledAt": now}
            check_kept(self._db, ref.client_order_id, bought)
        said = self._db.execute(_SAID, (ref.client_order_id,)).fetchone()
        signal_id, reason, fill_ms, notional, entry_at = said
        return Applied(
            trade_id=ref.client_order_id or "",
            symbol=ref.symbol or "",
            signal_id=text_of(signal_id),
            order_id=ref.order_id,
            mode=ref.mode,
            outcome="fill",
            changed=True,
            settled=True,
            status="open",
            entry_price=entry_price,
            shares=shares,
            reason=text_of(reason),
            fill_ms=number_of(fill_ms),
            notional=number_of(notional),
            entry_at=text_of(entry_at),
        )
