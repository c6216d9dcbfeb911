"""Prices and rules: which positions are to be sold, and which price says so (SPEC 12.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from snexec.exits.market import MarketView
from snexec.exits.monitor import PositionMonitor
from snexec.exits.poll import PositionsPoll
from snexec.exits.records import Records
from snexec.exits.sink import MonitorSink
from snexec.exits.snapshots import SnapshotPoll

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from decimal import Decimal

    from snexec.broker import Accounts
    from snexec.clock import Clock
    from snexec.events import EventFeed
    from snexec.exits.book import PositionBook
    from snexec.exits.judge import Explained
    from snexec.exits.market import Calendar, Hours
    from snexec.exits.monitor import Halt, Seller
    from snexec.exits.poll import Onlooker
    from snexec.exits.prices import PassedOver
    from snexec.exits.snapshots import MarketData
    from snexec.ledger import Writer
    from snexec.settings import LiveSettings


class Watcher:
    """Watches what is held, and hands to the seller what a rule sells.

    Args:
        live: ``[exits]``, which SIGHUP changes; None of it runs without.
        accounts: Whose positions are asked for.
        book: The positions; the seller's as well.
        seller: Gets what is to be sold.
        hours: The broker's clock.
        calendar: The broker's calendar.
        halt: The kill switch.
        writer: Keeps in the database what outlives a restart.
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
        writer: Writer,
        data: MarketData,
        feed: EventFeed,
        clock: Clock,
    ) -> None:
        view = MarketView(hours, calendar, clock)
        self._records = Records(writer)
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

    def load(self, rules: str | None) -> None:
        """Take over the rules that were applied last.

        Before anything runs, so that the market's hours are asked for in time.
        """
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

    def follow_trades(self, heard: Callable[[str, Decimal], object]) -> None:
        """Have somebody hear each trade of a snapshot from now on, with its price."""
        self._snapshots.follow(heard)

    def lose_stream(self) -> None:
        """Note that the market-data stream was lost."""
        self._monitor.lose_stream()

    def look(self) -> None:
        """Poll soon: something was bought, or the settings have changed."""
        self._poll.look()

    # What is asked.

    @property
    def is_blind(self) -> bool:
        """Whether the rows of any mode have had no price for too long."""
        return self._monitor.is_blind

    @property
    def passed_over(self) -> Mapping[PassedOver, int]:
        """Prices that did not count since the start, by the reason."""
        return self._monitor.passed_over

    def source_and_age(self) -> tuple[str | None, float | None]:
        """Return where the newest price is from, and its age in seconds."""
        return self._monitor.source_and_age()

    def explain(self, row_id: str) -> list[Explained] | None:
        """Return a row's rules with their figures; None if it is not watched."""
        return self._monitor.explain(row_id)

    def is_set(self, reason: str) -> bool:
        """Return whether the rule of a reason is set; what is no rule's is."""
        return self._monitor.is_set(reason)

    def still_holds(self, row_id: str, reason: str) -> bool | None:
        """Ask anew what a row was to be sold for; None while that cannot be asked."""
        return self._monitor.still_holds(row_id, reason)
