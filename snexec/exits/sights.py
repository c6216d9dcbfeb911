"""What is known of one row's position when it is judged (SPEC 12.7): values, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from snexec.assets import asset_class
from snexec.exits.splits import ratio_between
from snexec.trading_days import day_of_trade

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime
    from fractions import Fraction

    from snexec.broker import Activity, PositionList
    from snexec.exits.position import Position
    from snexec.exits.splits import Holding, SplitDay
    from snexec.ledger import HeldBeside

_DUST_SHARES = Decimal("0.000001")
_DUST_DOLLARS = Decimal("0.01")
_CLOCKS_DIFFER = timedelta(minutes=1)  # ours and the broker's, and lists lag 10 s


class Claim(NamedTuple):
    """What a row says is its own.

    Attributes:
        shares: Bought, in today's shares.
        remaining: Of them, not sold.
        entry_price: Dollars a share; None while not known.
        entry_at: When it was bought.
        order_id: The buy's, as the broker names it.
        is_selling: Whether a sell of it has left, or may have, and has not ended.
        quiet_seconds: Since it last bought or sold anything.
    """

    symbol: str
    shares: Decimal
    remaining: Decimal
    entry_price: Decimal | None
    entry_at: datetime
    order_id: str | None
    is_selling: bool
    quiet_seconds: float

    @property
    def entry_day(self) -> date:
        """The day of trade in which it was bought."""
        return day_of_trade(self.entry_at)

    @property
    def slack(self) -> Decimal:
        """Shares that may be missing: dust, and the fee that is kept of coins."""
        return _DUST_SHARES + self.shares * asset_class(self.symbol).largest_fee


class Sight(NamedTuple):
    """What the account held of a symbol at one time.

    Attributes:
        at: When, on Trio's clock.
        moment: The same in the world.
        quantity: Shares; 0 without a position.
        average: Dollars a share paid, over all buys of the account.
        price: Dollars of the last sale.
        remaining: What the row claimed of it then.
    """

    at: float
    moment: datetime
    quantity: Decimal
    average: Decimal | None
    price: Decimal | None
    remaining: Decimal


def sight_of(
    position: Position, positions: PositionList, at: float, moment: datetime
) -> Sight:
    """Return what a list says of a row's symbol, as it was at a time on both clocks."""
    held = positions.get(position.symbol)
    quantity = held.held if held else Decimal(0)
    average = held.average_price if held else None
    # One object each where they are equal, as a sight of each row is kept.
    if quantity == position.remaining:
        quantity = position.remaining
    if average == position.entry_price:
        average = position.entry_price
    return Sight(
        at=at,
        moment=moment,
        quantity=quantity,
        average=average,
        price=held.current_price if held else None,
        remaining=position.remaining,
    )


class Buy(NamedTuple):
    """What the account says of the row's buy, asked for by its id.

    Attributes:
        bought: Shares, as they were then; None if it does not say.
    """

    is_known: bool
    bought: Decimal | None = None


@dataclass(frozen=True, kw_only=True)
class Case:
    """Everything that a row is judged by.

    Attributes:
        now: What is seen now.
        is_listed: Whether the list has the position.
        before: The last sight at which nothing was wrong.
        noted: What the account held at that of an earlier run, with shares of others.
        first: The first one at which it was as it is now.
        is_gone: What asking for the one position said; None if it was not asked.
        buy: None if it was not asked for.
        activities: Since ``since`` or before, newest first; None likewise.
        is_surveyed: Whether ``activities`` were asked for once in this run.
        ours: Orders that are sells of ours.
        is_unbooked: Whether one of them has sold more than its row knows.
        splits: That are known, since the row was bought.
        bought: What its buy bought, in the shares of that time, once that was asked.
        used: Activities that were counted for this row already.
        grace_seconds: ``external_grace_sec``.
    """

    claim: Claim
    now: Sight
    is_listed: bool
    before: Sight | None = None
    noted: HeldBeside | None = None
    first: Sight | None = None
    is_gone: bool | None = None
    buy: Buy | None = None
    activities: Sequence[Activity] | None = None
    is_surveyed: bool = False
    ours: frozenset[str] = frozenset()
    is_unbooked: bool = False
    splits: Sequence[SplitDay] = ()
    bought: Decimal | None = None
    used: frozenset[str] = frozenset()
    grace_seconds: float = 30.0

    def having(self, **facts: Any) -> Case:  # noqa: ANN401 - as the fields are
        """Return it with what was asked."""
        return replace(self, **facts)

    @property
    def missing(self) -> Decimal:
        """Shares of the row that the account does not hold."""
        return max(self.claim.remaining - self.now.quantity, Decimal(0))

    @property
    def is_smaller(self) -> bool:
        """Whether something is missing; beyond dust and fees, where some is left."""
        if self.is_none_left:
            return self.missing > 0
        price = self.now.price or self.claim.entry_price
        is_dust = price is not None and self.missing * price < _DUST_DOLLARS
        return self.missing > self.claim.slack and not is_dust

    @property
    def is_none_left(self) -> bool:
        """Whether the account holds nothing of the symbol."""
        return self.now.quantity <= _DUST_SHARES

    @property
    def growth(self) -> Decimal:
        """Shares beyond the claim that were not there before."""
        if self.before is None:
            return Decimal(0)
        others = self.before.quantity - self.before.remaining
        return self.now.quantity - self.claim.remaining - others

    @property
    def has_grown(self) -> bool:
        """Whether the account holds more of what is not the row's than before."""
        return self.growth > self.claim.slack

    @property
    def since(self) -> datetime:
        """When what is wrong now may have happened at the earliest."""
        if self.before is None:
            return self.claim.entry_at
        return max(self.claim.entry_at, self.before.moment - _CLOCKS_DIFFER)

    @property
    def restated(self) -> Fraction | None:
        """By what quantity and average price have changed as one, if they have."""
        claim = self.claim.remaining, self.claim.entry_price
        now = self.now.quantity, self.now.average
        return restated(self.before, self.noted, claim, now)

    @property
    def stands_since(self) -> float:
        """For how many seconds it has been as it is now."""
        first = self.first
        if first is None or not _is_same(first, self.now):
            return 0.0
        return self.now.at - first.at

    @property
    def is_begun(self) -> bool:
        """Whether it was seen before as it is now."""
        return self.first is not None and _is_same(self.first, self.now)


def restated(
    before: Sight | None, noted: HeldBeside | None, claim: Holding, now: Holding
) -> Fraction | None:
    """Return by what an account's quantity and average have changed as one, if they have.

    Args:
        before: What it held when nothing was wrong.
        noted: The same as an earlier run noted it, where others hold shares too.
        claim: The row's own, which is all of it where nothing else is known.
        now: What it holds.
    """
    if before is not None:
        return ratio_between((before.quantity, before.average), now)
    by_claim = ratio_between(claim, now)
    return ratio_between(noted, now) if by_claim is None and noted else by_claim


def _is_same(one: Sight, other: Sight) -> bool:
    return (one.quantity, one.remaining) == (other.quantity, other.remaining)
