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

_KEPT = 4


class Highs:
    """The highest values, with the prints that confirmed each (SPEC 12.4).

    Floats hold what is kept, as in ``Ticks``.

    Args:
        base: What was confirmed before, which is never taken back.

    Attributes:
        highest: Dollars a share; None before the first.
    """

    __slots__ = ("_base", "_kept", "_width", "highest")

    def __init__(self, base: Decimal | None = None) -> None:
        self._base = base
        self.highest = base
        # A value and its prints, and the next value; none for prices without prints.
        self._kept: array[float] | None = None
        self._width = 1

    def takes(self, value: float | Decimal) -> bool:
        """Return whether a price that prints have confirmed is to be offered at all.

        As nearly none is: it is not above what is never taken back, or not among the few
        that are kept.
        """
        if self._base is not None and value <= self._base:
            return False
        kept = self._kept
        if kept is None or len(kept) < _KEPT * self._width:
            return True
        return value > min(kept[:: self._width])

    def offer(self, value: float, prints: Sequence[int]) -> None:
        """Take a confirmed price.

        Args:
            value: Dollars a share.
            prints: Each one's number; 0 of a price that nobody takes back.
        """
        if self.highest is None or value > self.highest:
            self.highest = Decimal(repr(value))
        if not any(prints):
            self._settle(value)
        else:
            self._keep(value, prints)

    def take_back(self, number: int) -> bool:
        """Forget what a print confirmed; return whether the highest price is lower now."""
        kept, width, gone = self._kept, self._width, False
        if kept is None:
            return False
        for start in reversed(range(0, len(kept), width)):
            if float(number) in kept[start + 1 : start + width]:
                del kept[start : start + width]
                gone = True
        if not gone:
            return False
        before, self.highest = self.highest, self._base
        if kept and (self._base is None or max(kept[::width]) > self._base):
            self.highest = Decimal(repr(max(kept[::width])))
        return self.highest != before

    def _settle(self, value: float) -> None:
        if self._base is None or value > self._base:
            highest = self.highest
            self._base = highest if highest == value else Decimal(repr(value))

    def _keep(self, value: float, prints: Sequence[int]) -> None:
        width = 1 + len(prints)
        if self._kept is None or width != self._width:
            # Confirmed by another count of prints: settings have changed.
            for each in self._kept[:: self._width] if self._kept else ():
                self._settle(each)
            self._kept, self._width = array("d"), width
        if len(self._kept) >= _KEPT * width:
            values = self._kept[::width]
            least = min(values)
            if value <= least:
                return
            start = values.index(least) * width
            del self._kept[start : start + width]
            self._settle(least)
        # Anew, as one that grows has room for as much again.
        self._kept = array("d", (*self._kept, value, *prints))
