"""The last accepted prices of a symbol, in few bytes: floats hold their digits exactly.

A price has fewer digits than floats tell apart, and ``repr`` gives them back.
"""

from __future__ import annotations

from array import array
from decimal import Decimal
from typing import TYPE_CHECKING

from snexec.exits.prices import NEVER, RANK

if TYPE_CHECKING:
    from snexec.exits.prices import Source

# The numbers of a tick, one after the other.
_DOLLARS, _AT, _PRINT, _RANK = range(4)
_WIDTH = 4
_SOURCES: dict[float, Source] = {rank: source for source, rank in RANK.items()}
_STREAM, _SNAPSHOTS = float(RANK["stream"]), float(RANK["snapshots"])
_SAME_SECONDS = 0.001


class Ticks:
    """Accepted prices, the newest last."""

    __slots__ = ("_numbers",)

    def __init__(self) -> None:
        self._numbers = array("d")

    def __len__(self) -> int:
        return len(self._numbers) // _WIDTH

    @property
    def at(self) -> float:
        """When the last one was, on Trio's clock; minus infinity if there is none."""
        return self._numbers[_AT - _WIDTH] if self._numbers else NEVER

    @property
    def number(self) -> int:
        """The last one's print; 0 where there is none."""
        return int(self._numbers[_PRINT - _WIDTH])

    @property
    def source(self) -> Source | None:
        """Where the last one is from; None if there is none."""
        return _SOURCES[self._numbers[_RANK - _WIDTH]] if self._numbers else None

    def append(
        self, price: float, at: float, number: int, source: Source, *, keep: int
    ) -> None:
        """Add one, in dollars, and keep no more than so many."""
        newest = array("d", (price, at, number, RANK[source]))
        # Anew, as one that grows has room for as much again.
        self._numbers = (
            self._numbers[(1 - keep) * _WIDTH :] + newest if keep > 1 else newest
        )

    def clear(self) -> None:
        """Forget all of them."""
        del self._numbers[:]

    def remove(self, number: int) -> bool:
        """Forget a print; return whether it was one of them."""
        before = len(self)
        for index in reversed(range(before)):
            start = index * _WIDTH
            if self._numbers[start + _PRINT] == number:
                del self._numbers[start : start + _WIDTH]
        return len(self) < before

    # Of the last few; there are as many.

    def prices(self, count: int) -> tuple[Decimal, ...]:
        """Return their prices, in dollars."""
        return tuple(map(Decimal, map(repr, self._last(count, _DOLLARS))))

    def least(self, count: int) -> float:
        """Return the lowest of their prices, in dollars."""
        return min(self._last(count, _DOLLARS))

    def prints(self, count: int) -> list[int]:
        """Return their prints' numbers."""
        return [int(each) for each in self._last(count, _PRINT)]

    def repeat(self, count: int) -> bool:
        """Return whether a trade is among them twice, as polls showed it twice."""
        sources = self._last(count, _RANK)
        if _SNAPSHOTS not in sources:
            return False
        times = self._last(count, _AT)
        return any(
            sources[i] == sources[i - 1] == _SNAPSHOTS
            and abs(times[i] - times[i - 1]) < _SAME_SECONDS
            for i in range(1, len(times))
        )

    def name(self, count: int) -> str:
        """Say how many prices these are, and of which kind."""
        kinds = {source == _STREAM for source in self._last(count, _RANK)}
        if len(kinds) > 1:
            return f"{count} prices"
        word = "print" if kinds.pop() else "poll"
        return f"{count} {word}{'' if count == 1 else 's'}"

    def _last(self, count: int, which: int) -> array[float]:
        """Return one of the numbers of each of the last few."""
        return self._numbers[which - count * _WIDTH :: _WIDTH]
