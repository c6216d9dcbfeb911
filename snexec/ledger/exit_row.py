"""What the broker's word makes of one sell, and of its row: pure (SPEC 12.2, 12.5).

Every change is monotonic: what the broker has said finally is never undone, and what was
sold never gets less.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Literal, NamedTuple

from snexec.assets import asset_class

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    from snexec.ledger.exit_rows import ExitOutcome, ExitState

MILLIONTH = Decimal("0.000001")
_DUST_SHARES = MILLIONTH
_DUST_DOLLARS = Decimal("0.01")
_ROUNDED_SHARES = Decimal("1e-12")


# What was concluded from the broker's not having it; what it says later wins.
_GIVEN_UP = {"refused", "dropped"}


@dataclass(slots=True)
class Sell:
    """One sell as it should become; quantities in shares, prices in dollars a share.

    Attributes:
        other_lives: Whether another sell of the row has no end: then this one, once
            given up, is not under way again, as there is never more than one.
    """

    state: ExitState
    sold: Decimal
    price: Decimal | None
    order_id: str | None
    is_settled: bool
    other_lives: bool = False

    def works(self) -> ExitOutcome:
        """Note that the broker knows it, and nothing more."""
        if self.state in _GIVEN_UP:
            return self._found()
        if self.is_settled or self.state == "working":
            return "unchanged"
        self.state = "working"
        return "working"

    def sells(
        self, quantity: Decimal | None, price: Decimal | None, *, final: bool
    ) -> ExitOutcome:
        """Apply a cumulative quantity and its mean price; unreadable, it is not final."""
        more = quantity is not None and quantity > self.sold
        if more or (quantity == self.sold and self.price is None):
            self.sold = quantity or self.sold
            self.price = price
        final = final and quantity is not None and price is not None
        if self.is_settled and self.state not in _GIVEN_UP:
            # What it is said to have sold after its end is sold all the same.
            return "partial_fill" if more else "unchanged"
        if final:
            self.state = "filled"
            self.is_settled = True
            return "fill"
        found = self.works()
        return "partial_fill" if more and found != "found_late" else found

    def ends(
        self,
        how: Literal["canceled", "expired", "rejected"],
        quantity: Decimal | None,
        price: Decimal | None,
    ) -> ExitOutcome:
        """Apply its end with what was sold before; an unreadable quantity ends nothing."""
        if quantity is None:
            return self.sells(None, price, final=False)
        outcome = self.sells(quantity, price, final=False)
        if self.is_settled and self.state not in _GIVEN_UP:
            return outcome
        self.state = how
        self.is_settled = True
        return how

    def is_gone(self, how: Literal["refused", "dropped"]) -> ExitOutcome:
        """Note that the broker does not have it, unless the broker has spoken of it."""
        if self.is_settled or self.order_id is not None or self.sold:
            return "unchanged"
        self.state = how
        self.is_settled = True
        return how

    def _found(self) -> ExitOutcome:
        if self.other_lives:
            return "found_late"
        self.state = "working"
        self.is_settled = False
        return "working"


class Sold(NamedTuple):
    """What one sell of a row has sold, and why."""

    quantity: Decimal
    price: Decimal | None
    reason: str


class Result(NamedTuple):
    """What a row's sells come to.

    Attributes:
        price: Dollars a share over all of them; None if a part has no price.
        pnl: Dollars won, before fees; None if that is not known.
        reason: Of the sell that sold most.
    """

    price: Decimal | None
    pnl: Decimal | None
    reason: str


def is_sold(
    symbol: str,
    shares: Decimal,
    sold: Decimal,
    price: Decimal | None,
    *,
    whole_position: bool,
) -> bool:
    """Return whether what is left of a row is dust, or the fee of a coin."""
    left = shares - sold
    if left < _DUST_SHARES or (price is not None and left * price < _DUST_DOLLARS):
        return True
    return whole_position and left <= shares * asset_class(symbol).largest_fee


def result_of(
    sells: Sequence[Sold], shares: Decimal, entry_price: Decimal | None
) -> Result:
    """Return what a row's sells come to (SPEC 12.5)."""
    sells = [sell for sell in sells if sell.quantity]
    quantity = sum((sell.quantity for sell in sells), Decimal(0))
    most = max(sells, key=lambda sell: sell.quantity)
    dollars = Decimal(0)
    for sell in sells:
        if sell.price is None:
            return Result(None, None, most.reason)
        dollars += sell.quantity * sell.price
    price = (dollars / quantity).quantize(MILLIONTH, ROUND_HALF_EVEN)
    if entry_price is None:
        return Result(price, None, most.reason)
    pnl = (dollars - entry_price * shares).quantize(MILLIONTH, ROUND_HALF_EVEN)
    return Result(price, pnl, most.reason)


def in_new_shares(
    quantity: Decimal | None, price: Decimal | None, ratio: Fraction, known: Decimal
) -> tuple[Decimal | None, Decimal | None]:
    """Return what the broker says of an order from before a split, in today's shares.

    Args:
        quantity: Shares of then.
        price: Dollars for one of them.
        ratio: New shares for each of them.
        known: The quantity that is known already, which a rounded one may miss.
    """
    if quantity is not None:
        quantity = times(quantity, ratio)
        if abs(quantity - known) < _ROUNDED_SHARES:
            quantity = known
    return quantity, None if price is None else times(price, 1 / ratio)


def times(number: Decimal, ratio: Fraction) -> Decimal:
    """Multiply to as many digits as a Decimal has, so that no dollar moves."""
    return number * ratio.numerator / ratio.denominator
