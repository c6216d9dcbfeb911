"""What the broker's word did to a row: logged, published, and settled if final."""

from __future__ import annotations

import logging
import sqlite3
from typing import TYPE_CHECKING, Literal

from snexec.logs import OrderLog, about, about_order
from snexec.recent import Recent
from snexec.reconciliation.parties import ForeignSell
from snexec.reconciliation.steps import EndedStep, FillStep

if TYPE_CHECKING:
    from snexec.events import EventFeed
    from snexec.ledger import Applied
    from snexec.reconciliation.discarded import Discarded
    from snexec.reconciliation.parties import Holdings
    from snexec.reconciliation.steps import Source, Step
    from snexec.reconciliation.unsettled import UnsettledOrders

log = logging.getLogger("TradeExecutor")
order_log = OrderLog(log)

_REMEMBERED_DISPUTES = 256


class Confirmations:
    """Reports what was really bought, and what was not.

    Args:
        unsettled: Follows each order until the broker's last word.
        discarded: Restores a row that was removed.
        holdings: Hear what each row holds.
        feed: Where it is published.
    """

    def __init__(
        self,
        unsettled: UnsettledOrders,
        discarded: Discarded,
        holdings: list[Holdings],
        feed: EventFeed,
    ) -> None:
        self._unsettled = unsettled
        self._discarded = discarded
        self._holdings = holdings
        self._feed = feed
        self._disputes = Recent[str](_REMEMBERED_DISPUTES)

    def report_not_found(self, applied: Applied) -> None:
        """Report that an order was given up."""
        self._publish("settled", applied, "lookup")

    def report(  # noqa: PLR0912 - one branch an outcome, as a table
        self, step: Step, applied: Applied | None
    ) -> None:
        """Report what a step did to its row; None where no row of ours matches."""
        if applied is None:
            self._no_row(step)
            return
        if applied.outcome == "disputed":
            self._disputed(step, applied)
            return
        if step.source == "stream":
            self._unsettled.note_streamed(applied.trade_id)
        if not applied.settled:
            self._unsettled.written(applied.trade_id)
            if applied.status != "missed":
                self._unsettled.revived(applied.trade_id)
        match applied.outcome:
            case "fill":
                self._bought(applied, step.source)
            case "partial_fill":
                if step.source == "stream" or applied.changed:
                    self._partly_bought(step, applied)
            case "found_late" if applied.changed:
                self._found_late(step, applied)
            case "rejected":
                log.warning(
                    "Order rejected: %s orderId=%s",
                    applied.symbol,
                    applied.order_id,
                    extra=about_order(applied),
                )
                self._publish(
                    "rejected",
                    applied,
                    step.source,
                    is_about_symbol=isinstance(step, EndedStep)
                    and step.is_about_symbol,
                )
                self._publish("settled", applied, step.source)
            case "canceled" | "expired" | "not_found":
                log.warning(
                    "Order %s: %s orderId=%s trade=%s signal=%s: nothing was bought",
                    applied.outcome,
                    applied.symbol,
                    applied.order_id,
                    applied.trade_id,
                    applied.signal_id,
                    extra=about_order(applied),
                )
                self._publish("settled", applied, step.source)
            case "contradicted":
                self._contradicted(step, applied)
            case "working":
                order_log.warning(
                    applied, "the broker has the order after all; its row is open again"
                )
                self._placed(step, applied)
            case "unchanged" if applied.changed:
                self._placed(step, applied)
            case "found_late" | "unchanged" | "disputed":
                pass
        if applied.reopened and applied.outcome != "working":
            order_log.warning(
                applied,
                "its row had ended as missed; the order has bought after all,"
                " and the row is open again",
            )
        if applied.unheld is not None:
            order_log.error(
                applied,
                "order %s has bought %s shares more than its row held when it was"
                " closed; no open row holds them, look at the account",
                applied.order_id,
                applied.unheld,
            )
        if (
            isinstance(step, EndedStep)
            and step.how == "rejected"
            and step.quantity
            and applied.changed
        ):
            order_log.error(
                applied,
                "the broker rejected order %s after it had bought %s shares; they are"
                " kept, look at the account",
                applied.order_id,
                step.quantity,
            )
        if applied.settled:
            self._unsettled.settled(applied.trade_id)
        for each in self._holdings:
            each.bought(applied)

    def _placed(self, step: Step, applied: Applied) -> None:
        """Report that an order is known to the broker, which nobody knew before."""
        if step.source == "stream" or applied.status != "open":
            return
        log.info(
            "Order placed: %s orderId=%s trade=%s signal=%s: a look-up has found it",
            applied.symbol,
            applied.order_id,
            applied.trade_id,
            applied.signal_id,
            extra=about_order(applied),
        )
        notional = None if applied.notional is None else f"{applied.notional:.2f}"
        self._publish("placed", applied, step.source, notional=notional)

    def not_written(self, step: Step, error: Exception) -> None:
        """Report that a row does not take what a step says: recovery asks again."""
        trade_id = step.ref.client_order_id
        if step.source == "stream" and trade_id is not None:
            self._unsettled.note_streamed(trade_id)  # the stream did its part
        if not self._unsettled.not_written(trade_id, str(error)):
            return
        log.error(
            "%s trade=%s orderId=%s: its row does not take what the broker says (%s);"
            " it stays as it is, and the broker is asked again until it does",
            step.symbol,
            trade_id,
            step.ref.order_id,
            error,
            exc_info=None if isinstance(error, sqlite3.Error) else error,
            extra=about(
                symbol=step.symbol, trade_id=trade_id, order_id=step.ref.order_id
            ),
        )

    def _found_late(self, step: Step, applied: Applied) -> None:
        log.error(
            "%s trade=%s signal=%s was bought after it had been given up, and trade=%s"
            " is its symbol's open row now: %s shares at %s are held by no open"
            " row; close them by hand",
            applied.symbol,
            applied.trade_id,
            applied.signal_id,
            applied.newer_trade_id,
            applied.shares,
            applied.entry_price,
            extra=about_order(applied),
        )
        event: Literal["settled", "partial_fill"] = (
            "settled" if applied.settled else "partial_fill"
        )
        self._publish(event, applied, step.source)

    def _contradicted(self, step: Step, applied: Applied) -> None:
        order_log.warning(
            applied,
            "the broker says that nothing was bought, and the row is %s with %s shares;"
            " nothing was changed, look at the account",
            applied.status,
            applied.shares,
        )
        if step.source == "lookup" or applied.status == "closed":
            self._unsettled.settled(applied.trade_id)  # that was the last word
        elif not applied.settled:
            self._unsettled.follow(applied)

    def _disputed(self, step: Step, applied: Applied) -> None:
        if applied.trade_id in self._disputes:
            return  # whoever speaks so may do it all day, and the order is followed
        self._disputes.add(applied.trade_id)
        order_log.warning(
            applied,
            "the broker speaks of an order %s (%s %s, %s), which is the row's by one name"
            " and not by another (order %s): not applied; the broker is asked",
            step.ref.order_id,
            step.ref.side or "side not told",
            step.ref.symbol or step.symbol,
            step.ref.client_order_id,
            applied.order_id,
        )
        self._unsettled.dispute(applied)

    def _no_row(self, step: Step) -> None:
        if self._discarded.restore(step):
            return
        if step.source == "lookup" and step.ref.client_order_id is not None:
            self._unsettled.settled(step.ref.client_order_id)
            log.warning(
                "%s trade=%s: the broker has order %s, and its row is gone or names"
                " another; look at the account",
                step.symbol,
                step.ref.client_order_id,
                step.ref.order_id,
                extra=about(
                    symbol=step.symbol,
                    trade_id=step.ref.client_order_id,
                    order_id=step.ref.order_id,
                ),
            )
            return
        if step.ref.side == "sell":
            sell = ForeignSell(step.ref.mode, step.symbol or "", step.ref.order_id)
            if isinstance(step, FillStep):
                sell = sell._replace(quantity=step.quantity, price=step.price)
            for each in self._holdings:
                each.foreign_sell(sell)
        log.debug(
            "an event of order %s (%s) is about none of our rows",
            step.ref.order_id,
            step.symbol,
            extra=about(symbol=step.symbol, order_id=step.ref.order_id),
        )

    def _bought(self, applied: Applied, source: Source) -> None:
        log.info(
            "Order filled: %s %g shares at %g orderId=%s trade=%s signal=%s",
            applied.symbol,
            applied.shares,
            applied.entry_price,
            applied.order_id,
            applied.trade_id,
            applied.signal_id,
            extra=about_order(applied),
        )
        self._publish("fill", applied, source, then="settled")

    def _partly_bought(self, step: Step, applied: Applied) -> None:
        log.info(
            "Order partially filled: %s at %s, %s orderId=%s trade=%s signal=%s",
            applied.symbol,
            "a price not known yet"
            if applied.entry_price is None
            else applied.entry_price,
            "shares not known yet"
            if applied.shares is None
            else f"the account holds {applied.shares} shares",
            applied.order_id,
            applied.trade_id,
            applied.signal_id,
            extra=about_order(applied),
        )
        self._publish("partial_fill", applied, step.source)
        if not step.asks_position:
            order_log.warning(
                applied,
                "a final fill came without a readable price or quantity; asking the"
                " broker",
            )
            if step.source == "stream":
                self._unsettled.follow(applied)

    def _publish(
        self,
        event: Literal["placed", "fill", "partial_fill", "rejected", "settled"],
        applied: Applied,
        source: Source,
        *,
        then: Literal["settled"] | None = None,
        is_about_symbol: bool = False,
        notional: str | None = None,
    ) -> None:
        more: dict[str, object] = {
            "orderId": applied.order_id,
            "mode": applied.mode,
            "shares": applied.shares,
            "entryPrice": applied.entry_price,
            "status": applied.status,
            "source": source,
        }
        if notional is not None:
            more["notional"] = notional
        if applied.fill_ms is not None:
            more["fillMs"] = applied.fill_ms
        if applied.newer_trade_id is not None:
            more["newerTradeId"] = applied.newer_trade_id
        self._feed.publish(
            event,
            more,
            then=then,
            signal_id=applied.signal_id,
            trade_id=applied.trade_id,
            symbol=applied.symbol,
            reason=applied.reason,
            is_about_symbol=is_about_symbol,
        )
