"""Sells: planned durable, sent in that moment, answered (SPEC 12.5).

They need no slot and go before buys where the rate limit is short. Every sell has an id
that the broker takes once, so that one whose outcome is not known is sent again.
"""

from __future__ import annotations

import itertools
import logging
import math
from typing import TYPE_CHECKING

import trio

from snexec.broker import Purpose
from snexec.errors import (
    DuplicateOrderError,
    NotSentError,
    RateLimitedError,
    RefusedError,
    UnknownOutcomeError,
)
from snexec.logs import OrderLog
from snexec.orders.acks import Acks, contain_faults
from snexec.orders.sell_attempt import SellAttempt
from snexec.orders.sell_refusal import SellRefusal
from snexec.orders.selling import Sell, Unheard

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from snexec.broker import Accounts, SentOrder
    from snexec.ledger import Applied, ExitApplied, Ledger, NewExit
    from snexec.orders.sell_outcomes import SellOutcomes
    from snexec.orders.selling import NotPlanned, SellListener
    from snexec.reconciliation import ForeignSell, Reconciler
    from snexec.risk import HaltSwitch

log = logging.getLogger("TradeExecutor")
order_log = OrderLog(log)


class SellDesk:
    """Takes sells, and sees each through to the broker's answer.

    Args:
        accounts: Lend a client of the row's own account.
        ledger: Where each sell is planned before it leaves.
        reconciler: Has sells sent again that the broker does not know.
        halt: ``halt-all`` is looked at last.
        outcomes: Records what the broker answered.

    Attributes:
        left_at: When the latest sell left, on Trio's clock.
    """

    def __init__(
        self,
        accounts: Accounts,
        ledger: Ledger,
        reconciler: Reconciler,
        halt: HaltSwitch,
        outcomes: SellOutcomes,
    ) -> None:
        self._accounts = accounts
        self._ledger = ledger
        self._writer = ledger.writer
        self._sells = reconciler.sells
        self._halt = halt
        self._outcomes = outcomes
        self._acks = Acks[SellAttempt](outcomes, self)
        self._nursery: trio.Nursery | None = None
        self._closed = trio.Event()
        self._early: list[tuple[Sell, SellListener]] = []  # before orders may leave
        self._awaiting_row: set[SellAttempt] = set()
        self._awaiting_answer: dict[SellAttempt, SentOrder] = {}
        self._awaiting_request = 0  # tasks
        self._listeners: dict[str, SellListener] = {}  # by sells without an end
        self._progress = trio.Event()
        self.left_at = -math.inf
        reconciler.report_to(self)

    @property
    def rows_wait(self) -> bool:
        """Whether there are sells that leave as soon as they are durable."""
        return bool(self._awaiting_row)

    @property
    def under_way(self) -> int:
        """How many sells are not planned yet, or not answered."""
        waiting = len(self._awaiting_row) + self._awaiting_request
        return waiting + len(self._awaiting_answer)

    @property
    def is_closed(self) -> bool:
        """Whether no more sells are taken."""
        return self._closed.is_set()

    @property
    def is_all_halted(self) -> bool:
        """Whether ``halt-all`` is on, or another host may order now."""
        return self._halt.is_all_halted() or self._halt.is_standby()

    def sell(self, sell: Sell, listener: SellListener) -> None:
        """Take a sell; it leaves once its row is written, in that very step."""
        if (why_not := self._refuses()) is not None:
            listener.not_planned(why_not, sell.exit_id)
            return
        if self._nursery is None:
            self._early.append((sell, listener))
            return
        if sell.exit_id is not None and self._is_under_way(sell.exit_id):
            listener.not_planned("closing", sell.exit_id)
            return
        lease = self._accounts.lease(sell.mode)
        attempt = SellAttempt(
            sell=sell,
            listener=listener,
            lease=lease,
            owner=self,
            halt=self._halt,
            ledger=self._ledger,
            latencies=self._sells.latencies,
            decided_at=trio.current_time(),
            has_request=sell.leaves and lease.try_take(Purpose.EXIT),
        )
        self._awaiting_row.add(attempt)
        self._writer.open(attempt)

    def send_again(self, exit_id: str) -> bool:
        """Send a sell that the broker does not know, as reconciliation asks for it."""
        order = self._sells.order(exit_id)
        if order is None or self._nursery is None or self._is_under_way(exit_id):
            return False
        listener = self._listeners.get(exit_id) or Unheard()
        if (why_not := self._refuses()) is not None:
            listener.not_planned(why_not, exit_id)  # it asks again once orders leave
            return False
        sell = Sell("", order.symbol, order.mode, "manual", exit_id=exit_id)
        self.sell(sell, listener)
        return True

    def listen(self, exit_id: str, listener: SellListener) -> None:
        """Have somebody hear of a sell that an earlier run has planned."""
        self._listeners[exit_id] = listener

    def close(self) -> None:
        """Take no more sells; those under way are answered."""
        self._closed.set()
        self._sells.pause()

    async def run(self) -> None:
        """Sell, until closed and the last sell is answered."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._acks.run, name="answers to sells")
            nursery.start_soon(self._outcomes.announcements.run, name="what leaves")
            try:
                early, self._early = self._early, []
                for sell, listener in early:
                    self.sell(sell, listener)
                self._sells.resume(self)
                await self._closed.wait()
                while self._is_busy():
                    self._progress = trio.Event()
                    await self._progress.wait()
            finally:
                self._give_up()
                self._nursery = None

    # As the owner of attempts.

    def sell_decided(self, attempt: SellAttempt) -> None:
        """Send the sell that is durable, and only then say that it is."""
        if attempt.given_up:
            return
        self._awaiting_row.discard(attempt)
        if attempt.is_planned:
            self._begin(attempt, attempt.trade)
        else:
            with attempt.lease:
                self._not_planned(attempt)
        if not self._awaiting_row:
            self._acks.no_row_waits()
        self._progress.set()

    def sell_answered(self, attempt: SellAttempt) -> None:
        """Record that the broker took a sell, or do what else follows."""
        sent = self._awaiting_answer.pop(attempt, None)
        if sent is None:
            return  # given up
        if not sent.is_taken:
            self._see_through(attempt, sent)
        elif not self._writer.is_behind and (
            self._awaiting_row or self._awaiting_answer or len(self._acks)
        ):
            self._acks.defer(attempt, sent)
        else:
            self._acks.record(attempt, sent)
        self._progress.set()

    # As what acknowledgements wait for.

    def recorded(self, _attempt: SellAttempt) -> None:
        """Note that an acceptance is durable, or never will be."""
        self._progress.set()

    def start_task(self, attempt: SellAttempt) -> None:
        """Finish a sell whose answer cannot be read."""
        if attempt.sent is not None:
            self._see_through(attempt, attempt.sent)

    # As reconciliation's holdings.

    def bought(self, _applied: Applied) -> None:
        """Take no notice."""

    def sold(self, applied: ExitApplied) -> None:
        """Forget who listens to a sell that has ended."""
        if applied.settled:
            self._listeners.pop(applied.id, None)

    def foreign_sell(self, _sell: ForeignSell) -> None:
        """Take no notice."""

    def _begin(self, attempt: SellAttempt, new: NewExit) -> None:
        sent = attempt.sell.leaves and attempt.has_request and self._send(attempt)
        self._listeners[new.id] = attempt.listener
        if not new.is_resumed:
            self._outcomes.decided(attempt)
            attempt.listener.planned(new)
        if sent:
            return
        if not attempt.sell.leaves:
            with attempt.lease:
                return
        self._start(self._send_when_possible, attempt)

    def _send(self, attempt: SellAttempt) -> bool:
        """Send it, if nothing keeps it back; False where that is for a task to see to."""
        with contain_faults(attempt):
            if attempt.is_withheld():
                return False
            new = attempt.trade
            if new.kind == "sell":  # a stop rests for hours, which is no slowness
                self._sells.latencies.begin(new.id, read_at=attempt.decided_at)
            attempt.sent = attempt.lease.send_sell(attempt)
            self._awaiting_answer[attempt] = attempt.sent
            self.left_at = trio.current_time()
            self._sells.left(new)
        return attempt.sent is not None

    async def _send_when_possible(self, attempt: SellAttempt) -> None:
        """Wait for a request of the budget, or drop what is kept back."""
        if not attempt.has_request:
            await attempt.lease.take(Purpose.EXIT)
            attempt.has_request = True
        if attempt.withheld is None and self._send(attempt):
            return
        with attempt.lease:
            if attempt.withheld is not None:
                await self._outcomes.withheld(attempt, attempt.withheld)
            else:
                # A fault of ours, which is logged.
                self._outcomes.look_up(attempt.trade)

    def _see_through(self, attempt: SellAttempt, sent: SentOrder) -> None:
        """Do what follows from any answer but an acceptance."""
        with contain_faults(attempt):
            try:
                sent.outcome()
            except RefusedError as exc:
                if isinstance(exc, DuplicateOrderError):
                    # It was accepted earlier, perhaps through this very request.
                    self._outcomes.unknown(attempt, exc)
                else:
                    refusal = SellRefusal(self._outcomes, attempt, sent, exc)
                    self._outcomes.refused(attempt, refusal, exc)
            except (NotSentError, RateLimitedError, UnknownOutcomeError) as exc:
                if attempt.withheld is not None:
                    self._start(self._send_when_possible, attempt)
                    return
                self._outcomes.unknown(attempt, exc)
        with attempt.lease:
            pass

    def _not_planned(self, attempt: SellAttempt) -> None:
        sell = attempt.sell
        if attempt.error is not None:
            log.error(
                "%s trade=%s is not sold (%s): the database refuses the sell's row (%s)",
                sell.symbol,
                sell.row_id,
                sell.reason,
                attempt.error,
            )
        why = "not_written" if attempt.why_not is None else attempt.why_not
        if why == "not_written" and sell.exit_id is not None:
            self._sells.did_not_leave(sell.exit_id)
        attempt.listener.not_planned(why, sell.exit_id)

    def _is_under_way(self, exit_id: str) -> bool:
        """Return whether a planned sell is about to leave, or is not answered yet."""
        early = (each.sell.exit_id for each in self._awaiting_row)
        sent = (each.trade.id for each in self._awaiting_answer)
        return exit_id in itertools.chain(early, sent)

    def _refuses(self) -> NotPlanned | None:
        if self._closed.is_set():
            return "stopping"
        halted = self._halt.is_all_known() or self._halt.is_standby()
        return "halted" if halted else None

    def _start(
        self, do: Callable[[SellAttempt], Awaitable[None]], attempt: SellAttempt
    ) -> None:
        assert self._nursery is not None  # noqa: S101 - `run` waits, or gives up
        self._awaiting_request += 1
        self._nursery.start_soon(
            self._contained, do, attempt, name=f"sell {attempt.trade.symbol}"
        )

    async def _contained(
        self, do: Callable[[SellAttempt], Awaitable[None]], attempt: SellAttempt
    ) -> None:
        try:
            with contain_faults(attempt):
                await do(attempt)
        finally:
            self._awaiting_request -= 1
            self._progress.set()

    def _is_busy(self) -> bool:
        return bool(self.under_way or len(self._acks) or self._acks.unwritten)

    def _give_up(self) -> None:
        """End the sells still under way; there are none unless time is up."""
        self._closed.set()
        self._sells.pause()
        self._acks.close()
        self._outcomes.announcements.close()
        for attempt in self._awaiting_row:
            with attempt.lease:
                attempt.given_up = True
        self._awaiting_row.clear()
        awaiting, self._awaiting_answer = self._awaiting_answer, {}
        for attempt, sent in awaiting.items():
            with attempt.lease:
                sent.abandon("the daemon stops")
