"""What the ledger takes and returns about sells: types and ids, no SQL (SPEC 12.2)."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime

    from snexec.model import Mode

ExitKind = Literal["sell", "stop", "external"]
ExitReason = Literal[
    "stop_loss",
    "trailing_stop",
    "profit_target",
    "max_hold",
    "market_close",
    "manual",
    "external",  # sold by others
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
_OUR_ORDER = re.compile(r"sn-[0-9a-f]{32}-[xs][1-9][0-9]*")


def exit_id(trade_id: str, kind: ExitKind, number: int) -> str:
    """Derive a sell's id, which is also its client order id, from its row's."""
    return f"{trade_id}-{_LETTERS[kind]}{number}"


def row_of_exit(client_order_id: str | None) -> str | None:
    """Return the id of the row that an order sells; None if it is no sell of ours."""
    found = _EXIT_ID.fullmatch(client_order_id or "")
    return None if found is None else found["trade"]


def kind_of_exit(client_order_id: str) -> ExitKind:
    """Return what a sell's id says that it is."""
    letter = client_order_id.rpartition("-")[2][:1]
    return next(kind for kind, each in _LETTERS.items() if each == letter)


def is_our_exit(client_order_id: str) -> bool:
    """Return whether an id has the form of a sell or a stop of ours (SPEC 12.2)."""
    return _OUR_ORDER.fullmatch(client_order_id) is not None


class NewExit(NamedTuple):
    """A sell that is about to leave; ``id`` is also its client order id.

    Attributes:
        row_id: The row that it closes.
        quantity: Shares.
        is_whole_position: Whether that is all that the account holds of the symbol.
        kind: A sell, or a stop that rests at the broker.
        trigger_price: Dollars a share: of the price that decided it, or of the stop.
        trigger_source: Where that price is from.
        is_resumed: Whether an earlier run decided it, and may have sent it.
    """

    id: str
    row_id: str
    symbol: str
    mode: Mode
    quantity: Decimal
    reason: str
    signal_id: str | None
    is_whole_position: bool = False
    kind: ExitKind = "sell"
    trigger_price: Decimal | None = None
    trigger_source: str | None = None
    is_resumed: bool = False

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
    "changed",  # what is left is not what the caller has seen
    "over",  # the sell that was to be resumed has ended
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
    "found_late",  # the broker has it after all, while the next one is under way
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
        oversold: Shares sold beyond those of the row; said where that has grown.
        kind: What sold.
        executed: Shares that this change added to those sold.
        shares: Of the row.
        entry_price: Dollars a share, of the row.
        exit_reason: The row's, once it is closed: of the sell that sold most.
        also_live: Another sell of the row that has not ended, and is not wanted where
            this closed the row.
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
    kind: ExitKind = "sell"
    executed: Decimal = Decimal(0)
    shares: Decimal | None = None
    entry_price: Decimal | None = None
    exit_reason: str | None = None
    also_live: str | None = None

    @property
    def trade_id(self) -> str:
        """The sell's id, by which log lines name an order."""
        return self.id


class UnsettledExit(NamedTuple):
    """A sell without the broker's last word.

    Attributes:
        age_seconds: Since it was decided, by the wall clock.
        kind: A sell, or a stop that rests at the broker.
        quantity: Shares that it should sell.
        sold: Shares that it has sold.
        trigger_price: Dollars a share: of the price that decided it, or of the stop.
        trigger_source: Where that price is from.
        is_whole_position: Whether it sells all that the account held of the symbol.
        cancel_reason: Why it is canceled, to be sold by the next; None if it is not.
        row_status: The row's.
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
    kind: ExitKind = "sell"
    quantity: Decimal = Decimal(0)
    sold: Decimal = Decimal(0)
    trigger_price: Decimal | None = None
    trigger_source: str | None = None
    is_whole_position: bool = False
    cancel_reason: str | None = None
    row_status: str = "open"

    @property
    def trade_id(self) -> str:
        """The sell's id, by which log lines name an order."""
        return self.id


class FoundExit(NamedTuple):
    """A sell of ours that was found at the broker, by its id (SPEC 12.2).

    Attributes:
        quantity: Shares that it should sell.
        sold: Shares that it has sold.
        price: Dollars a share, over those.
        placed_at: When the broker took it.
        ended: How it ended; None if it works.
        ended_at: When, where the broker says so.
        stop_price: Dollars a share, of a stop.
    """

    id: str
    mode: Mode
    order_id: str
    quantity: Decimal
    sold: Decimal
    price: Decimal | None
    placed_at: datetime
    ended: Literal["filled", "canceled", "expired", "rejected"] | None
    ended_at: datetime | None = None
    stop_price: Decimal | None = None


# Why a sell that was found is not written.
NotAdopted = Literal[
    "known",
    "no_row",  # the row that it sells has to be found first
    "not_bought",  # that row's buy has to be settled first
    "closing",  # another sell of it has to end first
]


class ExitRecord(NamedTuple):
    """One sell of a row as it is in the database.

    Attributes:
        quantity: Shares that it should sell.
        sold: Shares that it has sold.
        price: Dollars a share, over those.
        trigger_price: Dollars a share: of the price that decided it, or of the stop.
        decided_at: As in rows, as is ``settled_at``.
        wire_ms: Milliseconds from the decision to the request on the wire.
        fill_ms: Milliseconds from the decision to the final fill.
    """

    id: str
    row_id: str
    kind: ExitKind
    reason: str
    state: ExitState
    quantity: Decimal
    sold: Decimal
    price: Decimal | None
    trigger_price: Decimal | None
    trigger_source: str | None
    order_id: str | None
    decided_at: str
    settled_at: str | None
    wire_ms: float | None
    fill_ms: float | None
    cancel_reason: str | None
