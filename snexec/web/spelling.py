"""How answers spell amounts and times: decimal text, and seconds since 1970."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal

_CENT = Decimal("0.01")
_MOST = Decimal(10) ** 15


def exactly(value: object) -> str | None:
    """Return an amount as decimal text without zeros at its end; None if it is none."""
    number = _decimal(value)
    if number is None:
        return None
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def dollars(value: object) -> str | None:
    """Return dollars as decimal text with cents; None if it is no amount."""
    number = _decimal(value)
    if number is None or abs(number) > _MOST:
        return None
    cents = number.quantize(_CENT)
    return str(cents or abs(cents))  # no -0.00


def number(value: object) -> float | None:
    """Return a finite number; None for anything else that a row may hold."""
    if isinstance(value, int | float | Decimal) and math.isfinite(value):
        return float(value)
    return None


def age(value: object) -> float | None:
    """Return seconds, to the millisecond; None where they are not known."""
    found = number(value)
    return None if found is None else round(found, 3)


def whole(value: object) -> int | None:
    """Return a whole number; None for anything else that a row may hold."""
    found = number(value)
    return None if found is None else int(found)


def percent(part: object, whole: object) -> float | None:
    """Return by what percentage one amount is above another."""
    above, below = _decimal(part), _decimal(whole)
    if above is None or not below:
        return None
    return round(float((above - below) / below * 100), 3)


def unix(value: object) -> float | None:
    """Return a row's time in seconds since 1970; None if it holds none.

    Other programs write text in any zone, or milliseconds or seconds since 1970.
    """
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return None
        aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return round(aware.timestamp(), 3)
    found = number(value)
    return found if found is None or found < 1e11 else found / 1000


def text(value: object) -> str | None:
    """Return what a column of text holds, whatever another program put there."""
    if value is None or isinstance(value, str):
        return value
    return value.hex() if isinstance(value, bytes) else str(value)


def _decimal(value: object) -> Decimal | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float | Decimal):
        found = Decimal(str(value))
    elif isinstance(value, str):
        try:
            found = Decimal(value)
        except ArithmeticError:
            return None
    else:
        return None
    return found if found.is_finite() else None
