"""Which price counts, and what confirms it: one symbol's state, pure (SPEC 12.4).

Only accepted prices are shown to a rule, and a rule sells when as many in a row as
``confirm_ticks`` say so, or one print and the latest bid. Polls that show the same trade
again count as polls in a row, unless the bid says otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from snexec.exits.highs import Highs
from snexec.exits.prices import NOT_LAST_SALES, RANK
from snexec.exits.second import SecondSources
from snexec.exits.ticks import Ticks
from snexec.exits.today import Today

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

    from snexec.exits.prices import Instant, PassedOver, Price, Session, Source
    from snexec.settings import ExitSettings


class Confirmation(NamedTuple):
    """Prices that together confirm what each of them says.

    Attributes:
        ticks: How many of them are of sales; one more is the latest bid.
    """

    ticks: int
    prices: tuple[Decimal, ...]


class SymbolPrices:
    """What is known of one symbol's price.

    Args:
        high: The highest confirmed price so far.

    Attributes:
        highs: The confirmed ones, of which the highest counts.
        today: Its session.
        second: Its second sources.
        last: The last accepted price, however old.
    """

    __slots__ = (
        "_bid_confirmed",
        "_ticks",
        "_unmoved",
        "highs",
        "last",
        "second",
        "today",
    )

    def __init__(self, high: Decimal | None = None) -> None:
        self.highs = Highs(high)
        self.today = Today()
        self.second = SecondSources()
        self.last: Decimal | None = None
        self._ticks = Ticks()
        self._bid_confirmed: Decimal | None = None
        self._unmoved: Decimal | None = None

    # What is known.

    @property
    def measure(self) -> Decimal | None:
        """The price by which the next one jumps, if it does.

        It is the last accepted one; before there is one, that which positions had shown.
        """
        return self._unmoved if self.last is None else self.last

    @property
    def source(self) -> Source | None:
        """Where the last price is from; None if none counts any more."""
        return self._ticks.source

    @property
    def at(self) -> float:
        """When it was, on Trio's clock; minus infinity if there is none."""
        return self._ticks.at

    def is_fresh(self, elapsed: float, settings: ExitSettings) -> bool:
        """Return whether the last accepted price still counts."""
        return not self.today.is_halted and (
            elapsed - self.at <= settings.max_price_age_sec
        )

    def has_better(
        self, source: Source, elapsed: float, settings: ExitSettings
    ) -> bool:
        """Return whether a better source than this one says the price.

        One above the configured source is no better than that.
        """
        said_by, best = self.source, RANK[settings.price_source]
        if said_by is None or RANK[source] >= min(RANK[said_by], best):
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
        bid = self.second.bid(elapsed, settings)
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

    # What is heard.

    def hear(
        self,
        price: Price,
        now: Instant,
        session: Session,
        settings: ExitSettings,
        entry: Decimal | None = None,
    ) -> PassedOver | None:
        """Take a price; return why it does not count, None if it does.

        Args:
            price: It.
            now: This moment.
            session: What its market does.
            settings: In force.
            entry: What was paid for a share: the first price is measured by it.
        """
        if self.today.begin(session):
            self._ticks.clear()  # yesterday's confirm nothing
        why = self._weigh(price, now, session, settings, entry)
        if why is None:
            self._accept(price, now, settings)
        elif why == "jump":
            self.second.doubt(price, now)
        return why

    def hear_bid(
        self, bid: Decimal | None, at: float, now: Instant, settings: ExitSettings
    ) -> bool:
        """Take the latest quote's bid and its time; None if nobody bids.

        Returns:
            Whether it may have confirmed something, so that rules are to be asked.
        """
        self.second.hear_bid(bid, now.of(at))
        self._accept_doubted(now, settings)
        if not bid or not self.is_fresh(now.elapsed, settings):
            return False
        self._confirm_by_bid(settings, self.second.bid(now.elapsed, settings))
        return True

    def hear_status(self, *, is_halted: bool, at: float) -> bool:
        """Take a trading status; return whether a halt has begun or ended by it."""
        changed = self.today.hear_status(is_halted=is_halted, at=at)
        if changed:
            self._ticks.clear()  # what was seen before a halt confirms nothing after it
        return changed

    def take_back(self, number: int, settings: ExitSettings) -> bool:
        """Forget a print that never was; return whether the highest price is lower now."""
        doubted = self.second.doubted
        if doubted is not None and doubted.number == number:
            self.second.doubted = None
        if self._ticks.remove(number):
            self.last = self._ticks.prices(1)[0] if len(self._ticks) else None
            self._bid_confirmed = None
        lower = self.highs.take_back(number)
        self._confirm_in_a_row(settings, self.second.latest_bid)
        return lower

    def begin_anew(self) -> None:
        """Let nothing confirm anything that was seen before a time without a look."""
        self._ticks.clear()
        self.second = SecondSources()

    # Whether it counts.

    def _weigh(
        self,
        price: Price,
        now: Instant,
        session: Session,
        settings: ExitSettings,
        entry: Decimal | None,
    ) -> PassedOver | None:
        """Return why a price does not count, once it has said what it says of others.

        That is of which day positions are, that a halt is over, that a doubted one was
        right.
        """
        if price.conditions and not NOT_LAST_SALES.isdisjoint(price.conditions):
            return "conditions"
        if not session.is_open:
            return "closed"
        why: PassedOver | None = None
        if price.at is None:
            if not self.today.moves(price.price, now.wall):
                why, self._unmoved = "unmoved", price.price
        else:
            why = self._weigh_time(price.at, now, session, settings)
        if why is None and self.today.is_halted:
            why = "halted"
        if why is not None:
            return why
        if price.source == "snapshots":
            self.second.hear_snapshot(price.price, now.of(price.at))
            self._accept_doubted(now, settings)
        return self._why_unneeded(price, now, settings, entry)

    def _weigh_time(
        self, at: float, now: Instant, session: Session, settings: ExitSettings
    ) -> PassedOver | None:
        if session.opened_at is not None and at < session.opened_at:
            return "closed"
        if at - now.wall > settings.max_price_age_sec:
            return "stale"
        if not self.today.has_moved:
            self.today.traded(at, now.wall, session)  # however long ago that is
        if now.wall - at > settings.max_price_age_sec:
            return "stale"
        if self.today.is_halted and self.today.resumes_by(at):
            self._ticks.clear()
        return None

    def _why_unneeded(
        self, price: Price, now: Instant, settings: ExitSettings, entry: Decimal | None
    ) -> PassedOver | None:
        if self.has_better(price.source, now.elapsed, settings):
            return "stand_in"
        if self._is_near(price.price, entry, settings):
            return None
        return None if self.second.agree(price, now, settings) else "jump"

    def _is_near(
        self, price: Decimal, entry: Decimal | None, settings: ExitSettings
    ) -> bool:
        """Return whether a price is no jump."""
        most, measure = settings.max_price_jump_pct / 100, self.measure
        if measure is not None:
            return abs(price - measure) <= measure * most
        # The first of a run, and the next may be as bad.
        known = [each for each in (entry, self.highs.highest) if each is not None]
        return not known or any(abs(price - each) <= each * most for each in known)

    def _accept_doubted(self, now: Instant, settings: ExitSettings) -> None:
        if self.today.is_halted:
            return
        price = self.second.settled(now, settings)
        if price is not None:
            self._accept(price, now, settings)

    # What it confirms.

    def _accept(self, price: Price, now: Instant, settings: ExitSettings) -> None:
        self.second.trust()
        self.last = price.price
        self._bid_confirmed = None
        self._ticks.append(
            price.price,
            now.of(price.at),
            price.number,
            price.source,
            # One more than confirm a rule: it is the last, where the last is taken back.
            keep=settings.confirm_ticks + 1,
        )
        bid = self.second.bid(now.elapsed, settings)
        self._confirm_in_a_row(settings, bid)
        self._confirm_by_bid(settings, bid)

    def _confirm_in_a_row(self, settings: ExitSettings, bid: Decimal | None) -> None:
        ticks, count = self._ticks, settings.confirm_ticks
        if len(ticks) < count:
            return
        value = ticks.least(count)
        if bid is not None and ticks.repeat(count):
            value = min(value, float(bid))
        if not ticks.number or self.highs.takes(value):
            self.highs.offer(value, ticks.prints(count))

    def _confirm_by_bid(self, settings: ExitSettings, bid: Decimal | None) -> None:
        last = self.last
        if bid is None or last is None or self._ticks.source != "stream":
            return
        value = min(last, bid)
        if self._bid_confirmed is not None and value <= self._bid_confirmed:
            return
        self._bid_confirmed = value
        number = self._ticks.number
        if not number or self.highs.takes(value):
            self.highs.offer(float(value), [number] * settings.confirm_ticks)
