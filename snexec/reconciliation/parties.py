"""Whom reconciliation reports positions to, and whom it asks about sells (SPEC 12)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from decimal import Decimal

    from snexec.ledger import Applied, ExitApplied
    from snexec.model import AccountName

# What is to be done with a sell that was decided, and that the broker does not know.
Fate = Literal["send", "drop", "wait"]


class ForeignSell(NamedTuple):
    """What the stream has said of a sell that is none of ours.

    Attributes:
        symbol: As the broker spells it.
        order_id: The broker's.
        quantity: Shares that it has sold in all; None before its last fill.
        price: Dollars a share over them; None where that cannot be read.
    """

    mode: AccountName
    symbol: str
    order_id: str | None = None
    quantity: Decimal | None = None
    price: Decimal | None = None


class Holdings(Protocol):
    """Hears what rows hold, in the moment in which that is durable; must not raise."""

    def bought(self, applied: Applied) -> None:
        """Hear what the broker's word on a buy did to its row."""

    def sold(self, applied: ExitApplied) -> None:
        """Hear what the broker's word on a sell did to it, and to its row."""

    def foreign_sell(self, sell: ForeignSell) -> None:
        """Hear that somebody else has sold."""


class Reasons(Protocol):
    """Knows whether what a sell was decided for still holds."""

    def fate(self, exit_id: str) -> Fate:
        """Say what is to be done with a sell that never reached the broker."""

    def waits(self, exit_id: str) -> bool:
        """Return whether one of this run has to wait, and then for its fate."""


class SellAgain(Protocol):
    """Sends a sell that is in the database once more, with the same id."""

    def send_again(self, exit_id: str) -> bool:
        """Send it; False where nothing can be sent now, and it is to be asked again."""
