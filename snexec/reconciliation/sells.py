"""Sells followed until the broker's last word on each (SPEC 12.5)."""

from __future__ import annotations

import heapq
import logging
import math
from typing import TYPE_CHECKING

import trio

from snexec.broker import amount as amount_of
from snexec.broker import quantity_or_zero
from snexec.latency import Latencies
from snexec.ledger import OrderRef, row_of_exit
from snexec.logs import OrderLog
from snexec.recent import Recent
from snexec.reconciliation.due import UnsettledOrder
from snexec.reconciliation.sell_reports import SellReports
from snexec.reconciliation.sell_steps import SellStep, looked_up_sell
from snexec.settings import ExitSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from snexec.broker import BrokerOrder
    from snexec.events import EventFeed
    from snexec.ledger import Ending, ExitApplied, NewExit, UnsettledExit, Writer
    from snexec.model import AccountName
    from snexec.reconciliation.parties import Fate, Holdings, Reasons, SellAgain
    from snexec.reconciliation.unsettled import UnsettledOrders
    from snexec.settings import LiveSettings

order_log = OrderLog(logging.getLogger("Recovery"))

_REMEMBERED = 1024
_ALARM_SECONDS = 30.0  # a market order that is not filled by then is a fault


class Sells:
    """Applies what the broker says of sells, and sends again those that it never got.

    Args:
        live: How patient to be.
        writer: Writes what the broker said.
        unsettled: Which sells to ask about, and when.
        feed: Where results are published.

    Attributes:
        latencies: How long sells took, from the decision on.
        reports: Says what became of each.
        again: Sends one once more; None while no order may leave.
        reasons: Asked whether a sell of an earlier run is still wanted; without one
            only those that somebody has asked for by hand are.
    """

    def __init__(
        self,
        live: LiveSettings,
        writer: Writer,
        unsettled: UnsettledOrders,
        feed: EventFeed,
    ) -> None:
        self._live = live
        self._writer = writer
        self._unsettled = unsettled
        self.holdings: list[Holdings] = []
        self.reports = SellReports(unsettled, self.holdings, feed)
        self.latencies = Latencies()
        self.again: SellAgain | None = None
        self.reasons: Reasons | None = None
        self._manual: set[str] = set()  # of earlier runs: wanted until they are settled
        self._watched: list[tuple[float, str]] = []  # a heap
        self._seen_to = Recent[str](_REMEMBERED)  # watched once, and not again
        self._more = trio.Event()

    def load(self, exits: Sequence[UnsettledExit]) -> None:
        """Follow the sells that an earlier run left unsettled."""
        now = trio.current_time()
        for each in exits:
            if "manual" in {each.reason, each.cancel_reason}:
                self._manual.add(each.id)
            self._unsettled.add(
                UnsettledOrder(
                    trade_id=each.id,
                    symbol=each.symbol,
                    mode=each.mode,
                    order_id=each.order_id,
                    placed_at=now - each.age_seconds,
                    due=now,
                    pause=1.0,
                    of_this_run=False,
                    signal_id=each.signal_id,
                    side="sell",
                )
            )
            if each.kind == "sell":
                self._watch(each.id)

    async def run(self) -> None:
        """Say once of each sell that it is not filled in time, until cancelled.

        That is of one that the broker has; any other is looked at again.
        """
        while True:
            if not self._watched:
                self._more = trio.Event()
                await self._more.wait()
                continue
            moment, exit_id = heapq.heappop(self._watched)
            await trio.sleep_until(moment)
            if (order := self._unsettled.get(exit_id)) is None:
                continue
            over_at = order.placed_at + _ALARM_SECONDS
            if order.order_id is None or trio.current_time() < over_at:
                again = moment + _ALARM_SECONDS if order.order_id is None else over_at
                heapq.heappush(self._watched, (again, exit_id))
                continue
            order_log.error(
                order,
                "the sell is not filled after %g s (orderId=%s): it is asked about until"
                " it ends; look at the account, and whether its market trades",
                _ALARM_SECONDS,
                order.order_id,
            )

    # What the order desk says.

    def left(self, sell: NewExit) -> None:
        """Note that a sell has just left."""
        if (order := self._unsettled.get(sell.id)) is not None:
            order.resend_at = math.inf  # its answer says when, if ever
        if sell.kind == "sell":
            self._watch(sell.id)

    def did_not_leave(self, exit_id: str) -> None:
        """Have a sell sent again later that was to be sent again, and could not be."""
        if (order := self._unsettled.get(exit_id)) is not None:
            order.resend_at = trio.current_time() + self._resend_after()

    def order(self, exit_id: str) -> UnsettledOrder | None:
        """Return a sell that is followed."""
        return self._unsettled.get(exit_id)

    def resume(self, again: SellAgain) -> None:
        """Ask at once about sells that may have to be sent again, as orders may leave."""
        self.again = again
        for order in self._unsettled:
            if order.side == "sell" and order.order_id is None:
                self._unsettled.ask_now(order.trade_id)

    def pause(self) -> None:
        """Send nothing again from now on."""
        self.again = None

    # What the broker says.

    async def take_fill(
        self,
        ref: OrderRef,
        quantity: object,
        price: object,
        *,
        final: bool,
        at: datetime | None = None,
    ) -> None:
        """Take a fill from the stream."""
        await self._writer.submit(
            SellStep(
                ref=ref,
                symbol=ref.symbol,
                source="stream",
                reporter=self.reports,
                quantity=amount_of(quantity),
                price=amount_of(price),
                is_filled=final,
                at=at,
                times=self.latencies.filled(ref.client_order_id) if final else None,
            )
        )

    async def take_end(
        self,
        ref: OrderRef,
        how: Ending,
        quantity: object,
        price: object,
        *,
        at: datetime | None = None,
    ) -> None:
        """Take a sell's end from the stream; what was sold before stays sold."""
        await self._writer.submit(
            SellStep(
                ref=ref,
                symbol=ref.symbol,
                source="stream",
                reporter=self.reports,
                quantity=quantity_or_zero(
                    0 if quantity is None and how == "rejected" else quantity
                ),
                price=amount_of(price),
                how=how,
                at=at,
            )
        )

    async def take_answer(
        self,
        account: AccountName,
        order: BrokerOrder,
        symbol: str,
        *,
        over: Callable[[], None] | None,
    ) -> None:
        """Take the answer to a look-up."""
        step = looked_up_sell(
            *(account, order, symbol),
            reporter=self.reports,
            latencies=self.latencies,
        )
        step.over = over
        await self._writer.submit(step)

    async def not_found(self, order: UnsettledOrder) -> None:
        """Take that the broker does not know a sell: it is sent again, or dropped.

        One of this run is sent again, as its reason was just true; the broker takes an
        id once. One of an earlier run is first asked anew whether it is still wanted; so
        is one whose market has closed meanwhile.
        """
        now = trio.current_time()
        has_waited = now - order.placed_at >= self._live.now.alpaca.unknown_grace_sec
        if order.of_this_run:
            if now >= order.resend_at:
                self._send_again_if_open(order)
            elif has_waited:
                await self._let_go_if_over(order)
            return
        if not has_waited:
            return
        match self._fate(order.trade_id):
            case "send":
                self._send_again(order)
            case "drop":
                await self.drop(order.mode, order.trade_id)
            case "wait":
                pass

    async def drop(self, mode: AccountName, exit_id: str) -> None:
        """Settle a sell that the broker never got, and that is not wanted any more."""
        ref = OrderRef(mode, None, exit_id)
        applied: ExitApplied | None = await self._writer.write(
            lambda store: store.exits.apply_gone(ref, "dropped")
        )
        if applied is None or applied.settled:
            self._unsettled.settled(exit_id)
        if applied is not None and applied.outcome == "dropped":
            order_log.warning(
                applied,
                "the sell (%s) never reached the broker, and what it was decided for does"
                " not hold any more: dropped; its row is open and watched",
                applied.reason,
            )
            self.reports.tell(applied, "lookup")

    async def _let_go_if_over(self, order: UnsettledOrder) -> None:
        """Ask no more about a sell that had its end, and that was only doubted."""
        exit_id = order.trade_id
        found = await self._writer.write(lambda store: store.exits.resume(exit_id))
        if found == "over":
            self._unsettled.settled(exit_id)

    def _send_again_if_open(self, order: UnsettledOrder) -> None:
        """Send it again; while its market is closed it waits, as one of an earlier run."""
        if self.reasons is not None and self.reasons.waits(order.trade_id):
            order.of_this_run = False
        else:
            self._send_again(order)

    def _send_again(self, order: UnsettledOrder) -> None:
        if self.again is None:
            return
        before = order.of_this_run, order.resend_at
        # Its answer has it followed anew; what keeps it here says when to try again.
        order.of_this_run, order.resend_at = True, math.inf
        if not self.again.send_again(order.trade_id):
            order.of_this_run, order.resend_at = before
            return
        order_log.warning(
            order, "the broker does not know this sell: it is sent again with its id"
        )

    def _resend_after(self) -> float:
        return (self._live.now.exits or ExitSettings()).resend_after_sec

    def _fate(self, exit_id: str) -> Fate:
        if self.reasons is not None:
            return self.reasons.fate(exit_id)
        return "send" if exit_id in self._manual else "drop"

    def _watch(self, exit_id: str) -> None:
        if exit_id in self._seen_to:
            return
        self._seen_to.add(exit_id)
        moment = trio.current_time() + _ALARM_SECONDS
        heapq.heappush(self._watched, (moment, exit_id))
        self._more.set()


def is_sell_of_ours(client_order_id: str | None) -> bool:
    """Return whether an order's id is one of those that sells of ours have."""
    return row_of_exit(client_order_id) is not None
