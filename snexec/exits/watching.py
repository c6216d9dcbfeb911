"""What watches positions where there is an ``[exits]``: built then, and not before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from snexec.broker.splits import known_splits
from snexec.exits.findings import Findings
from snexec.exits.following import Following
from snexec.exits.known_splits import KnownSplits
from snexec.exits.lookout import Lookout
from snexec.exits.price_watch import PriceWatch
from snexec.exits.stop_keeper import StopKeeper
from snexec.market.calendar import SessionCalendar
from snexec.market.data_stream import DataStream
from snexec.market.snapshots import Snapshots

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from datetime import date

    from snexec.broker import Accounts
    from snexec.broker.splits import Split
    from snexec.events import EventFeed
    from snexec.exits.book import PositionBook
    from snexec.exits.findings import Heirs
    from snexec.exits.means import Means
    from snexec.exits.monitor import Halt
    from snexec.exits.seller import Seller
    from snexec.ledger import Ledger, WatchedRow
    from snexec.market import MarketHours
    from snexec.model import Mode
    from snexec.reconciliation import Fate, ForeignSell
    from snexec.settings import ExitSettings, LiveSettings


class Watching:
    """Prices and rules, market data, and the lookout for what others do.

    Args:
        live: ``[exits]``, which SIGHUP changes.
        accounts: Who is asked.
        ledger: Keeps high prices, and the rules that were applied last.
        market: Its hours.
        halt: The kill switch.
        feed: Where it is published that nothing is seen, and what others did.
        book: The positions.
        seller: Sells them.
        means: What sells share with stops.
        heirs: Hear what others did.

    Attributes:
        monitor: Asks the rules.
        stops: Keeps a stop at the broker for each row.
    """

    def __init__(  # noqa: PLR0917 - wings, in the order of the floors
        self,
        live: LiveSettings,
        accounts: Accounts,
        ledger: Ledger,
        market: MarketHours,
        halt: Halt,
        feed: EventFeed,
        *,
        book: PositionBook,
        seller: Seller,
        means: Means,
        heirs: Heirs,
    ) -> None:
        clock = ledger.clock
        self._live = live
        self._book = book
        self._data = Snapshots(live, accounts, self._settings)
        self._calendar = SessionCalendar(market, accounts, clock)
        self._prices = PriceWatch(
            *(live, accounts, book, seller, market, self._calendar, halt),
            writer=ledger.writer,
            data=self._data,
            feed=feed,
            clock=clock,
        )
        self.monitor = self._prices.monitor
        self._stream = DataStream(
            *(live, accounts, self._settings, market, self._prices.sink),
            lost=self.monitor.lose_stream,
            clock=clock,
        )
        self.stops = StopKeeper(live, accounts, book, means, ask=self.monitor.ask)
        self._following = Following(live, book, self._stream)
        findings = Findings(ledger.writer, heirs, feed)
        self._lookout = Lookout(live, accounts, ledger, book, findings)
        self._known_splits = KnownSplits(
            self._ask_splits, self._shares, clock, self._lookout.know_splits
        )
        self._prices.follow_positions(self._stream)
        self._prices.follow_trades(self._stream.seen_trade)
        self._prices.follow_positions(self._lookout)

    def load(self, rows: Sequence[WatchedRow]) -> None:
        """Take over what an earlier run has left at the broker, and has seen there."""
        self.stops.load(rows)
        self._lookout.load(rows)

    async def run(self) -> None:
        """Watch while there is anything to, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._prices.run, name="position watcher")
            nursery.start_soon(self.stops.run, name="stops at the broker")
            nursery.start_soon(self._lookout.run, name="lookout")
            nursery.start_soon(self._known_splits.run, name="known splits")
            nursery.start_soon(self._calendar.run, name="calendar")
            nursery.start_soon(self._following.run, name="followed symbols")
            nursery.start_soon(self._stream.run, name="market data")

    def settings_changed(self) -> None:
        """Use what the settings are now."""
        self._prices.settings_changed()
        self.stops.look()
        self._stream.settings_changed()

    def bought(self) -> None:
        """Look at what was bought soon."""
        self._prices.look()
        self.stops.look()

    def time_passed(self) -> None:
        """Open the market-data stream anew, and look anew at what others did."""
        self._stream.restart()
        self._lookout.begin_anew()

    def foreign_sell(self, sell: ForeignSell) -> None:
        """Look at once what somebody else has sold."""
        self._lookout.foreign_sell(sell)

    # As the guard of what sells share.

    def look_now(self, mode: Mode) -> None:
        """Look at once what others sold of an account's positions."""
        self._lookout.look_now(mode)

    def still_holds(self, row_id: str, reason: str) -> bool | None:
        """Ask anew what a row was to be sold for; None while that cannot be asked."""
        return self.monitor.still_holds(row_id, reason)

    def is_set(self, reason: str) -> bool:
        """Return whether the rule of a reason is set; what is no rule's is."""
        return self.monitor.is_set(reason)

    def fate(self, exit_id: str) -> Fate:
        """Say what is to be done with a stop that never reached the broker."""
        return self.stops.fate(exit_id)

    def _settings(self) -> ExitSettings | None:
        return self._live.now.exits

    def _shares(self) -> Iterator[str]:
        exits = self._settings()
        if exits is not None and exits.enabled and exits.external:
            yield from (each.position.symbol for each in self._book)

    async def _ask_splits(
        self, symbols: Collection[str], first: date, last: date
    ) -> Sequence[Split]:
        return await known_splits(self._data.client(), symbols, first, last)
