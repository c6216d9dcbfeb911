"""One order on its way: what the writer, the client and the dispatcher share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import trio

if TYPE_CHECKING:
    from decimal import Decimal

    from snexec.broker import Lease, SentOrder
    from snexec.latency import Latencies
    from snexec.ledger import Ledger, NewTrade, Opening, Store
    from snexec.model import Side
    from snexec.orders.intent import Intent, Lapse, SkipReason
    from snexec.risk import HaltSwitch


class Owner(Protocol):
    """Sees an attempt through to its end."""

    def row_decided(self, attempt: Attempt) -> None:
        """Called once the row is durable, or it is certain that there is none."""

    def answered(self, attempt: Attempt) -> None:
        """Called once the broker has answered, or has failed to in time."""


@dataclass(kw_only=True, slots=True, eq=False)
class Attempt:
    """An intent on its way to an order.

    It is the writer's change (``apply``, ``done``, ``failed``), and the order that the
    client sends and reports on (``left``, ``is_withheld``, ``answered``).

    Attributes:
        intent: What is to be ordered.
        trade: The row.
        lease: The account's client until the end, with one request of its budget.
        opening: What became of the row.
        error: Why the row could not be written, or the order could not be sent.
        sent: The order, once it has left or waits for a connection.
        answered_at: When the broker's answer came, on Trio's clock.
        given_up: Whether the order must not leave any more, as time is up.
        halted: Whether the kill switch kept it from leaving.
        lapsed: Why it may not leave any more, if that did.
        unsafe: Whether its row is in a file that may not be found again.
        holds_slot: Whether it still occupies a slot.
        awaited: Set by the answer, where a task of the order's own waits for it.
    """

    intent: Intent
    trade: NewTrade
    lease: Lease
    owner: Owner
    halt: HaltSwitch
    ledger: Ledger
    latencies: Latencies
    opening: Opening | None = None
    error: Exception | None = None
    sent: SentOrder | None = None
    answered_at: float = math.inf
    given_up: bool = False
    halted: bool = False
    lapsed: Lapse | None = None
    unsafe: bool = False
    holds_slot: bool = True
    awaited: trio.Event | None = None

    # As the writer's change.

    def apply(self, store: Store) -> Opening | None:
        """Open the row, unless time ran out while waiting for a lock."""
        return None if self.given_up else self.intent.open_row(store, self.trade)

    def done(self, opening: Opening | None) -> None:
        """Note what became of the row, now that it is durable, and go on."""
        self.opening = opening
        self.owner.row_decided(self)

    def failed(self, error: Exception) -> None:
        """Note why there is no row, and go on."""
        self.error = error
        self.owner.row_decided(self)

    @property
    def has_no_row(self) -> SkipReason | None:
        """Why there is no row for it; None where there is."""
        match self.opening:
            case "opened" | "again":
                return None
            case reason:
                return reason or "not_written"

    # As the client's order.

    @property
    def symbol(self) -> str:
        """What is ordered."""
        return self.trade.symbol

    @property
    def side(self) -> Side:
        """Whether it is bought or sold."""
        return self.intent.side

    @property
    def notional(self) -> Decimal | None:
        """Dollars, where those are its size."""
        return self.trade.notional if self.intent.quantity is None else None

    @property
    def quantity(self) -> Decimal | None:
        """Shares, where those are its size."""
        return self.intent.quantity

    @property
    def client_order_id(self) -> str:
        """The row's id."""
        return self.trade.id

    def left(self) -> None:
        """Note that the request leaves at this moment."""
        self.latencies.sent(self.trade.id)

    def is_withheld(self) -> bool:
        """Return whether it must not leave after all; the kill switch is checked last."""
        self.lapsed = self.intent.lapsed()
        return self.lapsed is not None or self.is_kept_back()

    def is_kept_back(self) -> bool:
        """Look at the rows' files, the kill switch and the lease; note what they say."""
        ledger = self.ledger
        # The first look came with the commit of its row, in this very step.
        damage = ledger.damage if self.sent is None else ledger.look()
        self.unsafe = damage is not None
        self.halted = self.halt.is_halted()
        if is_standby := self.halt.is_standby():
            self.lapsed = "standby"
        return self.unsafe or self.halted or is_standby

    def answered(self) -> None:
        """Note when the broker answered, and go on."""
        self.answered_at = trio.current_time()
        if self.awaited is not None:
            self.awaited.set()
        else:
            self.owner.answered(self)
