"""Whose look-up is next, within recovery's share of the budget (SPEC 8, 11).

A sell of which nobody knows what became of it is under way still: once that share is used,
it is asked about with what sells may use, before any order that buys.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import trio

from snexec.broker import Purpose

if TYPE_CHECKING:
    from snexec.broker import Accounts, Lease
    from snexec.model import AccountName
    from snexec.reconciliation.due import UnsettledOrder
    from snexec.reconciliation.start import Start
    from snexec.reconciliation.unsettled import UnsettledOrders

_AT_ONCE = 8  # look-ups that hang must not hold up all the others
_MORE_FOR_LOST = 2  # what nobody knows hangs behind none of them
_LOOK_AGAIN_SECONDS = 1.0  # an answer may have told of another budget meanwhile


class Turns:
    """Gives the look-ups of one account their turn, the most urgent first.

    While one waits for the budget, a more urgent one may still come before it.

    Args:
        mode: The account.
        accounts: Whose budget it is.
        unsettled: Which orders are due.
        start: Says how much of the budget they may use.
    """

    def __init__(
        self,
        mode: AccountName,
        accounts: Accounts,
        unsettled: UnsettledOrders,
        start: Start,
    ) -> None:
        self._mode: AccountName = mode
        self._accounts = accounts
        self._unsettled = unsettled
        self._start = start
        self._under_way = 0

    async def next(self) -> tuple[UnsettledOrder, Lease]:
        """Wait for the next turn; whoever has it says when it is ``over``.

        Returns:
            The order, and a client with one request of its budget.
        """
        while True:
            order = await self._unsettled.wait_due(self._mode)
            wait = math.inf  # until another look-up is over
            places = _AT_ONCE + (_MORE_FOR_LOST if order.is_lost else 0)
            if self._under_way < places:
                purpose = self._start.purpose(self._mode, is_lost=order.is_lost)
                lease = self._accounts.try_take(self._mode, purpose)
                if lease is None and order.is_lost and order.side == "sell":
                    lease = self._accounts.try_take(self._mode, Purpose.EXIT)
                if lease is not None:
                    self._unsettled.begin(order)
                    self._under_way += 1
                    return order, lease
                wait = self._accounts.budget(self._mode).seconds_until(purpose)
                wait = min(wait, _LOOK_AGAIN_SECONDS)
            with trio.move_on_after(wait):
                await self._unsettled.wait_another(self._mode)

    def over(self) -> None:
        """Note that a look-up has ended."""
        self._under_way -= 1
        self._unsettled.look_up_again()
