"""One thing that the broker said of a sell, as the change it makes (SPEC 12.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from snexec.broker import FINAL_STATUSES
from snexec.ledger import OrderRef

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from decimal import Decimal

    from snexec.broker import BrokerOrder
    from snexec.latency import Latencies, Times
    from snexec.ledger import Ending, ExitApplied, Store
    from snexec.model import AccountName
    from snexec.reconciliation.steps import Source


class SellReporter(Protocol):
    """Reports what steps of sells did."""

    def report(self, step: SellStep, applied: ExitApplied | None) -> None:
        """Report what a step did to its sell; None where no sell of ours matches."""

    def not_written(self, step: SellStep, error: Exception) -> None:
        """Report that the rows do not take what a step says."""


@dataclass(kw_only=True, slots=True, eq=False)
class SellStep:
    """What the broker said of a sell; a change for the writer.

    Quantities are an order's own and cumulative, so that nothing counts twice.

    Attributes:
        ref: The order.
        symbol: Its symbol, for the log.
        source: Where it came from.
        reporter: Reports the result.
        quantity: Shares sold so far, where they could be read; None is not known.
        price: Dollars a share over those, where it could be read.
        is_filled: Whether the order is filled.
        how: How it ended, where it ended otherwise.
        is_known_only: Whether it says that the broker has the order, and no more.
        at: When it sold last, where that is known.
        times: How long it took, where that is known.
        over: Called once that is written, or cannot be.
    """

    ref: OrderRef
    symbol: str | None
    source: Source
    reporter: SellReporter
    quantity: Decimal | None = None
    price: Decimal | None = None
    is_filled: bool = False
    how: Ending | None = None
    is_known_only: bool = False
    at: datetime | None = None
    times: Times | None = None
    over: Callable[[], None] | None = None

    def apply(self, store: Store) -> ExitApplied | None:
        """Apply it to the sell, and to its row."""
        exits = store.exits
        if self.is_known_only:
            return exits.apply_working(self.ref)
        if self.how is not None:
            return exits.apply_ended(
                self.ref,
                self.how,
                quantity=self.quantity,
                price=self.price,
                at=self.at,
            )
        return exits.apply_sold(
            self.ref,
            quantity=self.quantity,
            price=self.price,
            final=self.is_filled,
            at=self.at,
            times=self.times,
        )

    def done(self, applied: ExitApplied | None) -> None:
        """Report the result."""
        try:
            self.reporter.report(self, applied)
        finally:
            self._end()

    def failed(self, error: Exception) -> None:
        """Report that the rows cannot be changed; the broker is asked again."""
        try:
            self.reporter.not_written(self, error)
        finally:
            self._end()

    def _end(self) -> None:
        if self.over is not None:
            self.over()


def looked_up_sell(
    account: AccountName,
    order: BrokerOrder,
    symbol: str,
    *,
    reporter: SellReporter,
    latencies: Latencies,
) -> SellStep:
    """Make the step of the answer to a look-up (the table of SPEC 8).

    The numbers outrank the word: what was sold is sold, whatever the status.
    """
    ref = OrderRef(
        mode=account,
        order_id=order.id,
        client_order_id=order.client_order_id,
        is_answer=True,
    )
    step = SellStep(
        ref=ref,
        symbol=symbol,
        source="lookup",
        reporter=reporter,
        quantity=order.filled_qty,
        price=order.filled_avg_price,
        at=order.filled_at,
    )
    match order.status:
        case "filled":
            step.is_filled = True
            step.quantity = order.filled_qty or None
            step.times = latencies.filled(order.client_order_id)
        case "canceled" | "expired" | "rejected" as how:
            step.how = how
        case _:
            step.is_known_only = not order.has_bought
    return step


def is_final(order: BrokerOrder) -> bool:
    """Return whether an answer already says how a sell ended, or that it has sold."""
    return order.has_bought or order.status in FINAL_STATUSES
