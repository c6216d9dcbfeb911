"""Asks for all positions of an account: prices, and what is held (SPEC 12.4, 12.7).

It takes requests that orders leave, none of the fifth that is kept for recovery. Where
those run short it comes less often; no sell ever waits for it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

import trio

from snexec.broker import Purpose
from snexec.errors import BrokerError, RateLimitedError, RefusedError
from snexec.exits.prices import Price
from snexec.logs import Repeats
from snexec.model import MODES
from snexec.turns import InTurns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snexec.broker import Accounts, PositionList
    from snexec.clock import Clock
    from snexec.exits.book import PositionBook
    from snexec.exits.book_entry import BookEntry
    from snexec.exits.market import MarketView
    from snexec.exits.monitor import PositionMonitor
    from snexec.exits.prices import Instant
    from snexec.model import Mode
    from snexec.settings import ExitSettings, LiveSettings

log = logging.getLogger("PositionMonitor")

_REFUSED_SECONDS = 60.0  # between two tries where the account says no
_CALM_SECONDS = 60.0  # after which the next shortage is news again
_UNDATED_SECONDS = 15.0  # between two questions of which day a price is
_LATE = 2.5  # times as long as it should be between two polls: that is news


class Onlooker(Protocol):
    """Follows what accounts hold."""

    async def seen(self, mode: Mode, positions: PositionList, /) -> None:
        """Look at a list of what an account holds, before its prices are heard."""


class SecondSource(Protocol):
    """Asks what else is known of some prices, and of which day they are."""

    async def ask(self, symbols: Sequence[str]) -> None:
        """Ask for the snapshots of some symbols; the monitor hears them."""


class PositionsPoll:
    """Polls each mode of which there are rows.

    Args:
        live: ``[exits]``, and how often positions are compared at least.
        accounts: Who is asked.
        book: The positions.
        view: The market's hours.
        monitor: Hears the prices.
        second: Asked about a price that needs a second source, or that stands still and
            may be yesterday's; None where nobody is.
        clock: Dates the lines about faults.
    """

    def __init__(
        self,
        live: LiveSettings,
        accounts: Accounts,
        book: PositionBook,
        view: MarketView,
        monitor: PositionMonitor,
        *,
        second: SecondSource | None = None,
        clock: Clock,
    ) -> None:
        self._live = live
        self._accounts = accounts
        self._book = book
        self._view = view
        self._monitor = monitor
        self._onlookers: list[Onlooker] = []
        self._second = second
        self._faults = {
            mode: Repeats(f"the poll of {mode} positions", log=log, clock=clock)
            for mode in MODES
        }
        self._asked_at: dict[Mode, float] = {}
        self._wanted_at: dict[Mode, float] = {}  # since when there is one to ask for
        self._short: dict[Mode, float] = {}  # since the last one that was short
        self._undated_due = 0.0
        self._wake = trio.Event()

    def follow(self, onlooker: Onlooker) -> None:
        """Have somebody hear each list of positions from now on."""
        self._onlookers.append(onlooker)

    def look(self) -> None:
        """Look again at what there is to ask: rows or settings have changed."""
        self._wake.set()
        self._wake = trio.Event()

    async def run(self) -> None:
        """Poll while there is anything to ask, until cancelled."""
        async with trio.open_nursery() as nursery:
            for mode in MODES:
                nursery.start_soon(self._run, mode, name=f"{mode} positions")

    async def _run(self, mode: Mode) -> None:
        while True:
            wake, pause = self._wake, self._pause(mode)
            if pause is None:
                self._wanted_at.pop(mode, None)
                await wake.wait()
                continue
            self._wanted_at.setdefault(mode, trio.current_time())
            due = self._asked_at.get(mode, -pause) + pause
            if trio.current_time() < due:
                with trio.move_on_at(min(due, trio.current_time() + self._look_sec())):
                    await wake.wait()
                continue
            if not await self._ask(mode, pause):
                with trio.move_on_after(min(pause, self._wait(mode))):
                    await wake.wait()

    def _pause(self, mode: Mode) -> float | None:
        """Return the seconds between two polls; None if nobody is to be asked."""
        settings = self._live.now.exits
        if settings is None or not settings.enabled:
            return None
        rows = [each for each in self._book if each.position.mode == mode]
        if not rows or not self._accounts.has_keys(mode):
            return None
        interval = max(self._live.now.alpaca.reconcile_interval_sec, settings.poll_sec)
        now = self._view.now()
        if settings.needs_prices and any(
            self._lacks_price(each, now, settings) for each in rows
        ):
            # Evenly, where the limit is low: no minute begins in a rush and ends blind.
            return max(settings.poll_sec, 60 / self._accounts.budget(mode).polls)
        return interval

    def _lacks_price(
        self, entry: BookEntry, now: Instant, settings: ExitSettings
    ) -> bool:
        """Return whether positions are to say a row's price, as no better source does."""
        if entry.prices.has_better("positions", now.elapsed, settings):
            return False
        return self._view.session(entry.position, now).is_open

    def _look_sec(self) -> float:
        """Return after how many seconds to look whether polls are needed more often."""
        settings = self._live.now.exits
        return 1.0 if settings is None else settings.poll_sec

    def _wait(self, mode: Mode) -> float:
        return self._accounts.budget(mode).seconds_until(Purpose.POLL)

    async def _ask(self, mode: Mode, pause: float) -> bool:
        """Ask once; return whether there was a request to do it with."""
        lease = self._accounts.try_take(mode, Purpose.POLL)
        asked_at = trio.current_time()
        if lease is None:
            self._report_short(mode, pause, asked_at)
            return False
        self._asked_at[mode] = asked_at
        if asked_at - self._short.get(mode, asked_at) > _CALM_SECONDS:
            del self._short[mode]
            log.info("%s positions are asked for every %.3g s again", mode, pause)
        with lease:
            try:
                positions = await lease.use().positions(self._book.position)
            except RateLimitedError as exc:
                lease.client.budget.block(exc.wait_seconds)
                self._report_fault(mode, exc)
                return True
            except RefusedError as exc:
                self._asked_at[mode] += max(0.0, _REFUSED_SECONDS - pause)
                self._report_fault(mode, exc)
                return True
            except BrokerError as exc:
                self._report_fault(mode, exc)
                return True
        self._faults[mode].worked()
        await self._hear(mode, positions, asked_at)
        await self._ask_second()
        return True

    async def _hear(self, mode: Mode, positions: PositionList, asked_at: float) -> None:
        # First whoever may see in it that its prices are of other shares than the row's.
        for onlooker in self._onlookers:
            await onlooker.seen(mode, positions)
        async for held in InTurns(positions):
            entry = self._book.of_symbol(held.symbol)
            if entry is None or entry.position.mode != mode:
                continue
            if entry.changed_at < asked_at:
                position, free = entry.position, held.available
                # One object where they are equal: most rows, and most polls.
                if position.held != held.quantity_text:
                    position.held = held.quantity_text
                position.free = (
                    position.remaining if free == position.remaining else free
                )
            if held.current_price:
                price = Price(held.symbol, held.current_price, None, "positions")
                self._monitor.hear(price)

    async def _ask_second(self) -> None:
        symbols, settings = self._monitor.doubted(), self._live.now.exits
        is_only = settings is not None and settings.price_source == "positions"
        if is_only and trio.current_time() >= self._undated_due:
            undated = self._monitor.undated()
            if undated:
                self._undated_due = trio.current_time() + _UNDATED_SECONDS
            symbols = list(dict.fromkeys([*symbols, *undated]))
        if symbols and self._second is not None:
            await self._second.ask(symbols)

    def _report_fault(self, mode: Mode, exc: BrokerError) -> None:
        if self._faults[mode].failed(type(exc).__name__):
            log.warning(
                "%s positions cannot be asked for: %s; rules go by what other sources"
                " say, if any does",
                mode,
                exc,
            )

    def _report_short(self, mode: Mode, pause: float, now: float) -> None:
        wanted_at = self._wanted_at.get(mode, now)
        if now - max(wanted_at, self._asked_at.get(mode, wanted_at)) < pause * _LATE:
            return
        is_news = mode not in self._short
        self._short[mode] = now
        if is_news:
            log.warning(
                "orders leave no requests for a poll of %s positions each %.3g s: it comes"
                " less often, and its prices later; a greater poll_sec leaves more to"
                " orders",
                mode,
                pause,
            )
