"""Acceptances, recorded behind the orders that are about to leave."""

from __future__ import annotations

import collections
import logging
import math
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import trio

from snexec.logs import about_order

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from snexec.broker import BrokerOrder, Lease, SentOrder
    from snexec.ledger import NewExit, NewTrade

log = logging.getLogger("TradeExecutor")

# For this long, orders that have not left go before answers that have come: a burst's
# last order leaves a third earlier.
_LET_LEAVE_SECONDS = 0.5
_MOST_WAITING = 512  # more would take memory that is never given back
_BURST_GAP_SECONDS = 0.005  # a longer one ends the burst
_RECORDED_AT_ONCE = 8  # then new signals get their turn


class Acknowledged(Protocol):
    """An order on its way, a buy or a sell."""

    @property
    def trade(self) -> NewTrade | NewExit:
        """Its row."""

    @property
    def lease(self) -> Lease:
        """The account's client until the end."""

    @property
    def answered_at(self) -> float:
        """When the broker's answer came, on Trio's clock."""


A = TypeVar("A", bound=Acknowledged)
A_contra = TypeVar("A_contra", bound=Acknowledged, contravariant=True)


class Accepting(Protocol[A]):
    """Records what the broker accepted, and follows what it could not record."""

    def accepted(
        self, attempt: A, order: BrokerOrder, recorded: Callable[[A], None]
    ) -> None:
        """Record an acceptance; ``recorded`` is called when that is over."""

    def lost(self, attempt: A) -> None:
        """Ask the broker about an order that could not be recorded."""


class Departures(Protocol[A_contra]):
    """What the desk has under way."""

    @property
    def rows_wait(self) -> bool:
        """Whether there are orders that leave as soon as their rows are written."""

    @property
    def left_at(self) -> float:
        """When the latest order left, on Trio's clock."""

    def recorded(self, attempt: A_contra) -> None:
        """Called once an acceptance is durable, or never will be."""

    def start_task(self, attempt: A_contra) -> None:
        """Finish an order in a task of its own."""


class Acks(Generic[A]):
    """Records what the broker accepted, without a task for each order.

    A task that waits for each row would slow a burst down by a tenth.

    Attributes:
        unwritten: Acceptances that are queued for the writer.
    """

    def __init__(self, outcomes: Accepting[A], departures: Departures[A]) -> None:
        self._outcomes = outcomes
        self._departures = departures
        self._waiting: collections.deque[tuple[A, SentOrder]] = collections.deque()
        self._wake = trio.lowlevel.ParkingLot()
        self._scope = trio.CancelScope()
        self.unwritten = 0

    def __len__(self) -> int:
        """Return how many wait to be recorded."""
        return len(self._waiting)

    async def run(self) -> None:
        """Record acceptances once orders have stopped leaving, until closed."""
        with self._scope:
            while True:
                if not self._waiting:
                    await self._wake.park()
                    continue
                wait_until = self._let_leave_until()
                if trio.current_time() < wait_until:
                    with trio.move_on_at(wait_until):
                        await self._wake.park()
                    continue
                for _ in range(min(_RECORDED_AT_ONCE, len(self._waiting))):
                    self.record(*self._waiting.popleft())
                await trio.lowlevel.checkpoint()

    def defer(self, attempt: A, sent: SentOrder) -> None:
        """Record an acceptance once orders have stopped leaving."""
        self._waiting.append((attempt, sent))
        if len(self._waiting) == 1 or len(self._waiting) > _MOST_WAITING:
            self._wake.unpark()

    def no_row_waits(self) -> None:
        """Called when no order is about to leave any more."""
        if self._waiting:
            self._wake.unpark()

    def record(self, attempt: A, sent: SentOrder) -> None:
        """Record that the broker accepted an order."""
        try:
            order = sent.outcome()
        except Exception:  # noqa: BLE001 - raised again in the order's own task
            self._departures.start_task(attempt)
            return
        self.unwritten += 1
        queued = False
        with contain_faults(attempt), attempt.lease:
            self._outcomes.accepted(attempt, order, self._written)
            queued = True
        if not queued:
            self._outcomes.lost(attempt)  # the row is open
            self._written(attempt)

    def close(self) -> None:
        """Record what still waits, and end ``run``."""
        while self._waiting:
            self.record(*self._waiting.popleft())
        self._scope.cancel(reason="no order is under way")

    def _written(self, attempt: A) -> None:
        self.unwritten -= 1
        self._departures.recorded(attempt)

    def _let_leave_until(self) -> float:
        """Return until when acceptances wait for the orders that are leaving."""
        if len(self._waiting) > _MOST_WAITING:
            return -math.inf
        latest = self._waiting[0][0].answered_at + _LET_LEAVE_SECONDS
        if self._departures.rows_wait:
            return latest
        return min(latest, self._departures.left_at + _BURST_GAP_SECONDS)


class contain_faults:  # noqa: N801 - a block, as of contextlib
    """Logs an order's fault, which would otherwise end all the other orders."""

    __slots__ = ("_attempt",)

    def __init__(self, attempt: Acknowledged) -> None:
        self._attempt = attempt

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        exc: BaseException | None,
        _traceback: TracebackType | None,
    ) -> bool:
        if not isinstance(exc, Exception):
            return False
        trade = self._attempt.trade
        log.error(
            "the order of %s trade=%s signal=%s failed; its row, if any, is left to"
            " recovery",
            trade.symbol,
            trade.id,
            trade.signal_id,
            exc_info=exc,
            extra=about_order(trade),
        )
        return True
