"""What a source says of a price, and why it may not count (SPEC 12.4).

A price is passed over, with the reason, or accepted. In the order in which it is asked:

| reason | the price |
| --- | --- |
| `conditions` | is a print that no exchange counts as a last sale |
| `closed` | comes while the market is not known to be open, or is from before the open |
| `stale` | is older than `max_price_age_sec` |
| `unmoved` | of `positions`, and may still be yesterday's |
| `halted` | comes in a halt |
| `stand_in` | of a source that stands in for one that is fresh |
| `jump` | is too far from the last one, and no second source agrees |
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

Source = Literal["positions", "snapshots", "stream"]
NEVER = -math.inf  # one object for every row
RANK: dict[Source, int] = {"positions": 0, "snapshots": 1, "stream": 2}
PassedOver = Literal[
    "conditions",
    "closed",
    "stale",
    "unmoved",
    "halted",
    "stand_in",
    "jump",
]
NOT_LAST_SALES = frozenset("BW479CGHIMNPQRTUVZ")


class Price(NamedTuple):
    """The last sale of a symbol, as a source says it.

    Attributes:
        price: Dollars a share.
        at: When it was, in seconds since 1970; None where the source does not say.
        number: Of the print, by which it may be taken back; 0 where there is none.
        conditions: Of the print.
    """

    symbol: str
    price: Decimal
    at: float | None
    source: Source
    number: int = 0
    conditions: Sequence[str] = ()


class Instant(NamedTuple):
    """One moment on two clocks.

    Attributes:
        wall: Seconds since 1970, by which sources date their prices.
        elapsed: Trio's, by which ages count.
    """

    wall: float
    elapsed: float

    def of(self, at: float | None) -> float:
        """Return when something was, on Trio's clock; now, where nobody says."""
        return self.elapsed if at is None else self.elapsed - max(0.0, self.wall - at)


class Session(NamedTuple):
    """What the market of a symbol does, by the broker's clock.

    Attributes:
        is_open: Whether it is known to be open.
        day: Which session it is.
        opened_at: When it opened, in seconds since 1970; None where that is not known.
    """

    is_open: bool
    day: int
    opened_at: float | None = None


AROUND_THE_CLOCK = Session(is_open=True, day=0, opened_at=NEVER)
