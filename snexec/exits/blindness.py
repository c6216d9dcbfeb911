"""Whether any price of what is watched counts at all (SPEC 12.4)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from snexec.model import MODES
from snexec.turns import InTurns

if TYPE_CHECKING:
    from collections.abc import Iterable

    from snexec.events import EventFeed
    from snexec.exits.book_entry import BookEntry
    from snexec.exits.market import MarketView
    from snexec.exits.prices import Instant
    from snexec.model import Mode
    from snexec.settings import ExitSettings

log = logging.getLogger("PositionMonitor")

_POLLS = 2  # that have to fail before a slow poll makes blind


class Blindness:
    """Looks each second, for each mode, whether a price of one of its rows is fresh.

    Args:
        view: The market's hours.
        feed: Where it is published.
    """

    def __init__(self, view: MarketView, feed: EventFeed) -> None:
        self._view = view
        self._feed = feed
        self._seen: dict[Mode, float] = {}
        self._blind: set[Mode] = set()

    @property
    def is_blind(self) -> bool:
        """Whether the rows of any mode are not seen."""
        return bool(self._blind)

    def begin_anew(self) -> None:
        """Count no time in which nobody looked."""
        self._seen.clear()

    async def look(
        self, rows: Iterable[BookEntry], now: Instant, settings: ExitSettings | None
    ) -> None:
        """Look at every row; no settings are no rules that need a price."""
        unseen: dict[Mode, int] = {}
        seen: set[Mode] = set()  # one row with a fresh price is enough
        if settings is not None and settings.needs_prices:
            async for each in InTurns(rows, each_us=2):
                mode = each.position.mode
                if mode in seen or not self._is_needed(each, now):
                    continue
                if each.prices.is_fresh(now.elapsed, settings):
                    seen.add(mode)
                else:
                    unseen[mode] = unseen.get(mode, 0) + 1
        for mode in MODES:
            if settings is not None and mode in unseen and mode not in seen:
                self._sees_nothing(mode, unseen[mode], now, settings)
            else:
                self._sees(mode, now)

    def _is_needed(self, entry: BookEntry, now: Instant) -> bool:
        position = entry.position
        if position.rests is not None or entry.prices.is_halted:
            return False
        return self._view.session(position, now).is_open

    def _sees(self, mode: Mode, now: Instant) -> None:
        self._seen[mode] = now.elapsed
        if mode in self._blind:
            self._blind.discard(mode)
            log.info("prices of %s rows count again", mode)

    def _sees_nothing(
        self, mode: Mode, rows: int, now: Instant, settings: ExitSettings
    ) -> None:
        since = now.elapsed - self._seen.setdefault(mode, now.elapsed)
        patience = max(settings.blind_sec, _POLLS * settings.poll_sec)
        if since < patience or mode in self._blind:
            return
        self._blind.add(mode)
        log.error(
            "no price counts for any of %d %s row%s since %.0f s: price rules rest, time"
            " rules and `snexec close` go on; `snexec check` shows what does not answer",
            rows,
            mode,
            "" if rows == 1 else "s",
            since,
        )
        more = {"mode": mode, "rows": rows, "seconds": round(since, 1)}
        self._feed.publish("exits_blind", more, reason=settings.price_source)
