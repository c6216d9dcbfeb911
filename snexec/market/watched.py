"""Which symbols market data is asked for; they come and go with positions (SPEC 12.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Watched:
    """The symbols, those that are watched longest first."""

    def __init__(self) -> None:
        self._symbols: dict[str, str] = {}  # each with itself
        self.changed = trio.Event()

    def set(self, symbols: Iterable[str]) -> None:
        """Watch these from now on; one that stays keeps its place."""
        new = dict.fromkeys(symbols)
        stay = {symbol: None for symbol in self._symbols if symbol in new}
        if len(stay) == len(self._symbols) == len(new):
            return
        self._symbols = {symbol: symbol for symbol in stay | new}
        self.notify()

    def notify(self) -> None:
        """Wake up whoever waits for a change."""
        self.changed.set()
        self.changed = trio.Event()

    def own(self, symbol: str) -> str | None:
        """Return our one object of a symbol, for whoever keeps it; None if there is none."""
        return self._symbols.get(symbol)

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._symbols

    def __iter__(self) -> Iterator[str]:
        return iter(self._symbols)

    def __len__(self) -> int:
        return len(self._symbols)
