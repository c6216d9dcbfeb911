"""The rules, in the order in which they are asked (SPEC 12.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from decimal import Decimal

    from snexec.ledger import ExitReason


class Trigger(NamedTuple):
    """Why a position is to be sold.

    Attributes:
        reason: As the row and its ``BotExit`` have it.
        price: That made the rule true, dollars a share; None for a rule of time.
        source: Of the price, as ``BotExit`` has it; "clock" for a rule of time.
        text: The rule and its figures, for the log.
    """

    reason: ExitReason
    price: Decimal | None
    source: str
    text: str
