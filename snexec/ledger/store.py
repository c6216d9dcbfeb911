"""BotTrade rows and what may happen to them: synchronous SQL, no Trio (SPEC 7, 8, 10).

Every change is monotonic: what the broker has said finally is never undone.
"""

from __future__ import annotations

import functools
import sqlite3
from typing import TYPE_CHECKING, Any, Literal

from snexec.clock import timestamp
from snexec.ledger.counting import COUNT_OPEN, Counting
from snexec.ledger.file import OpenFile
from snexec.ledger.rows import Applied, Unsettled

if TYPE_CHECKING:
    from decimal import Decimal

    from snexec.clock import Clock
    from snexec.latency import Times
    from snexec.ledger.rows import NewTrade, Opening, OrderRef, Outcome
    from snexec.model import Mode
    from snexec.risk import Counts, Limits, Recently

# The table's own rules tell a repeated id and a symbol that has an open row.
_INSERT_FRESH = (
    "INSERT INTO BotTrade (id, symbol, status, catalystType, catalystTier, entryAt,"
    " createdAt, updatedAt, mode, notional, starRating, priceAtSignal, signalId)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT DO NOTHING"
)
# What a change may look at or write; reading all columns would cost a fill 2 %.
_READ = (
    *("id", "symbol", "mode", "status", "alpacaOrderId", "entryPrice", "shares"),
    *("exitReason", "settledAt", "signalId", "wireMs", "replyMs", "fillMs"),
)
_PLACE = {name: place for place, name in enumerate(_READ)}
_SELECT = f"SELECT {', '.join(_READ)} FROM BotTrade"  # noqa: S608
_UNSETTLED = (
    "SELECT id, symbol, mode, alpacaOrderId, status, createdAt, signalId,"
    " (julianday(coalesce(entryAt, createdAt)) - 2440587.5) * 86400.0 AS placed"
    " FROM BotTrade WHERE settledAt IS NULL AND mode IN ('paper', 'live') AND"
)


class _Row:
    """One row as it shall be, and which of its columns to write back.

    Attributes:
        values: Those of the columns that were read, in their order.
    """

    __slots__ = ("changes", "newer_trade_id", "values")

    def __init__(self, values: sqlite3.Row) -> None:
        self.values: list[Any] = list(values)
        self.changes: dict[str, object] = {}
        self.newer_trade_id: str | None = None

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - whatever SQLite holds
        return self.values[_PLACE[name]]

    def set(self, **changes: object) -> None:
        for name, value in changes.items():
            if self[name] != value:
                self.values[_PLACE[name]] = self.changes[name] = value

    def set_where_null(self, **changes: object) -> None:
        for name, value in changes.items():
            if value is not None and self[name] is None:
                self.values[_PLACE[name]] = self.changes[name] = value

    def set_times(self, times: Times | None) -> None:
        if times is not None:
            self.set_where_null(
                wireMs=times.wire_ms, replyMs=times.reply_ms, fillMs=times.fill_ms
            )

    @property
    def bought(self) -> bool:
        return self["shares"] is not None or self["entryPrice"] is not None

    @property
    def settled(self) -> bool:
        return self["settledAt"] is not None


class Store:
    """Every statement that touches BotTrade. Not thread-safe: one user at a time."""

    def __init__(self, connection: sqlite3.Connection, *, clock: Clock) -> None:
        self._db = connection
        self._clock = clock
        self._counting = Counting(connection)
        self._file = OpenFile(connection)

    # Transactions belong to the writer, which batches changes.

    def wait_for_locks(self, seconds: float) -> None:
        """Wait so long for other programs' locks from now on."""
        self._db.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")

    def begin(self) -> None:
        """Start a transaction that may write.

        Raises:
            sqlite3.OperationalError: Nothing can be written now.
        """
        if not self._file.is_there():
            raise sqlite3.OperationalError("its file was removed or replaced")
        self._counting.began()
        self._db.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Make the transaction durable."""
        self._db.execute("COMMIT")
        self._counting.committed()

    def rollback(self) -> None:
        """Undo the transaction, if one is open."""
        self._counting.rolled_back()
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def savepoint(self) -> None:
        """Mark a place within the transaction."""
        self._db.execute("SAVEPOINT change")
        self._counting.marked()

    def release(self) -> None:
        """Forget the mark."""
        self._db.execute("RELEASE change")

    def undo_to_savepoint(self) -> None:
        """Undo what came after the mark, and forget it."""
        self._counting.undone_to_mark()
        self._db.execute("ROLLBACK TO change")
        self._db.execute("RELEASE change")

    # The order's own way.

    def open_trade(self, trade: NewTrade, limits: Limits | None = None) -> Opening:
        """Write the row of an order that is about to leave.

        A repeated id, a symbol with an open row or a limit writes nothing.

        Args:
            trade: The row.
            limits: What counts for it, if anything does.
        """
        moment = self._clock.now()
        now = timestamp(moment)
        if limits is not None:
            # First, as a row that is written and taken back costs a commit.
            counts = self._counting.count(
                trade.symbol, trade.mode, trade.notional, limits, moment
            )
            if (reason := limits.stop(counts)) is not None:
                return self._conflict(trade) or reason
        values = (
            trade.id,
            trade.symbol,
            "open",
            trade.catalyst_type,
            trade.catalyst_tier,
            now,
            now,
            now,
            trade.mode,
            float(trade.notional),
            trade.stars,
            trade.price_at_signal,
            trade.signal_id,
        )
        if self._db.execute(_INSERT_FRESH, values).rowcount:
            self._counting.row_opens()
            self._counting.opened(
                trade.mode, trade.symbol, moment.timestamp(), trade.notional
            )
            return "opened"
        conflict = self._conflict(trade)
        if conflict is None:
            raise sqlite3.IntegrityError("a rule of another program's forbids the row")
        return conflict

    def discard_trade(self, trade_id: str) -> bool:
        """Remove the row of an order that does not exist.

        Returns:
            Whether it is gone; a row that the broker has spoken of stays.
        """
        cursor = self._db.execute(
            "DELETE FROM BotTrade WHERE id = ? AND alpacaOrderId IS NULL"
            " AND settledAt IS NULL AND shares IS NULL",
            [trade_id],
        )
        return cursor.rowcount == 1

    # What the broker says.

    def apply_working(
        self, ref: OrderRef, *, times: Times | None = None
    ) -> Applied | None:
        """Note that the broker knows the order, and nothing more.

        Returns:
            None if no row of ours matches; likewise for all that follow.
        """
        row = self._find(ref)
        if row is None:
            return None
        row.set_times(times)
        given_up = row["status"] == "missed" and not row.settled
        reopened = given_up and self._revive(row)
        return self._write(row, "working" if reopened else "unchanged")

    def apply_fill(
        self,
        ref: OrderRef,
        *,
        price: Decimal | None,
        quantity: Decimal | None,
        times: Times | None = None,
    ) -> Applied | None:
        """Apply a final fill; without a price or a quantity it is not final."""
        row = self._find(ref)
        if row is None:
            return None
        known = row["shares"] is not None and row["entryPrice"] is not None
        if row.settled and (known or price is None or quantity is None):
            return self._write(row, "unchanged")
        bought = _columns(price, quantity)
        if row["status"] == "closed":
            row.set_where_null(**bought)
        else:
            row.set(**bought)
        late = not self._revive(row, bought=True)
        if price is None or quantity is None:
            return self._write(row, "found_late" if late else "partial_fill")
        row.set(settledAt=self._now())
        row.set_times(times)
        return self._write(row, "found_late" if late else "fill")

    def apply_partial_fill(
        self, ref: OrderRef, *, price: Decimal | None, shares: Decimal | None
    ) -> Applied | None:
        """Apply a partial fill, ``shares`` being the position's; never undoes a fill."""
        row = self._find(ref)
        if row is None:
            return None
        if row.settled or row["status"] == "closed":
            return self._write(row, "unchanged")
        row.set(**_columns(price, shares))
        late = not self._revive(row, bought=True)
        return self._write(row, "found_late" if late else "partial_fill")

    def apply_rejected(self, ref: OrderRef) -> Applied | None:
        """Apply a rejection; it never undoes what was bought."""
        return self._apply_nothing_bought(ref, "rejected")

    def apply_ended(
        self,
        ref: OrderRef,
        how: Literal["canceled", "expired"],
        *,
        price: Decimal | None,
        quantity: Decimal | None,
    ) -> Applied | None:
        """Apply the end of an order that the broker canceled or that expired."""
        if quantity is None:
            return self.apply_partial_fill(ref, price=price, shares=None)
        if quantity == 0:
            return self._apply_nothing_bought(ref, how)
        return self.apply_fill(ref, price=price, quantity=quantity)

    def mark_not_found(self, trade_id: str) -> Applied | None:
        """Give an order up that the broker still does not know (SPEC 5)."""
        row = self._by_id(trade_id)
        if row is None:
            return None
        if (
            row["status"] != "open"
            or row["alpacaOrderId"] is not None
            or row.settled
            or row.bought
        ):
            return self._write(row, "unchanged")
        row.set(status="missed", exitReason="order_not_found")
        return self._write(row, "not_found")

    def settle_not_found(self, trade_id: str) -> None:
        """Stop asking for an order that was given up."""
        now = self._now()
        self._db.execute(
            "UPDATE BotTrade SET settledAt = ?, updatedAt = ? WHERE id = ?"
            " AND status = 'missed' AND settledAt IS NULL",
            [now, now, trade_id],
        )

    def end_simulation(self) -> int:
        """End what an earlier simulation left open; its account is gone.

        Returns:
            How many rows that were.
        """
        now = self._now()
        cursor = self._db.execute(
            "UPDATE BotTrade SET exitReason = 'simulation_ended', updatedAt = :now,"
            " settledAt = coalesce(settledAt, :now),"
            " exitAt = CASE WHEN shares IS NULL THEN exitAt ELSE :now END,"
            " status = CASE WHEN shares IS NULL THEN 'missed' ELSE 'closed' END"
            " WHERE mode IS NOT NULL AND status = 'open'",
            {"now": now},
        )
        self._db.execute(
            "UPDATE BotTrade SET settledAt = :now, updatedAt = :now"
            " WHERE mode IS NOT NULL AND settledAt IS NULL AND status <> 'open'",
            {"now": now},
        )
        self._counting.begin_empty()
        return cursor.rowcount

    # Questions.

    def begin_tallies(self) -> None:
        """Count the orders of late from the rows, unless that was done.

        Some milliseconds, which a start has and an order does not.
        """
        self._counting.begin_tallies(self._clock.now().timestamp())

    def unsettled(self) -> list[Unsettled]:
        """Return our rows whose orders are not settled, oldest first."""
        now = self._clock.now()
        rows = self._db.execute(
            f"{_UNSETTLED} status = 'open'"
            # Each half has its index.
            f" UNION ALL {_UNSETTLED} status <> 'open' ORDER BY createdAt"
        )
        return [
            Unsettled(
                trade_id=row["id"],
                symbol=row["symbol"],
                mode=row["mode"],
                order_id=row["alpacaOrderId"],
                age_seconds=max(0.0, now.timestamp() - (row["placed"] or 0.0)),
                missed=row["status"] == "missed",
                signal_id=row["signalId"],
            )
            for row in rows
        ]

    def count(
        self,
        symbol: str,
        mode: Mode,
        notional: Decimal,
        limits: Limits,
        *,
        recently: Recently | None = None,
    ) -> Counts:
        """Count for an order of a symbol what its limits ask for, and open nothing."""
        moment = self._clock.now()
        return self._counting.count(
            symbol, mode, notional, limits, moment, recently=recently
        )

    def tallied(self, symbol: str, mode: Mode) -> Recently | None:
        """Return what is known of the orders of late without the file, from any thread.

        Orders that the broker refused are in it.
        """
        return self._counting.tallied(symbol, mode, self._clock.now().timestamp())

    def conflict(self, trade_id: str, symbol: str) -> tuple[str | None, str | None]:
        """Return the status of the row of an id, and the id of a symbol's open row."""
        row = self._by_id(trade_id)
        return None if row is None else str(row["status"]), self._open_row(symbol)

    def count_open(self) -> int:
        """Count the open rows, whoever wrote them."""
        return int(self._db.execute(COUNT_OPEN).fetchone()[0])

    # Helpers.

    def _conflict(self, trade: NewTrade) -> Literal["repeated", "symbol_open"] | None:
        if self._by_id(trade.id) is not None:
            return "repeated"
        return None if self._open_row(trade.symbol) is None else "symbol_open"

    def _apply_nothing_bought(
        self, ref: OrderRef, how: Literal["rejected", "canceled", "expired"]
    ) -> Applied | None:
        row = self._find(ref)
        if row is None:
            return None
        if row.bought or row["status"] == "closed":
            return self._write(row, "contradicted")
        if row.settled:
            return self._write(row, "unchanged")
        row.set(status="missed", exitReason=f"alpaca_{how}", settledAt=self._now())
        return self._write(row, how)

    def _revive(self, row: _Row, *, bought: bool = False) -> bool:
        """Reopen a row that was given up, as the broker knows its order after all.

        Returns:
            Whether the row is what it would have been had the evidence come in time;
            False where its symbol has a newer open row.
        """
        if row["status"] != "missed":
            return True
        newer = self._open_row(str(row["symbol"]))
        if newer is None:
            row.set(status="open", exitReason=None)
            self._counting.row_opens()
            return True
        row.newer_trade_id = newer
        if bought:
            row.set(exitReason="order_found_late")
        return False

    def _find(self, ref: OrderRef) -> _Row | None:
        if ref.order_id is not None:
            found = self._one(
                f"{_SELECT} WHERE alpacaOrderId = ? AND mode = ?",
                ref.order_id,
                ref.mode,
            )
            if found is not None:
                return _Row(found)
        if ref.client_order_id is None:
            return None
        row = self._by_id(ref.client_order_id)
        if row is None or row["mode"] != ref.mode:
            return None
        if ref.order_id is not None:
            if row["alpacaOrderId"] is not None:
                return None  # a known order of another id: not this one
            row.set(alpacaOrderId=ref.order_id)
        return row

    def _by_id(self, trade_id: str) -> _Row | None:
        found = self._one(f"{_SELECT} WHERE id = ?", trade_id)
        return _Row(found) if found is not None else None

    def _write(self, row: _Row, outcome: Outcome) -> Applied:
        if row.changes:
            now = row.changes.get("settledAt") or self._now()
            self._db.execute(
                _update(tuple(row.changes)), (*row.changes.values(), now, row["id"])
            )
        trade_id, symbol, mode, status, order_id, price, shares, *others = row.values
        reason, settled_at, signal_id, _wire_ms, _reply_ms, fill_ms = others
        return Applied(
            trade_id=trade_id,
            symbol=symbol,
            signal_id=signal_id,
            order_id=order_id,
            mode=mode,
            outcome=outcome,
            changed=bool(row.changes),
            settled=settled_at is not None,
            status=status,
            entry_price=price,
            shares=shares,
            reason=reason,
            fill_ms=fill_ms,
            newer_trade_id=row.newer_trade_id,
        )

    def _open_row(self, symbol: str) -> str | None:
        row = self._one(
            "SELECT id FROM BotTrade WHERE symbol = ? AND status = 'open'", symbol
        )
        return None if row is None else str(row["id"])

    def _one(self, statement: str, *values: object) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self._db.execute(statement, values).fetchone()
        return row

    def _now(self) -> str:
        return timestamp(self._clock.now())


@functools.cache  # there are a few dozen of them
def _update(columns: tuple[str, ...]) -> str:
    changes = ", ".join(f"{name} = ?" for name in (*columns, "updatedAt"))
    return f"UPDATE BotTrade SET {changes} WHERE id = ?"  # noqa: S608


def _columns(price: Decimal | None, shares: Decimal | None) -> dict[str, object]:
    columns: dict[str, object] = {}
    if price is not None:
        columns["entryPrice"] = float(price)
    if shares is not None:
        columns["shares"] = float(shares)
    return columns
