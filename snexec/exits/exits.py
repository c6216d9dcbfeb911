"""The exits as the rest of the daemon sees them (SPEC 12)."""

from __future__ import annotations

import logging
import sqlite3
from typing import TYPE_CHECKING

import trio

from snexec.exits.answers import ExitsStatus
from snexec.exits.book import PositionBook
from snexec.exits.by_hand import ByHand
from snexec.exits.means import Means
from snexec.exits.seller import Seller
from snexec.exits.taking_up import take_up_all
from snexec.threads import in_own_thread

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from snexec.broker import Accounts
    from snexec.events import EventFeed
    from snexec.exits.answers import CloseAnswer, PositionStatus
    from snexec.exits.judge import Explained
    from snexec.exits.monitor import Halt
    from snexec.exits.watching import Watching
    from snexec.ledger import Applied, ExitApplied, Ledger, Split
    from snexec.market import MarketHours
    from snexec.orders import OrderDesk
    from snexec.reconciliation import ForeignSell, Reconciler
    from snexec.settings import LiveSettings

log = logging.getLogger("PositionMonitor")

_TRY_AGAIN_SECONDS = 10.0


class Exits:
    """Closes positions: by hand, and by rules where there is an ``[exits]``.

    Args:
        live: ``[exits]``, which SIGHUP changes; nothing is watched without.
        accounts: Who is asked what is held.
        ledger: The rows.
        reconciler: Reports what was bought and sold.
        orders: The desk that sells.
        market: Its hours.
        halt: The kill switch.
        feed: Where it is published.
    """

    def __init__(  # noqa: PLR0917 - wings, in the order of the floors
        self,
        live: LiveSettings,
        accounts: Accounts,
        ledger: Ledger,
        reconciler: Reconciler,
        orders: OrderDesk,
        market: MarketHours,
        halt: Halt,
        feed: EventFeed,
    ) -> None:
        self._live = live
        self._ledger = ledger
        self._reconciler = reconciler
        self._below = (live, accounts, ledger, market, halt, feed)
        self._book = PositionBook(ledger.clock)
        self._means = Means(live, accounts, ledger, reconciler, orders, market, feed)
        self._seller = Seller(self._means, reconciler, self._book)
        self._by_hand = ByHand(live, self._book, self._seller, ledger.writer)
        self._watching: Watching | None = None
        self._changed = trio.Event()
        reconciler.report_to(self)

    def load(self) -> None:
        """Take over what is held, and what an earlier run had begun to sell.

        Before anything runs, and after the ledger's ``load``.

        Raises:
            StartError: The database cannot be used.
        """
        follows_all = self._live.now.exits is not None
        if follows_all:
            _import_watching()  # below the rows, which do not stay as they are read
        rows = self._ledger.held(every_row=follows_all)
        self._book.follows_all = follows_all
        self._book.load(rows)
        self._means.tries.load(self._ledger.tried, self._ledger.failed_stops)
        if self._live.now.exits is not None:
            self._begin_watching()
        for row in rows:
            if (entry := self._book.of_row(row.id)) is not None:
                self._seller.take_over(row, entry.position)
        self._seller.load(self._ledger.unsettled_exits)
        if self._watching is not None:
            self._watching.load(rows)

    async def run(self) -> None:
        """Sell what is to be sold, and watch once there is an ``[exits]``."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._seller.run, name="seller")
            if self._live.now.exits is None:
                await self._forget_rules()
            while self._watching is None:
                while self._live.now.exits is None:
                    await self._changed.wait()
                await in_own_thread("import of exits", _import_watching)
                if await self._take_up_all():
                    self._begin_watching()
            await self._watching.run()

    def settings_changed(self) -> None:
        """Use what the settings are now."""
        self._changed.set()
        self._changed = trio.Event()
        if self._watching is not None:
            self._watching.settings_changed()

    def time_passed(self) -> None:
        """Look anew at what may have changed in a time that nobody has seen."""
        if self._watching is not None:
            self._watching.time_passed()

    # What the operator asks for.

    async def close(
        self, symbols: Sequence[str], *, at_open: bool, by: str = "operator"
    ) -> list[CloseAnswer]:
        """Sell what is left of the open rows of these symbols, as ``manual``.

        Returns once each sell is durable; see ``ByHand.close``.
        """
        return await self._by_hand.close(symbols, at_open=at_open, by=by)

    def positions(self) -> list[PositionStatus]:
        """Return what is known of each position, or only of what is sold, without rules."""
        return self._by_hand.positions()

    def held(self, symbols: Iterable[str]) -> list[str]:
        """Return those of some symbols of which there is a position, in their order."""
        return [each for each in symbols if self._book.of_symbol(each) is not None]

    async def wait_sold(self, symbols: Iterable[str]) -> None:
        """Wait until there is no position in any of some symbols."""
        left = self.held(symbols)
        while left:
            await self._book.wait_dropped()
            left = self.held(left)

    def explain(self, row_id: str) -> list[Explained] | None:
        """Return a row's rules with their figures; None if it is not watched."""
        watching = self._watching
        return None if watching is None else watching.monitor.explain(row_id)

    def status(self) -> ExitsStatus:
        """Return how the exits are, from memory."""
        exits, watching, book = self._live.now.exits, self._watching, self._book
        is_on = exits is not None and exits.enabled
        status = ExitsStatus(
            watched=book.count("watched") if is_on else 0,
            closing=book.count("closing"),
            blocked=book.count("blocked"),
            unwatched=0 if exits is None or is_on else book.count("watched"),
        )
        if watching is None or not is_on:
            return status
        source, age = watching.monitor.source_and_age()
        return status._replace(
            source=source,
            price_age_sec=age,
            blind=watching.monitor.is_blind,
            passed_over=dict(watching.monitor.passed_over),
        )

    def left_by_a_stop(self) -> tuple[int, int]:
        """Return how many rows a stop leaves unwatched, and how many with a broker stop.

        Where nothing watched them before, a stop leaves none so.
        """
        exits = self._live.now.exits
        if exits is None or not exits.enabled:
            return 0, 0
        return len(self._book), self._book.stops

    # What reconciliation reports, as its holdings: to the book first, so that the others
    # find it up to date.

    def bought(self, applied: Applied) -> None:
        """Watch what was bought."""
        self._book.bought(applied)
        if self._watching is not None:
            self._watching.bought()
        self._seller.bought(applied)

    def sold(self, applied: ExitApplied) -> None:
        """Watch what is left of a row that was sold, and go on to sell the rest."""
        self._book.sold(applied)
        if self._watching is not None:
            self._watching.stops.heard(applied)
        self._seller.sold(applied)

    def foreign_sell(self, sell: ForeignSell) -> None:
        """Look at once what somebody else has sold, if it may be of what is watched."""
        watching = self._watching
        if watching is not None and self._book.may_hold(sell.mode, sell.symbol):
            watching.foreign_sell(sell)

    # What others did, as the heirs of what is found.

    def sold_by_others(self, applied: ExitApplied) -> None:
        """Have everybody hear of it who hears of sells of ours."""
        self._reconciler.sold_by_others(applied)

    def split(self, split: Split) -> None:
        """Watch a row as it was restated."""
        self._book.split(split)

    def ended(self, row_id: str) -> None:
        """Watch a row no more: somebody else has ended it."""
        self._book.ended(row_id)
        self._seller.ended(row_id)

    async def _take_up_all(self) -> bool:
        """Take up what is held; False if ``[exits]`` goes before that can be read."""
        while self._live.now.exits is not None:
            try:
                await take_up_all(self._book, self._ledger.writer)
            except sqlite3.Error as exc:
                log.error(  # noqa: TRY400 - the reason says it all
                    "what is held cannot be read, so no rule watches it (%s); tried"
                    " again in %.0f s",
                    exc,
                    _TRY_AGAIN_SECONDS,
                )
                with trio.move_on_after(_TRY_AGAIN_SECONDS):
                    while self._live.now.exits is not None:
                        await self._changed.wait()
            else:
                return True
        return False

    async def _forget_rules(self) -> None:
        """Forget the rules of an earlier run: if they come back, they are new."""
        rules, self._ledger.exit_rules = self._ledger.exit_rules, None
        if rules is None:
            return
        try:
            await self._ledger.writer.write(lambda store: store.held.forget_rules())
        except sqlite3.Error as exc:
            log.warning(
                "the rules of an earlier run cannot be forgotten (%s): if [exits] comes"
                " back with them after a restart, they sell at once",
                exc,
            )

    def _begin_watching(self) -> None:
        self._watching = watching = _import_watching()(
            *self._below,
            book=self._book,
            seller=self._seller,
            means=self._means,
            heirs=self,
        )
        self._reconciler.mind_foreign_sells()
        watching.monitor.load(self._ledger.exit_rules)
        self._means.guard_by(watching)


def _import_watching() -> type[Watching]:
    """Import what watches; only ``[exits]`` needs it."""
    from snexec.exits.watching import Watching  # noqa: PLC0415

    return Watching
