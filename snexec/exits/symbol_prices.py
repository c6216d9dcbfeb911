"""Which price counts, as sources say it: one symbol's state, pure (SPEC 12.4)."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from snexec.exits.known_prices import KnownPrices
from snexec.exits.prices import NEVER, NOT_LAST_SALES
from snexec.exits.second import SecondSources, are_near
from snexec.exits.today import Today

if TYPE_CHECKING:
    from snexec.exits.prices import Instant, PassedOver, Price, Session
    from snexec.settings import ExitSettings


class SymbolPrices(KnownPrices):
    """Hears of one symbol's price."""

    __slots__ = ()

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
        if session.day != self._day or self._today is not None:
            self._begin(session)
        why = self._weigh(price, now, session, settings, entry)
        if why is None:
            self._accept(price, now, settings)
        elif why == "jump":
            self._others().doubt(price, now)
        if self._today is not None:
            self._calm_down(self._today)
        return why

    def hear_bid(
        self, bid: Decimal | None, at: float, now: Instant, settings: ExitSettings
    ) -> bool:
        """Take the latest quote's bid and its time; None if nobody bids.

        Returns:
            Whether it may have confirmed something, so that rules are to be asked.
        """
        self._bid, self._bid_at = float(bid) if bid else None, now.of(at)
        if self._second is not None:
            self._accept_doubted(self._second, now, settings)
        if not bid or not self.is_fresh(now.elapsed, settings):
            return False
        self._confirm_by_bid(settings, self._fresh_bid(now, settings))
        return True

    def hear_status(self, *, is_halted: bool, at: float) -> bool:
        """Take a trading status; return whether a halt has begun or ended by it."""
        today = self._today = self._today or Today(self._day)
        changed = today.hear_status(is_halted=is_halted, at=at)
        if changed:
            self._ticks.clear()  # what was seen before a halt confirms nothing after it
        self._calm_down(today)
        return changed

    def lose_stream(self) -> None:
        """Note that the stream was lost: the end of a halt may be missed."""
        if self._today is not None:
            self._today.lose_stream()

    def is_news(self) -> bool:
        """Note that a jump is said, and return whether that is news."""
        others = self._others()
        is_news, others.is_reported = not others.is_reported, True
        return is_news

    def take_back(self, number: int, settings: ExitSettings) -> bool:
        """Forget a print that never was; return whether the highest price is lower now."""
        if self._second is not None:
            self._second.take_back(number)
        if self._ticks.remove(number):
            self._last = self._ticks.least(1) if len(self._ticks) else None
            self._bid_confirmed = None
        lower = self.highs.take_back(number)
        self._confirm_in_a_row(settings, self._bid)
        return lower

    def begin_anew(self) -> None:
        """Let nothing confirm anything that was seen before a time without a look."""
        self._ticks.clear()
        self._second, self._bid, self._bid_at = None, None, NEVER

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
            today = self._today
            if today is not None and not today.moves(price.price, now.wall):
                why, self._unmoved = "unmoved", price.price
        else:
            why = self._weigh_time(price.at, now, session, settings)
        if why is None and self._today is not None and self._today.is_halted:
            why = "halted"
        if why is not None:
            return why
        if price.source == "snapshots":
            others = self._others()
            others.hear_snapshot(price.price, now.of(price.at))
            self._accept_doubted(others, now, settings)
        return self._why_unneeded(price, now, settings, entry)

    def _weigh_time(
        self, at: float, now: Instant, session: Session, settings: ExitSettings
    ) -> PassedOver | None:
        if session.opened_at is not None and at < session.opened_at:
            return "closed"
        if at - now.wall > settings.max_price_age_sec:
            return "stale"
        today = self._today
        if today is not None and not today.has_moved:
            today.traded(at, now.wall, session)  # however long ago that is
        if now.wall - at > settings.max_price_age_sec:
            return "stale"
        if today is not None and today.resumes_by(at):
            self._ticks.clear()
        return None

    def _why_unneeded(
        self, price: Price, now: Instant, settings: ExitSettings, entry: Decimal | None
    ) -> PassedOver | None:
        if self.has_better(price.source, now.elapsed, settings):
            return "stand_in"
        if self._is_near(price.price, entry, settings):
            return None
        bid = self.bid(now.elapsed, settings)
        if bid is not None and are_near(bid, price.price):
            return None
        second = self._second
        agrees = second is not None and second.agree(price, now, settings)
        return None if agrees else "jump"

    def _is_near(
        self, price: Decimal, entry: Decimal | None, settings: ExitSettings
    ) -> bool:
        """Return whether a price is no jump."""
        most, last = settings.max_price_jump_pct / 100, self._last
        measure = self._unmoved if last is None else Decimal(repr(last))
        if measure is not None:
            return abs(price - measure) <= measure * most
        # The first of a run, and the next may be as bad.
        known = [each for each in (entry, self.highs.highest) if each is not None]
        return not known or any(abs(price - each) <= each * most for each in known)

    def _accept_doubted(
        self, others: SecondSources, now: Instant, settings: ExitSettings
    ) -> None:
        if self.is_halted:
            return
        price = others.settled(now, settings, self.bid(now.elapsed, settings))
        if price is not None:
            self._accept(price, now, settings)

    # What nearly no row has.

    def _begin(self, session: Session) -> None:
        """Begin a session, if it is another one than the last."""
        if self._today is None:
            if not session.is_open:
                return
            self._today = Today(self._day)
        if self._today.begin(session):
            self._ticks.clear()  # yesterday's confirm nothing

    def _calm_down(self, today: Today) -> None:
        """Keep nothing of a session of which all is known."""
        if today.has_moved and not today.is_halted:
            self._day, self._today = today.day, None

    def _others(self) -> SecondSources:
        """Return the second sources, where one is to be kept."""
        self._second = self._second or SecondSources()
        return self._second

    # What it confirms.

    def _accept(self, price: Price, now: Instant, settings: ExitSettings) -> None:
        if self._second is not None:
            self._second.trust()
        self._last = float(price.price)
        self._bid_confirmed = None
        self._ticks.append(
            self._last,
            now.of(price.at),
            price.number,
            price.source,
            # One more than confirm a rule: it is the last, where the last is taken back.
            keep=settings.confirm_ticks + 1,
        )
        bid = self._fresh_bid(now, settings)
        self._confirm_in_a_row(settings, bid)
        self._confirm_by_bid(settings, bid)

    def _fresh_bid(self, now: Instant, settings: ExitSettings) -> float | None:
        is_old = now.elapsed - self._bid_at > settings.max_price_age_sec
        return None if is_old else self._bid

    def _confirm_in_a_row(self, settings: ExitSettings, bid: float | None) -> None:
        ticks, count = self._ticks, settings.confirm_ticks
        if len(ticks) < count:
            return
        value = ticks.least(count)
        if bid is not None and ticks.repeat(count):
            value = min(value, bid)
        if not ticks.number or self.highs.takes(value):
            self.highs.offer(value, ticks.prints(count))

    def _confirm_by_bid(self, settings: ExitSettings, bid: float | None) -> None:
        last = self._last
        if bid is None or last is None or self._ticks.source != "stream":
            return
        value = min(last, bid)
        if self._bid_confirmed is not None and value <= self._bid_confirmed:
            return
        self._bid_confirmed = value
        number = self._ticks.number
        if not number or self.highs.takes(value):
            self.highs.offer(value, [number] * settings.confirm_ticks)
