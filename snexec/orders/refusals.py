"""The broker's no, which counts once a look-up bears it out (SPEC 5, 11)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from snexec.broker import DOUBTFUL, Purpose
from snexec.errors import (
    BrokerError,
    NotFoundError,
    RateLimitedError,
    RefusedError,
    UnknownOutcomeError,
)
from snexec.logs import OrderLog, about_order

if TYPE_CHECKING:
    from snexec.broker import SentOrder
    from snexec.orders.attempt import Attempt
    from snexec.orders.outcomes import Outcomes
    from snexec.reconciliation import Discarded, UnsettledOrders

log = logging.getLogger("TradeExecutor")
order_log = OrderLog(log)

_KEYS_ARE_REFUSED = 401  # says nothing else; a 403 may
_FORBIDDEN = 403
_MAY_HAVE_ARRIVED = "the request of an earlier run may have arrived before"


def are_of_the_keys(order: RefusedError, look_up: RefusedError) -> bool:
    """Return whether an order and its look-up were both refused as the keys are no good."""
    status = order.status_code
    if look_up.status_code != status:
        return False
    return status == _KEYS_ARE_REFUSED or (
        status == _FORBIDDEN and look_up.reason == order.reason
    )


class Refusals:
    """Has refusals borne out; until then the row stays, and blocks its symbol.

    A refusal does not say whose it is, and a row that is removed too early is an order
    that nobody looks for.

    Args:
        outcomes: Record what became of the order.
        unsettled: Follow an order whose look-up has no answer.
        discarded: Write a row again whose refusal turns out to be doubtful.
    """

    def __init__(
        self, outcomes: Outcomes, unsettled: UnsettledOrders, discarded: Discarded
    ) -> None:
        self._outcomes = outcomes
        self._unsettled = unsettled
        self._discarded = discarded

    async def bear_out(
        self, attempt: Attempt, sent: SentOrder, error: RefusedError
    ) -> None:
        """Report a refusal, and look the order up once; leave the rest to recovery.

        The order keeps its slot meanwhile: a refusal may halt what follows. That of an
        order that an earlier run has drawn up says nothing of that run's own request.
        """
        trade, lease = attempt.trade, attempt.lease
        log.error(
            "Order refused: %s trade=%s signal=%s %s (body: %s)",
            trade.symbol,
            trade.id,
            trade.signal_id,
            error,
            error.body,
            extra=about_order(trade),
        )
        attempt.halt.refusal_heard(trade.id)
        if attempt.opening == "again":
            self._outcomes.unknown(trade, UnknownOutcomeError(_MAY_HAVE_ARRIVED))
            return
        refusal = Refusal(self._outcomes, self._discarded, attempt, sent, error)
        if not lease.try_take(Purpose.RECOVERY):
            self._unsettled.placed(trade, order_id=None, refusal=refusal)
            return
        try:
            await lease.use().order(
                client_order_id=trade.id, order_id=None, symbol=trade.symbol
            )
        except NotFoundError:
            await refusal.not_found()
        except RefusedError as exc:
            if not await refusal.not_answered(exc):
                self._unsettled.placed(trade, order_id=None, refusal=refusal)
        except BrokerError as exc:
            if isinstance(exc, RateLimitedError):
                lease.client.budget.block(exc.wait_seconds)
            order_log.warning(
                trade,
                "its refusal is not borne out yet, as the look-up failed (%s): its row"
                " stays, and the broker is asked again",
                exc,
            )
            self._unsettled.placed(trade, order_id=None, refusal=refusal)
        else:
            refusal.found()
            self._unsettled.placed(trade, order_id=None)  # recovery adopts it


@dataclass(slots=True, eq=False)
class Refusal:
    """One order's refusal, as ``reconciliation.OpenRefusal`` says."""

    outcomes: Outcomes
    discarded: Discarded
    attempt: Attempt
    sent: SentOrder
    error: RefusedError

    async def not_found(self) -> None:
        """Remove the row, unless the refusal may be another order's."""
        attempt, error = self.attempt, self.error
        if self.sent.is_doubtful:
            self.outcomes.unknown(attempt.trade, UnknownOutcomeError(DOUBTFUL))
            return
        gone = await self.outcomes.no_order(
            attempt,
            error.reason,
            error.status_code,
            is_about_symbol=error.is_about_symbol,
        )
        if gone:
            self.sent.if_doubted(partial(self.discarded.doubt, attempt.trade.id))

    async def not_answered(self, problem: RefusedError) -> bool:
        """Remove the row as well where both answers say that the keys are no good.

        With such keys there is no order, and there will be no other answer.
        """
        if not are_of_the_keys(self.error, problem):
            return False
        await self.not_found()
        return True

    def found(self) -> None:
        """Say that the order exists all the same."""
        order_log.error(
            self.attempt.trade,
            "the broker has the order that it refused: its row stays, and says what the"
            " broker says",
        )
