"""What became of a sell that was sent: in its row, the log and the feed (SPEC 12.5)."""

from __future__ import annotations

import collections
import logging
import math
import sqlite3
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import trio

from snexec.errors import DuplicateOrderError, RateLimitedError, UnknownOutcomeError
from snexec.ledger import AwaitedChange, OrderRef
from snexec.logs import OrderLog, about_order
from snexec.orders.announcements import Announcements, decision
from snexec.orders.taken_id import TakenId
from snexec.reconciliation import is_final
from snexec.settings import ExitSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from snexec.broker import BrokerOrder
    from snexec.errors import BrokerError, RefusedError
    from snexec.events import EventFeed, EventName
    from snexec.latency import Times
    from snexec.ledger import ExitApplied, NewExit, Store, Writer
    from snexec.orders.sell_attempt import SellAttempt
    from snexec.orders.selling import Withheld
    from snexec.reconciliation import OpenRefusal, Sells, UnsettledOrders
    from snexec.settings import LiveSettings

log = logging.getLogger("TradeExecutor")
order_log = OrderLog(log)

_KEPT_BACK: dict[Withheld, str] = {
    "halted": "halt-all is on",
    "not_written": "its row is in a file that was touched",
}
_SENT_AGAIN = ", and it is sent again with its id if there is no such order"


class SellOutcomes:
    """Records what the broker answered to sells.

    Args:
        live: How long to wait before a sell is sent again.
        writer: Writes it.
        unsettled: Follows each sell until the broker has said its last word.
        sells: Reports what a refusal did.
        feed: Where it is published.

    Attributes:
        counts: How many sells had each outcome.
        announcements: What is said of sells that leave.
    """

    def __init__(
        self,
        live: LiveSettings,
        writer: Writer,
        unsettled: UnsettledOrders,
        sells: Sells,
        feed: EventFeed,
    ) -> None:
        self._live = live
        self._writer = writer
        self._unsettled = unsettled
        self._sells = sells
        self._feed = feed
        self.announcements = Announcements()
        sells.reports.say_first = self.announcements.say_all
        self.counts = collections.Counter[Literal["placed", "refused", "unknown"]]()

    def decided(self, attempt: SellAttempt) -> None:
        """Report that a sell is durable, and perhaps on its way."""
        self.announcements.add(partial(self._publish_decided, attempt.trade))

    def _publish_decided(self, new: NewExit) -> None:
        self._publish("exit", new, decision(new))

    def accepted(
        self,
        attempt: SellAttempt,
        order: BrokerOrder,
        recorded: Callable[[SellAttempt], None],
    ) -> None:
        """Record that the broker has taken a sell.

        Args:
            attempt: Which one.
            order: What the broker says of it.
            recorded: Called when that is durable, or never will be.
        """
        self.announcements.say_all()
        new = attempt.trade
        times = self._sells.latencies.replied(new.id, at=attempt.answered_at)
        self.counts["placed"] += 1
        is_stop = new.kind == "stop"
        log.info(
            "%s placed: %s %s shares%s (%s, %s) orderId=%s trade=%s signal=%s",
            "Stop" if is_stop else "Sell",
            new.symbol,
            new.quantity,
            f" at {new.trigger_price}" if is_stop else "",
            new.reason,
            new.mode,
            order.id,
            new.id,
            new.signal_id,
            extra=about_order(new, order_id=order.id),
        )
        # Followed before it is written: a fill in the same commit ends that again.
        self._unsettled.placed(new, order_id=order.id, side="sell")
        self._writer.put(_Acceptance(self, attempt, order, times, recorded))

    def unknown(self, attempt: SellAttempt, problem: BrokerError) -> None:
        """Leave a sell planned, and ask about it; unknown to the broker, it goes again.

        A 429 says that it was not taken: only a look-up has to bear that out. An id that
        was taken before is sent no more: there is an order, or will never be one.
        """
        self.announcements.say_all()
        new = attempt.trade
        self.counts["unknown"] += 1
        wait, following, refusal = self._resend_after(), _SENT_AGAIN, None
        if isinstance(problem, RateLimitedError):
            attempt.lease.client.budget.block(problem.wait_seconds)
            wait = 0.0
        elif isinstance(problem, DuplicateOrderError):
            wait, following = math.inf, ""
            refusal = TakenId(new, self._live.now.alpaca.unknown_grace_sec)
        log.warning(
            "Sell outcome unknown: %s trade=%s signal=%s: %s; the broker is asked what"
            " became of it%s",
            new.symbol,
            new.id,
            new.signal_id,
            problem,
            following,
            extra=about_order(new),
        )
        resend_at = trio.current_time() + wait
        self._unsettled.placed(
            new, order_id=None, side="sell", resend_at=resend_at, refusal=refusal
        )
        if isinstance(problem, UnknownOutcomeError):
            self._unsettled.unanswered(new.id)
        self._publish("exit_unknown", new, {"problem": str(problem)})
        attempt.listener.unknown(new, problem)

    def waits_for_earlier(self, attempt: SellAttempt) -> bool:
        """Wait until no earlier request for a refused sell can arrive any more.

        It says nothing of that one; and another sell beside it may fill as well.

        Returns:
            Whether there is one to wait for.
        """
        new, now = attempt.trade, trio.current_time()
        order = self._unsettled.get(new.id)
        if order is None or order.unanswered_at is None:
            return False
        over_at = order.unanswered_at + self._live.now.alpaca.unknown_grace_sec
        if now >= over_at:
            return False
        order_log.warning(
            new,
            "an earlier request for this sell had no answer, and may still arrive: it is"
            " asked about for %.0f s more, then sent once more",
            over_at - now,
        )
        self._unsettled.placed(new, order_id=None, side="sell", resend_at=over_at)
        return True

    def lost(self, attempt: SellAttempt) -> None:
        """Ask the broker about a sell whose acceptance could not be recorded."""
        self.look_up(attempt.trade)

    def look_up(self, new: NewExit, *, sends_again: bool = True) -> None:
        """Ask the broker about a sell that may have left, as soon as possible.

        Args:
            new: The sell.
            sends_again: Whether it is still to be sold by, if the broker has it not.
        """
        wait = self._resend_after() if sends_again else math.inf
        resend_at = trio.current_time() + wait
        self._unsettled.placed(new, order_id=None, side="sell", resend_at=resend_at)

    def refused(
        self, attempt: SellAttempt, refusal: OpenRefusal, error: RefusedError
    ) -> None:
        """Have a refusal borne out by a look-up; until then the sell may exist."""
        self.announcements.say_all()
        new = attempt.trade
        log.error(
            "Sell refused: %s %s shares trade=%s signal=%s %s (body: %s)",
            new.symbol,
            new.quantity,
            new.id,
            new.signal_id,
            error,
            error.body,
            extra=about_order(new),
        )
        self._unsettled.placed(new, order_id=None, side="sell", refusal=refusal)

    async def refused_durably(self, attempt: SellAttempt, error: RefusedError) -> None:
        """Settle a sell that the broker refused and does not know."""
        applied = await self._gone(attempt.trade, "refused")
        if applied is None:
            return
        self.counts["refused"] += 1
        more = {"httpStatus": error.status_code, "message": error.reason}
        self._publish("exit_refused", attempt.trade, more)
        self._sells.reports.tell(applied, "lookup")
        attempt.listener.refused(attempt.trade, error)

    async def withheld(self, attempt: SellAttempt, why: Withheld) -> None:
        """Drop a sell that did not leave, unless it may have left at another time."""
        self.announcements.say_all()
        new = attempt.trade
        order_log.warning(new, "not sold: %s", _KEPT_BACK[why])
        if attempt.sell.exit_id is None:
            applied = await self._gone(new, "dropped")
            if applied is not None:
                self._sells.reports.tell(applied, "lookup")
        else:
            self._sells.did_not_leave(new.id)
        attempt.listener.withheld(new, why)

    def recorded(self, acceptance: _Acceptance, applied: ExitApplied | None) -> None:
        """Report an acceptance that is durable."""
        attempt, order = acceptance.attempt, acceptance.order
        new = attempt.trade
        if applied is None:
            self._unsettled.settled(new.id)
            order_log.error(
                new,
                "the broker took the sell as %s, and its row is gone or names another"
                " order: look at the account",
                order.id,
                order_id=order.id,
            )
            attempt.listener.unbooked(new, order)
            return
        if applied.settled:
            self._unsettled.settled(new.id)
        elif is_final(order):
            self._unsettled.ask_now(new.id)
        times = acceptance.times
        more = {
            "shares": float(new.quantity),
            "wireMs": times.wire_ms,
            "replyMs": times.reply_ms,
        }
        self._publish("exit_placed", new, more, order_id=order.id)
        self._sells.reports.tell(applied, "lookup")
        attempt.listener.placed(new, order)

    def not_recorded(self, acceptance: _Acceptance, error: Exception) -> None:
        """Log that the sell cannot be changed; the broker is asked again."""
        order_log.error(
            acceptance.attempt.trade,
            "the row does not take that the broker has the sell %s (%s); it is asked again",
            acceptance.order.id,
            error,
            order_id=acceptance.order.id,
        )

    def _resend_after(self) -> float:
        """Return for how many seconds a look-up must have found nothing."""
        return (self._live.now.exits or ExitSettings()).resend_after_sec

    async def _gone(
        self, new: NewExit, how: Literal["refused", "dropped"]
    ) -> ExitApplied | None:
        """Settle a sell that does not exist; None if the broker has spoken of it."""
        ref = OrderRef(new.mode, None, new.id)
        change = AwaitedChange(lambda store: store.exits.apply_gone(ref, how))
        self._writer.put(change)
        try:
            applied = await change.result()
        except sqlite3.Error as exc:
            order_log.error(
                new, "it cannot be written that there is no such sell (%s)", exc
            )
            applied = None
        if applied is None or applied.outcome != how:
            self._unsettled.placed(new, order_id=None, side="sell")
            return None
        self._sells.latencies.forget(new.id)
        self._unsettled.settled(new.id)
        return applied

    def _publish(
        self,
        event: EventName,
        new: NewExit,
        more: Mapping[str, object],
        *,
        order_id: str | None = None,
    ) -> None:
        self._feed.publish(
            event,
            {"exitId": new.id, "orderId": order_id, "mode": new.mode, **more},
            signal_id=new.signal_id,
            trade_id=new.row_id,
            symbol=new.symbol,
            reason=new.reason,
        )


@dataclass(slots=True, eq=False)
class _Acceptance:
    """The change that an acceptance makes to a sell."""

    outcomes: SellOutcomes
    attempt: SellAttempt
    order: BrokerOrder
    times: Times
    told: Callable[[SellAttempt], None]

    def apply(self, store: Store) -> ExitApplied | None:
        """Write the broker's id, unless the sell says more already."""
        new = self.attempt.trade
        ref = OrderRef(new.mode, self.order.id, new.id)
        return store.exits.apply_working(ref, times=self.times)

    def done(self, applied: ExitApplied | None) -> None:
        """Report it, and go on even if that fails."""
        try:
            self.outcomes.recorded(self, applied)
        finally:
            self.told(self.attempt)

    def failed(self, error: Exception) -> None:
        """Report that it cannot be written."""
        self.outcomes.not_recorded(self, error)
        self.told(self.attempt)
