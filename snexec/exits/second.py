"""The second sources of a price: the latest quote's bid, and the latest snapshot."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from snexec.exits.prices import NEVER

if TYPE_CHECKING:
    from snexec.exits.prices import Instant, Price
    from snexec.settings import ExitSettings

_NEAR = Decimal("0.05")  # of a price: how near a second source has to be (SPEC 12.4)


class SecondSources:
    """What else is known of a symbol's price, and which price waits to be confirmed.

    Attributes:
        doubted: A price too far from the last one; None if there is none.
        is_reported: Whether one was logged since the last price that counted.
        latest_bid: The latest quote's, however old; None if nobody bids.
    """

    __slots__ = (
        "_bid_at",
        "_doubted_at",
        "_snapshot",
        "_snapshot_at",
        "doubted",
        "is_reported",
        "latest_bid",
    )

    def __init__(self) -> None:
        self.doubted: Price | None = None
        self.is_reported = False
        self._doubted_at = NEVER
        self.latest_bid: Decimal | None = None
        self._bid_at = NEVER
        self._snapshot: Decimal | None = None
        self._snapshot_at = NEVER

    def hear_bid(self, bid: Decimal | None, at: float) -> None:
        """Take the latest quote's bid, and when it was, on Trio's clock."""
        self.latest_bid = bid or None
        self._bid_at = at

    def hear_snapshot(self, price: Decimal, at: float) -> None:
        """Take a snapshot's latest trade, and when it was, on Trio's clock."""
        self._snapshot, self._snapshot_at = price, at

    def bid(self, elapsed: float, settings: ExitSettings) -> Decimal | None:
        """Return the latest bid, while it counts."""
        is_old = elapsed - self._bid_at > settings.max_price_age_sec
        return None if is_old else self.latest_bid

    def doubt(self, price: Price, now: Instant) -> None:
        """Keep a price until a second source agrees with it."""
        self.doubted, self._doubted_at = price, now.of(price.at)

    def trust(self) -> None:
        """Note that a price counts: none is doubted, and the next doubt is news."""
        self.doubted = None
        self.is_reported = False

    def settled(self, now: Instant, settings: ExitSettings) -> Price | None:
        """Return the doubted price, once a second source agrees with it."""
        doubted = self.doubted
        if doubted is None:
            return None
        if now.elapsed - self._doubted_at > settings.max_price_age_sec:
            self.doubted = None
            return None
        return doubted if self.agree(doubted, now, settings) else None

    def agree(self, price: Price, now: Instant, settings: ExitSettings) -> bool:
        """Return whether a second source is near a price."""
        most, age = price.price * _NEAR, settings.max_price_age_sec
        bid = self.bid(now.elapsed, settings)
        if bid is not None and abs(bid - price.price) <= most:
            return True
        other, at = self._snapshot, self._snapshot_at
        if price.source == "snapshots":  # which is itself the second source
            doubted = self.doubted
            is_other = doubted is not None and doubted.source != "snapshots"
            other = doubted.price if doubted is not None and is_other else None
            at = self._doubted_at
        if other is None or now.elapsed - at > age:
            return False
        return abs(other - price.price) <= most
