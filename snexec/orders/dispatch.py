"""Which intent becomes an order, and when: one after the other (SPEC 5, 11)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import trio

from snexec.broker import Purpose
from snexec.orders.acks import Acks, contain_faults

if TYPE_CHECKING:
    from snexec.broker import Accounts, Lease, SentOrder
    from snexec.ledger import Writer
    from snexec.orders.attempt import Attempt
    from snexec.orders.executor import TradeExecutor
    from snexec.orders.intent import Intent
    from snexec.orders.outcomes import Outcomes
    from snexec.orders.queue import IntentQueue
    from snexec.settings import LiveSettings

_WATCH_MODE_SECONDS = 1.0  # how soon a wait for a budget notices a new mode


class Dispatcher:
    """Begins an order for each intent in turn, and sees it through to its end.

    Args:
        live: Its mode is the account of each order that begins.
        queue: Where intents wait for a slot.
        accounts: Lend a client with one request of its budget.
        writer: Opens the rows.
        executor: Does the work of each order.
        outcomes: Records what the broker answered.

    Attributes:
        in_flight: Orders that are being placed.
        left_at: When the latest order left, on Trio's clock.
    """

    def __init__(
        self,
        *,
        live: LiveSettings,
        queue: IntentQueue,
        accounts: Accounts,
        writer: Writer,
        executor: TradeExecutor,
        outcomes: Outcomes,
    ) -> None:
        self._live = live
        self._queue = queue
        self._accounts = accounts
        self._writer = writer
        self._executor = executor
        self._acks = Acks["Attempt"](outcomes, self)
        self._slots = trio.Semaphore(live.now.intake.max_in_flight)
        self._next: Intent | None = None
        self._nursery: trio.Nursery | None = None
        self._awaiting_row: set[Attempt] = set()
        self._awaiting_answer: dict[Attempt, SentOrder] = {}
        self._progress = trio.Event()
        self.in_flight = 0
        self.left_at = -math.inf

    @property
    def rows_wait(self) -> bool:
        """Whether there are orders that leave as soon as their rows are written."""
        return bool(self._awaiting_row)

    async def run(self) -> None:
        """Begin an order for each intent; return when the last has ended."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._acks.run, name="answers to orders")
            try:
                async for first in self._queue:
                    self._next = first
                    while self._next is not None:
                        await self._start(self._next)
                        self._next = None
                        self._queue.started()
                        self._next = self._queue.next_nowait()
                while self._is_busy():
                    self._progress = trio.Event()
                    await self._progress.wait()
            finally:
                self._give_up()
                self._nursery = None

    def drop_pending(self) -> None:
        """Drop every intent that still waits: time is up."""
        intent = self._next or self._queue.next_nowait()
        while intent is not None:
            self._queue.started()
            intent.dropped("stopping")
            intent = self._queue.next_nowait()

    def begin_now(self, intent: Intent) -> bool:
        """Begin an order the moment it is handed in, if nothing has to be waited for.

        That saves a task switch, some 8 % of a lone signal's time.

        Returns:
            Whether it has begun; if not, it must wait for its turn.
        """
        if self._nursery is None or intent.stopped() is not None or intent.lapsed():
            return False
        try:
            self._slots.acquire_nowait()
        except trio.WouldBlock:
            return False
        lease = self._accounts.try_take(self._live.now.mode, Purpose.ORDER)
        if lease is None:
            self._slots.release()
            return False
        self._begin(intent, lease)
        return True

    async def _start(self, intent: Intent) -> None:
        """Wait for a slot and for the rate limit, then begin the order."""
        # What has lapsed has done so whatever else: it is not for the gates of now.
        reason = intent.lapsed() or intent.stopped()
        if reason is None:
            try:
                self._slots.acquire_nowait()
            except trio.WouldBlock:
                await self._slots.acquire()
            lease = await self._wait_for_lease(intent)
            if lease is not None:
                self._begin(intent, lease)
                return
            self._slots.release()
            reason = intent.lapsed() or intent.stopped() or "stale"
        why = "it waited too long for its turn" if reason == "stale" else ""
        intent.dropped(reason, why=why)

    async def _wait_for_lease(self, intent: Intent) -> Lease | None:
        """Take one request from the mode's budget; None if it may not be ordered now."""
        while intent.stopped() is None and not intent.lapsed():
            mode = self._live.now.mode
            lease = self._accounts.try_take(mode, Purpose.ORDER)
            if lease is not None:
                return lease
            wait = self._accounts.budget(mode).seconds_until(Purpose.ORDER)
            await trio.sleep(min(wait, _WATCH_MODE_SECONDS))
        return None

    def _begin(self, intent: Intent, lease: Lease) -> None:
        self.in_flight += 1
        attempt = self._executor.draw_up(intent, lease, owner=self)
        self._awaiting_row.add(attempt)
        self._writer.open(attempt)

    def row_decided(self, attempt: Attempt) -> None:
        """Send the order whose row is durable, or do the rest in a task.

        An order under way has no task: there is nothing to do until it is answered,
        and switching to tasks that only wait would hold up the orders behind it.
        """
        sent = None if attempt.has_no_row else self._executor.send(attempt)
        if attempt.given_up:
            return
        self._awaiting_row.remove(attempt)
        if sent is not None:
            self._awaiting_answer[attempt] = sent
            self.left_at = trio.current_time()
        else:
            self.start_task(attempt)
        if not self._awaiting_row:
            self._acks.no_row_waits()

    def answered(self, attempt: Attempt) -> None:
        """Record that the broker took an order, or do the rest in a task."""
        sent = self._awaiting_answer.pop(attempt, None)
        if sent is None:
            return  # given up, or sent again by its own task
        if not sent.is_taken:
            # Its slot is free once that is done: a refusal may halt what follows, and a
            # 429 makes it wait.
            self.start_task(attempt)
        elif self._writer.is_behind:
            self._acks.record(attempt, sent)
        else:
            self._free_slot(attempt)
            if self._awaiting_row or self._awaiting_answer or len(self._acks):
                self._acks.defer(attempt, sent)
            else:
                self._acks.record(attempt, sent)

    def recorded(self, attempt: Attempt) -> None:
        """Note that an acceptance is durable, or never will be."""
        self._free_slot(attempt)
        self._progress.set()

    def start_task(self, attempt: Attempt) -> None:
        """Finish an order in a task of its own."""
        assert self._nursery is not None  # noqa: S101 - `run` waits for it, or gives up
        self._nursery.start_soon(
            self._execute, attempt, name=f"order {attempt.trade.symbol}"
        )
        self._progress.set()

    async def _execute(self, attempt: Attempt) -> None:
        try:
            with contain_faults(attempt), attempt.lease:
                await self._executor.execute_trade(attempt)
        finally:
            self._free_slot(attempt)

    def _is_busy(self) -> bool:
        """Return whether any order is under way without a task."""
        return bool(
            self._awaiting_row
            or self._awaiting_answer
            or len(self._acks)
            or self._acks.unwritten
        )

    def _give_up(self) -> None:
        """End the orders still under way; there are none unless time is up."""
        self._acks.close()
        for attempt in self._awaiting_row:
            with attempt.lease:
                attempt.given_up = True
                attempt.intent.dropped("stopping")
            self._free_slot(attempt)
        self._awaiting_row.clear()
        awaiting, self._awaiting_answer = self._awaiting_answer, {}
        for attempt, sent in awaiting.items():
            with attempt.lease:
                sent.abandon("the daemon stops")
            self._free_slot(attempt)

    def _free_slot(self, attempt: Attempt) -> None:
        if attempt.holds_slot:
            attempt.holds_slot = False
            self.in_flight -= 1
            self._slots.release()
