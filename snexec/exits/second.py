"""The second sources of a price: the latest quote's bid, and the latest snapshot."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from snexec.exits.prices import NEVER

if TYPE_CHECKING:
    from snexec.exits.prices import Instant, Price
    from snexec.settings import ExitSettings

_NEAR = Decimal("0.05")  # of a price: how near a second source has to be (SPEC 12.4)


def are_near(other: Decimal, price: Decimal) -> bool:
    """Return whether a second source agrees with a price."""
    return abs(other - price) <= price * _NEAR


class SecondSources:
    """What a symbol has for which snapshots were asked, or of which a price is doubted.

    Attributes:
        doubted: A price too far from the last one; None if there is none.
        is_reported: Whether one was logged since the last price that counted.
    """

    __slots__ = ("_doubted_at", "_snapshot", "_snapshot_at", "doubted", "is_reported")

    def __init__(self) -> None:
        self.doubted: Price | None = None
        self.is_reported = False
        self._doubted_at = NEVER
        self._snapshot: Decimal | None = None
        self._snapshot_at = NEVER

    def hear_snapshot(self, price: Decimal, at: float) -> None:
        """Take a snapshot's latest trade, and when it was, on Trio's clock."""
        self._snapshot, self._snapshot_at = price, at

    def doubt(self, price: Price, now: Instant) -> None:
        """Keep a price until a second source agrees with it."""
        self.doubted, self._doubted_at = price, now.of(price.at)

    def trust(self) -> None:
        """Note that a price counts: none is doubted, and the next doubt is news."""
        self.doubted = None
        self.is_reported = False

    def take_back(self, number: int) -> None:
        """Doubt a print no more that never was."""
        if self.doubted is not None and self.doubted.number == number:
            self.doubted = None

    def settled(
        self, now: Instant, settings: ExitSettings, bid: Decimal | None
    ) -> Price | None:
        """Return the doubted price, once the bid or the snapshot agrees with it."""
        doubted = self.doubted
        if doubted is None:
            return None
        if now.elapsed - self._doubted_at > settings.max_price_age_sec:
            self.doubted = None
            return None
        if bid is not None and are_near(bid, doubted.price):
            return doubted
        return doubted if self.agree(doubted, now, settings) else None

    def agree(self, price: Price, now: Instant, settings: ExitSettings) -> bool:
        """Return whether the snapshot is near a price; of one, what was doubted."""
        other, at = self._snapshot, self._snapshot_at
        if price.source == "snapshots":  # which is itself the second source
            doubted = self.doubted
            is_other = doubted is not None and doubted.source != "snapshots"
            other = doubted.price if doubted is not None and is_other else None
            at = self._doubted_at
        if other is None or now.elapsed - at > settings.max_price_age_sec:
            return False
        return are_near(other, price.price)
