"""What is known of a symbol's price, and what confirms it: asked, not changed (SPEC 12.4).

Only accepted prices are shown to a rule, and a rule sells when as many in a row as
``confirm_ticks`` say so, or one print and the latest bid. Polls that show the same trade
again count as polls in a row, unless the bid says otherwise.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from snexec.exits.highs import Highs
from snexec.exits.prices import NEVER, RANK
from snexec.exits.ticks import Ticks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snexec.exits.prices import Price, Source
    from snexec.exits.second import SecondSources
    from snexec.exits.today import Today
    from snexec.settings import ExitSettings


class Confirmation(NamedTuple):
    """Prices that together confirm what each of them says.

    Attributes:
        ticks: How many of them are of sales; one more is the latest bid.
    """

    ticks: int
    prices: tuple[Decimal, ...]


class KnownPrices:
    """What is known of one symbol's price, and what that confirms.

    Numbers are floats, as in ``Ticks``. What nearly no row has is made only for those that
    have it: a session that has yet to show what is today's, or is halted; second sources.

    Args:
        high: The highest confirmed price so far.

    Attributes:
        highs: The confirmed ones, of which the highest counts.
    """

    __slots__ = (
        "_bid",
        "_bid_at",
        "_bid_confirmed",
        "_day",
        "_last",
        "_second",
        "_ticks",
        "_today",
        "_unmoved",
        "highs",
    )

    def __init__(self, high: Decimal | None = None) -> None:
        self.highs = Highs(high)
        self._ticks = Ticks()
        self._last: float | None = None
        self._bid: float | None = None  # the latest, however old; None if nobody bids
        self._bid_at = NEVER
        self._bid_confirmed: float | None = None
        self._unmoved: Decimal | None = None
        self._second: SecondSources | None = None
        # While it is None all is plain: positions show the price of this day, if any.
        self._today: Today | None = None
        self._day: int | None = None

    @property
    def last(self) -> Decimal | None:
        """The last accepted price, however old."""
        return None if self._last is None else Decimal(repr(self._last))

    @property
    def measure(self) -> Decimal | None:
        """The price by which the next one jumps, if it does.

        It is the last accepted one; before there is one, that which positions had shown.
        """
        return self._unmoved if self._last is None else Decimal(repr(self._last))

    @property
    def source(self) -> Source | None:
        """Where the last price is from; None if none counts any more."""
        return self._ticks.source

    @property
    def at(self) -> float:
        """When it was, on Trio's clock; minus infinity if there is none."""
        return self._ticks.at

    @property
    def doubted(self) -> Price | None:
        """A price too far from the last one; None if there is none."""
        return None if self._second is None else self._second.doubted

    @property
    def is_halted(self) -> bool:
        """Whether its trading is halted."""
        return self._today is not None and self._today.is_halted

    @property
    def is_undated(self) -> bool:
        """Whether positions have shown one price only, and nobody knows of which day."""
        return self._today is not None and self._today.is_undated

    def bid(self, elapsed: float, settings: ExitSettings) -> Decimal | None:
        """Return the latest quote's bid, while it counts; None if nobody bids."""
        if self._bid is None or elapsed - self._bid_at > settings.max_price_age_sec:
            return None
        return Decimal(repr(self._bid))

    def is_fresh(self, elapsed: float, settings: ExitSettings) -> bool:
        """Return whether the last accepted price still counts."""
        is_fresh = elapsed - self._ticks.at <= settings.max_price_age_sec
        return is_fresh and (self._today is None or not self._today.is_halted)

    def has_better(
        self, source: Source, elapsed: float, settings: ExitSettings
    ) -> bool:
        """Return whether a better source than this one says the price.

        One above the configured source is no better than that.
        """
        rank = RANK[source]
        if rank >= RANK[settings.price_source]:
            return False
        said_by = self._ticks.source
        if said_by is None or rank >= RANK[said_by]:
            return False
        return self.is_fresh(elapsed, settings)

    def can_confirm(self, elapsed: float, settings: ExitSettings) -> bool:
        """Return whether there is enough to confirm anything with."""
        return next(self.confirmations(elapsed, settings), None) is not None

    def confirmations(
        self, elapsed: float, settings: ExitSettings
    ) -> Iterator[Confirmation]:
        """Yield what confirms that which all of its prices say."""
        ticks, count = self._ticks, settings.confirm_ticks
        bid = self.bid(elapsed, settings)
        if len(ticks) >= count:
            also = () if bid is None or not ticks.repeat(count) else (bid,)
            yield Confirmation(count, (*ticks.prices(count), *also))
        if bid is not None and ticks.source == "stream":
            yield Confirmation(1, (*ticks.prices(1), bid))

    def name(self, found: Confirmation) -> str:
        """Say in words what confirms something; only before more is heard."""
        ticks = self._ticks
        has_bid = ticks.source == "stream" and len(found.prices) > found.ticks
        return f"{ticks.name(found.ticks)}{' and the bid' if has_bid else ''}"
