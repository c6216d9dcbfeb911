"""What became of an order that was sent: into its row, the log and the feed (SPEC 5)."""

from __future__ import annotations

import collections
import logging
from typing import TYPE_CHECKING, Literal

from snexec.broker import FINAL_STATUSES
from snexec.ledger import OrderRef
from snexec.logs import about

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from snexec.broker import BrokerOrder
    from snexec.errors import BrokerError, NotSentError, RefusedError
    from snexec.events import EventFeed
    from snexec.intake import TakenSignal
    from snexec.latency import Latencies
    from snexec.ledger import Applied, Change, NewTrade, Opening, Store, Writer
    from snexec.orders.skips import Skips
    from snexec.reconciliation import UnsettledOrders

log = logging.getLogger("TradeExecutor")

_REMEMBERED_REFUSALS = 256  # what the broker still says of one, it says soon


class Outcomes:
    """Puts down what the broker answered.

    Attributes:
        counts: How many orders had each outcome.
    """

    def __init__(
        self,
        *,
        writer: Writer,
        unsettled: UnsettledOrders,
        feed: EventFeed,
        latency: Latencies,
        skips: Skips,
    ) -> None:
        self._writer = writer
        self._unsettled = unsettled
        self._feed = feed
        self._latency = latency
        self._skips = skips
        self._taken_back: collections.OrderedDict[str, NewTrade] = (
            collections.OrderedDict()
        )
        self.counts: collections.Counter[Literal["placed", "refused", "unknown"]] = (
            collections.Counter()
        )

    def accepted(
        self,
        taken: TakenSignal,
        trade: NewTrade,
        order: BrokerOrder,
        *,
        at: float,
        done: Callable[[], None],
    ) -> None:
        """Put down that the broker has taken an order.

        Args:
            taken: The signal.
            trade: Its row.
            order: What the broker says of it.
            at: When that was known, on Trio's clock.
            done: Called when it is durable, or never will be.
        """
        times = self._latency.replied(trade.id, at=at)
        ref = OrderRef(mode=trade.mode, order_id=order.id, client_order_id=trade.id)
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
            extra=_about(trade, order.id),
        )
        # Followed before the row is written: a fill in the same commit ends it again.
        self._watch(trade, order.id)

        def written(applied: Applied | None) -> None:
            try:
                if applied is None or applied.settled:
                    self._unsettled.settled(trade.id)
                if applied is None:
                    self._tell_no_row(trade, order.id)
                    return
                if order.status in FINAL_STATUSES:
                    self._unsettled.ask_now(trade.id)
                more = {
                    "orderId": order.id,
                    "wireMs": times.wire_ms,
                    "replyMs": times.reply_ms,
                }
                self._publish("placed", taken, trade, more)
            finally:
                done()

        def failed(error: Exception) -> None:
            log.error(
                "%s trade=%s signal=%s: the row does not take that the broker has"
                " order %s (%s); the broker is asked again",
                trade.symbol,
                trade.id,
                trade.signal_id,
                order.id,
                error,
                extra=_about(trade, order.id),
            )
            done()

        self._writer.put(
            lambda store: store.apply_working(ref, times=times), written, failed
        )

    async def refused(
        self, taken: TakenSignal, trade: NewTrade, refusal: RefusedError
    ) -> None:
        """Put down that the broker does not take an order."""
        log.error(
            "Order refused: %s trade=%s signal=%s HTTP %d: %s (body: %s)",
            trade.symbol,
            trade.id,
            trade.signal_id,
            refusal.status_code,
            refusal.reason,
            refusal.body,
            extra=_about(trade),
        )
        await self._no_order(taken, trade, refusal.reason, refusal.status_code)

    async def not_sent(
        self, taken: TakenSignal, trade: NewTrade, problem: NotSentError
    ) -> None:
        """Put down that an order never left this machine."""
        log.error(
            "Order not sent: %s trade=%s signal=%s: no connection to the broker (%s)",
            trade.symbol,
            trade.id,
            trade.signal_id,
            problem,
            extra=_about(trade),
        )
        await self._no_order(taken, trade, f"not sent: {problem}", None)

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
            extra=_about(trade),
        )
        self._watch(trade)

    def look_up(self, trade: NewTrade) -> None:
        """Have the broker asked about an order that may have left."""
        self._unsettled.follow(
            trade_id=trade.id,
            symbol=trade.symbol,
            mode=trade.mode,
            order_id=None,
            signal_id=trade.signal_id,
        )

    def restore(
        self,
        ref: OrderRef,
        change: Change[Applied | None],
        tell: Callable[[Applied | None], None],
    ) -> bool:
        """Write a row again that was taken back, as the broker speaks of its order now.

        It has been seen that an order is answered 422 and executed (ALPACA 5.2).

        Args:
            ref: The order.
            change: What the broker said, to be applied to the row.
            tell: Called with what that did, once it is durable.

        Returns:
            Whether it is such an order.
        """
        trade = self._taken_back.pop(ref.client_order_id or "", None)
        if trade is None:
            return False
        log.error(
            "%s trade=%s signal=%s: the broker speaks of order %s, which counted as"
            " refused or not sent: its row is written again",
            trade.symbol,
            trade.id,
            trade.signal_id,
            ref.order_id,
            extra=_about(trade, ref.order_id),
        )

        def write(store: Store) -> tuple[Opening, Applied | None]:
            opening = store.open_trade(trade)
            return opening, change(store) if opening == "opened" else None

        def written(result: tuple[Opening, Applied | None]) -> None:
            opening, applied = result
            if opening != "opened":
                self._tell_lost(trade, ref.order_id, opening)
                return
            self._watch(trade, ref.order_id)
            tell(applied)
            self._unsettled.ask_now(trade.id)

        self._writer.put(
            write,
            written,
            lambda error: self._tell_lost(trade, ref.order_id, error),
        )
        return True

    async def drop_stale(self, taken: TakenSignal, trade: NewTrade, why: str) -> None:
        """Take back the row of an order that was too late to leave."""
        if await self._discard(trade):
            self._skips.warn_stale(taken, why)
            self._skips.skip(taken, "stale")

    async def drop_halted(self, taken: TakenSignal, trade: NewTrade) -> None:
        """Take back the row of an order that the kill switch kept."""
        if await self._discard(trade):
            self._skips.skip(taken, "halted")

    def _tell_lost(
        self, trade: NewTrade, order_id: str | None, why: Opening | Exception
    ) -> None:
        log.error(
            "%s trade=%s signal=%s: the row of order %s cannot be written again (%s):"
            " what it bought is held by no row; look at the account",
            trade.symbol,
            trade.id,
            trade.signal_id,
            order_id,
            why,
            extra=_about(trade, order_id),
        )

    def _tell_no_row(self, trade: NewTrade, order_id: str) -> None:
        log.error(
            "%s trade=%s signal=%s: the broker took the order as %s, and the row is"
            " gone or names another order: look at the account",
            trade.symbol,
            trade.id,
            trade.signal_id,
            order_id,
            extra=_about(trade, order_id),
        )

    async def _no_order(
        self, taken: TakenSignal, trade: NewTrade, reason: str, http: int | None
    ) -> None:
        """Remove the row of an order that does not exist, and tell."""
        self.counts["refused"] += 1
        if await self._discard(trade):
            self._publish("refused", taken, trade, {"httpStatus": http}, reason)

    async def _discard(self, trade: NewTrade) -> bool:
        gone = await self._writer.write(lambda store: store.discard_trade(trade.id))
        if gone:
            self._latency.forget(trade.id)
            self._taken_back[trade.id] = trade
            if len(self._taken_back) > _REMEMBERED_REFUSALS:
                self._taken_back.popitem(last=False)
        else:
            log.error(
                "%s trade=%s signal=%s: the stream has spoken of an order that was"
                " refused; its row stays, and the broker is asked",
                trade.symbol,
                trade.id,
                trade.signal_id,
                extra=_about(trade),
            )
            self._watch(trade)
        return gone

    def _watch(self, trade: NewTrade, order_id: str | None = None) -> None:
        self._unsettled.placed(
            trade_id=trade.id,
            symbol=trade.symbol,
            mode=trade.mode,
            order_id=order_id,
            signal_id=trade.signal_id,
        )

    def _publish(
        self,
        event: Literal["placed", "refused"],
        taken: TakenSignal,
        trade: NewTrade,
        more: Mapping[str, object],
        reason: str | None = None,
    ) -> None:
        self._feed.publish(
            event,
            {"mode": trade.mode, "notional": str(trade.notional), **more},
            signal_id=trade.signal_id,
            trade_id=trade.id,
            symbol=trade.symbol,
            reason=reason,
            sequence=taken.sequence,
        )


def _about(trade: NewTrade, order_id: str | None = None) -> dict[str, object]:
    return about(
        symbol=trade.symbol,
        trade_id=trade.id,
        signal_id=trade.signal_id,
        order_id=order_id,
    )
