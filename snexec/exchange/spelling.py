"""How Alpaca spells numbers, times and ids."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from functools import lru_cache
from uuid import uuid4

QTY_STEP = Decimal("0.000000001")
CENT = Decimal("0.01")
MICRO = Decimal("0.000001")

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Moment:
    """A time in nanoseconds since the epoch, which each format spells in its own way."""

    ns: int


def number(value: Decimal) -> str:
    """Spell a number without an exponent or trailing zeros."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("", "-0") else text


def truncate(value: Decimal, step: Decimal) -> Decimal:
    """Round a number down to a multiple of a decimal step."""
    return value.quantize(step, rounding=ROUND_DOWN)


def timestamp(ns: int) -> str:
    """Spell a time as RFC 3339 UTC with up to nine digits, trailing zeros cut.

    Args:
        ns: Nanoseconds since the epoch.
    """
    seconds, fraction = divmod(ns, _NS)
    text = _whole_second(seconds)
    if fraction:
        text += f".{fraction:09d}".rstrip("0")
    return text + "Z"


@lru_cache(maxsize=64)
def _whole_second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def optional_timestamp(ns: int | None) -> str | None:
    """Spell a time, or None if there is none yet."""
    return None if ns is None else timestamp(ns)


def parse_timestamp(text: str) -> int:
    """Read an RFC 3339 time, or a date, as nanoseconds since the epoch.

    Raises:
        ValueError: The text is not a time.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    # datetime keeps six digits; an exclusive bound on an order's own time needs all nine.
    digits = ""
    if "." in text:
        for char in text.partition(".")[2]:
            if not char.isdigit():
                break
            digits += char
    whole = int(moment.replace(microsecond=0).timestamp())
    return whole * _NS + int(digits[:9].ljust(9, "0") or 0)


def next_close(ns: int) -> datetime:
    """Return when the market closes next: the next 20:00 UTC."""
    now = datetime.fromtimestamp(ns / _NS, UTC)
    close = now.replace(hour=20, minute=0, second=0, microsecond=0)
    return close if now < close else close + timedelta(days=1)


def expiry(ns: int, time_in_force: str) -> str:
    """Spell when an order placed at this time expires; `gtc` lasts 90 days at Alpaca."""
    close = next_close(ns)
    if time_in_force == "gtc":
        close += timedelta(days=89)
    return close.strftime("%Y-%m-%dT%H:%M:%SZ")


def new_id() -> str:
    """Return a new UUID.

    No seed repeats it: a client that lives on a database holds the ids of earlier starts.
    """
    return str(uuid4())


class EventIds:
    """Makes ULIDs that always rise, even within a millisecond."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._last = 0

    def next(self) -> str:
        """Return the next id."""
        fresh = (self._now_ns() // 1_000_000 << 80) | secrets.randbits(80)
        self._last = max(fresh, self._last + 1)
        return "".join(
            _CROCKFORD[(self._last >> shift) & 31] for shift in range(125, -1, -5)
        )
