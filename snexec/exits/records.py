"""What the monitor keeps in the database: the rules applied last, and high prices.

Its own task waits for the writer, so that no rule ever does.
"""

from __future__ import annotations

import logging
import sqlite3
from decimal import Decimal
from typing import TYPE_CHECKING

import trio

from snexec.ledger import HighPrice
from snexec.turns import InTurns

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from snexec.exits.book_entry import BookEntry
    from snexec.ledger import Store, Writer

    _Note = Callable[[Store, Iterable[HighPrice]], None]

log = logging.getLogger("PositionMonitor")

_RISE = Decimal("1.001")  # written from then on: 0.1 %
_APART_SECONDS = 5.0


class Records:
    """Writes what has changed, in batches.

    Args:
        writer: The database's one writer.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._rules: str | None = None
        self._raised: dict[str, HighPrice] = {}
        self._lowered: dict[str, HighPrice] = {}
        self._wake = trio.Event()
        self._unkept: set[str] = set()  # rows of which it was said

    def note_rules(self, rules: str) -> None:
        """Keep the rules that are applied from now on."""
        self._rules = rules
        self._wake.set()

    async def note_highs(self, rows: Iterable[BookEntry], elapsed: float) -> None:
        """Keep the highest prices that have risen enough, or gone back (SPEC 12.3)."""
        async for entry in InTurns(rows, each_us=2):
            position, before = entry.position, entry.written_high
            high = position.high_price
            if high is None or high == before or position.entry_price is None:
                continue
            lower = before is not None and high < before
            if not lower and before is not None and high < before * _RISE:
                continue
            if elapsed - entry.written_at < _APART_SECONDS:
                continue
            entry.written_high, entry.written_at = high, elapsed
            note = HighPrice(position.row_id, high, position.entry_price)
            # What was to go back and has risen since is still below what is written.
            lowers = lower or note.row_id in self._lowered
            (self._lowered if lowers else self._raised)[note.row_id] = note
            if lowers:
                self._raised.pop(note.row_id, None)
        if self._raised or self._lowered:
            self._wake.set()

    async def run(self) -> None:
        """Write what is noted, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            await self._write()

    async def _write(self) -> None:
        """Write what is noted, and keep none of it."""
        rules, self._rules = self._rules, None
        raised, self._raised = self._raised, {}
        lowered, self._lowered = self._lowered, {}
        if rules is not None:
            await self._write_rules(rules)
        if raised:
            await self._write_highs(_raise, raised.values())
        if lowered:
            await self._write_highs(_set, lowered.values())

    async def _write_rules(self, rules: str) -> None:
        try:
            await self._writer.write(lambda store: store.held.note_rules(rules))
        except sqlite3.Error as exc:
            log.warning(
                "the rules that are applied now cannot be kept (%s): a restart takes"
                " them for new ones, and waits before it sells by them",
                exc,
            )

    async def _write_highs(self, note: _Note, highs: Collection[HighPrice]) -> None:
        """Write high prices; a row that takes none keeps no other from its own."""
        try:
            await self._writer.write(lambda store: note(store, highs))
        except sqlite3.Error:
            for each in highs:
                await self._write_high(note, each)

    async def _write_high(self, note: _Note, high: HighPrice) -> None:
        try:
            await self._writer.write(lambda store: note(store, [high]))
        except sqlite3.Error as exc:
            self._say_unkept(high.row_id, exc)

    def _say_unkept(self, row_id: str, why: sqlite3.Error) -> None:
        if row_id in self._unkept:
            return
        self._unkept.add(row_id)
        log.warning(
            "trade=%s: its highest price cannot be kept (%s): after a restart its"
            " trailing stop goes by the last one that was",
            row_id,
            why,
        )


def _raise(store: Store, highs: Iterable[HighPrice]) -> None:
    store.held.raise_highs(highs)


def _set(store: Store, highs: Iterable[HighPrice]) -> None:
    store.held.set_highs(highs)
