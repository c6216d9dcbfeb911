"""What the monitor keeps in the database: the rules applied last, and high prices.

Its own task waits for the writer, so that no rule ever does.
"""

from __future__ import annotations

import logging
import sqlite3
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol

import trio

from snexec.ledger import HighPrice

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence

    from snexec.exits.watched import Watched

log = logging.getLogger("PositionMonitor")

_RISE = Decimal("1.001")  # written from then on: 0.1 %
_APART_SECONDS = 5.0


class Shelf(Protocol):
    """Where the database keeps it."""

    async def note_rules(self, rules: str) -> None:
        """Keep the rules that are applied from now on."""

    async def raise_highs(self, highs: Sequence[HighPrice]) -> None:
        """Keep how high prices have been; what is higher already stays."""

    async def set_highs(self, highs: Sequence[HighPrice]) -> None:
        """Keep the same where a print was taken back: lower, too."""


class Records:
    """Writes what has changed, in batches.

    Args:
        shelf: The database.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._rules: str | None = None
        self._raised: dict[str, HighPrice] = {}
        self._lowered: dict[str, HighPrice] = {}
        self._wake = trio.Event()
        self._unkept: set[str] = set()  # rows of which it was said

    def note_rules(self, rules: str) -> None:
        """Keep the rules that are applied from now on."""
        self._rules = rules
        self._wake.set()

    def note_highs(self, rows: Iterable[Watched], elapsed: float) -> None:
        """Keep the highest prices that have risen enough, or gone back (SPEC 12.3)."""
        for watched in rows:
            position, before = watched.position, watched.written_high
            high = position.high_price
            if high is None or high == before or position.entry_price is None:
                continue
            lower = before is not None and high < before
            if not lower and before is not None and high < before * _RISE:
                continue
            if elapsed - watched.written_at < _APART_SECONDS:
                continue
            watched.written_high, watched.written_at = high, elapsed
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
            rules, self._rules = self._rules, None
            raised, self._raised = self._raised, {}
            lowered, self._lowered = self._lowered, {}
            if rules is not None:
                await self._write_rules(rules)
            if raised:
                await self._write_highs(self._shelf.raise_highs, raised.values())
            if lowered:
                await self._write_highs(self._shelf.set_highs, lowered.values())

    async def _write_rules(self, rules: str) -> None:
        try:
            await self._shelf.note_rules(rules)
        except sqlite3.Error as exc:
            log.warning(
                "the rules that are applied now cannot be kept (%s): a restart takes"
                " them for new ones, and waits before it sells by them",
                exc,
            )

    async def _write_highs(
        self,
        write: Callable[[Sequence[HighPrice]], Awaitable[None]],
        highs: Collection[HighPrice],
    ) -> None:
        """Write high prices; a row that takes none keeps no other from its own."""
        try:
            await write(list(highs))
        except sqlite3.Error:
            for each in highs:
                try:
                    await write([each])
                except sqlite3.Error as exc:
                    self._say_unkept(each.row_id, exc)

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
