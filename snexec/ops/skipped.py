"""Signals that are not traded leave a trace in the log: one line a minute at most.

Each single one is silent above debug (SPEC 5); the feed and ``snexec signals`` say why.
"""

from __future__ import annotations

import collections
import logging
from typing import TYPE_CHECKING

import trio

from snexec.model import counted

if TYPE_CHECKING:
    from snexec.events import Event

log = logging.getLogger("TradeExecutor")

_EVERY_SECONDS = 60.0


class SkippedSummary:
    """Sums up what the feed says of skipped signals."""

    def __init__(self) -> None:
        self._counts: collections.Counter[str] = collections.Counter()
        self._arrived = trio.Event()

    def happened(self, event: Event) -> None:
        """Count a skipped signal."""
        self._counts[event.reason or "no reason"] += 1
        self._arrived.set()

    async def run(self) -> None:
        """Log a line a minute while signals are skipped, and the rest at the end."""
        try:
            while True:
                await self._arrived.wait()
                await trio.sleep(_EVERY_SECONDS)
                self._say()
        finally:
            self._say()

    def _say(self) -> None:
        if not self._counts:
            return
        each = ", ".join(f"{n} {reason}" for reason, n in self._counts.most_common())
        count = counted(self._counts.total(), "signal")
        self._counts.clear()
        self._arrived = trio.Event()
        log.info("not traded since the last such line: %s (%s)", count, each)
