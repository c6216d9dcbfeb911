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
    from collections.abc import Callable
    from decimal import Decimal

    from snexec.broker import Accounts
    from snexec.clock import Clock
    from snexec.events import EventFeed
    from snexec.exits.book import PositionBook
    from snexec.exits.market import BrokerClock, Calendar
    from snexec.exits.monitor import Halt, Seller
    from snexec.exits.poll import Onlooker
    from snexec.exits.snapshots import MarketData
    from snexec.ledger import Writer
    from snexec.settings import LiveSettings


class PriceWatch:
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
        monitor: Asks the rules.
        sink: Takes what the market-data stream says.
    """

    def __init__(  # noqa: PLR0917 - wings, in the order of the floors
        self,
        live: LiveSettings,
        accounts: Accounts,
        book: PositionBook,
        seller: Seller,
        hours: BrokerClock,
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
        self.monitor = PositionMonitor(
            live, book, view, seller, halt, records=self._records, feed=feed
        )
        self._snapshots = SnapshotPoll(
            live, data, book, view, self.monitor, clock=clock
        )
        self._poll = PositionsPoll(
            live,
            accounts,
            book,
            view,
            self.monitor,
            second=self._snapshots,
            clock=clock,
        )
        self.sink = MonitorSink(self.monitor)

    async def run(self) -> None:
        """Watch while there is anything to, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._records.run, name="exit records")
            nursery.start_soon(self.monitor.run, name="position monitor")
            nursery.start_soon(self._poll.run, name="positions")
            nursery.start_soon(self._snapshots.run, name="snapshots")

    def settings_changed(self) -> None:
        """Use what the settings are now."""
        self.monitor.settings_changed()
        self._poll.look()

    def follow_positions(self, onlooker: Onlooker) -> None:
        """Have somebody hear each list of positions from now on."""
        self._poll.follow(onlooker)

    def follow_trades(self, heard: Callable[[str, Decimal], object]) -> None:
        """Have somebody hear each trade of a snapshot from now on, with its price."""
        self._snapshots.follow(heard)

    def look(self) -> None:
        """Poll soon: something was bought, or the settings have changed."""
        self._poll.look()
