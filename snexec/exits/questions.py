"""What an account is asked about the positions of rows, and how politely (SPEC 12.7).

Every question takes its request from recovery's share. A fault is logged once, and what
only somebody can end, as refused keys, once a day; then it is the caller's, to ask later.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, TypeVar

import trio

from snexec.broker import Activity, ActivityPages, Purpose
from snexec.errors import BrokerError, NotFoundError, RateLimitedError, RefusedError
from snexec.exits.sights import Buy
from snexec.logs import Repeats
from snexec.model import ACCOUNTS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from snexec.broker import (
        Accounts,
        AlpacaClient,
        BrokerOrder,
        Own,
        PositionList,
    )
    from snexec.clock import Clock
    from snexec.model import Mode
    from snexec.reconciliation import ForeignSell

log = logging.getLogger("PositionMonitor")

T = TypeVar("T")

DAY_SECONDS = 24 * 3600.0
_MOST_HEARD = 256  # sells of others, of which the activities are asked soon


class Questions:
    """Asks the accounts. Every method raises BrokerError where there is no answer."""

    def __init__(self, accounts: Accounts, clock: Clock) -> None:
        self._accounts = accounts
        self._clock = clock
        self._heard: dict[Mode, dict[str, Activity]] = {mode: {} for mode in ACCOUNTS}
        self._failures = {
            mode: Repeats(f"questions about positions ({mode})", log=log, clock=clock)
            for mode in ACCOUNTS
        }
        self._refused_at = dict.fromkeys(ACCOUNTS, -math.inf)  # said, on Trio's clock

    def hear(self, sell: ForeignSell) -> None:
        """Take what the stream says of a sell: activities may not say it, or later."""
        if sell.quantity is None or sell.order_id is None:
            return
        heard = self._heard[sell.mode]
        heard[sell.order_id] = Activity(
            *(sell.order_id, "FILL", sell.symbol, self._clock.now()),
            quantity=sell.quantity,
            price=sell.price,
            side="sell",
            order_id=sell.order_id,
        )
        if len(heard) > _MOST_HEARD:
            del heard[next(iter(heard))]

    def can_ask(self, mode: Mode) -> bool:
        """Return whether there are keys to ask with."""
        return self._accounts.has_keys(mode)

    async def positions(self, mode: Mode, own: Own) -> PositionList:
        """Return everything that an account holds, with our own objects (``Known``)."""
        return await self._ask(mode, lambda client: client.positions(own))

    async def is_gone(self, mode: Mode, symbol: str) -> bool:
        """Return whether the broker, asked for the one position, says there is none."""
        try:
            found = await self._ask(mode, lambda client: client.position(symbol))
        except NotFoundError:
            return True
        return found.held == 0

    async def buy(
        self, mode: Mode, row_id: str, order_id: str | None, symbol: str
    ) -> Buy:
        """Return what an account says of a row's buy."""
        try:
            order = await self._ask(
                mode,
                lambda client: client.order(
                    client_order_id=row_id, order_id=order_id, symbol=symbol
                ),
            )
        except NotFoundError:
            return Buy(is_known=False)
        return Buy(is_known=True, bought=order.filled_qty or None)

    async def sell(self, mode: Mode, order_id: str, symbol: str) -> BrokerOrder | None:
        """Return an order that has sold; None if it is not known as one."""
        try:
            return await self._ask(
                mode, lambda client: client.sell_order(order_id, symbol)
            )
        except NotFoundError:
            return None

    async def activities(self, mode: Mode, since: datetime) -> list[Activity]:
        """Return what has happened on an account since a time, newest first.

        A sell of which it says nothing, and the stream did, is among it under its order's
        id. Where the broker keeps no such list, that is all.
        """
        pages = ActivityPages(since)
        found: list[Activity] = []
        while not pages.is_over:
            try:
                content = await self._ask(
                    mode, lambda client: client.page_of_activities(pages.path)
                )
            except NotFoundError:
                break
            try:
                found += pages.take(content)
            except BrokerError as exc:
                self._failed(mode, exc)
                raise
        if pages.has_gap:
            log.warning(
                "so much has happened on %s since %s that the oldest of it was not"
                " looked at",
                mode,
                since,
            )
        listed = {each.order_id for each in found}
        heard = [
            each
            for each in self._heard[mode].values()
            if each.order_id not in listed and each.at >= since
        ]
        return sorted([*found, *heard], key=lambda each: each.at, reverse=True)

    async def _ask(
        self, mode: Mode, question: Callable[[AlpacaClient], Awaitable[T]]
    ) -> T:
        with self._accounts.lease(mode) as lease:
            await lease.take(Purpose.ROUTINE)
            try:
                answer = await question(lease.use())
            except NotFoundError:
                self._failures[mode].worked()
                raise
            except RateLimitedError as exc:
                lease.client.budget.block(exc.wait_seconds)
                raise
            except BrokerError as exc:
                self._failed(mode, exc)
                raise
        self._failures[mode].worked()
        return answer

    def _failed(self, mode: Mode, problem: BrokerError) -> None:
        if isinstance(problem, RefusedError):
            now = trio.current_time()
            if now - self._refused_at[mode] >= DAY_SECONDS:
                self._refused_at[mode] = now
                log.warning(
                    "%s does not answer about its positions (%s): nothing is concluded"
                    " from that; see what `snexec check` says of its keys",
                    mode,
                    problem,
                )
        elif self._failures[mode].failed(str(problem)):
            log.warning(
                "a question about the positions of %s failed (%s); it is asked again",
                mode,
                problem,
            )
