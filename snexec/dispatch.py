"""Which signal becomes an order, and when: one after the other (SPEC 5, 11)."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

import trio

from snexec.budget import Purpose
from snexec.gates import ActiveGates, Reason, Snapshot
from snexec.logs import about

if TYPE_CHECKING:
    from collections.abc import Callable

    from snexec.accounts import Accounts, Lease
    from snexec.executor import Attempt, TradeExecutor
    from snexec.intake import Intake, TakenSignal
    from snexec.settings import Mode, Settings
    from snexec.signals import Signal

log = logging.getLogger("TradeExecutor")

_WATCH_MODE_SECONDS = 1.0  # a wait for one mode's budget ends when the mode changes


class Dispatcher:
    """Takes signals in order, and starts an order's task for each that may trade.

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
        halted: Callable[[], bool],
        market_open: Callable[[Mode], bool | None],
    ) -> None:
        self._settings = settings
        self._intake = intake
        self._accounts = accounts
        self._executor = executor
        self._halted = halted
        self._gates = ActiveGates()
        self._market_open = market_open
        self._slots = trio.Semaphore(settings().intake.max_in_flight)
        self._next: TakenSignal | None = None
        self._nursery: trio.Nursery | None = None
        self._undecided: set[Attempt] = set()  # whose rows are not written yet
        self._all_decided = trio.Event()
        self.in_flight = 0
        intake.hand_over(self._start_nowait, executor.open_now)

    async def run(self) -> None:
        """Start an order for each signal; return when the last has ended."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                async for first in self._intake.taken:
                    self._next = first
                    while self._next is not None:
                        await self._start(self._next)
                        self._next = None
                        self._intake.started()
                        self._next = self._intake.next_nowait()
                while self._undecided:
                    self._all_decided = trio.Event()
                    await self._all_decided.wait()
            finally:
                # Before the nursery is left: it takes no more tasks then.
                self._nursery = None
                self._give_up_undecided()

    def skip_pending(self) -> None:
        """Say of every signal still waiting that it was not traded: time is up."""
        taken = self._next or self._intake.next_nowait()
        while taken is not None:
            self._intake.started()
            self._executor.tell_stopping(taken)
            taken = self._intake.next_nowait()

    def _start_nowait(self, taken: TakenSignal) -> bool:
        """Start an order in the moment its line is read, if nothing is waited for.

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
        """Wait for a slot and for the rate limit, then start the order's task."""
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
        self._executor.skip(taken, self._gate(taken.signal) or "stale")

    def _begin(self, taken: TakenSignal, lease: Lease) -> None:
        self.in_flight += 1
        attempt = self._executor.attempt(taken, lease)
        attempt.answered = partial(self._free_slot, attempt)
        self._undecided.add(attempt)
        self._executor.begin(attempt, self._decided)

    def _decided(self, attempt: Attempt) -> None:
        """Start the task of an order that has left, or that has no row.

        Not before: the switch to a task that only waits would keep the order.
        """
        if attempt.given_up:
            return
        self._undecided.remove(attempt)
        if not self._undecided:
            self._all_decided.set()
        assert self._nursery is not None  # noqa: S101 - `run` waits for it, or gives it up
        self._nursery.start_soon(
            self._execute, attempt, name=f"order {attempt.trade.symbol}"
        )

    def _give_up_undecided(self) -> None:
        for attempt in self._undecided:
            with attempt.lease:
                self._executor.give_up(attempt)
            self._free_slot(attempt)
        self._undecided.clear()

    async def _take_lease(self, taken: TakenSignal) -> Lease | None:
        """Take one request from the current mode's budget; None if it came too late."""
        while True:
            if self._gate(taken.signal) is not None:
                return None
            if self._executor.is_stale(taken):
                self._executor.warn_stale(taken, "it waited too long for its turn")
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
        """Bound one order's faults to itself."""
        try:
            with attempt.lease:
                await self._executor.execute_trade(attempt)
        except Exception:
            # The nursery would end every other order, and the daemon, for this one.
            log.exception(
                "the order of %s trade=%s signal=%s failed; its row, if any, is left to"
                " recovery",
                attempt.trade.symbol,
                attempt.trade.id,
                attempt.trade.signal_id,
                extra=about(
                    symbol=attempt.trade.symbol,
                    trade_id=attempt.trade.id,
                    signal_id=attempt.trade.signal_id,
                ),
            )
        finally:
            self._free_slot(attempt)

    def _free_slot(self, attempt: Attempt) -> None:
        if attempt.answered is not None:
            attempt.answered = None
            self.in_flight -= 1
            self._slots.release()
