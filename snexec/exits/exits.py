"""The exits as the rest of the daemon sees them (SPEC 12)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import trio

from snexec.exits.market import MarketView
from snexec.exits.monitor import PositionMonitor
from snexec.exits.overview import overview
from snexec.exits.poll import PositionsPoll
from snexec.exits.records import Records
from snexec.exits.sink import MonitorSink
from snexec.exits.snapshots import SnapshotPoll

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from snexec.broker import Accounts
    from snexec.clock import Clock
    from snexec.events import EventFeed
    from snexec.exits.answers import Watch
    from snexec.exits.book import PositionBook
    from snexec.exits.judge import Explained
    from snexec.exits.market import Calendar, Hours
    from snexec.exits.monitor import Halt, Seller
    from snexec.exits.poll import Onlooker
    from snexec.exits.prices import PassedOver
    from snexec.exits.records import Shelf
    from snexec.exits.snapshots import MarketData
    from snexec.ledger import Applied, ExitApplied, Split, WatchedRow
    from snexec.model import AccountName
    from snexec.settings import LiveSettings


class ExitsStatus(NamedTuple):
    """How the exits are.

    Attributes:
        watched: Rows whose rules are asked.
        closing: Rows that are being sold.
        blocked: Rows that cannot be sold now.
        unwatched: Rows of which nothing is asked: exits are off.
        source: Where the newest price is from; None without one.
        price_age_sec: Its age.
        blind: Whether the rows of any mode have had no price for too long.
        passed_over: Prices that did not count since the start, by the reason.
    """

    watched: int
    closing: int
    blocked: int
    unwatched: int
    source: str | None
    price_age_sec: float | None
    blind: bool
    passed_over: Mapping[PassedOver, int]


class Exits:
    """Watches what is held, and hands to the seller what a rule sells.

    Args:
        live: ``[exits]``, which SIGHUP changes; None of it runs without.
        accounts: Whose positions are asked for.
        book: The positions; the seller's as well.
        seller: Gets what is to be sold.
        hours: The broker's clock.
        calendar: The broker's calendar.
        halt: The kill switch.
        shelf: The database.
        data: Market data.
        feed: Where it is published that nothing is seen.
        clock: The time of day.

    Attributes:
        sink: Takes what the market-data stream says.
    """

    def __init__(  # noqa: PLR0917 - wings, in the order of the floors
        self,
        live: LiveSettings,
        accounts: Accounts,
        book: PositionBook,
        seller: Seller,
        hours: Hours,
        calendar: Calendar,
        halt: Halt,
        *,
        shelf: Shelf,
        data: MarketData,
        feed: EventFeed,
        clock: Clock,
    ) -> None:
        self._live = live
        self._book = book
        view = MarketView(hours, calendar, clock)
        self._records = Records(shelf)
        self._monitor = PositionMonitor(
            live, book, view, seller, halt, records=self._records, feed=feed
        )
        self._snapshots = SnapshotPoll(
            live, data, book, view, self._monitor, clock=clock
        )
        self._poll = PositionsPoll(
            live,
            accounts,
            book,
            view,
            self._monitor,
            second=self._snapshots,
            clock=clock,
        )
        self.sink = MonitorSink(self._monitor)

    def load(self, rows: Iterable[WatchedRow], rules: str | None) -> None:
        """Take over what is held at the start, and the rules that were applied last.

        Before anything runs, so that the market's hours are asked for in time.
        """
        self._book.load(rows)
        self._monitor.load(rules)

    async def run(self) -> None:
        """Watch while there is anything to, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._records.run, name="exit records")
            nursery.start_soon(self._monitor.run, name="position monitor")
            nursery.start_soon(self._poll.run, name="positions")
            nursery.start_soon(self._snapshots.run, name="snapshots")

    def settings_changed(self) -> None:
        """Use what the settings are now."""
        self._monitor.settings_changed()
        self._poll.look()

    def follow_positions(self, onlooker: Onlooker) -> None:
        """Have somebody hear each list of positions from now on."""
        self._poll.follow(onlooker)

    def lose_stream(self) -> None:
        """Note that the market-data stream was lost."""
        self._monitor.lose_stream()

    # What reconciliation reports.

    def bought(self, applied: Applied) -> None:
        """Take what the broker's word on a buy did to its row."""
        self._book.bought(applied)
        self._poll.look()

    def sold(self, applied: ExitApplied) -> None:
        """Take what the broker's word on a sell did to it, and to its row."""
        self._book.sold(applied)

    def split(self, split: Split) -> None:
        """Take a row after a split."""
        self._book.split(split)

    def foreign_sell(self, mode: AccountName, _symbol: str) -> None:
        """Ask what is held: somebody else has sold."""
        self._poll.ask_now(mode)

    # What is asked.

    def explain(self, row_id: str) -> list[Explained] | None:
        """Return a row's rules with their figures; None if it is not watched."""
        return self._monitor.explain(row_id)

    def still_holds(self, row_id: str, reason: str) -> bool | None:
        """Ask anew what a row was to be sold for; None while that cannot be asked."""
        return self._monitor.still_holds(row_id, reason)

    def positions(self) -> list[Watch]:
        """Return what is known of each position; what blocks it, the seller knows."""
        now, exits = trio.current_time(), self._live.now.exits
        return [overview(each, now, exits) for each in self._book]

    def status(self) -> ExitsStatus:
        """Return how the exits are."""
        exits = self._live.now.exits
        is_on = exits is not None and exits.enabled
        source, age = self._monitor.source_and_age()
        watched = self._book.count("watched")
        return ExitsStatus(
            watched=watched if is_on else 0,
            closing=self._book.count("closing"),
            blocked=self._book.count("blocked"),
            unwatched=0 if is_on else watched,
            source=source if is_on else None,
            price_age_sec=age if is_on else None,
            blind=self._monitor.is_blind,
            passed_over=dict(self._monitor.passed_over),
        )
