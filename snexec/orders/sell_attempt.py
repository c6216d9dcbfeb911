"""One sell on its way: what the writer, the client and the desk share (SPEC 12.5)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import trio

from snexec.ledger import NewExit

if TYPE_CHECKING:
    from decimal import Decimal

    from snexec.broker import Lease, SentOrder
    from snexec.latency import Latencies
    from snexec.ledger import Ledger, Store, Unplanned
    from snexec.model import Side
    from snexec.orders.selling import Sell, SellListener, Withheld
    from snexec.risk import HaltSwitch


class SellOwner(Protocol):
    """Sees a sell through to the broker's answer."""

    def sell_decided(self, attempt: SellAttempt) -> None:
        """Called once the sell is durable, or it is certain that there is none."""

    def sell_answered(self, attempt: SellAttempt) -> None:
        """Called once the broker has answered, or has failed to in time."""


@dataclass(kw_only=True, slots=True, eq=False)
class SellAttempt:
    """A sell on its way to the broker.

    It is the writer's change (``apply``, ``done``, ``failed``), and the order that the
    client sends and reports on.

    Attributes:
        sell: What is to be sold.
        lease: The row's account until the end.
        decided_at: On Trio's clock; times count from here.
        has_request: Whether the lease has one request of the budget.
        trade: The sell as it is in the database; there from when it is durable.
        is_planned: Whether it is.
        why_not: Why there is none.
        error: What kept it from being written, or the order from being sent.
        sent: The order, once it has left or waits for a connection.
        answered_at: When the broker's answer came, on Trio's clock.
        withheld: Why it did not leave, if something kept it back at the last moment.
        given_up: Whether it must not leave any more, as time is up.
    """

    sell: Sell
    listener: SellListener
    lease: Lease
    owner: SellOwner
    halt: HaltSwitch
    ledger: Ledger
    latencies: Latencies
    decided_at: float
    has_request: bool = False
    trade: NewExit = field(init=False)
    is_planned: bool = False
    why_not: Unplanned | None = None
    error: Exception | None = None
    sent: SentOrder | None = None
    answered_at: float = math.inf
    withheld: Withheld | None = None
    given_up: bool = False

    # As the writer's change.

    def apply(self, store: Store) -> NewExit | Unplanned | None:
        """Plan the sell, or find the one that is; nothing once time is up."""
        sell = self.sell
        if self.given_up:
            return None
        if sell.exit_id is not None:
            return store.exits.resume(sell.exit_id)
        return store.exits.plan(
            sell.row_id,
            sell.reason,
            held=sell.held,
            free=sell.free,
            trigger_price=sell.trigger_price,
            trigger_source=sell.trigger_source,
            kind=sell.kind,
            waits=not sell.leaves,
        )

    def done(self, result: NewExit | Unplanned | None) -> None:
        """Note what is durable, and go on."""
        if isinstance(result, NewExit):
            self.trade, self.is_planned = result, True
        else:
            self.why_not = result
        self.owner.sell_decided(self)

    def failed(self, error: Exception) -> None:
        """Note why nothing is, and go on."""
        self.error = error
        self.owner.sell_decided(self)

    # As the client's order.

    @property
    def symbol(self) -> str:
        """What is sold."""
        return self.trade.symbol

    @property
    def side(self) -> Side:
        """It sells."""
        return "sell"

    @property
    def notional(self) -> None:
        """Its size is never in dollars, which would leave a rest."""

    @property
    def quantity(self) -> Decimal:
        """Shares."""
        return self.trade.quantity

    @property
    def stop_price(self) -> Decimal | None:
        """At which price a stop becomes a market order."""
        return self.trade.trigger_price if self.trade.kind == "stop" else None

    @property
    def says_intent(self) -> bool:
        """Whether the request says that it closes."""
        return self.sell.says_intent

    @property
    def client_order_id(self) -> str:
        """The sell's id."""
        return self.trade.id

    def left(self) -> None:
        """Note that the request leaves at this moment."""
        self.latencies.sent(self.trade.id)

    def is_withheld(self) -> bool:
        """Look at the rows' files and, last of all, at ``halt-all`` and the lease."""
        ledger = self.ledger
        # The first look came with the commit of its row, in this very step.
        damage = ledger.damage if self.sent is None else ledger.look()
        if damage is not None:
            self.withheld = "not_written"
        elif self.halt.is_all_halted() or self.halt.is_standby():
            self.withheld = "halted"
        return self.withheld is not None

    def answered(self) -> None:
        """Note when the broker answered, and go on."""
        self.answered_at = trio.current_time()
        self.owner.sell_answered(self)
