"""The positions that are watched: read at the start, then as reconciliation reports."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import trio

from snexec.assets import canonical_symbol
from snexec.exits.book_entry import BookEntry
from snexec.exits.position import Position
from snexec.exits.symbol_prices import SymbolPrices

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from snexec.clock import Clock
    from snexec.exits.position import State
    from snexec.ledger import Applied, ExitApplied, Split, WatchedRow
    from snexec.model import Mode


class PositionBook:
    """Every row of which something is held; or only what is sold, until it follows all.

    Args:
        clock: Dates what is bought.

    Attributes:
        follows_all: Whether what is bought is in it from its first share. Without rules
            nobody asks for it, and it would take memory for each row.
        missed: Rows that were bought while it is about to follow all; None before.
    """

    def __init__(self, clock: Clock) -> None:
        self.follows_all = False
        self.missed: set[str] | None = None
        self._clock = clock
        self._rows: dict[str, BookEntry] = {}
        self._symbols: dict[str, BookEntry] = {}
        self._dropped = trio.Event()

    # What is asked.

    def __iter__(self) -> Iterator[BookEntry]:
        """Yield every position; the book may change meanwhile."""
        return iter(tuple(self._rows.values()))

    def __len__(self) -> int:
        return len(self._rows)

    def of_symbol(self, symbol: str) -> BookEntry | None:
        """Return the position in a symbol: it has at most one open row (SPEC 11)."""
        return self._symbols.get(symbol)

    def position(self, symbol: str) -> Position | None:
        """Return the position in a symbol, without what is known of its price."""
        entry = self._symbols.get(symbol)
        return None if entry is None else entry.position

    def of_row(self, row_id: str) -> BookEntry | None:
        """Return the position of a row."""
        return self._rows.get(row_id)

    def may_hold(self, mode: Mode, told: str) -> bool:
        """Return whether what the broker says may be about a position (``may_be``)."""
        if not told:
            return mode in self.modes()
        with suppress(ValueError):
            entry = self.of_symbol(told) or self.of_symbol(canonical_symbol(told))
            return entry is not None and entry.position.mode == mode
        return False

    def of_mode(self, mode: Mode) -> list[Position]:
        """Return the positions of an account."""
        found = (each.position for each in self._rows.values())
        return [position for position in found if position.mode == mode]

    def modes(self) -> set[Mode]:
        """Return the modes of which there are positions."""
        return {each.position.mode for each in self._rows.values()}

    def count(self, state: State) -> int:
        """Count the positions in a state."""
        return sum(each.position.state == state for each in self._rows.values())

    async def wait_dropped(self) -> None:
        """Wait until a position is watched no more."""
        await self._dropped.wait()

    @property
    def stops(self) -> int:
        """How many of them have a stop that works at the broker."""
        return sum(each.position.stop_at_broker for each in self._rows.values())

    # What changes it.

    def load(self, rows: Iterable[WatchedRow]) -> None:
        """Take over what is held, as the ledger says; what it has already is newer."""
        now, elapsed = self._clock.now().timestamp(), trio.current_time()
        for row in rows:
            if row.id in self._rows:
                continue
            live, entered = row.live_exit, row.entry_at.timestamp()
            self._add(
                Position(
                    row_id=row.id,
                    symbol=row.symbol,
                    mode=row.mode,
                    shares=row.shares,
                    remaining=row.remaining,
                    entry_price=row.entry_price,
                    entry_at=entered,
                    held_since=(since := elapsed - max(0.0, now - entered)),
                    bought_at=since,
                    high_price=row.high_price,
                    is_settled=row.is_settled,
                    order_id=row.order_id,
                    live_exit=None if live is None else live.id,
                    waits=live is not None and live.waits,
                    stop_at_broker=(
                        live is not None
                        and live.kind == "stop"
                        and live.state == "working"
                    ),
                    state=(
                        "closing"
                        if live is not None and live.kind == "sell"
                        else "watched"
                    ),
                )
            )

    def bought(self, applied: Applied) -> None:
        """Take what reconciliation has done to a row by its buy."""
        shares = None if applied.shares is None else exact(applied.shares)
        entry = self._rows.get(applied.trade_id)
        if applied.status != "open" or not shares:
            if entry is not None and applied.status != "open":
                self._drop(entry)
            return
        if entry is None and not self.follows_all:
            if self.missed is not None:
                self.missed.add(applied.trade_id)
            return
        price = None if applied.entry_price is None else exact(applied.entry_price)
        elapsed = trio.current_time()
        if entry is None:
            now = self._clock.now().timestamp()
            entered = _entered(applied, now)
            self._add(
                Position(
                    row_id=applied.trade_id,
                    symbol=applied.symbol,
                    mode=applied.mode,
                    shares=shares,
                    remaining=shares,
                    entry_price=price,
                    entry_at=entered,
                    held_since=elapsed - (now - entered),
                    bought_at=elapsed,
                    is_settled=applied.settled,
                    order_id=applied.order_id,
                )
            )
            return
        position = entry.position
        if shares != position.shares:
            entry.change()
        if applied.changed and applied.outcome in {"fill", "partial_fill"}:
            position.bought_at = elapsed
        position.remaining += shares - position.shares
        position.shares = shares
        position.entry_price = price or position.entry_price
        position.is_settled = applied.settled
        position.order_id = applied.order_id or position.order_id

    def sold(self, applied: ExitApplied) -> None:
        """Take what reconciliation has done to a row by one of its sells.

        Whose the position is then is the seller's word.
        """
        entry = self._rows.get(applied.row_id)
        if entry is None:
            return
        if applied.closed or applied.row_status != "open":
            self._drop(entry)
            return
        position = entry.position
        if applied.executed or applied.settled:
            entry.change()
        position.remaining = applied.remaining
        is_live = not applied.settled
        if is_live:
            position.live_exit = applied.id
        elif position.live_exit == applied.id:
            position.live_exit = None
        if applied.kind == "stop":
            position.stop_at_broker = is_live

    def split(self, split: Split) -> None:
        """Take a row after a split: prices from before it are of other shares."""
        entry = self._rows.get(split.row_id)
        if entry is None:
            return
        position = entry.position
        position.shares, position.remaining = split.shares, split.remaining
        position.entry_price, position.high_price = split.entry_price, split.high_price
        position.rests = None
        entry.change()
        entry.prices = SymbolPrices(split.high_price)
        entry.written_high = split.high_price

    def ended(self, row_id: str) -> None:
        """Drop a row that ended without a sell of ours, as by ``settle``."""
        entry = self._rows.get(row_id)
        if entry is not None:
            self._drop(entry)

    def _add(self, position: Position) -> None:
        entry = BookEntry(position)
        self._rows[position.row_id] = entry
        self._symbols[position.symbol] = entry

    def _drop(self, entry: BookEntry) -> None:
        position = entry.position
        del self._rows[position.row_id]
        if self._symbols.get(position.symbol) is entry:
            del self._symbols[position.symbol]
        self._dropped.set()
        self._dropped = trio.Event()


def _entered(applied: Applied, now: float) -> float:
    """Return when a row's order left, in seconds since 1970; now where nobody says."""
    try:
        entered = datetime.fromisoformat(applied.entry_at or "").timestamp()
    except (ValueError, OverflowError):
        return now
    return min(entered, now)


def exact(value: float) -> Decimal:
    """Return what a column of SQLite means by a number."""
    return Decimal(repr(value))
