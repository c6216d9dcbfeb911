"""Every statement that touches BotTrade rows: synchronous SQL, no Trio (SPEC 8, 10)."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Literal

from snexec.clock import timestamp
from snexec.ledger.counting import COUNT_OPEN
from snexec.ledger.endings import end_simulation, settle
from snexec.ledger.exits import Exits
from snexec.ledger.faults import IGNORED, check_kept, explained
from snexec.ledger.found import FoundRows
from snexec.ledger.held import HeldRows
from snexec.ledger.late import LateRows
from snexec.ledger.plain_fills import PlainFills
from snexec.ledger.reading import read_unsettled
from snexec.ledger.row import READ, Row, update_of
from snexec.ledger.signal_log import SignalTable
from snexec.ledger.standing import read_standing
from snexec.ledger.stops import StopNote
from snexec.ledger.symbols import open_row
from snexec.ledger.transactions import Transactions
from snexec.ledger.unconcluded import Unconcluded
from snexec.ledger.unsent import UnsentRows
from snexec.ledger.win_window import begin_window

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from snexec.clock import Clock
    from snexec.latency import Times
    from snexec.ledger.rows import (
        Applied,
        Ending,
        NewTrade,
        Opening,
        OrderRef,
        Outcome,
        Unsettled,
    )
    from snexec.ledger.standing import End, Standing
    from snexec.model import Mode
    from snexec.risk import Counts, Limits, Recently

# The table's own rules refuse a repeated id, and a symbol that has an open row.
_INSERT = (
    "INSERT INTO BotTrade (id, symbol, status, catalystType, catalystTier, entryAt,"
    " createdAt, updatedAt, mode, notional, starRating, priceAtSignal, signalId)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_FRESH = f"{_INSERT} ON CONFLICT DO NOTHING"
_SELECT = f"SELECT {', '.join(READ)} FROM BotTrade"  # noqa: S608 - names of our own
_BY_ID = f"{_SELECT} WHERE id = ?"
_BY_ORDER_ID = f"{_SELECT} WHERE alpacaOrderId = ? AND mode = ?"


class Store(Transactions):
    """BotTrade, over one connection. Not thread-safe: one user at a time.

    Attributes:
        found: The rows of orders that were found at the broker.
        exits: The sells of the rows.
        held: The rows that may be sold.
        unsent: The rows whose orders may be sent once more.
        unconcluded: Those of which it is not known whether their shares were sold.
        stop_note: How the last run on the file ended.
    """

    def __init__(self, connection: sqlite3.Connection, *, clock: Clock) -> None:
        super().__init__(connection)
        self._clock = clock
        self.unconcluded = Unconcluded(connection)
        self._plain = PlainFills(connection)
        self._late = LateRows(connection, self._counting, self.unconcluded)
        self.found = FoundRows(
            *(connection, self._counting, self._late, self.unconcluded), clock=clock
        )
        self.exits = Exits(connection, self._counting, clock=clock)
        self.held = HeldRows(connection, clock=clock)
        self.unsent = UnsentRows(connection, self._counting, clock=clock)
        self.stop_note = StopNote(connection)
        self.signal_log = SignalTable(connection)

    @property
    def in_transaction(self) -> bool:
        """Whether the transaction is still open; a trigger may end it."""
        return self._db.in_transaction

    def explained(self, error: Exception) -> Exception:
        """Return an error of one change in words that say whose rule it met."""
        return explained(error, self._db)

    # On an order's way.

    def open_trade(self, trade: NewTrade, limits: Limits | None = None) -> Opening:
        """Write the row of an order that is about to leave.

        A repeated id, a symbol with an open row or a limit writes nothing.

        Args:
            trade: The row.
            limits: What is asked before it is opened, if anything.
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
        written = self._db.total_changes
        if self._db.execute(_INSERT_FRESH, values).rowcount:
            if self._db.total_changes != written + 1:  # a trigger has written too
                check_kept(self._db, trade.id, {"status": "open", "mode": trade.mode})
            self._counting.row_opens(trade.mode)
            self._counting.opened(
                trade.mode, trade.symbol, moment.timestamp(), trade.notional
            )
            return "opened"
        if (conflict := self._conflict(trade)) is None:
            self._db.execute(_INSERT, values)  # which says what forbids it
            raise sqlite3.IntegrityError(IGNORED)
        return conflict

    def discard_trade(self, trade_id: str) -> bool:
        """Remove the row of an order that does not exist.

        Returns:
            Whether it is gone; a row that the broker has spoken of stays.
        """
        # Without it there may be one that gets the symbol back.
        row = self._row(_BY_ID, trade_id) if self._late.is_any else None
        cursor = self._db.execute(
            "DELETE FROM BotTrade WHERE id = ? AND alpacaOrderId IS NULL"
            " AND settledAt IS NULL AND shares IS NULL",
            [trade_id],
        )
        if row is not None and cursor.rowcount:
            self._late.open_in_place_of(trade_id, str(row["symbol"]), now=self._now())
        return cursor.rowcount == 1

    # What the broker says; they return None if no row of ours matches.

    def apply_working(
        self, ref: OrderRef, *, times: Times | None = None
    ) -> Applied | None:
        """Note that the broker knows the order, and nothing more."""
        if (row := self._find(ref)) is None:
            return None
        return self._write(row, row.apply_working(times))

    def apply_fill(
        self,
        ref: OrderRef,
        *,
        price: Decimal | None,
        quantity: Decimal | None,
        times: Times | None = None,
    ) -> Applied | None:
        """Apply a final fill; without a price or a quantity it is not final."""
        now = self._now()
        if (plain := self._plain.apply(ref, price, quantity, times, now)) is not None:
            return plain
        if (row := self._find(ref)) is None:
            return None
        return self._write(row, row.apply_fill(price, quantity, times, now))

    def apply_partial_fill(
        self, ref: OrderRef, *, price: Decimal | None, shares: Decimal | None
    ) -> Applied | None:
        """Apply a partial fill, ``shares`` being the position's; never undoes a fill."""
        if (row := self._find(ref)) is None:
            return None
        return self._write(row, row.apply_partial_fill(price, shares))

    def apply_ended(
        self,
        ref: OrderRef,
        how: Ending,
        *,
        price: Decimal | None,
        quantity: Decimal | None,
    ) -> Applied | None:
        """Apply the end of an order; it never undoes what was bought."""
        if quantity is None:
            return self.apply_partial_fill(ref, price=price, shares=None)
        if quantity:
            return self.apply_fill(ref, price=price, quantity=quantity)
        if (row := self._find(ref)) is None:
            return None
        return self._write(row, row.apply_nothing_bought(how, self._now()))

    def mark_not_found(self, trade_id: str) -> Applied | None:
        """Give up an order that the broker still does not know (SPEC 5)."""
        if (row := self._row(_BY_ID, trade_id)) is None:
            return None
        return self._write(row, row.mark_not_found())

    def settle_not_found(self, trade_id: str) -> None:
        """Stop asking about an order that was given up."""
        now = self._now()
        self._db.execute(
            "UPDATE BotTrade SET settledAt = ?, updatedAt = ? WHERE id = ?"
            " AND status = 'missed' AND settledAt IS NULL",
            [now, now, trade_id],
        )

    def end_simulation(self) -> int:
        """End what an earlier simulation left open, and return how many rows that was."""
        self._counting.begin_empty()
        return end_simulation(self._db, self._now())

    # The operator's word.

    def standing(self, trade_id: str) -> Standing | None:
        """Return what is known of a row that is to be ended; None if it is not there."""
        return read_standing(self._db, trade_id)

    def settle(self, trade_id: str, how: End, price: Decimal | None) -> Standing | None:
        """End a row by the operator's word, as in ``endings.settle``."""
        self._counting.row_closes()
        row = settle(self._db, trade_id, how, price, self._now())
        if row is not None and how == "missed":
            self._late.open_in_place_of(trade_id, row.symbol, now=self._now())
        return row

    def begin_tallies(self) -> None:
        """Count recent orders from the rows, unless that was done.

        It takes some milliseconds, which a start has and an order does not.
        """
        self._counting.begin_tallies(self._clock.now().timestamp())

    def name_dates_ahead(self) -> None:
        """Warn of rows that are dated ahead of the clock, from now on (SPEC 11)."""
        self._counting.ahead.begin(self._clock.now())

    def unsettled(self) -> list[Unsettled]:
        """Return our rows whose orders are not settled, oldest first."""
        return read_unsettled(self._db, self._clock.now().timestamp())

    def count(
        self,
        symbol: str,
        mode: Mode,
        notional: Decimal,
        limits: Limits,
        *,
        recently: Recently | None = None,
    ) -> Counts:
        """Count what the limits ask about an order of a symbol; open nothing."""
        return self._counting.count(
            symbol, mode, notional, limits, self._clock.now(), recently=recently
        )

    def tallied(self, symbol: str, mode: Mode) -> Recently | None:
        """Return what memory holds of recent orders, refused ones too; from any thread."""
        return self._counting.tallied(symbol, mode, self._clock.now().timestamp())

    def conflict(self, trade_id: str, symbol: str) -> tuple[str | None, str | None]:
        """Return the status of the row of an id, and the id of a symbol's open row."""
        row = self._row(_BY_ID, trade_id)
        return None if row is None else str(row["status"]), open_row(self._db, symbol)

    def count_open(self) -> int:
        """Count the open rows, whoever wrote them."""
        return int(self._db.execute(COUNT_OPEN).fetchone()[0])

    def _conflict(self, trade: NewTrade) -> Literal["repeated", "symbol_open"] | None:
        if self._row(_BY_ID, trade.id) is not None:
            return "repeated"
        return None if open_row(self._db, trade.symbol) is None else "symbol_open"

    def _find(self, ref: OrderRef) -> Row | None:
        row = holder = None
        if ref.order_id is not None:
            row = self._row(_BY_ORDER_ID, ref.order_id, ref.mode)
        if ref.client_order_id is not None and (
            row is None or row["id"] != ref.client_order_id
        ):
            ours = self._row(_BY_ID, ref.client_order_id)
            if ours is not None and ours["mode"] == ref.mode:
                row, holder = ours, row
        if row is None:
            return None
        row.heard_of(ref, holder=holder)
        if row["status"] == "missed":
            row.open_instead = open_row(self._db, str(row["symbol"]))
        return row

    def _row(self, statement: str, *values: object) -> Row | None:
        found = self._db.execute(statement, values).fetchone()
        return None if found is None else Row(found)

    def _write(self, row: Row, outcome: Outcome) -> Applied:
        if changes := row.changes:
            if changes.get("status") == "open":
                self._counting.row_opens(str(row["mode"]))
            now = changes.get("settledAt") or self._now()
            values = (*changes.values(), now, row["id"])
            written = self._db.total_changes
            if not self._db.execute(update_of(tuple(changes)), values).rowcount:
                raise sqlite3.IntegrityError(IGNORED)
            if self._db.total_changes != written + 1:
                check_kept(self._db, row["id"], changes)
            if changes.get("status") == "missed":
                self._late.open_in_place_of(
                    row["id"], str(row["symbol"]), now=self._now()
                )
            elif row.open_instead and changes.get("exitReason") == "order_found_late":
                self._late.gave_way(row["id"], row.open_instead)
        return row.applied(outcome)

    def begin_win_window(self, moment: datetime) -> None:
        """Have the win rate count what is closed from a moment on."""
        begin_window(self._db, moment)
        self._counting.row_closes()

    def _use(self, connection: sqlite3.Connection) -> None:
        super()._use(connection)
        for part in (
            *(self.found, self.unconcluded, self._late, self._plain),
            *(self.exits, self.held, self.unsent, self.stop_note, self.signal_log),
        ):
            part.read_from(connection)

    def _now(self) -> str:
        return timestamp(self._clock.now())
