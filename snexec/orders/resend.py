"""After a 429: wait, make sure that the order was not taken, send it again (SPEC 5)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from snexec.broker import DOUBTFUL, Purpose
from snexec.errors import (
    BrokerError,
    NotFoundError,
    RateLimitedError,
    UnknownOutcomeError,
)
from snexec.logs import OrderLog

if TYPE_CHECKING:
    from snexec.broker import SentOrder
    from snexec.orders.attempt import Attempt
    from snexec.orders.outcomes import Outcomes
    from snexec.reconciliation import Fills

order_log = OrderLog(logging.getLogger("TradeExecutor"))


class Resend:
    """Sends an order again after the broker's rate limit turned it away.

    Args:
        fills: Apply what a look-up says of an order that was taken after all.
        outcomes: Record what became of it.
    """

    def __init__(self, fills: Fills, outcomes: Outcomes) -> None:
        self._fills = fills
        self._outcomes = outcomes

    def note_limit(self, attempt: Attempt, limited: RateLimitedError) -> None:
        """Hold back every request for as long as the broker asks."""
        attempt.lease.client.budget.block(limited.wait_seconds)
        order_log.warning(
            attempt.trade,
            "the broker's rate limit is reached; next try in %.1f s",
            limited.wait_seconds,
        )

    async def was_turned_away(self, attempt: Attempt, sent: SentOrder) -> bool:
        """Wait, and make sure that the order was not taken.

        A 429 that may be another order's leaves the outcome unknown.

        Returns:
            Whether it is to be sent again or withheld; if not, nothing is left to do for
            the order.
        """
        trade, lease = attempt.trade, attempt.lease
        while True:
            await lease.take(Purpose.RECOVERY)
            try:
                order = await lease.use().order(
                    client_order_id=trade.id, order_id=None, symbol=trade.symbol
                )
            except NotFoundError:
                if sent.is_doubtful:
                    self._outcomes.unknown(trade, UnknownOutcomeError(DOUBTFUL))
                    return False
                return True
            except RateLimitedError as exc:
                lease.client.budget.block(exc.wait_seconds)
                continue
            except BrokerError as exc:
                self._outcomes.unknown(trade, exc)
            else:
                attempt.answered_at = trio.current_time()
                await self._outcomes.accepted_durably(attempt, order)
                await self._fills.on_looked_up(trade.mode, order, trade.symbol)
            return False

    async def take_request(self, attempt: Attempt) -> bool:
        """Wait for one request of the budget, which then is in the order's lease.

        Returns:
            False once it may not be ordered any more, which the attempt then says.
        """
        budget = attempt.lease.client.budget
        while (lapsed := attempt.intent.lapsed()) is None:
            if attempt.lease.try_take(Purpose.ORDER):
                return True
            await trio.sleep(min(budget.seconds_until(Purpose.ORDER), 1.0))
        attempt.lapsed = lapsed
        return False

    async def send_again(self, attempt: Attempt) -> SentOrder:
        """Send the order once more, and return it once it is answered."""
        attempt.awaited = trio.Event()
        sent = attempt.lease.send_order(attempt)
        try:
            await attempt.awaited.wait()
        except trio.Cancelled:
            sent.abandon("the daemon stops")
            raise
        return sent
