"""What the ledger takes and returns, and a row's id: types, no SQL."""

from __future__ import annotations

import hashlib
import re
import uuid
from typing import TYPE_CHECKING, Literal, NamedTuple

from snexec.risk import Reason

if TYPE_CHECKING:
    from decimal import Decimal

    from snexec.model import Mode, Stars

_PREFIX = "sn-"  # of the ids of all our rows, and of their sells
_OURS = re.compile(rf"{_PREFIX}[0-9a-f]{{32}}")


def is_foreign(client_order_id: str | None) -> bool:
    """Return whether an order is another program's by its id, as far as it has one."""
    return client_order_id is not None and not client_order_id.startswith(_PREFIX)


def is_ours(client_order_id: str) -> bool:
    """Return whether an id has the form that ``trade_id`` makes, in either mode."""
    return _OURS.fullmatch(client_order_id) is not None


def trade_id(mode: Mode, signal_id: str | None, *, salt: str = "") -> str:
    """Derive a row's id, so that one signal has one order whoever sends it (SPEC 4).

    A signal without an id gets a random one.
    """
    if signal_id is None:
        return f"{_PREFIX}{uuid.uuid4().hex}"
    digest = hashlib.sha256(f"{mode}\0{salt}\0{signal_id}".encode()).hexdigest()
    return f"{_PREFIX}{digest[:32]}"


class NewTrade(NamedTuple):
    """A row about to be opened; ``id`` is also the order's client order id.

    Attributes:
        notional: Dollars.
        producer: Who sent the signal, where it is known; for events, not for the row.
    """

    id: str
    symbol: str
    catalyst_type: str
    catalyst_tier: int
    mode: Mode
    notional: Decimal
    stars: Stars
    price_at_signal: float
    signal_id: str | None
    producer: str | None = None

    @property
    def trade_id(self) -> str:
        """The row's id, by which log lines name an order."""
        return self.id

    @property
    def said(self) -> dict[str, object]:
        """What events say of it beside its names; of a producer only where it is known."""
        said: dict[str, object] = {"mode": self.mode, "notional": str(self.notional)}
        if self.producer is not None:
            said["producer"] = self.producer
        return said

    @property
    def order_id(self) -> None:
        """The broker's id, which is not known before it has answered."""


# "again" is the row of an earlier run, whose order may have been sent by it.
Opening = Literal["opened", "again", "repeated", "symbol_open"] | Reason


class OrderRef(NamedTuple):
    """How an event or an answer names an order, as far as it does.

    Attributes:
        symbol: As the broker spells it.
        side: Likewise.
        is_answer: Whether the broker was asked for the order: then its id is this one,
            whatever an event has said before.
    """

    mode: Mode
    order_id: str | None
    client_order_id: str | None
    symbol: str | None = None
    side: str | None = None
    is_answer: bool = False


# How an order ends that was not filled.
Ending = Literal["canceled", "expired", "rejected"]

Outcome = Literal[
    "fill",  # final: bought
    "partial_fill",  # bought in part so far
    "working",  # known to the broker, nothing bought yet
    "rejected",
    "canceled",
    "expired",
    "not_found",  # missed, until later evidence
    "found_late",  # bought, and stays missed: its symbol has a newer open row
    "contradicted",  # the broker says no after it said yes; nothing changed
    "disputed",  # by its names the row's order, and another by the rest: not applied
    "unchanged",
]


class Applied(NamedTuple):
    """What one change did to a row.

    Attributes:
        outcome: What the row says now, or "unchanged".
        changed: Whether any column was written.
        settled: Whether the broker's last word on the order is in the row.
        entry_price: Dollars per share.
        shares: Shares held by the row.
        fill_ms: Milliseconds from the signal's line to the final fill.
        notional: Dollars ordered.
        newer_trade_id: The symbol's open row, where that kept this one from reopening.
        reopened: Whether a missed row is open again.
        unheld: Shares that the order bought beyond those of its row, which is closed.
        entry_at: When its order left, as the row has it.
    """

    trade_id: str
    symbol: str
    signal_id: str | None
    order_id: str | None
    mode: Mode
    outcome: Outcome
    changed: bool
    settled: bool
    status: str
    entry_price: float | None
    shares: float | None
    reason: str | None
    fill_ms: float | None = None
    notional: float | None = None
    newer_trade_id: str | None = None
    reopened: bool = False
    unheld: float | None = None
    entry_at: str | None = None


class Unsettled(NamedTuple):
    """A row whose order still lacks the broker's last word.

    Attributes:
        age_seconds: Since the order was placed, by the wall clock.
    """

    trade_id: str
    symbol: str
    mode: Mode
    order_id: str | None
    age_seconds: float
    missed: bool
    signal_id: str | None = None
