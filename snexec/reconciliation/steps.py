"""One thing that the broker said of an order, as the change it makes (SPEC 7, 8)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal, Protocol

from snexec.broker import Purpose
from snexec.ledger import OrderRef

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

    from snexec.broker import BrokerOrder
    from snexec.latency import Latencies, Times
    from snexec.ledger import Applied, Ending, Store
    from snexec.model import AccountName

Source = Literal["stream", "lookup"]


def _nothing() -> None:
    pass


def _both(first: Callable[[], None], second: Callable[[], None]) -> None:
    first()
    second()


class Reporter(Protocol):
    """Reports what steps did."""

    def report(self, step: Step, applied: Applied | None) -> None:
        """Report what a step did to its row; None where no row of ours matches."""

    def not_written(self, step: Step, error: Exception) -> None:
        """Report that the row does not take what a step says."""


@dataclass(kw_only=True, slots=True, eq=False)
class Step:
    """One thing that the broker said; a change for the writer.

    Attributes:
        ref: The order.
        symbol: Its symbol, for the log.
        source: Where it came from.
        reporter: Reports the result.
        asks_position: Whether the position's quantity is needed to complete it.
        over: Called once its row is written and its position was asked for, or that
            cannot be done.
        is_final: Whether no partial fill before it matters any more.
    """

    ref: OrderRef
    symbol: str | None
    source: Source
    reporter: Reporter
    over: Callable[[], None] = _nothing
    asks_position = False
    is_final = False

    def apply(self, store: Store) -> Applied | None:
        """Note that the broker knows the order, and nothing more."""
        return store.apply_working(self.ref)

    def done(self, applied: Applied | None) -> None:
        """Report the result."""
        try:
            self.reporter.report(self, applied)
        finally:
            self.over()

    def failed(self, error: Exception) -> None:
        """Report that the row cannot be changed; the broker is asked again."""
        try:
            self.reporter.not_written(self, error)
        finally:
            self.over()


@dataclass(kw_only=True, slots=True, eq=False)
class FillStep(Step):
    """A final fill.

    Attributes:
        price: Dollars per share, where it could be read.
        quantity: Shares, where they could be read.
        times: How long the order took, where it is known.
    """

    price: Decimal | None
    quantity: Decimal | None
    times: Times | None
    is_final = True

    def apply(self, store: Store) -> Applied | None:
        """Apply it; without a price or a quantity it is not final."""
        return store.apply_fill(
            self.ref, price=self.price, quantity=self.quantity, times=self.times
        )


@dataclass(kw_only=True, slots=True, eq=False)
class PartialFillStep(Step):
    """A partial fill; only the position says how many shares are held.

    Attributes:
        price: Dollars per share so far, where it could be read.
        shares: The position's shares, once they are known.
        purpose: What the question about the position is for.
    """

    price: Decimal | None
    shares: Decimal | None = None
    purpose: Purpose = Purpose.ROUTINE
    asks_position = True

    def apply(self, store: Store) -> Applied | None:
        """Apply it; it never undoes a fill."""
        return store.apply_partial_fill(self.ref, price=self.price, shares=self.shares)

    def in_place_of(self, earlier: PartialFillStep) -> PartialFillStep:
        """Return this one, which stands for an earlier one of its order as well."""
        if self.price is None:
            self.price = earlier.price
        if earlier.over is not _nothing:
            self.over = partial(_both, earlier.over, self.over)
        return self


@dataclass(kw_only=True, slots=True, eq=False)
class EndedStep(Step):
    """The end of an order that was canceled or rejected, or that expired.

    Attributes:
        how: Which of the three.
        price: Dollars per share of what was bought before.
        quantity: Shares bought before, where they could be read.
        is_about_symbol: Whether a rejection is, by its reason, about the symbol alone.
    """

    how: Ending
    price: Decimal | None
    quantity: Decimal | None
    is_about_symbol: bool = False
    is_final = True

    def apply(self, store: Store) -> Applied | None:
        """Apply it; what was bought before stays bought."""
        return store.apply_ended(
            self.ref, self.how, price=self.price, quantity=self.quantity
        )


def fill_step(
    ref: OrderRef,
    symbol: str | None,
    source: Source,
    price: Decimal | None,
    quantity: Decimal | None,
    *,
    latencies: Latencies,
    reporter: Reporter,
) -> FillStep:
    """Make the step of a final fill, and time the fill if it can be read."""
    final = price is not None and quantity is not None
    return FillStep(
        ref=ref,
        symbol=symbol,
        source=source,
        reporter=reporter,
        price=price,
        quantity=quantity,
        times=latencies.filled(ref.client_order_id) if final else None,
    )


def looked_up_step(
    account: AccountName,
    order: BrokerOrder,
    symbol: str,
    *,
    latencies: Latencies,
    reporter: Reporter,
) -> Step:
    """Make the step of the answer to a look-up (the table of SPEC 8).

    The numbers outrank the word: what was bought is bought, whatever the status.
    """
    ref = OrderRef(
        mode=account,
        order_id=order.id,
        client_order_id=order.client_order_id,
        is_answer=True,
    )
    source: Source = "lookup"
    price, quantity = order.filled_avg_price, order.filled_qty
    match order.status:
        case "filled":
            return fill_step(
                *(ref, symbol, source, price, quantity or None),
                latencies=latencies,
                reporter=reporter,
            )
        case "canceled" | "expired" | "rejected" as how:
            return EndedStep(
                ref=ref,
                symbol=symbol,
                source=source,
                reporter=reporter,
                how=how,
                price=price,
                quantity=quantity,
            )
        case status if status == "partially_filled" or order.has_bought:
            return PartialFillStep(
                ref=ref, symbol=symbol, source=source, reporter=reporter, price=price
            )
        case _:
            return Step(ref=ref, symbol=symbol, source=source, reporter=reporter)
