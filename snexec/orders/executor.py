"""One order's life: from an intent to a row, to the wire, and to an answer (SPEC 5)."""

from __future__ import annotations

import logging
import sqlite3
from typing import TYPE_CHECKING, Protocol

from snexec.errors import (
    DuplicateOrderError,
    NotSentError,
    RateLimitedError,
    RefusedError,
    UnknownOutcomeError,
)
from snexec.logs import OrderLog, about_order
from snexec.orders.attempt import Attempt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snexec.broker import Lease, SentOrder
    from snexec.latency import Latencies
    from snexec.ledger import Ledger, NewTrade
    from snexec.orders.attempt import Owner
    from snexec.orders.intent import Intent, SkipReason
    from snexec.orders.outcomes import Outcomes
    from snexec.orders.refusals import Refusals
    from snexec.orders.resend import Resend
    from snexec.reconciliation import UnsettledOrders
    from snexec.risk import HaltSwitch

log = logging.getLogger("TradeExecutor")
order_log = OrderLog(log)


class Onlooker(Protocol):
    """Must know of an order before anything else does."""

    def leaving(self, trade: NewTrade, sequence: int | None) -> None:
        """Called just before an order leaves, with its signal's place in this run."""


class TradeExecutor:
    """Draws up orders, sends them, and acts on their answers.

    Args:
        outcomes: Records what the broker answered.
        refusals: Have the broker's no borne out.
        resend: What to do after a 429.
        unsettled: Follows the orders of an earlier run until they are sent once more.
        latencies: Times each order.
        halt: The kill switch, checked last before an order leaves.
        ledger: Nothing leaves while its files are not what they were.
        onlookers: Called with each order just before it leaves.
    """

    def __init__(
        self,
        *,
        outcomes: Outcomes,
        refusals: Refusals,
        resend: Resend,
        unsettled: UnsettledOrders,
        latencies: Latencies,
        halt: HaltSwitch,
        ledger: Ledger,
        onlookers: Sequence[Onlooker],
    ) -> None:
        self._outcomes = outcomes
        self._refusals = refusals
        self._resend = resend
        self._unsettled = unsettled
        self._latencies = latencies
        self._halt = halt
        self._ledger = ledger
        self._onlookers = onlookers

    def draw_up(self, intent: Intent, lease: Lease, *, owner: Owner) -> Attempt:
        """Build the attempt for an intent; nothing is written or sent yet.

        Args:
            intent: One that may be ordered now.
            lease: The account's, with one request of its budget.
            owner: Sees the attempt through to its end.
        """
        return Attempt(
            intent=intent,
            trade=intent.draw_up(lease.client.mode),
            lease=lease,
            owner=owner,
            halt=self._halt,
            ledger=self._ledger,
            latencies=self._latencies,
        )

    def send(self, attempt: Attempt) -> SentOrder | None:
        """Send the order of a row that was opened, if it is still wanted.

        Returns:
            None where it is not, or cannot be sent: ``execute_trade`` does the rest.
        """
        try:
            if attempt.given_up or attempt.is_withheld():
                return None
            for onlooker in self._onlookers:
                onlooker.leaving(attempt.trade, attempt.intent.sequence)
            if attempt.opening == "again":
                self._note_again(attempt.trade)
            self._latencies.begin(attempt.trade.id, read_at=attempt.intent.read_at)
            attempt.sent = attempt.lease.send_order(attempt)
        except Exception as exc:  # noqa: BLE001 - raised by the order's own task
            attempt.error = exc
            return None
        return attempt.sent

    def _note_again(self, trade: NewTrade) -> None:
        """Stop asking about an order of an earlier run, which leaves now in its row.

        As of any order under way, nothing ends its row before its own answer has come.
        """
        order_log.warning(
            trade,
            "an earlier run has drawn up the order, and the broker does not know it: it"
            " is sent by the same id, which the broker takes once",
        )
        self._unsettled.settled(trade.id)

    async def execute_trade(self, attempt: Attempt) -> None:
        """Do the rest for an order that did not go straight through.

        Its row could not be written, or there is none; or it was withheld at the last
        moment; or it was sent, and answered with anything but an acceptance.
        """
        trade = attempt.trade
        if attempt.error is not None:
            self._not_written(attempt, attempt.error)
        elif (reason := attempt.has_no_row) is not None:
            attempt.intent.dropped(reason)
        elif attempt.sent is not None:
            try:
                await self._see_through(attempt, attempt.sent)
            except Exception:
                # Whatever went wrong, the row is open and the order may have left.
                self._outcomes.look_up(trade)
                raise
        else:
            await self._withheld(attempt, why="its row could not be written in time")

    def _not_written(self, attempt: Attempt, error: Exception) -> None:
        trade = attempt.trade
        if not isinstance(error, sqlite3.Error):
            self._outcomes.look_up(trade)
            raise error
        log.error(
            "%s signal=%s is not traded: the database refuses its row (%s)",
            trade.symbol,
            trade.signal_id,
            error,
            extra=about_order(trade),
        )
        attempt.intent.dropped("not_written")

    async def _withheld(self, attempt: Attempt, *, why: str) -> None:
        """Remove the row of an order that was kept from leaving, if it never left."""
        reason: SkipReason = attempt.lapsed or "stale"
        if attempt.unsafe:
            reason = "not_written"
        elif attempt.halted and attempt.lapsed != "standby":
            reason = "halted"
        if attempt.opening == "again":
            # Recovery asks on about its row, which is open, whatever it was before.
            self._unsettled.revived(attempt.trade.id)
            self._outcomes.look_up(attempt.trade)
            attempt.intent.dropped(reason, why=why)
        elif attempt.unsafe:
            self._outcomes.drop_unsafe(attempt)
        else:
            await self._outcomes.drop(attempt, reason, why=why)

    async def _see_through(self, attempt: Attempt, sent: SentOrder) -> None:
        """Record what became of an order that has left, once it is answered."""
        while True:
            try:
                order = sent.outcome()
            except RateLimitedError as exc:
                self._resend.note_limit(attempt, exc)
                if await self._resend.was_turned_away(attempt, sent):
                    has_request = await self._resend.take_request(attempt)
                    if has_request and not attempt.is_kept_back():
                        sent = await self._resend.send_again(attempt)
                        continue
                    await self._withheld(attempt, why="the rate limit held it up")
            except (UnknownOutcomeError, DuplicateOrderError) as exc:
                # A duplicate was accepted earlier, perhaps through this very request.
                self._outcomes.unknown(attempt.trade, exc)
            except RefusedError as exc:
                await self._refusals.bear_out(attempt, sent, exc)
            except NotSentError as exc:
                if attempt.halted or attempt.lapsed or attempt.unsafe:
                    why = "no connection to the broker was free in time"
                    await self._withheld(attempt, why=why)
                elif attempt.opening == "again":
                    self._outcomes.unknown(attempt.trade, exc)
                else:
                    await self._outcomes.not_sent(attempt, exc)
            else:
                await self._outcomes.accepted_durably(attempt, order)
            return
