"""Ticks of what is watched, by Alpaca's market-data streams (SPEC 12.4).

One connection for shares and one for crypto, each only while it has something to ask for;
none at all unless ``exits.price_source`` is ``stream``, since a user's second connection
is refused, and the first may be another program's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import trio

from snexec.assets import asset_class
from snexec.clock import SystemClock
from snexec.market.data_line import DataLine, Place
from snexec.market.data_settings import data_endpoint
from snexec.model import MODES
from snexec.turns import InTurns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from decimal import Decimal

    from snexec.broker import Accounts
    from snexec.clock import Clock
    from snexec.market.data_settings import DataSettings
    from snexec.market.hours import MarketHours
    from snexec.market.ticks import PriceSink
    from snexec.model import Mode
    from snexec.settings import LiveSettings

_SYSTEM_CLOCK = SystemClock()
_CRYPTO_PATH = "/v1beta3/crypto/us"


class Polled(Protocol):
    """A position as the poll of positions finds it."""

    @property
    def symbol(self) -> str:
        """In its canonical spelling."""

    @property
    def current_price(self) -> Decimal | None:
        """Dollars of the last sale; None if there is none to read."""


class DataStream:
    """Follows the symbols that are watched.

    Args:
        live: The mode, and the delays.
        accounts: Whose keys are used.
        settings: Says where prices come from now; None without ``[exits]``.
        hours: Whether the stream of shares may be silent.
        sink: Takes what it says.
        lost: Called when a connection has ended that was open.
        clock: For the log.
    """

    def __init__(
        self,
        live: LiveSettings,
        accounts: Accounts,
        settings: Callable[[], DataSettings | None],
        hours: MarketHours,
        sink: PriceSink,
        *,
        lost: Callable[[], None],
        clock: Clock = _SYSTEM_CLOCK,
    ) -> None:
        self._live = live
        self._accounts = accounts
        self._settings = settings
        self._hours = hours
        self._polled: dict[str, float] = {}  # of positions
        self._traded: dict[str, float] = {}  # of snapshots
        self._lines = {
            "share": DataLine(
                *("shares", live, self._shares, sink),
                lost=lost,
                has_statuses=True,
                tls=accounts.tls,
                clock=clock,
            ),
            "crypto": DataLine(
                *("crypto", live, self._crypto, sink),
                lost=lost,
                has_statuses=False,
                tls=accounts.tls,
                clock=clock,
            ),
        }

    def watch(self, symbols: Iterable[str]) -> None:
        """Follow these from now on, those first that were watched first.

        Args:
            symbols: In their canonical spelling.
        """
        of_class: dict[str, list[str]] = {name: [] for name in self._lines}
        for symbol in symbols:
            of_class[asset_class(symbol).name].append(symbol)
        for name, line in self._lines.items():
            line.watched.set(of_class[name])

    async def seen(self, _mode: Mode, positions: Iterable[Polled]) -> None:
        """Hear the poll's prices: a connection is silent if it misses their moves."""
        async for each in InTurns(positions, each_us=2):
            self._compare(self._polled, each.symbol, each.current_price)

    def seen_trade(self, symbol: str, price: Decimal) -> None:
        """Hear a snapshot's latest trade, in dollars: where they stand in, likewise."""
        self._compare(self._traded, symbol, price)

    def settings_changed(self) -> None:
        """Use what the settings and the keys are now."""
        for line in self._lines.values():
            line.settings_changed()

    def restart(self) -> None:
        """Replace the connections that are open, as after a gap in time."""
        for line in self._lines.values():
            line.restart()

    async def run(self) -> None:
        """Keep the connections, until cancelled."""
        async with trio.open_nursery() as nursery:
            for name, line in self._lines.items():
                nursery.start_soon(line.run, name=f"market data of {name}")

    def _compare(
        self, known: dict[str, float], symbol: str, price: Decimal | None
    ) -> None:
        line = self._line(symbol)
        own = line.watched.own(symbol)
        if price is None or own is None:
            known.pop(symbol, None)
            return
        dollars = float(price)  # of which a fifth of a Decimal's memory is kept
        before, known[own] = known.get(own, dollars), dollars
        if dollars != before:
            self._moved(line, symbol)

    def _moved(self, line: DataLine, symbol: str) -> None:
        if asset_class(symbol).around_the_clock or self._market_is_open():
            line.poll_moved(symbol)
        else:
            line.market_closed()

    def _line(self, symbol: str) -> DataLine:
        return self._lines[asset_class(symbol).name]

    def _market_is_open(self) -> bool:
        return any(self._hours.is_open(mode) for mode in MODES)

    def _shares(self) -> Place | None:
        settings = self._settings()
        return (
            None if settings is None else self._place(settings, f"/v2/{settings.feed}")
        )

    def _crypto(self) -> Place | None:
        settings = self._settings()
        return None if settings is None else self._place(settings, _CRYPTO_PATH)

    def _place(self, settings: DataSettings, path: str) -> Place | None:
        if not settings.enabled or settings.price_source != "stream":
            return None
        endpoint = data_endpoint(settings, self._accounts, self._live.now.mode)
        if endpoint.credentials is None:
            return None
        return Place(endpoint.stream_url + path, endpoint.credentials)
