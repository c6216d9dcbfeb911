"""Prices in, rules asked, triggers out (SPEC 12.3, 12.4)."""

from __future__ import annotations

import logging
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Protocol

import trio

from snexec.exits.activation import Activation, count_rows
from snexec.exits.blindness import Blindness
from snexec.exits.judge import explain, is_reached, still_holds
from snexec.exits.rule_set import read_rules
from snexec.exits.rules import MISSED, RULE_KEYS, show_price
from snexec.exits.unseen import Unseen
from snexec.turns import InTurns

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

    from snexec.events import EventFeed
    from snexec.exits.book import PositionBook
    from snexec.exits.book_entry import BookEntry
    from snexec.exits.judge import Explained
    from snexec.exits.market import MarketView
    from snexec.exits.position import Position
    from snexec.exits.prices import Instant, PassedOver, Price
    from snexec.exits.records import Records
    from snexec.exits.rules import Trigger
    from snexec.model import Mode
    from snexec.settings import ExitSettings, LiveSettings

log = logging.getLogger("PositionMonitor")

_SECOND = 1.0


class Seller(Protocol):
    """Takes a position to its end."""

    def sell(self, position: Position, trigger: Trigger) -> None:
        """Begin to sell what is left of it; the market may be closed.

        The position's ``state`` is closing, and the seller's until it is set back.
        """

    def announce(self, say: Callable[[], None]) -> None:
        """Have something said once no more sells leave."""


class Halt(Protocol):
    """The kill switch."""

    def is_all_halted(self) -> bool:
        """Return whether no order may leave, not even a sell."""

    def is_all_known(self) -> bool:
        """Return whether that is known, without a look: the last one comes later."""


class PositionMonitor:
    """Asks the rules of each position at each accepted price and each second.

    Args:
        live: ``[exits]``, read anew for each question.
        book: The positions.
        view: The market's hours.
        seller: Gets each trigger.
        halt: While it is known to halt all, no trigger is handed over; asked last.
        records: What is kept in the database.
        feed: Where it is published that no price counts.

    Attributes:
        passed_over: How many prices did not count, by the reason.
    """

    def __init__(
        self,
        live: LiveSettings,
        book: PositionBook,
        view: MarketView,
        seller: Seller,
        halt: Halt,
        *,
        records: Records,
        feed: EventFeed,
    ) -> None:
        self._live = live
        self._book = book
        self._view = view
        self._seller = seller
        self._halt = halt
        self._records = records
        self._activation = Activation(view, None)
        self._blindness = Blindness(view, feed)
        self._unseen = Unseen()
        self._settings: ExitSettings | None = None
        self._changed = trio.Event()
        self.passed_over: Counter[PassedOver] = Counter()

    def load(self, rules: str | None) -> None:
        """Take over the rules that an earlier run applied last, before ``run``."""
        self._activation = Activation(self._view, read_rules(rules))
        exits = self._live.now.exits
        is_on = exits is not None and exits.enabled
        self._view.watch(self._modes(exits if is_on else None))

    def settings_changed(self) -> None:
        """Look at the settings anew, in the next moment."""
        self._changed.set()
        self._changed = trio.Event()

    async def run(self) -> None:
        """Ask the rules each second while exits are set, until cancelled."""
        while True:
            changed = self._changed
            await self._tick()
            if self._live.now.exits is None:
                await changed.wait()
                continue
            with trio.move_on_after(_SECOND):
                await changed.wait()

    # What sources say.

    def hear(self, price: Price) -> PassedOver | None:
        """Take a price; return why it does not count, None if it does."""
        entry, settings = self._book.of_symbol(price.symbol), self._now_set()
        if entry is None or settings is None:
            return None
        now = self._moment()
        position, prices = entry.position, entry.prices
        session, doubted = self._view.session(position, now), prices.doubted
        why = prices.hear(price, now, session, settings, position.entry_price)
        # One that does not count itself may settle the doubt about another.
        if why is None or (doubted is not None and prices.doubted is None):
            entry.take_high()
            self._ask(entry, now, settings)
        if why is not None and why != "stand_in":
            self.passed_over[why] += 1
            if why == "jump":
                entry.say_jump(price, settings.max_price_jump_pct)
        return why

    def hear_bid(self, symbol: str, bid: Decimal | None, at: float) -> None:
        """Take the latest quote's bid, in dollars, and its time, in seconds since 1970."""
        entry, settings = self._book.of_symbol(symbol), self._now_set()
        if entry is None or settings is None:
            return
        now, position, prices = self._moment(), entry.position, entry.prices
        may_confirm = prices.hear_bid(bid, at, now, settings)
        entry.take_high()
        last = prices.last
        if may_confirm and last is not None and is_reached(position, last, settings):
            self._ask(entry, now, settings)

    def hear_status(self, symbol: str, *, is_halted: bool, at: float | None) -> None:
        """Take a trading status of the stream, and its time, in seconds since 1970."""
        entry = self._book.of_symbol(symbol)
        if entry is None:
            return
        when = self._view.now().wall if at is None else at
        if entry.prices.hear_status(is_halted=is_halted, at=when):
            log.warning(
                "%s: trading %s",
                symbol,
                "is halted: its price rules rest until it resumes"
                if is_halted
                else "has resumed: its price rules are asked again",
            )

    def take_back(self, symbol: str, number: int) -> None:
        """Forget a print that was corrected or canceled."""
        entry, settings = self._book.of_symbol(symbol), self._now_set()
        if entry is None or settings is None:
            return
        if entry.prices.take_back(number, settings):
            entry.take_high()
            high = entry.position.high_price
            log.info(
                "%s: a print was taken back; the highest price is %s now",
                symbol,
                "not known" if high is None else show_price(high),
            )

    def lose_stream(self) -> None:
        """Note that the stream was lost: the end of a halt may be missed."""
        for each in self._book:
            each.prices.lose_stream()

    # What is asked.

    def ask(self, entry: BookEntry) -> None:
        """Ask a position's rules now; one that is true begins to sell it."""
        if (settings := self._now_set()) is not None:
            self._ask(entry, self._moment(), settings)

    @property
    def is_blind(self) -> bool:
        """Whether the rows of any mode have had no price for too long."""
        return self._blindness.is_blind

    def doubted(self) -> list[str]:
        """Return the symbols of which a price waits for a second source."""
        return [
            each.position.symbol
            for each in self._book
            if each.prices.doubted is not None
        ]

    def undated(self) -> list[str]:
        """Return the symbols of which the price stands still, and may be yesterday's."""
        now = self._view.now()
        return [
            each.position.symbol
            for each in self._book
            if each.prices.is_undated and self._view.session(each.position, now).is_open
        ]

    def explain(self, row_id: str) -> list[Explained] | None:
        """Return a position's rules with their figures; None if it is not watched."""
        entry, settings = self._book.of_row(row_id), self._live.now.exits
        if entry is None or settings is None:
            return None
        now = self._view.now()
        since = self._activation.applied.flatten_since
        moment = self._view.moment(entry.position, now, since)
        return explain(entry.position, entry.prices, moment, settings)

    def still_holds(self, row_id: str, reason: str) -> bool | None:
        """Ask anew what a row was to be sold for; None while that cannot be asked."""
        entry, settings = self._book.of_row(row_id), self._now_set()
        if entry is None:
            return None
        if settings is None:
            return reason not in RULE_KEYS
        now = self._view.now()
        since = self._activation.applied.flatten_since
        moment = self._view.moment(entry.position, now, since)
        return still_holds(reason, entry.position, entry.prices, moment, settings)

    def is_set(self, reason: str) -> bool:
        """Return whether the rule of a reason is set; what is no rule's is."""
        key, settings = RULE_KEYS.get(reason), self._now_set()
        return key is None or getattr(settings, key, None) is not None

    def source_and_age(self) -> tuple[str | None, float | None]:
        """Return where the newest price is from, and its age in seconds."""
        newest = max(self._book, key=lambda each: each.prices.at, default=None)
        if newest is None or newest.prices.source is None:
            return None, None
        return newest.prices.source, trio.current_time() - newest.prices.at

    # The rules.

    def _moment(self) -> Instant:
        """Return this moment; if nobody has watched before it, all begins anew."""
        now = self._view.now()
        uncounted = self._unseen.since_last(now)
        if uncounted is not None:
            for each in self._book:
                each.prices.begin_anew()
                each.position.held_since -= uncounted
            self._blindness.begin_anew()
        return now

    def _now_set(self) -> ExitSettings | None:
        """Return the settings if anything is watched; new rules are seen here first."""
        settings = self._live.now.exits
        if settings is not self._settings:
            self._change(settings)
        return settings if settings is not None and settings.enabled else None

    def _change(self, settings: ExitSettings | None) -> None:
        self._settings = settings
        if settings is None:
            if self._activation.end(self._book):
                self._records.note_rules(self._activation.applied.text())
            return
        if not settings.enabled and len(self._book):
            log.warning(
                "exits are not enabled: nothing watches %s, and nothing sells but `snexec"
                " close`",
                count_rows(len(self._book)),
            )
        if self._activation.change(settings, self._book, self._view.now()):
            self._records.note_rules(self._activation.applied.text())

    async def _tick(self) -> None:
        settings, now = self._now_set(), self._moment()
        self._view.watch(self._modes(settings))
        await self._blindness.look(self._book, now, settings)
        if not await self._ask_all():
            return
        settings, now = self._now_set(), self._view.now()
        if settings is None:
            return
        halted = self._halt.is_all_halted()
        if self._activation.tick(self._book, now, settings, halted=halted):
            self._records.note_rules(self._activation.applied.text())
            log.info("the new rules hold for every row")
            await self._ask_all()
        await self._records.note_highs(self._book, now.elapsed)

    async def _ask_all(self) -> bool:
        """Ask the rules of every row; return whether that is done and they still hold."""
        asked = self._now_set()
        now = self._view.now()
        async for each in InTurns(self._book):
            if asked is None or self._now_set() is not asked:
                return False  # all are asked anew by what is set now
            if self._book.of_row(each.position.row_id) is each:
                self._ask(each, now, asked)
        return asked is not None

    def _modes(self, settings: ExitSettings | None) -> set[Mode]:
        """Return the modes whose market hours matter."""
        if settings is None:
            return set()
        flattens = settings.flatten_before_close_sec is not None
        return self._book.modes() | ({self._live.now.mode} if flattens else set())

    def _ask(self, entry: BookEntry, now: Instant, settings: ExitSettings) -> None:
        position = entry.position
        if position.state != "watched":
            return
        trigger = self._activation.ask(entry, now, settings)
        if trigger is None or self._halt.is_all_known():
            return
        position.state = "closing"
        remaining = position.remaining
        self._seller.sell(position, trigger)
        self._seller.announce(partial(_say, position.symbol, trigger, remaining))


def _say(symbol: str, trigger: Trigger, remaining: Decimal) -> None:
    text = trigger.text
    level = logging.ERROR if text == MISSED else logging.INFO
    words = symbol, trigger.reason, text, f"{remaining:f}"
    log.log(level, "%s %s: %s; selling %s", *words)
