"""Rows that were removed, whose orders the broker may still report (ALPACA 5.2)."""

from __future__ import annotations

import collections
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from snexec.logs import OrderLog

if TYPE_CHECKING:
    from snexec.ledger import Applied, NewTrade, Opening, Store, Writer
    from snexec.reconciliation.steps import Step
    from snexec.reconciliation.unsettled import UnsettledOrders

order_log = OrderLog(logging.getLogger("TradeExecutor"))

_IS_THERE = frozenset({"opened", "repeated"})
_REMEMBERED = 256  # if the broker still reports one, it does so soon


class Discarded:
    """Remembers the rows of orders that were refused or never sent.

    Alpaca has been seen to answer an order with 422 and execute it all the same.
    """

    def __init__(self, writer: Writer, unsettled: UnsettledOrders) -> None:
        self._writer = writer
        self._unsettled = unsettled
        self._trades: collections.OrderedDict[str, NewTrade] = collections.OrderedDict()
        self._elsewhere: set[str] = set()

    def expect(self, trade_id: str, *, elsewhere: bool) -> None:
        """Note whether another host may order in a row's place, which is to be removed."""
        if elsewhere:
            self._elsewhere.add(trade_id)

    def remember(self, trade: NewTrade) -> None:
        """Keep what is needed to write a removed row again."""
        self._trades[trade.id] = trade
        if len(self._trades) > _REMEMBERED:
            self._elsewhere.discard(self._trades.popitem(last=False)[0])

    def restore(self, step: Step) -> bool:
        """Write a row again, as the broker has now reported its order.

        Args:
            step: What it said, which is applied to the row and reported.

        Returns:
            Whether the order's row was remembered.
        """
        trade = self._trades.pop(step.ref.client_order_id or "", None)
        if trade is None:
            return False
        order_id = step.ref.order_id
        if trade.id in self._elsewhere:
            self._elsewhere.remove(trade.id)
            words = "another host has ordered it, as %s: its row is written again"
            order_log.info(trade, words, order_id)
        else:
            order_log.error(
                trade,
                "the broker speaks of order %s, which counted as refused or not sent:"
                " its row is written again",
                order_id,
                order_id=order_id,
            )
        self._writer.put(_Restoration(self._unsettled, trade, step))
        return True

    def doubt(self, trade_id: str) -> None:
        """Write a row again whose order may exist: its refusal may be another's."""
        trade = self._trades.pop(trade_id, None)
        self._elsewhere.discard(trade_id)
        if trade is None:
            return
        order_log.error(
            trade,
            "after its refusal the broker said more than it was asked, so that may have"
            " been another order's: its row is written again, and the broker is asked",
        )
        self._writer.put(_Restoration(self._unsettled, trade))


@dataclass(slots=True, eq=False)
class _Restoration:
    """The change that writes a row again, and applies to it what the broker said."""

    unsettled: UnsettledOrders
    trade: NewTrade
    step: Step | None = None  # or it has said nothing of the order

    def apply(self, store: Store) -> tuple[Opening, Applied | None]:
        """Open the row, and apply the step if it is there; a sweep may have been first."""
        opening = store.open_trade(self.trade)
        if self.step is None or opening not in _IS_THERE:
            return opening, None
        return opening, self.step.apply(store)

    def done(self, result: tuple[Opening, Applied | None]) -> None:
        """Follow the order again, and report the step."""
        opening, applied = result
        if opening not in _IS_THERE:
            self._lost(opening)
            return
        if opening == "opened":
            order_id = None if applied is None else applied.order_id
            self.unsettled.placed(self.trade, order_id=order_id)
        if self.step is not None:
            self.step.done(applied)
        if applied is None or not applied.settled:
            self.unsettled.follow(self.trade)

    def failed(self, error: Exception) -> None:
        """Log that the row cannot be written again."""
        self._lost(error)

    def _lost(self, why: Opening | Exception) -> None:
        if self.step is None:
            order_log.error(
                self.trade,
                "its row cannot be written again (%s): look at the account whether it"
                " was bought, as no row would hold it",
                why,
            )
            return
        order_id = self.step.ref.order_id
        order_log.error(
            self.trade,
            "the row of order %s cannot be written again (%s): what it bought is held"
            " by no row; look at the account",
            order_id,
            why,
            order_id=order_id,
        )
