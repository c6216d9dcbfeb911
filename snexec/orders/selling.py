"""How a row becomes an intent to sell, and who hears what becomes of it (SPEC 12.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from snexec.ledger import Unplanned

if TYPE_CHECKING:
    from decimal import Decimal

    from snexec.broker import BrokerOrder
    from snexec.errors import BrokerError, RefusedError
    from snexec.ledger import ExitKind, ExitReason, NewExit
    from snexec.model import Mode

# Why a planned sell did not leave; it is `dropped` where it had not left before either.
Withheld = Literal["halted", "not_written"]
# Why there is no sell.
NotPlanned = Unplanned | Withheld | Literal["stopping"]


class Sell(NamedTuple):
    """The intent to sell what is left of a row, by the row's own account.

    It is never stale and passes no gate. What the row holds is read as it is planned.

    Attributes:
        row_id: The row.
        symbol: What it holds.
        mode: Its account, whatever the current mode is.
        reason: Why.
        trigger_price: Dollars a share: of the price that decided it, or of the stop.
        trigger_source: Where that price is from.
        held: The position's whole quantity as the broker spells it, if it was read.
        free: How much of that no order holds, if it was read.
        exit_id: A sell that is planned already, to be sent now, with the same id.
        leaves: Whether it leaves the moment it is durable; if not, it waits there.
        says_intent: Whether the request says that it closes.
        kind: A sell, or a stop that rests at the broker.
    """

    row_id: str
    symbol: str
    mode: Mode
    reason: ExitReason
    trigger_price: Decimal | None = None
    trigger_source: str | None = None
    held: str | None = None
    free: Decimal | None = None
    exit_id: str | None = None
    leaves: bool = True
    says_intent: bool = True
    kind: ExitKind = "sell"


class SellListener(Protocol):
    """Hears what becomes of a sell; must not raise.

    ``not_planned``, or ``planned`` and then any of the others, some of them repeatedly:
    a sell whose outcome is unknown is sent again with the same id.
    """

    def planned(self, new: NewExit) -> None:
        """Hear that it is durable."""

    def not_planned(self, why: NotPlanned, exit_id: str | None) -> None:
        """Hear that there is none, or why one that is planned does not leave."""

    def placed(self, new: NewExit, order: BrokerOrder) -> None:
        """Hear that the broker has it, and that this is durable."""

    def unbooked(self, new: NewExit, order: BrokerOrder) -> None:
        """Hear that the broker has it, and that its row is gone or names another order.

        Nobody follows it any more; what sells the row once more may sell it twice.
        """

    def refused(self, new: NewExit, error: RefusedError) -> None:
        """Hear that the broker does not take it, and that this is durable."""

    def unknown(self, new: NewExit, error: BrokerError) -> None:
        """Hear that its outcome is not known; it is followed until it is."""

    def withheld(self, new: NewExit, why: Withheld) -> None:
        """Hear that it did not leave."""


class Unheard:
    """Listens to a sell that nobody else listens to: log and feed say it all."""

    def planned(self, new: NewExit) -> None:
        """Do nothing."""

    def not_planned(self, why: NotPlanned, exit_id: str | None) -> None:
        """Do nothing."""

    def placed(self, new: NewExit, order: BrokerOrder) -> None:
        """Do nothing."""

    def unbooked(self, new: NewExit, order: BrokerOrder) -> None:
        """Do nothing."""

    def refused(self, new: NewExit, error: RefusedError) -> None:
        """Do nothing."""

    def unknown(self, new: NewExit, error: BrokerError) -> None:
        """Do nothing."""

    def withheld(self, new: NewExit, why: Withheld) -> None:
        """Do nothing."""
