"""How values are shown to an operator: amounts, times, and other programs' text."""

from __future__ import annotations

import math

from snexec.logs import printable

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
NOTHING = "-"


def foreign(value: object) -> str:
    """Show another program's value; no control character reaches the terminal."""
    return NOTHING if value is None else printable(str(value))


def number(value: object) -> float | None:
    """Return a finite number, or None: other programs may write anything."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def dollars(value: float) -> str:
    """Show an amount: $1,234.50."""
    return f"-${-value:,.2f}" if value < 0 else f"${value:,.2f}"


def price(value: float) -> str:
    """Show a price: two decimals, or more if it has more."""
    return _trimmed(f"{value:,.4f}" if value >= 0.1 else f"{value:.9f}", keep=2)


def brief_price(value: float) -> str:
    """Show a price in a column: to the cent, or to the dollar where it is large."""
    if value >= 10_000:
        return f"{value:,.0f}"
    return f"{value:,.2f}" if value >= 1 else price(value)


def signed_dollars(value: object) -> str:
    """Show what was won or lost: +$1.23, -$4.50; a dash where it is not known."""
    found = number(value)
    if found is None:
        return NOTHING
    return f"{'-' if round(found, 2) < 0 else '+'}${abs(found):,.2f}"


def shares(value: float) -> str:
    """Show a number of shares, with as many decimals as Alpaca gives."""
    return _trimmed(f"{value:,.9f}", keep=0)


def brief_shares(value: float) -> str:
    """Show a number of shares in a column: six decimals, or all of a tiny number."""
    return _trimmed(f"{value:,.6f}", keep=0) if value >= 0.001 else shares(value)


def percent(value: float) -> str:
    """Show a signed percentage."""
    return f"{value:+.2f}%"


def duration(seconds: float) -> str:
    """Show a length of time in its two largest units: 3 h 12 min."""
    whole = max(0, int(seconds))
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


def age(seconds: float) -> str:
    """Show how long ago something was, in its largest unit: 3h."""
    whole = int(seconds)
    if whole < 0:
        return "in the future"
    for length, unit in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "m")):
        if whole >= length:
            return f"{whole // length}{unit}"
    return f"{whole}s"


def _trimmed(text: str, *, keep: int) -> str:
    whole, _, decimals = text.partition(".")
    decimals = decimals.rstrip("0").ljust(keep, "0")
    return f"{whole}.{decimals}" if decimals else whole
