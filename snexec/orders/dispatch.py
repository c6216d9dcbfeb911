"""Which signal becomes an order, and when: one after the other (SPEC 5, 11)."""

from __future__ import annotations

import collections
import logging
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

from snexec.broker import Purpose
from snexec.logs import about
from snexec.risk import ActiveGates, Reason, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from snexec.broker import Accounts, Lease
    from snexec.intake import Intake, TakenSignal
    from snexec.model import Mode
    from snexec.orders.executor import Attempt, TradeExecutor
    from snexec.orders.skips import Skips
    from snexec.settings import Settings
    from snexec.signals import Signal

log = logging.getLogger("TradeExecutor")

# What was answered lets go first, for so long, what has not left yet: a burst's last
# order leaves a third earlier.
_LET_LEAVE_SECONDS = 0.5
_ANSWERS_WAITING = 512  # more of them would be memory that is never given back
_BURST_GAP_SECONDS = 0.005  # a longer one ends it
_PUT_DOWN_AT_ONCE = 8  # answers; then new signals have their turn
_WATCH_MODE_SECONDS = 1.0  # a wait for one mode's budget ends when the mode changes


class Dispatcher:
    """Takes signals in order, begins an order for each, and sees it to its end.

    Args:
        settings: Tells the current settings; read anew for each signal.
        halted: Tells whether the kill switch is on.
        market_open: Tells whether a mode's market is open, if that is known.
    """

    def __init__(
        self,
        *,
        settings: Callable[[], Settings],
        intake: Intake,
        accounts: Accounts,
        executor: TradeExecutor,
        skips: Skips,
        halted: Callable[[], bool],
        market_open: Callable[[Mode], bool | None],
    ) -> None:
        self._settings = settings
        self._intake = intake
        self._accounts = accounts
        self._executor = executor
        self._skips = skips
        self._halted = halted
        self._gates = ActiveGates()
        self._market_open = market_open
        self._slots = trio.Semaphore(settings().intake.max_in_flight)
        self._next: TakenSignal | None = None
        self._nursery: trio.Nursery | None = None
        self._undecided: set[Attempt] = set()  # whose rows are not written yet
        self._sent: set[Attempt] = set()  # and not answered yet
        self._answers: collections.deque[Attempt] = collections.deque()
        self._left_at = -math.inf  # the latest, on Trio's clock
        self._wake = trio.lowlevel.ParkingLot()  # of who starts what is left to do
        self._put_down_scope = trio.CancelScope()
        self._unwritten_answers = 0
        self._progress = trio.Event()
        self.in_flight = 0
        intake.hand_over(self._start_nowait, executor.open_now)

    async def run(self) -> None:
        """Begin an order for each signal; return when the last has ended."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._put_down_answers, name="answers to orders")
            try:
                async for first in self._intake.taken:
                    self._next = first
                    while self._next is not None:
                        await self._start(self._next)
                        self._next = None
                        self._intake.started()
                        self._next = self._intake.next_nowait()
                while self._is_busy():
                    self._progress = trio.Event()
                    await self._progress.wait()
            finally:
                self._give_up()
                self._nursery = None
                self._put_down_scope.cancel(reason="no order is under way")

    def skip_pending(self) -> None:
        """Say of every signal still waiting that it was not traded: time is up."""
        taken = self._next or self._intake.next_nowait()
        while taken is not None:
            self._intake.started()
            self._skips.tell_stopping(taken)
            taken = self._intake.next_nowait()

    def _start_nowait(self, taken: TakenSignal) -> bool:
        """Begin an order in the moment its line is read, if nothing is waited for.

        A task switch less: some 8 % of a lone signal's way.
        """
        if self._nursery is None or self._gate(taken.signal) is not None:
            return False
        try:
            self._slots.acquire_nowait()
        except trio.WouldBlock:
            return False
        lease = self._accounts.try_take(self._settings().mode, Purpose.ORDER)
        if lease is None:
            self._slots.release()
            return False
        self._begin(taken, lease)
        return True

    async def _start(self, taken: TakenSignal) -> None:
        """Wait for a slot and for the rate limit, then begin the order."""
        if self._gate(taken.signal) is None:
            try:
                self._slots.acquire_nowait()
            except trio.WouldBlock:
                await self._slots.acquire()
            lease = await self._take_lease(taken)
            if lease is not None:
                self._begin(taken, lease)
                return
            self._slots.release()
        self._skips.skip(taken, self._gate(taken.signal) or "stale")

    def _begin(self, taken: TakenSignal, lease: Lease) -> None:
        self.in_flight += 1
        attempt = self._executor.attempt(taken, lease)
        self._undecided.add(attempt)
        self._executor.begin(attempt, decided=self._decided, answered=self._answered)

    def _decided(self, attempt: Attempt) -> None:
        """Note that an order has left, or start what is left to do for one that cannot.

        An order under way has no task: until it is answered, there is nothing to do,
        and the switches to tasks that only wait would keep the orders behind it.
        """
        if attempt.given_up:
            return
        self._undecided.remove(attempt)
        if attempt.sent is not None:
            self._sent.add(attempt)
            self._left_at = trio.current_time()
        else:
            self._start_task(attempt)
        if self._answers and not self._undecided:
            self._wake.unpark()

    def _answered(self, attempt: Attempt) -> None:
        if attempt not in self._sent:
            return  # given up
        self._sent.remove(attempt)
        assert attempt.sent is not None  # noqa: S101 - that is why it was there
        if not attempt.sent.is_taken:
            # Its slot is free when it is put down. A refusal may halt what follows, and
            # a 429 makes it wait.
            self._start_task(attempt)
            return
        if self._executor.is_behind:
            self._put_down(attempt)
            return
        self._free_slot(attempt)
        if not (self._undecided or self._sent or self._answers):
            self._put_down(attempt)
            return
        self._answers.append(attempt)
        if len(self._answers) == 1 or len(self._answers) > _ANSWERS_WAITING:
            self._wake.unpark()

    async def _put_down_answers(self) -> None:
        """Put down answers behind the orders that leave now."""
        with self._put_down_scope:
            while True:
                if not self._answers:
                    await self._wake.park()
                    continue
                wait_until = self._let_leave_until()
                if trio.current_time() < wait_until:
                    with trio.move_on_at(wait_until):
                        await self._wake.park()
                    continue
                for _ in range(min(_PUT_DOWN_AT_ONCE, len(self._answers))):
                    self._put_down(self._answers.popleft())
                await trio.lowlevel.checkpoint()

    def _put_down(self, attempt: Attempt) -> None:
        """Put down that the broker took an order; free its slot then, if not before.

        No task waits for the row: one for each answer costs a burst a tenth.
        """
        assert attempt.sent is not None  # noqa: S101 - it was answered
        try:
            order = attempt.sent.outcome()
        except Exception:  # noqa: BLE001 - raised again in the order's own task
            self._start_task(attempt)
            return

        def done() -> None:
            self._unwritten_answers -= 1
            self._free_slot(attempt)
            self._progress.set()

        self._unwritten_answers += 1
        queued = False
        with _bounded(attempt), attempt.lease:
            self._executor.accepted(attempt, order, done)
            queued = True
        if not queued:
            done()

    def _let_leave_until(self) -> float:
        """Return how long answers wait, as orders leave now."""
        if len(self._answers) > _ANSWERS_WAITING:
            return -math.inf
        latest = self._answers[0].answered_at + _LET_LEAVE_SECONDS
        if self._undecided:
            return latest
        return min(latest, self._left_at + _BURST_GAP_SECONDS)

    def _start_task(self, attempt: Attempt) -> None:
        assert self._nursery is not None  # noqa: S101 - `run` waits for it, or gives up
        self._nursery.start_soon(
            self._execute, attempt, name=f"order {attempt.trade.symbol}"
        )
        self._progress.set()

    def _is_busy(self) -> bool:
        """Tell whether anything is under way that has no task."""
        return bool(
            self._undecided or self._sent or self._answers or self._unwritten_answers
        )

    def _give_up(self) -> None:
        """End what is under way where time is up; otherwise there is nothing."""
        while self._answers:
            self._put_down(self._answers.popleft())
        for attempt in self._undecided:
            with attempt.lease:
                self._executor.give_up(attempt)
            self._free_slot(attempt)
        self._undecided.clear()
        sent, self._sent = self._sent, set()
        for attempt in sent:
            assert attempt.sent is not None  # noqa: S101 - that is why it is there
            with attempt.lease:
                attempt.sent.abandon("the daemon stops")
            self._free_slot(attempt)

    async def _take_lease(self, taken: TakenSignal) -> Lease | None:
        """Take one request from the current mode's budget; None if it came too late."""
        while True:
            if self._gate(taken.signal) is not None:
                return None
            if self._skips.is_stale(taken):
                self._skips.warn_stale(taken, "it waited too long for its turn")
                return None
            mode = self._settings().mode
            lease = self._accounts.try_take(mode, Purpose.ORDER)
            if lease is not None:
                return lease
            wait = self._accounts.budget(mode).seconds_until(Purpose.ORDER)
            await trio.sleep(min(wait, _WATCH_MODE_SECONDS))

    def seen(self) -> Snapshot:
        """Return what the gates see now that need no count."""
        settings = self._settings()
        asked = settings.bot.require_market_open
        is_open = self._market_open(settings.mode) if asked else None
        return Snapshot(self._halted(), is_open)

    def _gate(self, signal: Signal) -> Reason | None:
        return self._gates.stopped_early(signal, self._settings().bot, self.seen())

    async def _execute(self, attempt: Attempt) -> None:
        try:
            with _bounded(attempt), attempt.lease:
                await self._executor.execute_trade(attempt)
        finally:
            self._free_slot(attempt)

    def _free_slot(self, attempt: Attempt) -> None:
        if attempt.holds_slot:
            attempt.holds_slot = False
            self.in_flight -= 1
            self._slots.release()


@contextmanager
def _bounded(attempt: Attempt) -> Iterator[None]:
    """Bound one order's faults to itself."""
    trade = attempt.trade
    try:
        yield
    except Exception:
        # Every other order would end, and the daemon, for this one.
        log.exception(
            "the order of %s trade=%s signal=%s failed; its row, if any, is left to"
            " recovery",
            trade.symbol,
            trade.id,
            trade.signal_id,
            extra=about(
                symbol=trade.symbol, trade_id=trade.id, signal_id=trade.signal_id
            ),
        )
