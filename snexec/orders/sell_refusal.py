"""The broker's no to a sell, which counts once a look-up bears it out (SPEC 11, 12.5)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from snexec.broker import DOUBTFUL
from snexec.errors import UnknownOutcomeError
from snexec.logs import OrderLog
from snexec.orders.refusals import are_of_the_keys

if TYPE_CHECKING:
    from snexec.broker import SentOrder
    from snexec.errors import RefusedError
    from snexec.orders.sell_attempt import SellAttempt
    from snexec.orders.sell_outcomes import SellOutcomes

order_log = OrderLog(logging.getLogger("TradeExecutor"))


@dataclass(slots=True, eq=False)
class SellRefusal:
    """A sell's refusal, as ``reconciliation.OpenRefusal`` says."""

    outcomes: SellOutcomes
    attempt: SellAttempt
    sent: SentOrder
    error: RefusedError

    async def not_found(self) -> None:
        """Settle the sell, unless the refusal is not known to be all that becomes of it."""
        if self.sent.is_doubtful:
            self.outcomes.unknown(self.attempt, UnknownOutcomeError(DOUBTFUL))
            return
        if self.outcomes.waits_for_earlier(self.attempt):
            return
        await self.outcomes.refused_durably(self.attempt, self.error)
        self.sent.if_doubted(self._doubt)

    async def not_answered(self, problem: RefusedError) -> bool:
        """Settle it as well where both answers say that the keys are no good."""
        if not are_of_the_keys(self.error, problem):
            return False
        await self.not_found()
        return True

    def found(self) -> None:
        """Say that the sell exists all the same."""
        order_log.error(
            self.attempt.trade,
            "the broker has the sell that it refused: its row says what the broker says",
        )

    def _doubt(self) -> None:
        new = self.attempt.trade
        order_log.error(
            new,
            "after its refusal the broker said more than it was asked, so that may have"
            " been another order's: the broker is asked about this sell again",
        )
        self.outcomes.look_up(new, sends_again=False)
