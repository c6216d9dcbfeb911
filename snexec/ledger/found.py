"""Rows for orders of ours that the broker has and the file does not (SPEC 8, 11, 13)."""

from __future__ import annotations

import sqlite3
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from snexec.clock import timestamp
from snexec.ledger.faults import IGNORED, check_kept
from snexec.ledger.standing import sold_shares
from snexec.ledger.symbols import open_row
from snexec.risk import OpenedOrder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from snexec.clock import Clock
    from snexec.ledger.counting import Counting
    from snexec.ledger.late import LateRows
    from snexec.ledger.rows import Ending
    from snexec.ledger.unconcluded import Unconcluded
    from snexec.model import Mode

_KNOWN = "SELECT 1 FROM BotTrade WHERE id = ?"
_NAMED = "SELECT alpacaOrderId, mode FROM BotTrade WHERE id = ?"
_KNOWN_BY_ORDER = "SELECT 1 FROM BotTrade WHERE alpacaOrderId = ? AND mode = ?"
_INSERT = (
    "INSERT INTO BotTrade (id, symbol, status, exitReason, alpacaOrderId, entryAt,"
    " createdAt, updatedAt, settledAt, mode, notional)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
_CLOSE = (
    "UPDATE BotTrade SET status = 'closed', exitReason = 'rebuilt', updatedAt = ?"
    " WHERE id = ? AND settledAt IS NOT NULL AND shares IS NOT NULL"
    " AND (status = 'open' OR (status = 'missed' AND exitReason = 'order_found_late'))"
)
_ROW = (
    "SELECT id, symbol, mode, status, exitReason, alpacaOrderId, shares, entryPrice,"
    " createdAt, settledAt IS NOT NULL FROM BotTrade WHERE id = ?"
)
# By when it was written: other programs may put anything into the other columns.
_NEWEST = (
    "SELECT (julianday(createdAt) - 2440587.5) * 86400.0"
    " FROM BotTrade ORDER BY rowid DESC LIMIT 1"
)
_SWEPT_AT = (
    "SELECT (julianday(value) - 2440587.5) * 86400.0 FROM SnexecMeta WHERE key = ?"
)
_NOTE_SWEPT = "INSERT OR REPLACE INTO SnexecMeta VALUES (?, ?)"


class FoundOrder(NamedTuple):
    """An order of ours that was found at the broker.

    Attributes:
        symbol: In its canonical spelling, where it has one.
        notional: Dollars; None where the broker does not say.
        placed_at: When the broker took it.
        ending: How it ended without having bought anything; None if it did not.
        is_sold: Whether the account is known not to hold what it bought any more.
    """

    trade_id: str
    symbol: str
    mode: Mode
    order_id: str
    notional: Decimal | None
    placed_at: datetime
    ending: Ending | None = None
    is_sold: bool = False

    @property
    def signal_id(self) -> None:
        """The signal's id, which an order does not tell."""


class FoundRow(NamedTuple):
    """A row as it is now.

    Attributes:
        status: open, closed or missed.
        reason: Its ``exitReason``.
        entry_price: Dollars a share.
        created_at: As it is written; of a row of ours text that sorts.
        is_settled: Whether the broker's last word on its order is in it.
        sold: Shares of it that are sold, by its sells.
    """

    trade_id: str
    symbol: str
    mode: Mode
    status: str
    reason: str | None
    order_id: str | None
    shares: float | None
    entry_price: float | None
    created_at: object
    is_settled: bool
    sold: Decimal = Decimal(0)

    @property
    def signal_id(self) -> None:
        """The signal's id, which nobody asks it for."""


class FoundRows:
    """Writes such rows, over the store's own connection and within its transactions.

    Args:
        connection: The store's.
        counting: What the limits count.
        late: Those that give way to a newer row of their symbol.
        unconcluded: Those of which it is not known whether their shares were sold.
        clock: Gives rows their time.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        counting: Counting,
        late: LateRows,
        unconcluded: Unconcluded,
        *,
        clock: Clock,
    ) -> None:
        self._db = connection
        self._counting = counting
        self._late = late
        self._unconcluded = unconcluded
        self._clock = clock

    def read_from(self, connection: sqlite3.Connection) -> None:
        """Use another connection to the same rows from now on."""
        self._db = connection

    def compare(
        self, order_ids: Mapping[str, object], mode: Mode
    ) -> tuple[list[str], list[FoundRow]]:
        """Compare what the broker lists with the rows.

        Args:
            order_ids: The broker's id of each order, by the id of its row.
            mode: The account.

        Returns:
            The ids that no row has, and the rows that name another order.
        """
        unknown: list[str] = []
        misnamed: list[str] = []
        for each, order_id in order_ids.items():
            found = self._db.execute(_NAMED, [each]).fetchone()
            if found is None:
                unknown.append(each)
            elif found[0] is not None and found[0] != order_id and found[1] == mode:
                misnamed.append(each)
        return unknown, [row for each in misnamed if (row := self.row(each))]

    def adopt(self, order: FoundOrder) -> FoundRow | None:
        """Write the row of an order, unless there is one.

        It is open, as on the order's way; missed where it bought nothing, or where its
        symbol has an open row (``order_found_late``); closed where that was sold.

        Returns:
            The row that was written; None if there was one.

        Raises:
            sqlite3.IntegrityError: A rule of another program's forbids it.
        """
        if self._is_known(order):
            return None
        if order.ending is not None:
            self._insert(order, "missed", f"alpaca_{order.ending}", settled=True)
        elif order.is_sold:
            self._insert(order, "closed", "rebuilt")
            self._counting.row_closes()
        elif (newer_id := open_row(self._db, order.symbol)) is None:
            self._insert(order, "open", None)
            self._counting.row_opens(order.mode)
            self._unconcluded.note(order.trade_id, order.mode)
        else:
            self._insert(order, "missed", "order_found_late")
            self._late.gave_way(order.trade_id, newer_id)
            self._unconcluded.note(order.trade_id, order.mode)
        cents = int((order.notional or 0) * 100)
        self._counting.found(
            OpenedOrder(
                *(order.mode, order.symbol, order.placed_at.timestamp(), cents),
                is_found=True,
            )
        )
        return self.row(order.trade_id)

    def close(self, trade_id: str) -> FoundRow | None:
        """Close a row whose order bought and whose position is gone (``rebuilt``).

        When it was sold, and for how much, is not known.

        Returns:
            The row; None if it is not one that may be closed so.
        """
        now = timestamp(self._clock.now())
        self._counting.row_closes()
        if not self._db.execute(_CLOSE, [now, trade_id]).rowcount:
            return None
        self._late.forget(trade_id)
        self._unconcluded.forget(trade_id)
        return self.row(trade_id)

    def keep(self, trade_id: str) -> bool:
        """Note that the account holds what a row bought; open it if its symbol is free.

        Returns:
            Whether nothing is left to find out: not while it gives way to a newer row.
        """
        now = timestamp(self._clock.now())
        is_kept = self._late.open_again(trade_id, now=now)
        if is_kept:
            self._unconcluded.forget(trade_id)
        return is_kept

    def row(self, trade_id: str) -> FoundRow | None:
        """Return a row as it is now; None if it is not there."""
        found = self._db.execute(_ROW, [trade_id]).fetchone()
        if found is None:
            return None
        sold = sold_shares(self._db, trade_id)
        return FoundRow(*found)._replace(is_settled=bool(found[-1]), sold=sold)

    def newest_at(self) -> float | None:
        """Return when the last row was written, in seconds since 1970, if that is known.

        What came after it may be lost with a file that is older than the last order.
        """
        found = self._db.execute(_NEWEST).fetchone()
        return None if found is None else found[0]

    def note_swept(self, mode: Mode, at: datetime) -> None:
        """Note that every order of a mode that was placed before this has its row."""
        self._db.execute(_NOTE_SWEPT, [f"swept {mode}", timestamp(at)])

    def swept_at(self, mode: Mode) -> float | None:
        """Return what was noted last, in seconds since 1970; None if nothing was."""
        found = self._db.execute(_SWEPT_AT, [f"swept {mode}"]).fetchone()
        return None if found is None else found[0]

    def _is_known(self, order: FoundOrder) -> bool:
        execute = self._db.execute
        return (
            execute(_KNOWN, [order.trade_id]).fetchone() is not None
            or execute(_KNOWN_BY_ORDER, [order.order_id, order.mode]).fetchone()
            is not None
        )

    def _insert(
        self,
        order: FoundOrder,
        status: str,
        reason: str | None,
        *,
        settled: bool = False,
    ) -> None:
        now, placed = timestamp(self._clock.now()), timestamp(order.placed_at)
        values = (
            *(order.trade_id, order.symbol, status, reason, order.order_id),
            *(placed, placed, now, now if settled else None, order.mode),
            None if order.notional is None else float(order.notional),
        )
        if not self._db.execute(_INSERT, values).rowcount:
            raise sqlite3.IntegrityError(IGNORED)
        kept = {"status": status, "alpacaOrderId": order.order_id}
        check_kept(self._db, order.trade_id, kept)
