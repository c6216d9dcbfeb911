"""The highest confirmed price of a row, which goes back when a print is taken back.

A bad print that was confirmed is above all that follows, so it stays among the few values
that are kept with their prints until the market overtakes it; then it no longer matters.
"""

from __future__ import annotations

from array import array
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_KEPT = 6


class Highs:
    """The highest values, with the prints that confirmed each (SPEC 12.4).

    Floats hold what is kept: a price has fewer digits than they tell apart, and a row may
    cost 2 KiB.

    Args:
        base: What was confirmed before, which is never taken back.
    """

    __slots__ = ("_base", "_ids", "_values", "highest")

    def __init__(self, base: Decimal | None = None) -> None:
        self._base = base
        self.highest = base
        self._values = array("d")
        self._ids = array("d")

    def offer(self, value: Decimal, prints: Sequence[int]) -> None:
        """Take a confirmed price.

        Args:
            value: Dollars a share.
            prints: Each one's number; 0 of a price that nobody takes back.
        """
        if not any(prints):
            self._settle(value)
        elif len(self._values) < _KEPT:
            self._keep(value, prints)
        else:
            least = min(self._values)
            if value <= Decimal(repr(least)):
                return
            self._drop(self._values.index(least), len(prints))
            self._settle(Decimal(repr(least)))
            self._keep(value, prints)
        if self.highest is None or value > self.highest:
            self.highest = value

    def take_back(self, number: int) -> bool:
        """Forget what a print confirmed; return whether the highest price is lower now."""
        if not self._values:
            return False
        width = len(self._ids) // len(self._values)
        gone = False
        for index in reversed(range(len(self._values))):
            if float(number) in self._ids[index * width : (index + 1) * width]:
                self._drop(index, width)
                gone = True
        if not gone:
            return False
        before = self.highest
        kept = [Decimal(repr(value)) for value in self._values]
        rest = [each for each in (self._base, *kept) if each is not None]
        self.highest = max(rest, default=None)
        return self.highest != before

    def _settle(self, value: Decimal) -> None:
        if self._base is None or value > self._base:
            self._base = value

    def _keep(self, value: Decimal, prints: Sequence[int]) -> None:
        if self._values and len(self._ids) != len(self._values) * len(prints):
            # Confirmed by another count of prints: settings have changed.
            for each in self._values:
                self._settle(Decimal(repr(each)))
            del self._values[:], self._ids[:]
        self._values.append(float(value))
        self._ids.extend(map(float, prints))

    def _drop(self, index: int, width: int) -> None:
        del self._values[index], self._ids[index * width : (index + 1) * width]
