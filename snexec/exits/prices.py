"""Which price counts (SPEC 12.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from decimal import Decimal

Source = Literal["positions", "snapshots", "stream"]


class Price(NamedTuple):
    """The last sale of a symbol, as a source says it.

    Attributes:
        price: Dollars a share.
        at: When it was, in seconds since 1970; None where the source does not say.
    """

    symbol: str
    price: Decimal
    at: float | None
    source: Source
