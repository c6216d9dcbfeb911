"""What the broker's word makes of one row: pure, without SQL or clock (SPEC 7, 8).

Every change is monotonic: what the broker has said finally is never undone.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from snexec.assets import asset_class, may_be
from snexec.ledger.reading import id_of, number_of, text_of
from snexec.ledger.rows import Applied

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal

    from snexec.latency import Times
    from snexec.ledger.rows import Ending, OrderRef, Outcome

# What a change may look at or write.
READ = (
    *("id", "symbol", "mode", "status", "alpacaOrderId", "entryPrice", "shares"),
    *("exitReason", "settledAt", "signalId", "wireMs", "replyMs", "fillMs"),
    *("notional", "entryAt"),
)
_DUST = 1e-9  # of a share
_SIDE = "buy"  # of the order of any row
_PLACE = {name: place for place, name in enumerate(READ)}


class Row:
    """One row as it should become, and which of its columns to write back.

    Args:
        values: The columns that were read, in the order of ``READ``.

    Attributes:
        changes: What to write, by column.
        open_instead: The id of the symbol's open row, if this one is missed: two rows
            of a symbol are never open.
        is_disputed: Whether what the broker says is about another order as well: then
            nothing of it is written.
    """

    __slots__ = (
        *("_newer_trade_id", "_unheld", "_values", "changes"),
        *("is_disputed", "open_instead"),
    )

    def __init__(self, values: Iterable[Any]) -> None:
        self._values: list[Any] = list(values)
        self.changes: dict[str, object] = {}
        self.open_instead: str | None = None
        self.is_disputed = False
        self._newer_trade_id: str | None = None
        self._unheld: float | None = None

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - whatever SQLite holds
        return self._values[_PLACE[name]]

    def heard_of(self, ref: OrderRef, *, holder: Row | None) -> None:
        """Take the broker's id of the order, unless the row says something else.

        Args:
            ref: How the broker names the order.
            holder: The row that has its id already, if it is another one.
        """
        order_id = id_of(self["alpacaOrderId"])
        if (
            holder is not None
            or (ref.client_order_id is not None and ref.client_order_id != self["id"])
            or (
                ref.symbol is not None
                and not may_be(text_of(self["symbol"]) or "", ref.symbol)
            )
            or (ref.side and ref.side != _SIDE)
        ):
            self.is_disputed = True
        elif ref.order_id is None or ref.order_id == order_id:
            return
        elif order_id is None:
            self.set(alpacaOrderId=ref.order_id)
        elif ref.is_answer:
            self.set(alpacaOrderId=ref.order_id)
            if self["status"] != "closed":
                # That was said of the other order.
                self.set(entryPrice=None, shares=None, settledAt=None)
        else:
            self.is_disputed = True

    # What the broker may say; they return what the row says then, or "unchanged".

    def apply_working(self, times: Times | None) -> Outcome:
        """Note that the broker knows the order, and nothing more."""
        self._set_times(times)
        given_up = self["status"] == "missed" and not self._settled
        return "working" if given_up and self._reopen() else "unchanged"

    def apply_fill(
        self,
        price: Decimal | None,
        quantity: Decimal | None,
        times: Times | None,
        now: str,
    ) -> Outcome:
        """Apply a final fill; without a price or a quantity it is not final."""
        final = price is not None and quantity is not None
        if self["status"] == "closed":
            self._unheld = self._more_than_held(quantity)
        if self._settled and (not final or self._bought_in_full):
            return "unchanged"
        bought = _columns(price, quantity)
        if self["status"] == "closed":
            self._set_where_null(**bought)
        else:
            self.set(**bought)
        late = self["status"] == "missed" and not self._reopen(bought=True)
        if not final:
            return "found_late" if late else "partial_fill"
        self.set(settledAt=now)
        self._set_times(times)
        return "found_late" if late else "fill"

    def apply_partial_fill(
        self, price: Decimal | None, shares: Decimal | None
    ) -> Outcome:
        """Apply a partial fill, ``shares`` being the position's; never undoes a fill."""
        if self._settled or self["status"] == "closed":
            return "unchanged"
        self.set(**_columns(price, shares))
        late = self["status"] == "missed" and not self._reopen(bought=True)
        return "found_late" if late else "partial_fill"

    def apply_nothing_bought(self, how: Ending, now: str) -> Outcome:
        """Apply an end without a fill; it never undoes what was bought."""
        if self._bought or self["status"] == "closed":
            return "contradicted"
        if self._settled:
            return "unchanged"
        self.set(status="missed", exitReason=f"alpaca_{how}", settledAt=now)
        return how

    def mark_not_found(self) -> Outcome:
        """Give up the order, which the broker still does not know (SPEC 5)."""
        if (
            self["status"] != "open"
            or self["alpacaOrderId"] is not None
            or self._settled
            or self._bought
        ):
            return "unchanged"
        self.set(status="missed", exitReason="order_not_found")
        return "not_found"

    def set(self, **changes: object) -> None:
        """Set columns; what a column holds already is not written."""
        for name, value in changes.items():
            if self[name] != value and not self.is_disputed:
                self._values[_PLACE[name]] = self.changes[name] = value

    def applied(self, outcome: Outcome) -> Applied:
        """Return what the change did."""
        trade_id, symbol, mode, status, order_id, price, shares, *others = self._values
        reason, settled_at, signal_id, _wire_ms, _reply_ms, fill_ms, *more = others
        notional, entry_at = more
        return Applied(
            trade_id=trade_id,
            symbol=text_of(symbol) or "",
            signal_id=text_of(signal_id),
            order_id=text_of(order_id),
            mode=mode,
            outcome="disputed" if self.is_disputed else outcome,
            changed=bool(self.changes),
            settled=settled_at is not None,
            status=text_of(status) or "",
            entry_price=number_of(price),
            shares=number_of(shares),
            reason=text_of(reason),
            fill_ms=number_of(fill_ms),
            notional=number_of(notional),
            entry_at=text_of(entry_at),
            newer_trade_id=self._newer_trade_id,
            reopened=self.changes.get("status") == "open",
            unheld=self._unheld,
        )

    @property
    def _bought(self) -> bool:
        return self["shares"] is not None or self["entryPrice"] is not None

    @property
    def _bought_in_full(self) -> bool:
        return self["shares"] is not None and self["entryPrice"] is not None

    @property
    def _settled(self) -> bool:
        return self["settledAt"] is not None

    def _reopen(self, *, bought: bool = False) -> bool:
        """Reopen a missed row, as the broker knows its order after all.

        Returns:
            Whether the row is what it would have been had the evidence come in time;
            False where its symbol has a newer open row.
        """
        if self.open_instead is None:
            self.set(status="open", exitReason=None)
            return True
        self._newer_trade_id = self.open_instead
        if bought:
            self.set(exitReason="order_found_late")
        return False

    def _more_than_held(self, quantity: Decimal | None) -> float | None:
        """Return by how much a quantity exceeds what the row says it held."""
        shares = number_of(self["shares"])
        if quantity is None or shares is None:
            return None
        # A row whose shares are the position's lacks the fee, which the coin paid.
        fee = float(quantity * asset_class(text_of(self["symbol"]) or "").largest_fee)
        more = float(quantity) - shares
        return more if more > fee + _DUST else None

    def _set_where_null(self, **changes: object) -> None:
        for name, value in changes.items():
            if self.is_disputed or value is None:
                continue
            if number_of(self[name]) is None:
                self._values[_PLACE[name]] = self.changes[name] = value

    def _set_times(self, times: Times | None) -> None:
        if times is not None:
            self._set_where_null(
                wireMs=times.wire_ms, replyMs=times.reply_ms, fillMs=times.fill_ms
            )


@functools.cache  # there are a few dozen of them
def update_of(columns: tuple[str, ...]) -> str:
    """Return the statement that writes columns, ``updatedAt`` and then the row's id."""
    changes = ", ".join(f"{name} = ?" for name in (*columns, "updatedAt"))
    return f"UPDATE BotTrade SET {changes} WHERE id = ?"  # noqa: S608


def _columns(price: Decimal | None, shares: Decimal | None) -> dict[str, object]:
    columns: dict[str, object] = {}
    if price is not None:
        columns["entryPrice"] = float(price)
    if shares is not None:
        columns["shares"] = float(shares)
    return columns
