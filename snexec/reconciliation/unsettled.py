"""The orders whose outcome is not final, and when to ask the broker about each."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import trio

from snexec.model import ACCOUNTS
from snexec.recent import Recent
from snexec.reconciliation.due import DueOrders, UnsettledOrder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from snexec.logs import NamesOrder
    from snexec.model import AccountName, Side
    from snexec.reconciliation.refusal import OpenRefusal

FIRST_CHECK_SECONDS = 5.0  # after placing (SPEC 8)
_FIRST_RETRY_SECONDS = 0.5
_REMEMBERED_ORDERS = 2048  # an event and a look-up say the same within seconds
_SAY_AGAIN_SECONDS = 3600.0  # what lasts until somebody mends the file


class UnsettledOrders:
    """Holds every unsettled order, never more than the database has."""

    def __init__(self) -> None:
        self._orders: dict[str, UnsettledOrder] = {}
        self._queues = {mode: DueOrders() for mode in ACCOUNTS}
        self._unswept: dict[AccountName, float] = {}
        self._streamed = Recent[str](_REMEMBERED_ORDERS)
        # Of orders that are not followed, which may come in any number: said together.
        self._said_of_others: tuple[str | None, float] = (None, -math.inf)
        self._changed = trio.Event()
        self._queued = trio.Event()

    def __len__(self) -> int:
        return len(self._orders)

    def __iter__(self) -> Iterator[UnsettledOrder]:
        return iter(tuple(self._orders.values()))

    def get(self, trade_id: str) -> UnsettledOrder | None:
        """Return an order, if it is not settled."""
        return self._orders.get(trade_id)

    def note_opening(self, trade_id: str) -> None:
        """Note that an order's row is opened for it to be sent once more; any thread."""
        if (order := self._orders.get(trade_id)) is not None:
            order.openings += 1

    def add(self, order: UnsettledOrder) -> None:
        """Follow an order from now on."""
        if (replaced := self._orders.get(order.trade_id)) is not None:
            replaced.due = math.inf
        self._orders[order.trade_id] = order
        self._queue(order)

    def placed(
        self,
        order: NamesOrder,
        *,
        order_id: str | None,
        refusal: OpenRefusal | None = None,
        side: Side = "buy",
        resend_at: float = math.inf,
    ) -> None:
        """Follow an order that was just placed; ask at once about an unknown one.

        Args:
            order: Which one.
            order_id: The broker's id, None while the outcome is unknown.
            refusal: The broker's no to it, where there is one to bear out.
            side: Whether it buys or sells.
            resend_at: From when on a sell that is not found is sent again.
        """
        now = trio.current_time()
        first = 0.0 if order_id is None else FIRST_CHECK_SECONDS
        earlier = self._orders.get(order.trade_id)
        self.add(
            UnsettledOrder(
                trade_id=order.trade_id,
                symbol=order.symbol,
                mode=order.mode,
                order_id=order_id,
                placed_at=now,
                due=now + first,
                pause=first or _FIRST_RETRY_SECONDS,
                signal_id=order.signal_id,
                refusal=refusal,
                side=side,
                resend_at=resend_at,
                unanswered_at=None if earlier is None else earlier.unanswered_at,
            )
        )

    def unanswered(self, trade_id: str) -> None:
        """Note that a request for an order has no answer, and may still arrive."""
        order = self._orders[trade_id]
        if order.unanswered_at is None:
            order.unanswered_at = trio.current_time()

    def found(self, order: NamesOrder, *, is_missed: bool) -> None:
        """Follow an order that was found at the broker; ask about it at once."""
        now = trio.current_time()
        self.add(
            UnsettledOrder(
                trade_id=order.trade_id,
                symbol=order.symbol,
                mode=order.mode,
                order_id=order.order_id,
                placed_at=now,
                due=now,
                pause=1.0,
                missed=is_missed,
                of_this_run=False,
            )
        )

    def follow(self, order: NamesOrder) -> None:
        """Ask about an order as soon as possible, whether or not it is followed yet."""
        if order.trade_id not in self._orders:
            self.placed(order, order_id=order.order_id)
        self.ask_now(order.trade_id)

    def follow_sell(self, order: NamesOrder) -> None:
        """Ask about a sell as soon as possible, whether or not it is followed yet."""
        if order.trade_id not in self._orders:
            self.placed(order, order_id=order.order_id, side="sell")
        self.ask_now(order.trade_id)

    def dispute(self, order: NamesOrder) -> None:
        """Ask about an order by our own id, as soon as possible: its other is doubtful."""
        self.follow(order)
        self.doubt(self._orders[order.trade_id])

    def doubt(self, order: UnsettledOrder) -> None:
        """Ask about an order by our own id next: the broker's may be another's."""
        if order.order_id is not None:
            order.doubted_id, order.order_id = order.order_id, None

    def note_streamed(self, trade_id: str) -> None:
        """Note that the stream has reported an order."""
        self._streamed.add(trade_id)

    def was_streamed(self, trade_id: str) -> bool:
        """Return whether the stream has reported an order lately."""
        return trade_id in self._streamed

    def not_written(self, trade_id: str | None, why: str) -> bool:
        """Note that an order's row does not take what the broker says.

        Returns:
            Whether that must be said: it is news, or was last said an hour ago.
        """
        now = trio.current_time()
        order = self._orders.get(trade_id or "")
        known, said_at = (
            self._said_of_others if order is None else (order.unwritten, order.said_at)
        )
        if known == why and now - said_at < _SAY_AGAIN_SECONDS:
            return False
        if order is None:
            self._said_of_others = why, now
        else:
            order.unwritten, order.said_at = why, now
        return True

    def written(self, trade_id: str) -> None:
        """Note that an order's row takes what the broker says."""
        if (order := self._orders.get(trade_id)) is not None:
            order.unwritten = None

    def known_as(self, order: UnsettledOrder, order_id: str) -> None:
        """Note the broker's id of an order."""
        order.order_id, order.doubted_id = order_id, None

    def follow_replacement(self, order: UnsettledOrder, order_id: str) -> bool:
        """Note which order took an order's place, and return whether that is news."""
        is_news = order.follows != order_id
        order.follows = order_id
        return is_news

    def compared(self, order: UnsettledOrder) -> None:
        """Note that the broker has answered about an order."""
        order.is_compared = True
        self._notify()

    def given_up(self, order: UnsettledOrder) -> None:
        """Note that an order's row is missed, unless later evidence says otherwise."""
        order.missed = True
        self._notify()

    def settled(self, trade_id: str) -> None:
        """Stop following an order."""
        order = self._orders.pop(trade_id, None)
        if order is not None:
            order.due = math.inf
            self._queues[order.mode].forget_settled(len(self._orders))
            self._notify()

    def revived(self, trade_id: str) -> None:
        """Note that an order's row is not, or no longer, given up."""
        order = self._orders.get(trade_id)
        if order is not None and order.missed:
            order.missed = False
            order.pause = min(order.pause, FIRST_CHECK_SECONDS)
            if not order.asking:
                order.due = min(order.due, trio.current_time() + order.pause)
                self._queue(order)

    def ask_now(self, trade_id: str) -> None:
        """Ask about an order as soon as possible."""
        order, now = self._orders.get(trade_id), trio.current_time()
        if order is not None and order.due > now:  # or it has its turn already
            order.due = now
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

    async def wait_due(self, mode: AccountName) -> UnsettledOrder:
        """Wait until an order of a mode is due, and return the most urgent one."""
        queue = self._queues[mode]
        while True:
            now = trio.current_time()
            if (order := queue.first(now)) is not None:
                return order
            await self.wait_another(mode)

    async def wait_another(self, mode: AccountName) -> None:
        """Wait until an order becomes due, or may: others are due already."""
        now = trio.current_time()
        with trio.move_on_after(self._queues[mode].seconds_until_next(now)):
            await self._queued.wait()

    def begin(self, order: UnsettledOrder) -> None:
        """Note that the look-up of the order that was waited for begins."""
        self._queues[order.mode].begin(order)
        order.asking = True
        order.due = math.inf

    async def wait_settled(self) -> None:
        """Wait until every order that this process placed is settled or given up.

        A stop that rests at the broker may do so for days.
        """
        while any(
            o.of_this_run and not o.missed and not o.is_resting_stop
            for o in self._orders.values()
        ):
            await self._changed.wait()

    async def wait_until(self, reached: Callable[[], bool]) -> None:
        """Wait until something holds of the orders, asked whenever one has changed."""
        while not reached():
            await self._changed.wait()

    def look_again(self) -> None:
        """Have whoever waits in ``wait_until`` ask again."""
        self._notify()

    def expect_sweep(self, mode: AccountName, *, seconds: float = math.inf) -> None:
        """Count an account as compared only once it was swept.

        Args:
            mode: The account.
            seconds: How long a start waits for that, where it waits for nothing else.
        """
        self._unswept[mode] = seconds

    def swept(self, mode: AccountName) -> None:
        """Note that an account was swept, or cannot be."""
        self._unswept.pop(mode, None)
        self._notify()

    def awaits_sweep(self, mode: AccountName) -> bool:
        """Return whether an account is still to be swept before it is compared."""
        return mode in self._unswept

    def patience(self, mode: AccountName) -> float:
        """Return how many seconds a start waits for an account; infinite for its rows."""
        if any(o.mode == mode and not o.is_compared for o in self):
            return math.inf
        return self._unswept.get(mode, math.inf)

    async def wait_answered(self, trade_ids: Iterable[str]) -> None:
        """Wait until the broker has answered about each of these orders."""
        for each in trade_ids:
            while (order := self._orders.get(each)) and not order.is_compared:
                await self._changed.wait()

    def _queue(self, order: UnsettledOrder) -> None:
        if self._queues[order.mode].put(order):
            self.look_up_again()

    def look_up_again(self) -> None:
        """Have whoever waits for orders to be due ask again."""
        self._queued.set()
        self._queued = trio.Event()

    def _notify(self) -> None:
        """Wake the tasks that wait for orders to be settled or compared."""
        self._changed.set()
        self._changed = trio.Event()
