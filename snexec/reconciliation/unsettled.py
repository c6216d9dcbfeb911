"""The orders whose outcome is not final, and when to ask the broker about each."""

from __future__ import annotations

import heapq
import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from snexec.model import MODES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snexec.model import Mode

FIRST_CHECK_SECONDS = 5.0  # after placing (SPEC 8)
_FIRST_RETRY_SECONDS = 0.5
_FEW = 256  # settled orders, whose place in the queue is not worth the time


@dataclass(slots=True, eq=False, kw_only=True)
class UnsettledOrder:
    """One order that is not final.

    Attributes:
        placed_at: When it was sent, on Trio's clock.
        due: When to ask next, on Trio's clock.
        pause: Seconds between the last question and the next one.
        missed: Whether its row was given up as not found.
        of_this_run: Whether this process placed it.
        asking: Whether a look-up is under way; then ``due`` is when to ask again.
        compared: Whether the broker has answered about it since the start.
        signal_id: For the log, where it is known.
    """

    trade_id: str
    symbol: str
    mode: Mode
    order_id: str | None
    placed_at: float
    due: float
    pause: float
    missed: bool = False
    of_this_run: bool = True
    compared: bool = False
    warned: bool = False
    asking: bool = False
    signal_id: str | None = None


class UnsettledOrders:
    """Knows every unsettled order, at most as many as the database has of them."""

    def __init__(self) -> None:
        self._orders: dict[str, UnsettledOrder] = {}
        self._queues: dict[Mode, list[tuple[float, int, UnsettledOrder]]] = {
            mode: [] for mode in MODES
        }
        self._number = itertools.count()
        self._changed = trio.Event()
        self._queued = trio.Event()

    def __len__(self) -> int:
        return len(self._orders)

    def __iter__(self) -> Iterator[UnsettledOrder]:
        return iter(tuple(self._orders.values()))

    def get(self, trade_id: str) -> UnsettledOrder | None:
        """Return an order, if it is not settled."""
        return self._orders.get(trade_id)

    def add(self, order: UnsettledOrder) -> None:
        """Follow an order from now on."""
        self._orders[order.trade_id] = order
        self._queue(order)

    def placed(
        self,
        *,
        trade_id: str,
        symbol: str,
        mode: Mode,
        order_id: str | None,
        signal_id: str | None = None,
    ) -> None:
        """Follow an order that was just placed; unknown ones are asked about at once.

        Args:
            trade_id: The row's id.
            symbol: For the log.
            mode: The account that has it.
            order_id: The broker's id, None while the outcome is unknown.
            signal_id: For the log.
        """
        now = trio.current_time()
        first = FIRST_CHECK_SECONDS if order_id is not None else 0.0
        self.add(
            UnsettledOrder(
                trade_id=trade_id,
                symbol=symbol,
                mode=mode,
                order_id=order_id,
                placed_at=now,
                due=now + first,
                pause=first or _FIRST_RETRY_SECONDS,
                signal_id=signal_id,
            )
        )

    def follow(
        self,
        *,
        trade_id: str,
        symbol: str,
        mode: Mode,
        order_id: str | None,
        signal_id: str | None = None,
    ) -> None:
        """Ask about an order as soon as possible, be it followed already or not."""
        if trade_id not in self._orders:
            self.placed(
                trade_id=trade_id,
                symbol=symbol,
                mode=mode,
                order_id=order_id,
                signal_id=signal_id,
            )
        self.ask_now(trade_id)

    def settled(self, trade_id: str) -> None:
        """Stop following an order."""
        order = self._orders.pop(trade_id, None)
        if order is not None:
            self._forget_settled(self._queues[order.mode])
            self.notify()

    def revived(self, trade_id: str) -> None:
        """Note that an order's row is not given up, or no longer."""
        order = self._orders.get(trade_id)
        if order is not None and order.missed:
            order.missed = False
            order.pause = min(order.pause, FIRST_CHECK_SECONDS)
            if not order.asking:
                order.due = min(order.due, trio.current_time() + order.pause)
                self._queue(order)

    def ask_now(self, trade_id: str) -> None:
        """Ask about an order as soon as possible."""
        order = self._orders.get(trade_id)
        if order is not None:
            order.due = trio.current_time()
            if not order.asking:
                self._queue(order)

    def ask_all(self) -> None:
        """Ask about every order as soon as possible."""
        for order in self:
            self.ask_now(order.trade_id)

    def ask_later(self, order: UnsettledOrder, *, longest: float) -> None:
        """Ask again after the order's pause, which grows up to ``longest`` seconds."""
        order.asking = False
        if self._orders.get(order.trade_id) is order:
            later = trio.current_time() + min(order.pause, longest)
            order.due = min(order.due, later)
            order.pause = min(order.pause * 2, longest)
            self._queue(order)

    async def next_due(self, mode: Mode) -> UnsettledOrder:
        """Wait until an order of a mode is due, and return it."""
        queue = self._queues[mode]
        while True:
            queued = self._queued
            while queue and not self._is_current(queue[0]):
                heapq.heappop(queue)
            if not queue:
                await queued.wait()
                continue
            wait = queue[0][0] - trio.current_time()
            if wait <= 0:
                order = heapq.heappop(queue)[2]
                order.asking = True
                order.due = math.inf
                return order
            with trio.move_on_after(wait):
                await queued.wait()

    async def wait_settled(self) -> None:
        """Wait until every order that this process placed is settled or given up."""
        while any(o.of_this_run and not o.missed for o in self._orders.values()):
            await self._changed.wait()

    async def wait_compared(self) -> None:
        """Wait until the broker has answered about every order."""
        while any(not o.compared for o in self._orders.values()):
            await self._changed.wait()

    def _is_current(self, entry: tuple[float, int, UnsettledOrder]) -> bool:
        due, _number, order = entry
        return self._orders.get(order.trade_id) is order and order.due == due

    def _forget_settled(self, queue: list[tuple[float, int, UnsettledOrder]]) -> None:
        """Keep no settled orders until their look-ups would be due."""
        if len(queue) > _FEW + 2 * len(self._orders):
            queue[:] = filter(self._is_current, queue)
            heapq.heapify(queue)

    def _queue(self, order: UnsettledOrder) -> None:
        heapq.heappush(self._queues[order.mode], (order.due, next(self._number), order))
        self._queued.set()
        self._queued = trio.Event()

    def notify(self) -> None:
        """Wake who waits, after an order's attributes were changed."""
        self._changed.set()
        self._changed = trio.Event()
