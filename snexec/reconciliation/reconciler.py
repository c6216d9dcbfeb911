"""Reconciliation as the rest of the daemon sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import trio

from snexec.model import ACCOUNTS
from snexec.reconciliation.confirmations import Confirmations
from snexec.reconciliation.discarded import Discarded
from snexec.reconciliation.fills import Fills
from snexec.reconciliation.found_sells import FoundSells
from snexec.reconciliation.rebuild import Rebuild
from snexec.reconciliation.recovery import Recovery
from snexec.reconciliation.sells import Sells
from snexec.reconciliation.start import Start
from snexec.reconciliation.sweep import Sweep
from snexec.reconciliation.unsettled import UnsettledOrders

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snexec.broker import Accounts
    from snexec.events import Event, EventFeed
    from snexec.latency import Latencies
    from snexec.ledger import (
        End,
        ExitApplied,
        Ledger,
        Standing,
        Unsettled,
        UnsettledExit,
    )
    from snexec.reconciliation.parties import Holdings, Reasons
    from snexec.reconciliation.recovery import Starved
    from snexec.settings import LiveSettings


class ReconciliationStatus(NamedTuple):
    """What is not settled.

    Attributes:
        unsettled: Orders whose outcome is not final.
    """

    unsettled: int


class Reconciler:
    """Keeps rows true to the broker's word, whatever was missed.

    Args:
        live: How patient to be with the broker.
        accounts: The accounts to ask.
        ledger: The rows.
        latencies: Times each order to its fill.
        feed: Where results are published, and each authorization of the stream.

    Attributes:
        fills: Takes what the trading stream says.
        unsettled: The orders without a final word.
        discarded: The rows that were removed.
        sells: The sells of rows, until the broker's last word on each.
        start: Whether the rows of earlier runs are compared.
        rebuild: Writes the rows of orders that have none.
    """

    def __init__(
        self,
        live: LiveSettings,
        accounts: Accounts,
        ledger: Ledger,
        latencies: Latencies,
        feed: EventFeed,
    ) -> None:
        self.unsettled = UnsettledOrders()
        self.start = Start(live, self.unsettled)
        self.discarded = Discarded(ledger.writer, self.unsettled)
        self.sells = Sells(live, ledger.writer, self.unsettled, feed)
        confirmations = Confirmations(
            self.unsettled, self.discarded, self.sells.holdings, feed
        )
        self.fills = Fills(
            ledger.writer, accounts, latencies, confirmations, self.sells
        )
        self.recovery = Recovery(
            settings=live.now.alpaca,
            accounts=accounts,
            writer=ledger.writer,
            fills=self.fills,
            sells=self.sells,
            confirmations=confirmations,
            unsettled=self.unsettled,
            start=self.start,
        )
        self._feed = feed
        found_sells = FoundSells(ledger.writer, self._found_sell)
        self.rebuild = Rebuild(accounts, ledger, self.unsettled, found_sells)
        self.sweep = Sweep(live, accounts, ledger, self.unsettled, self.rebuild)
        feed.follow(self._happened, "stream", "mode")

    def load(
        self,
        rows: list[Unsettled],
        exits: Sequence[UnsettledExit] = (),
        *,
        is_shared: bool = False,
    ) -> None:
        """Follow what an earlier run left unsettled.

        Args:
            rows: The rows.
            exits: The sells of rows.
            is_shared: Whether other hosts order in the account: then the start waits for
                what those have ordered.
        """
        self.recovery.load(rows)
        self.sells.load(exits)
        self.rebuild.load(is_shared=is_shared)
        self.sweep.load(rows, is_shared=is_shared)

    async def run(self, starved: Starved) -> None:
        """Apply events, ask about what is due and look for more, until cancelled.

        Args:
            starved: As ``Recovery.run``.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.fills.run, name="fills")
            nursery.start_soon(self.recovery.run, starved, name="recovery")
            nursery.start_soon(self.sells.run, name="sells that are not filled")
            nursery.start_soon(self.sweep.run, name="sweep")

    def sold_by_others(self, applied: ExitApplied) -> None:
        """Report that a row has lost shares, or was closed, by no order of ours."""
        self.sells.reports.tell(applied, "lookup")
        if applied.dropped is not None:
            self.unsettled.settled(applied.dropped)

    def report_to(self, holdings: Holdings) -> None:
        """Tell somebody from now on what rows hold; nobody goes by what another heard."""
        self.sells.holdings.append(holdings)

    def mind_foreign_sells(self) -> None:
        """Tell those from now on what other programs sell, as it happens."""
        self.fills.foreign.minds_sells = True

    def ask_reasons(self, reasons: Reasons) -> None:
        """Ask whether a sell of an earlier run is still wanted, before it is sent."""
        self.sells.reasons = reasons

    async def compare(self) -> None:
        """Wait until the broker has answered about the current mode's rows."""
        await self.start.compare()

    async def wait_started(self) -> None:
        """Wait until ``compare`` is done."""
        await self.start.wait_over()

    async def wait_settled(self) -> None:
        """Wait until every order of this run is settled or given up."""
        await self.unsettled.wait_settled()

    def settled_by_operator(self, row: Standing, how: End) -> None:
        """Ask about an order no more, as the operator has ended its row.

        Args:
            row: As it was.
            how: What it has become.
        """
        self.unsettled.settled(row.trade_id)
        if row.live_exit is not None:
            self.unsettled.settled(row.live_exit)
        if row.is_settled:
            return  # that was published when the broker said its last word
        self._feed.publish(
            "settled",
            {
                "mode": row.mode,
                "shares": None if row.shares is None else float(row.shares),
                "entryPrice": (
                    None if row.entry_price is None else float(row.entry_price)
                ),
                "status": how,
                "source": "operator",
            },
            signal_id=row.signal_id,
            trade_id=row.trade_id,
            symbol=row.symbol,
            reason="settled",
        )

    def status(self) -> ReconciliationStatus:
        """Return what is not settled."""
        return ReconciliationStatus(unsettled=len(self.unsettled))

    def _found_sell(self, applied: ExitApplied) -> None:
        """Report a sell that the broker has and no row had, and follow it."""
        self.sells.reports.tell(applied, "lookup")
        if not applied.settled:
            self.unsettled.follow_sell(applied)

    def _happened(self, event: Event) -> None:
        if event.event == "stream" and event.reason == "authorized":
            # What happened meanwhile was not reported.
            self.unsettled.ask_all()
            for mode in ACCOUNTS:
                if event.more.get("mode") == mode:
                    self.sweep.ask(mode)
        elif event.event == "mode":
            self.start.mode_changed()
