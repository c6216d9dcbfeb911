"""Unsettled orders of one account, and which of those that are due has its turn (SPEC 8)."""

from __future__ import annotations

import heapq
import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from snexec.ledger import kind_of_exit

if TYPE_CHECKING:
    from snexec.model import AccountName, Side
    from snexec.reconciliation.refusal import OpenRefusal

_SPARE_ENTRIES = 256  # of settled orders; fewer are not worth the time
_YIELDS_SECONDS = 60.0  # how long others may go first; then its turn comes all the same


@dataclass(slots=True, weakref_slot=True, eq=False, kw_only=True)
class UnsettledOrder:
    """One order that is not final.

    Attributes:
        placed_at: When it was sent, on Trio's clock.
        due: When to ask next, on Trio's clock.
        pause: Seconds between the last question and the next one.
        missed: Whether its row was given up as not found.
        of_this_run: Whether this process placed it.
        follows: The broker's id of the order that took its place, if one did.
        asking: Whether a look-up is under way; then ``due`` is when to ask again.
        is_compared: Whether the broker has answered about it since the start.
        signal_id: For the log, where it is known.
        unwritten: Why its row does not take what the broker says, if it does not.
        said_at: When that was last said, on Trio's clock.
        refusal: The broker's no to it, which no look-up has borne out yet.
        doubted_id: The broker's id of it, which something else contradicts.
        side: Whether it buys or sells.
        resend_at: From when on a sell that the broker does not know is sent again, on
            Trio's clock.
        unanswered_at: When a request for it was first left without an answer, on Trio's
            clock: that one may still arrive. None if none was.
        openings: How often its row was opened for it to be sent once more; counted in
            the transaction that does so.
    """

    trade_id: str
    symbol: str
    mode: AccountName
    order_id: str | None
    placed_at: float
    due: float
    pause: float
    missed: bool = False
    of_this_run: bool = True
    is_compared: bool = False
    follows: str | None = None
    asking: bool = False
    signal_id: str | None = None
    unwritten: str | None = None
    said_at: float = -math.inf
    refusal: OpenRefusal | None = None
    doubted_id: str | None = None
    side: Side = "buy"
    resend_at: float = math.inf
    unanswered_at: float | None = None
    openings: int = 0

    @property
    def is_resting_stop(self) -> bool:
        """Whether it waits at the broker for a price."""
        if self.side == "buy" or self.order_id is None:
            return False
        return kind_of_exit(self.trade_id) == "stop"

    @property
    def is_lost(self) -> bool:
        """Whether nobody knows what became of it, and it may be anything."""
        if self.refusal is not None:
            return True
        return self.order_id is None and self.doubted_id is None and not self.missed

    @property
    def latest_id(self) -> str | None:
        """The broker's id of what may still trade: it, or what took its place."""
        return self.follows or self.order_id

    @property
    def key(self) -> float:
        """When its turn is among those like it, on Trio's clock.

        A lost sell goes first, then a lost one that was never answered, and one of this
        run.
        """
        if self.is_lost and self.side == "sell":
            return self.due - _YIELDS_SECONDS
        yields = (
            self.is_compared if self.is_lost else self.missed or not self.of_this_run
        )
        return self.due + (_YIELDS_SECONDS if yields else 0.0)


class DueOrders:
    """Holds one account's orders by when they are due, and those that are by urgency.

    An entry whose order was given another time since is passed over.
    """

    def __init__(self) -> None:
        self._later: list[tuple[float, int, UnsettledOrder]] = []
        # By turn, each with the time for which it was put here.
        self._lost: list[tuple[float, int, float, UnsettledOrder]] = []
        self._others: list[tuple[float, int, float, UnsettledOrder]] = []
        self._number = itertools.count()

    def __len__(self) -> int:
        return len(self._later) + len(self._lost) + len(self._others)

    def put(self, order: UnsettledOrder) -> bool:
        """Have an order come when it is due; return whether that is before the others."""
        entry = order.due, next(self._number), order
        heapq.heappush(self._later, entry)
        return self._later[0] is entry

    def first(self, now: float) -> UnsettledOrder | None:
        """Return the most urgent order that is due; it stays the first until it is begun.

        Args:
            now: On Trio's clock.
        """
        while self._later and self._later[0][0] <= now:
            due, number, order = heapq.heappop(self._later)
            if order.due == due:
                queue = self._lost if order.is_lost else self._others
                heapq.heappush(queue, (order.key, number, due, order))
        while self._lost:
            _key, number, due, order = self._lost[0]
            if order.due == due and order.is_lost:
                return order
            heapq.heappop(self._lost)
            if order.due == due:
                heapq.heappush(self._others, (order.key, number, due, order))
        while self._others:
            _key, _number, due, order = self._others[0]
            if order.due == due:
                return order
            heapq.heappop(self._others)
        return None

    def begin(self, order: UnsettledOrder) -> None:
        """Remove the order that came first."""
        for queue in (self._lost, self._others):
            if queue and queue[0][-1] is order:
                heapq.heappop(queue)
                return

    def seconds_until_next(self, now: float) -> float:
        """Return how long until another one may be due, where none is."""
        return max(0.0, self._later[0][0] - now) if self._later else math.inf

    def forget_settled(self, orders: int) -> None:
        """Drop the entries of settled orders, where there are many.

        Args:
            orders: How many are not settled.
        """
        if len(self) <= _SPARE_ENTRIES + 2 * orders:
            return
        self._later = [each for each in self._later if each[0] == each[-1].due]
        heapq.heapify(self._later)
        for queue in (self._lost, self._others):
            queue[:] = [each for each in queue if each[2] == each[-1].due]
            heapq.heapify(queue)
