"""What the broker's word did to a sell and its row: logged, published (SPEC 12.5, 12.8)."""

from __future__ import annotations

import logging
import sqlite3
from typing import TYPE_CHECKING

from snexec.logs import OrderLog, about, about_order
from snexec.model import plain
from snexec.reconciliation.parties import ForeignSell

if TYPE_CHECKING:
    from collections.abc import Callable

    from snexec.events import EventFeed, EventName
    from snexec.ledger import ExitApplied
    from snexec.reconciliation.parties import Holdings
    from snexec.reconciliation.sell_steps import SellStep
    from snexec.reconciliation.steps import Source
    from snexec.reconciliation.unsettled import UnsettledOrders

log = logging.getLogger("TradeExecutor")
order_log = OrderLog(log)


class SellReports:
    """Reports what was really sold, and what was not.

    Args:
        unsettled: Follows each sell until the broker's last word.
        holdings: Hear of each change.
        feed: Where it is published.

    Attributes:
        say_first: Called before it is reported what became of a sell: what was to be said
            of its leaving comes first.
    """

    def __init__(
        self, unsettled: UnsettledOrders, holdings: list[Holdings], feed: EventFeed
    ) -> None:
        self._unsettled = unsettled
        self._holdings = holdings
        self._feed = feed
        self.say_first: Callable[[], None] = lambda: None

    def report(self, step: SellStep, applied: ExitApplied | None) -> None:
        """Report what a step did to its sell; None where no sell of ours matches."""
        if applied is None:
            self._no_sell(step)
            return
        if step.source == "stream":
            self._unsettled.note_streamed(applied.id)
        self._unsettled.written(applied.id)
        self.tell(applied, step.source)
        if applied.settled:
            self._unsettled.settled(applied.id)
        elif step.is_filled:
            order_log.warning(
                applied,
                "a final fill came without a readable price or quantity; asking the"
                " broker",
            )
            self._unsettled.follow_sell(applied)
        elif step.how is not None:  # how much it sold before could not be read
            self._unsettled.follow_sell(applied)

    def tell(self, applied: ExitApplied, source: Source) -> None:
        """Log and publish what a change did, and hand it on to whoever holds positions."""
        self.say_first()
        if applied.executed and applied.kind != "external":
            self._tell_fill(applied, source)
        if applied.outcome in {"canceled", "expired", "rejected"}:
            # A stop ends with each session, and whenever something else sells the row.
            is_stop = applied.kind == "stop" and applied.outcome != "rejected"
            log.log(
                logging.INFO if is_stop else logging.WARNING,
                "%s %s: %s %s of %s sold orderId=%s trade=%s signal=%s",
                "Stop" if applied.kind == "stop" else "Sell",
                applied.outcome,
                applied.symbol,
                applied.sold,
                applied.quantity,
                applied.order_id,
                applied.id,
                applied.signal_id,
                extra=about_order(applied),
            )
        if applied.outcome == "found_late":
            order_log.error(
                applied,
                "the broker has this sell, which had been given up, while %s is under"
                " way: look at the account, which may be short of %s",
                applied.also_live,
                applied.symbol,
            )
        if applied.oversold is not None:
            order_log.error(
                applied,
                "%s shares more were sold than its row held (%s): look at the account,"
                " which may be short of %s",
                applied.oversold,
                applied.row_id,
                applied.symbol,
            )
            self.publish(
                "oversold",
                applied,
                {"oversold": float(applied.oversold), "source": source},
            )
        if applied.closed:
            self._tell_closed(applied, source)
        if applied.changed:
            for each in self._holdings:
                each.sold(applied)

    def not_written(self, step: SellStep, error: Exception) -> None:
        """Report that the rows do not take what a step says: recovery asks again."""
        exit_id = step.ref.client_order_id
        if step.source == "stream" and exit_id is not None:
            self._unsettled.note_streamed(exit_id)  # the stream did its part
        if not self._unsettled.not_written(exit_id, str(error)):
            return
        log.error(
            "%s trade=%s orderId=%s: its rows do not take what the broker says of this"
            " sell (%s); the broker is asked again until they do",
            step.symbol,
            exit_id,
            step.ref.order_id,
            error,
            exc_info=None if isinstance(error, sqlite3.Error) else error,
            extra=about(
                symbol=step.symbol, trade_id=exit_id, order_id=step.ref.order_id
            ),
        )

    def publish(
        self, event: EventName, applied: ExitApplied, more: dict[str, object]
    ) -> None:
        """Publish an event about a sell, under its row's id."""
        self._feed.publish(
            event,
            {
                "exitId": applied.id,
                "orderId": applied.order_id,
                "mode": applied.mode,
                **more,
            },
            signal_id=applied.signal_id,
            trade_id=applied.row_id,
            symbol=applied.symbol,
            reason=applied.reason,
        )

    def _tell_fill(self, applied: ExitApplied, source: Source) -> None:
        log.info(
            "Sold: %s %s of %s shares at %s orderId=%s trade=%s signal=%s",
            applied.symbol,
            applied.sold,
            applied.quantity,
            applied.price,
            applied.order_id,
            applied.id,
            applied.signal_id,
            extra=about_order(applied),
        )
        self.publish(
            "exit_fill",
            applied,
            {
                "executed": float(applied.executed),
                "shares": float(applied.sold),
                "exitPrice": None if applied.price is None else float(applied.price),
                "remaining": float(applied.remaining),
                "status": applied.row_status,
                "source": source,
            },
        )

    def _tell_closed(self, applied: ExitApplied, source: Source) -> None:
        left = ""
        if applied.remaining:
            left = f"; {plain(applied.remaining)} left, which is dust"
        log.info(
            "Closed: %s at %s, %s (%s) trade=%s signal=%s%s",
            applied.symbol,
            "a price that is not known"
            if applied.exit_price is None
            else plain(applied.exit_price),
            "P&L not known"
            if applied.pnl is None
            else f"{'-' if applied.pnl < 0 else '+'}${abs(applied.pnl):.2f}",
            applied.exit_reason or applied.reason,
            applied.row_id,
            applied.signal_id,
            left,
            extra=about_order(applied),
        )
        self.publish(
            "closed",
            applied._replace(reason=applied.exit_reason or applied.reason),
            {
                "exitPrice": None
                if applied.exit_price is None
                else float(applied.exit_price),
                "pnl": None if applied.pnl is None else float(applied.pnl),
                "status": applied.row_status,
                "source": source,
            },
        )

    def _no_sell(self, step: SellStep) -> None:
        if step.source == "stream":
            log.debug(
                "an event of order %s (%s) is about none of our sells",
                step.ref.order_id,
                step.symbol,
                extra=about(symbol=step.symbol, order_id=step.ref.order_id),
            )
            sell = ForeignSell(step.ref.mode, step.symbol or "", step.ref.order_id)
            if step.is_filled:
                sell = sell._replace(quantity=step.quantity, price=step.price)
            for each in self._holdings:
                each.foreign_sell(sell)
            return
        exit_id = step.ref.client_order_id or ""
        self._unsettled.settled(exit_id)
        log.warning(
            "%s trade=%s: the broker has order %s, and its sell is gone or names another;"
            " look at the account",
            step.symbol,
            exit_id,
            step.ref.order_id,
            extra=about(
                symbol=step.symbol, trade_id=exit_id, order_id=step.ref.order_id
            ),
        )
