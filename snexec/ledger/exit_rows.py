"""What the ledger takes and returns about sells: types and ids, no SQL (SPEC 12.2)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from decimal import Decimal

    from snexec.model import Mode

ExitKind = Literal["sell", "stop", "external"]
ExitReason = Literal[
    "stop_loss",
    "trailing_stop",
    "profit_target",
    "max_hold",
    "market_close",
    "manual",
    "external",
    "corporate_action",
]
ExitState = Literal[
    "planned",  # durable, and perhaps on its way
    "working",  # known to the broker
    "filled",
    "canceled",
    "expired",
    "rejected",
    "refused",  # the broker did not take it
    "dropped",  # it never reached the broker, and is not wanted any more
]
_LETTERS: dict[ExitKind, str] = {"sell": "x", "stop": "s", "external": "e"}
_EXIT_ID = re.compile(r"(?P<trade>.+)-[xse][1-9][0-9]*")


def exit_id(trade_id: str, kind: ExitKind, number: int) -> str:
    """Derive a sell's id, which is also its client order id, from its row's."""
    return f"{trade_id}-{_LETTERS[kind]}{number}"


def row_of_exit(client_order_id: str | None) -> str | None:
    """Return the id of the row that an order sells; None if it is no sell of ours."""
    found = _EXIT_ID.fullmatch(client_order_id or "")
    return None if found is None else found["trade"]


class NewExit(NamedTuple):
    """A sell that is about to leave; ``id`` is also its client order id.

    Attributes:
        row_id: The row that it closes.
        quantity: Shares.
        is_whole_position: Whether that is all that the account holds of the symbol.
    """

    id: str
    row_id: str
    symbol: str
    mode: Mode
    quantity: Decimal
    reason: ExitReason
    signal_id: str | None
    is_whole_position: bool = False

    @property
    def trade_id(self) -> str:
        """Its own id, by which log lines name an order."""
        return self.id

    @property
    def order_id(self) -> None:
        """The broker's id, which is not known before it has answered."""


# Why a sell was not planned.
Unplanned = Literal[
    "not_found",  # there is no such row
    "not_ours",  # another program's
    "not_open",
    "not_bought",  # nothing is known to be held
    "not_settled",  # its buy may still buy
    "closing",  # another sell of it is under way
    "none_left",  # nothing of it can be sold
]

ExitOutcome = Literal[
    "working",
    "partial_fill",
    "fill",
    "canceled",
    "expired",
    "rejected",
    "refused",
    "dropped",
    "unchanged",
]


class ExitApplied(NamedTuple):
    """What one change did to a sell and to its row.

    Attributes:
        id: The sell's.
        row_id: Its row's.
        outcome: What the sell says now, or "unchanged".
        changed: Whether any column was written.
        settled: Whether the broker's last word on it is known.
        quantity: Shares that it should sell.
        sold: Shares that it has sold.
        price: Dollars a share, over those.
        remaining: Shares of the row that are not sold.
        closed: Whether this closed the row.
        row_status: The row's status.
        exit_price: Dollars a share, over all sells of the row, once it is closed.
        pnl: Dollars won, before fees, once it is closed; None if not known.
        oversold: Shares sold beyond those of the row.
    """

    id: str
    row_id: str
    symbol: str
    mode: Mode
    signal_id: str | None
    order_id: str | None
    reason: str
    outcome: ExitOutcome
    changed: bool
    settled: bool
    quantity: Decimal
    sold: Decimal
    price: Decimal | None
    remaining: Decimal
    closed: bool
    row_status: str
    exit_price: Decimal | None = None
    pnl: Decimal | None = None
    oversold: Decimal | None = None

    @property
    def trade_id(self) -> str:
        """The sell's id, by which log lines name an order."""
        return self.id


class UnsettledExit(NamedTuple):
    """A sell without the broker's last word.

    Attributes:
        age_seconds: Since it was decided, by the wall clock.
    """

    id: str
    row_id: str
    symbol: str
    mode: Mode
    order_id: str | None
    state: ExitState
    reason: str
    age_seconds: float
    signal_id: str | None
