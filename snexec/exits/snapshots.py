"""Asks for the latest trade and quote of what is watched (SPEC 12.4).

By turns of ``poll_sec`` where prices come from snapshots, or from a stream that says
nothing of a symbol; and at once about a price that needs a second source.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

import trio

from snexec.errors import BrokerError
from snexec.exits.sink import price_of
from snexec.logs import Repeats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from decimal import Decimal

    from snexec.clock import Clock
    from snexec.exits.book import PositionBook
    from snexec.exits.book_entry import BookEntry
    from snexec.exits.market import MarketView
    from snexec.exits.monitor import PositionMonitor
    from snexec.exits.prices import Instant
    from snexec.market.snapshots import Snapshot
    from snexec.settings import ExitSettings, LiveSettings

log = logging.getLogger("PositionMonitor")

_FAILED_SECONDS = 10.0  # after an answer that is none: positions stand in meanwhile
_SLOW_SECONDS = 300.0


class MarketData(Protocol):
    """Answers for many symbols at once."""

    async def ask(self, symbols: Iterable[str]) -> Mapping[str, Snapshot]:
        """Ask for symbols.

        Raises:
            BrokerError: There is no answer.
        """


class SnapshotPoll:
    """Asks, and hands the answers to the monitor.

    Args:
        live: ``[exits]``.
        data: Who is asked.
        book: The positions.
        view: The market's hours.
        monitor: Hears the prices and bids.
        clock: Dates the lines about faults.
    """

    def __init__(
        self,
        live: LiveSettings,
        data: MarketData,
        book: PositionBook,
        view: MarketView,
        monitor: PositionMonitor,
        *,
        clock: Clock,
    ) -> None:
        self._live = live
        self._data = data
        self._book = book
        self._view = view
        self._monitor = monitor
        self._faults = Repeats("the poll of snapshots", log=log, clock=clock)
        self._pause = _FAILED_SECONDS
        self._not_before = 0.0
        self._followers: list[Callable[[str, Decimal], object]] = []

    def follow(self, heard: Callable[[str, Decimal], object]) -> None:
        """Have somebody hear each latest trade from now on: its symbol and price."""
        self._followers.append(heard)

    async def run(self) -> None:
        """Poll while snapshots are wanted, until cancelled."""
        while True:
            settings = self._live.now.exits
            await trio.sleep(1.0 if settings is None else settings.poll_sec)
            symbols = [] if settings is None else self._wanted(settings)
            if symbols:
                await self.ask(symbols)

    async def ask(self, symbols: Sequence[str]) -> None:
        """Ask for the snapshots of some symbols, unless that has failed just now."""
        if trio.current_time() < self._not_before:
            return
        try:
            answers = await self._data.ask(symbols)
        except BrokerError as exc:
            self._not_before = trio.current_time() + self._pause
            self._pause = min(2 * self._pause, _SLOW_SECONDS)
            if self._faults.failed(type(exc).__name__):
                log.warning(
                    "snapshots cannot be asked for: %s; the prices of positions stand in",
                    exc,
                )
            return
        self._pause = _FAILED_SECONDS
        self._faults.worked()
        for symbol in symbols:
            latest = answers.get(symbol)
            if latest is None:
                continue
            # The bid first: it may be what the price needs.
            if latest.quote is not None:
                self._monitor.hear_bid(symbol, latest.quote.bid, latest.quote.at)
            if latest.trade is not None:
                price = price_of(latest.trade, "snapshots")
                self._monitor.hear(price)
                for heard in self._followers:
                    heard(symbol, price.price)

    def _wanted(self, settings: ExitSettings) -> list[str]:
        if settings.price_source == "positions" or not settings.needs_prices:
            return []
        now = self._view.now()
        return [
            each.position.symbol
            for each in self._book
            if self._lacks_price(each, now, settings)
        ]

    def _lacks_price(
        self, entry: BookEntry, now: Instant, settings: ExitSettings
    ) -> bool:
        """Return whether snapshots are to say a row's price, as no better source does."""
        if entry.prices.has_better("snapshots", now.elapsed, settings):
            return False
        return self._view.session(entry.position, now).is_open
