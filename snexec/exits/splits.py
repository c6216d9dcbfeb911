"""What splits do to quantities and prices, and which are due (SPEC 12.7): pure.

A row's own memory of the splits that it has been through is what its buy bought, which the
broker never changes: its ``shares`` are that many times the ratios that were applied.
"""

from __future__ import annotations

import math
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from snexec.broker import Activity

_LEAST_CHANGE = 0.05  # a smaller one is a sale, or an average counted another way
_AVERAGES_DIFFER = 0.005  # they are rounded, and are counted anew over night
_QUANTITIES_DIFFER = 0.00002  # they are cut to nine places
_SHARES_DIFFER = 0.001  # and rows hold floats
_LATE = timedelta(days=4)  # an activity is posted a day or a weekend later
_LARGEST_PART = 20  # a split is 3 for 2, 1 for 8, 20 for 1

Holding = tuple[Decimal, "Decimal | None"]  # shares, and dollars a share paid


class SplitDay(NamedTuple):
    """A split that is known.

    Attributes:
        day: From which on the new shares are traded.
        ratio: New shares for each old one; None if that is not known.
        is_done: Whether the account's activities tell of it.
    """

    symbol: str
    day: date
    ratio: Fraction | None
    is_done: bool = False


def ratio_between(before: Holding, now: Holding) -> Fraction | None:
    """Return by what a quantity and its average price have changed as one.

    A sale leaves the average, and a buy adds to what was paid: only a split changes both,
    and leaves their product.
    """
    (old, paid), (new, pays) = before, now
    if paid is None or pays is None or min(old, new, paid, pays) <= 0:
        return None
    by_quantity, by_average = new / old, paid / pays
    if abs(by_quantity / by_average - 1) > _AVERAGES_DIFFER:
        return None
    return neat(by_quantity)


def neat(ratio: Decimal) -> Fraction | None:
    """Return the ratio of small numbers that this one is; None if it is none, or 1."""
    if ratio <= 0 or abs(math.log(ratio)) < _LEAST_CHANGE:
        return None
    if ratio > 1:
        best = Fraction(ratio).limit_denominator(_LARGEST_PART)
    else:
        best = 1 / Fraction(1 / ratio).limit_denominator(_LARGEST_PART)
    return best if abs(float(best) / float(ratio) - 1) <= _QUANTITIES_DIFFER else None


def fraction_of(ratio: Decimal) -> Fraction:
    """Return the ratio of a split that was announced, of numbers below a thousand."""
    if ratio > 1:
        return Fraction(ratio).limit_denominator(1000)
    return 1 / Fraction(1 / ratio).limit_denominator(1000)


def still_due(
    splits: Sequence[SplitDay], shares: Decimal, bought: Decimal
) -> Fraction | None:
    """Return by what a row is still to be split, 1 if it is not.

    Args:
        splits: Since it was bought.
        shares: As the row has them now.
        bought: As its buy bought them.

    Returns:
        None if the row's shares do not say which of the splits were applied.
    """
    ratios = [split.ratio for split in sorted(splits, key=lambda split: split.day)]
    known = [ratio for ratio in ratios if ratio is not None]
    if len(known) != len(ratios) or bought <= 0:
        return None
    applied = float(shares / bought)
    for count in range(len(known), -1, -1):
        if abs(applied / float(math.prod(known[:count])) - 1) <= _SHARES_DIFFER:
            return Fraction(math.prod(known[count:]))
    return None


def is_nearer(price: Decimal, entry_price: Decimal, ratio: Fraction) -> bool:
    """Return whether a price is one of new shares, for a row that holds old ones."""
    apart = math.log(price / entry_price)
    return abs(apart + math.log(ratio)) < abs(apart)


def times(number: Decimal, ratio: Fraction) -> Decimal:
    """Return so many shares after a split."""
    return number * ratio.numerator / ratio.denominator


def days_of(
    activities: Sequence[Activity], symbol: str, quantity: Decimal, entry_day: date
) -> list[SplitDay]:
    """Return the splits that an account has been through since a day.

    Args:
        activities: What happened on it.
        symbol: Whose, in its canonical spelling.
        quantity: Shares that it holds now, which show the last one's ratio.
        entry_day: Only those after it.
    """
    changes: dict[date, Decimal | None] = {}
    for each in activities:
        day = each.at.date()
        if each.kind == "SPLIT" and each.is_about(symbol) and day > entry_day:
            before, change = changes.get(day, Decimal(0)), each.quantity
            changes[day] = None if before is None or change is None else before + change
    last = max(changes, default=None)
    return [
        SplitDay(
            symbol, day, _ratio_of(quantity, change) if day == last else None, True
        )
        for day, change in sorted(changes.items())
    ]


def merged(known: Sequence[SplitDay], done: Sequence[SplitDay]) -> list[SplitDay]:
    """Return each split once: one that is known may be in the activities days later."""
    left, splits = list(done), []
    for split in sorted(known, key=lambda split: split.day):
        same = next((each for each in left if abs(each.day - split.day) <= _LATE), None)
        if same is not None:
            left.remove(same)
        splits.append(split._replace(is_done=same is not None))
    return sorted([*splits, *left], key=lambda split: split.day)


def _ratio_of(quantity: Decimal, change: Decimal | None) -> Fraction | None:
    if change is None or quantity <= 0 or quantity - change <= 0:
        return None
    return neat(quantity / (quantity - change))
