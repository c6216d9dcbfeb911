"""Which stop should rest at the broker for a row now: pure (SPEC 12.6).

| it rests | when |
| --- | --- |
| at `broker_stop_pct` below the entry price, else at `hard_stop_loss_pct` below | always |
| at the trailing stop's price | once that is higher |
| not at all | coins; no `broker_stop`; the buy still works; what is held is in doubt |

Its price is rounded down to what Alpaca takes, so that it never sells a cent too early.
"""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Literal, NamedTuple

from snexec.assets import asset_class
from snexec.exits.rules import trailing_level

if TYPE_CHECKING:
    from snexec.exits.position import Position
    from snexec.ledger import ExitReason
    from snexec.settings import ExitSettings

REPLACED_AFTER_SECONDS = 60.0
_CENT = Decimal("0.01")  # from a dollar on
_SUB_DOLLAR_STEP = Decimal("0.0001")
_SHARE_STEP = Decimal("0.000000001")

Deed = Literal["place", "cancel", "replace"]


class Stop(NamedTuple):
    """A stop, as it should rest or does.

    Attributes:
        price: Dollars a share; 0 where it is not known.
        quantity: Shares that it would still sell.
        reason: What the row is sold for once it is filled.
    """

    price: Decimal
    quantity: Decimal
    reason: ExitReason = "stop_loss"


def stop_for(position: Position, settings: ExitSettings | None) -> Stop | None:
    """Return the stop that should rest for a position; None if none should."""
    if settings is None or not (settings.enabled and settings.broker_stop):
        return None
    if not position.is_settled or asset_class(position.symbol).around_the_clock:
        return None
    if position.rests is not None or position.is_doubted:
        return None  # after a split it would sell at a price of other shares
    percent, entry = settings.stop_at_broker_pct, position.entry_price
    if percent is None or entry is None:
        return None
    level, trailing = entry * (1 - percent / 100), trailing_level(position, settings)
    reason: ExitReason = "stop_loss"
    if trailing is not None and trailing > level:
        level, reason = trailing, "trailing_stop"
    price, quantity = as_taken(level), shares_of(position.remaining)
    return Stop(price, quantity, reason) if price and quantity else None


def next_deed(
    wanted: Stop | None, resting: Stop | None, *, rested: float
) -> Deed | None:
    """Return what makes the stop that rests the one that should.

    Args:
        wanted: That should rest.
        resting: That does.
        rested: For how many seconds it has.
    """
    if wanted is None or resting is None:
        if wanted is resting:
            return None
        return "place" if resting is None else "cancel"
    if wanted.quantity != resting.quantity:
        return "replace"
    is_due = rested >= REPLACED_AFTER_SECONDS
    return "replace" if wanted.price != resting.price and is_due else None


def as_taken(price: Decimal) -> Decimal:
    """Return a price, rounded down to one that Alpaca takes."""
    step = _CENT if price >= 1 else _SUB_DOLLAR_STEP
    return price.quantize(step, ROUND_FLOOR)


def shares_of(remaining: Decimal) -> Decimal:
    """Return as many shares as an order can be for."""
    return max(remaining, Decimal(0)).quantize(_SHARE_STEP, ROUND_DOWN)
