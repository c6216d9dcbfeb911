"""What the ledger says of rows that are held, and how they change beside sells: types.

(SPEC 12.2, 12.3, 12.7)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal
    from fractions import Fraction

    from snexec.ledger.exit_rows import UnsettledExit
    from snexec.model import Mode


class HeldBeside(NamedTuple):
    """What an account held of a row's symbol, shares of others among them.

    Attributes:
        quantity: Shares.
        average: Dollars a share paid, over all of them.
    """

    quantity: Decimal
    average: Decimal


class WatchedRow(NamedTuple):
    """A row that is held: open, with shares.

    Attributes:
        shares: That it bought, in today's shares.
        remaining: Of them, not sold.
        entry_price: Dollars a share; None where that is not known.
        entry_at: When its order left.
        high_price: Dollars a share, the highest since; None if none was kept.
        is_settled: Whether its buy buys no more.
        order_id: The broker's, of its buy.
        live_exit: Its sell without an end.
        wanted: Why the rest of it is to be sold: its last sell ended, and left some, or
            somebody has asked for it.
        beside: What the account held in all when nothing was wrong, as it was noted last.
    """

    id: str
    symbol: str
    mode: Mode
    shares: Decimal
    remaining: Decimal
    entry_price: Decimal | None
    entry_at: datetime
    high_price: Decimal | None
    is_settled: bool
    order_id: str | None
    live_exit: UnsettledExit | None = None
    signal_id: str | None = None
    wanted: str | None = None
    beside: HeldBeside | None = None


class HighPrice(NamedTuple):
    """How high a row's price has been.

    Attributes:
        price: Dollars a share.
        entry_price: The row's, as the caller knows it: a split that came between makes
            the price one of other shares, and it is not written.
    """

    row_id: str
    price: Decimal
    entry_price: Decimal


class Split(NamedTuple):
    """A row after a split.

    Attributes:
        ratio: New shares for each old one.
        shares: Of the row, new ones.
        remaining: Of them, not sold.
        entry_price: Dollars a new share.
        high_price: Likewise; None if none was kept.
    """

    row_id: str
    symbol: str
    mode: Mode
    signal_id: str | None
    ratio: Fraction
    shares: Decimal
    remaining: Decimal
    entry_price: Decimal | None
    high_price: Decimal | None
