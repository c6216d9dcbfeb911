"""What became of an order that was sent: in its row, the log and the feed (SPEC 5)."""

from __future__ import annotations

import collections
import logging
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import trio

from snexec.broker import FINAL_STATUSES
from snexec.ledger import AwaitedChange, OrderRef
from snexec.logs import OrderLog, about_order

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from snexec.broker import BrokerOrder
    from snexec.errors import BrokerError, NotSentError
    from snexec.events import EventFeed
    from snexec.latency import Latencies, Times
    from snexec.ledger import Applied, Ledger, NewTrade, Store
    from snexec.orders.attempt import Attempt
    from snexec.orders.intent import SkipReason
    from snexec.reconciliation import Discarded, UnsettledOrders

log = logging.getLogger("TradeExecutor")
order_log = OrderLog(log)


class Outcomes:
    """Records what the broker answered.

    Args:
        ledger: The rows.
        unsettled: Follows each order until the broker has said its last word.
        discarded: Remembers the rows that are removed.
        latencies: Times each order.
        feed: Where it is published.

    Attributes:
        counts: How many orders had each outcome.
    """

    def __init__(
        self,
        ledger: Ledger,
        unsettled: UnsettledOrders,
        discarded: Discarded,
        latencies: Latencies,
        feed: EventFeed,
    ) -> None:
        self._ledger = ledger
        self._writer = ledger.writer
        self._unsettled = unsettled
        self._discarded = discarded
        self._latencies = latencies
        self._feed = feed
        self.counts: collections.Counter[Literal["placed", "refused", "unknown"]] = (
            collections.Counter()
        )

    def accepted(
        self,
        attempt: Attempt,
        order: BrokerOrder,
        recorded: Callable[[Attempt], None],
    ) -> None:
        """Record that the broker has taken an order.

        Args:
            attempt: Whose order it is.
            order: What the broker says of it.
            recorded: Called when that is durable, or never will be.
        """
        trade = attempt.trade
        times = self._latencies.replied(trade.id, at=attempt.answered_at)
        self.counts["placed"] += 1
        log.info(
            "Order placed: %s $%s (%d stars, %s) orderId=%s trade=%s signal=%s",
            trade.symbol,
            str(trade.notional),
            trade.stars,
            trade.mode,
            order.id,
            trade.id,
            trade.signal_id,
            extra=about_order(trade, order_id=order.id),
        )
        # Followed before the row is written: a fill in the same commit ends that again.
        self._unsettled.placed(trade, order_id=order.id)
        self._writer.put(_Acceptance(self, attempt, order, times, recorded))

    async def accepted_durably(self, attempt: Attempt, order: BrokerOrder) -> None:
        """Record that the broker has taken an order, and wait until that is durable."""
        durable = trio.Event()
        self.accepted(attempt, order, lambda _attempt: durable.set())
        await durable.wait()

    async def not_sent(self, attempt: Attempt, problem: NotSentError) -> None:
        """Record that an order never left this machine."""
        trade = attempt.trade
        log.error(
            "Order not sent: %s trade=%s signal=%s: no connection to the broker (%s)",
            trade.symbol,
            trade.id,
            trade.signal_id,
            problem,
            extra=about_order(trade),
        )
        await self.no_order(attempt, f"not sent: {problem}", None)

    async def no_order(
        self,
        attempt: Attempt,
        reason: str,
        http: int | None,
        *,
        is_about_symbol: bool = False,
    ) -> bool:
        """Remove the row of an order that does not exist, and report it.

        Returns:
            Whether it is gone; one that the broker has spoken of stays.
        """
        self.counts["refused"] += 1
        gone = await self._discard(attempt.trade)
        if gone:
            self._publish(
                "refused",
                attempt,
                {"httpStatus": http},
                reason,
                is_about_symbol=is_about_symbol,
            )
        return gone

    def unknown(self, trade: NewTrade, problem: BrokerError) -> None:
        """Leave the row open until the broker's evidence settles it."""
        self.counts["unknown"] += 1
        log.warning(
            "Order outcome unknown: %s trade=%s signal=%s: %s; it is not sent again,"
            " the broker is asked what became of it",
            trade.symbol,
            trade.id,
            trade.signal_id,
            problem,
            extra=about_order(trade),
        )
        self._unsettled.placed(trade, order_id=None)

    def lost(self, attempt: Attempt) -> None:
        """Ask the broker about an order whose acceptance could not be recorded."""
        self.look_up(attempt.trade)

    def look_up(self, trade: NewTrade) -> None:
        """Ask the broker about an order that may have left, as soon as possible."""
        self._unsettled.follow(trade)

    async def drop(
        self, attempt: Attempt, reason: SkipReason, *, why: str = ""
    ) -> None:
        """Remove the row of an order that did not leave, and report that.

        Args:
            attempt: Whose row it is.
            reason: As the feed carries it.
            why: For the log, where it waited too long.
        """
        self._discarded.expect(attempt.trade.id, elsewhere=reason == "standby")
        if await self._discard(attempt.trade):
            attempt.intent.dropped(reason, why=why)

    def drop_unsafe(self, attempt: Attempt) -> None:
        """Report an order that did not leave, as its row would not have been found.

        The row is removed once rows can be written again, if it is there then.
        """
        order_log.error(
            attempt.trade,
            "is not traded: its row is in a file that was touched (%s)",
            self._ledger.damage or "it is well again",
        )
        self._writer.put(_Removal(attempt.trade.id))
        attempt.intent.dropped("not_written")

    def recorded(self, acceptance: _Acceptance, applied: Applied | None) -> None:
        """Report an acceptance that is durable."""
        trade, order = acceptance.attempt.trade, acceptance.order
        if applied is not None and applied.outcome == "disputed":
            order_log.error(
                trade,
                "the broker took the order as %s, and the row names another order, or"
                " another row names that one: the broker is asked",
                order.id,
                order_id=order.id,
            )
            self._unsettled.dispute(applied)
            return
        if applied is None or applied.settled:
            self._unsettled.settled(trade.id)
        if applied is None:
            order_log.error(
                trade,
                "the broker took the order as %s, and the row is gone or names another"
                " order: look at the account",
                order.id,
                order_id=order.id,
            )
            return
        if order.has_bought or order.status in FINAL_STATUSES:
            self._unsettled.ask_now(trade.id)
        times = acceptance.times
        more = {
            "orderId": order.id,
            "wireMs": times.wire_ms,
            "replyMs": times.reply_ms,
        }
        self._publish("placed", acceptance.attempt, more)

    async def _discard(self, trade: NewTrade) -> bool:
        change = _Discard(trade, self._discarded)
        self._writer.put(change)
        try:
            gone = await change.result()
        except sqlite3.Error as exc:
            order_log.error(
                trade,
                "its row cannot be removed (%s); it stays, and the broker is asked"
                " until the row is missed",
                exc,
            )
            self._unsettled.placed(trade, order_id=None)
            return True  # there is no order all the same
        if gone:
            self._latencies.forget(trade.id)
            self._unsettled.settled(trade.id)
        else:
            order_log.error(
                trade,
                "the stream has spoken of an order that was refused; its row stays, and"
                " the broker is asked",
            )
            self._unsettled.placed(trade, order_id=None)
        return gone

    def _publish(
        self,
        event: Literal["placed", "refused"],
        attempt: Attempt,
        more: Mapping[str, object],
        reason: str | None = None,
        *,
        is_about_symbol: bool = False,
    ) -> None:
        trade = attempt.trade
        self._feed.publish(
            event,
            {**trade.said, **more},
            signal_id=trade.signal_id,
            trade_id=trade.id,
            symbol=trade.symbol,
            reason=reason,
            sequence=attempt.intent.sequence,
            is_about_symbol=is_about_symbol,
        )


@dataclass(slots=True, eq=False)
class _Acceptance:
    """The change that an acceptance makes to the order's row."""

    outcomes: Outcomes
    attempt: Attempt
    order: BrokerOrder
    times: Times
    recorded: Callable[[Attempt], None]

    def apply(self, store: Store) -> Applied | None:
        """Write the broker's id, unless the row says more already."""
        trade = self.attempt.trade
        ref = OrderRef(
            mode=trade.mode, order_id=self.order.id, client_order_id=trade.id
        )
        return store.apply_working(ref, times=self.times)

    def done(self, applied: Applied | None) -> None:
        """Report it, and go on even if that fails."""
        try:
            self.outcomes.recorded(self, applied)
        finally:
            self.recorded(self.attempt)

    def failed(self, error: Exception) -> None:
        """Log that the row cannot be changed; the broker is asked again."""
        order_log.error(
            self.attempt.trade,
            "the row does not take that the broker has order %s (%s); the broker is"
            " asked again",
            self.order.id,
            error,
            order_id=self.order.id,
        )
        self.recorded(self.attempt)


class _Discard(AwaitedChange[bool]):
    """The change that removes the row of an order that does not exist.

    Args:
        trade: The row.
        discarded: Remembers it at once: what is reported next, out of the same commit,
            may be the broker's word on this very order.
    """

    def __init__(self, trade: NewTrade, discarded: Discarded) -> None:
        super().__init__(lambda store: store.discard_trade(trade.id))
        self._trade = trade
        self._discarded = discarded

    def done(self, result: bool) -> None:
        """Remember the row, and wake the caller."""
        if result:
            self._discarded.remember(self._trade)
        super().done(result)


@dataclass(slots=True, eq=False)
class _Removal:
    """The change that removes the row of an order that did not leave."""

    trade_id: str

    def apply(self, store: Store) -> bool:
        """Remove it, unless the broker has spoken of it."""
        return store.discard_trade(self.trade_id)

    def done(self, _gone: bool) -> None:
        """Nobody waits for it."""

    def failed(self, error: Exception) -> None:
        """Log that it stays; the next start asks the broker about it."""
        log.error(
            "trade=%s did not leave, and its row cannot be removed (%s); the next start"
            " finds that the broker does not know it",
            self.trade_id,
            error,
        )
