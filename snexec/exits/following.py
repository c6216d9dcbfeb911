"""Which symbols the market-data stream follows: those of the positions (SPEC 12.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import trio

if TYPE_CHECKING:
    from collections.abc import Iterable

    from snexec.exits.book import PositionBook
    from snexec.settings import LiveSettings

_LOOK_SECONDS = 1.0


class Stream(Protocol):
    """Says the ticks of what it follows."""

    def watch(self, symbols: Iterable[str]) -> None:
        """Follow these from now on, those first that were watched first."""


class Following:
    """Has the stream follow what is held, as it comes and goes.

    Args:
        live: Whether prices come from the stream.
        book: The positions.
        stream: It.
    """

    def __init__(self, live: LiveSettings, book: PositionBook, stream: Stream) -> None:
        self._live = live
        self._book = book
        self._stream = stream

    async def run(self) -> None:
        """Look each second, until cancelled."""
        while True:
            exits = self._live.now.exits
            is_on = exits is not None and exits.needs_prices
            if is_on and exits is not None and exits.price_source == "stream":
                self._stream.watch(each.position.symbol for each in self._book)
            else:
                self._stream.watch(())
            await trio.sleep(_LOOK_SECONDS)
