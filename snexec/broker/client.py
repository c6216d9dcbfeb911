"""Alpaca's REST API, one client per mode (SPEC 5, ALPACA 1 and 2).

Orders leave over warm connections, in the order of the calls; everything else is asked
over one of its own (``snexec.broker.lookups``). Foreign errors become ours here and
nowhere else. Nothing is ever sent twice.
"""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import trio

from snexec.assets import position_symbol
from snexec.broker.answers import (
    MAX_ORDER_ID_CHARS,
    BrokerOrder,
    MarketTimes,
    read_market_times,
    read_order,
    read_quantity,
)
from snexec.broker.bodies import order_body, sell_body
from snexec.broker.heads import order_head
from snexec.broker.lookups import LookUps
from snexec.broker.pool import Pool
from snexec.broker.positions import (
    MOST_POSITIONS_BYTES,
    knows_nothing,
    read_position,
    read_positions,
)
from snexec.broker.replies import ReplyReader
from snexec.broker.request import MOST_BYTES
from snexec.broker.sent import SentOrder
from snexec.errors import no_answer, no_connection
from snexec.logs import SecretMask

if TYPE_CHECKING:
    import ssl
    from datetime import date
    from decimal import Decimal

    from snexec.broker.budget import RateBudget
    from snexec.broker.calendar import TradingDay
    from snexec.broker.lookups import Method
    from snexec.broker.positions import HeldPosition, Own, PositionList
    from snexec.broker.request import Reply, Request
    from snexec.broker.sent import OutgoingOrder, OutgoingSell
    from snexec.clock import Clock
    from snexec.model import AccountName, Side
    from snexec.settings import Credentials

_CONNECT_SHARE = 0.9  # of the time that a whole request may take


class AlpacaClient:
    """One account's REST API, with its keys, its connections and its budget.

    Its requests are taken from the budget by a lease (``Accounts``); the client notes in
    the budget when each has ended.
    """

    def __init__(
        self,
        *,
        mode: AccountName,
        base_url: str,
        credentials: Credentials | None,
        budget: RateBudget,
        timeout_seconds: float,
        clock: Clock,
        ssl_context: ssl.SSLContext | None,
    ) -> None:
        self.mode = mode
        self.budget = budget
        self._base_url = base_url
        self._timeout_seconds = timeout_seconds
        mask = SecretMask()
        self._replies = ReplyReader(mask=mask, budget=budget, clock=clock)
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if credentials is not None:
            key, secret = credentials.values()
            headers["APCA-API-KEY-ID"] = key
            headers["APCA-API-SECRET-KEY"] = secret
            mask.learn([key, secret])
        self._order_head = order_head(base_url, headers)
        self._pool = Pool(
            base_url, tls=ssl_context, dial_seconds=_CONNECT_SHARE * timeout_seconds
        )
        self._under_way: collections.deque[tuple[float, Request]] = collections.deque()
        self._sends = trio.lowlevel.ParkingLot()
        self._look_ups = LookUps(
            base_url, headers=headers, timeout_seconds=timeout_seconds, tls=ssl_context
        )

    async def run(self) -> None:
        """Keep the connections for orders open, until cancelled; then close them."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._give_up_late)
            await self._pool.run()

    def keep_warm(self, connections: int) -> None:
        """Keep this many connections for orders open from now on."""
        self._pool.keep_warm(connections)

    def renew_connections(self) -> None:
        """Open others in place of those that carry no order now."""
        self._pool.renew()

    def send_order(self, order: OutgoingOrder) -> SentOrder:
        """Send a market order of dollars or of shares, once (ALPACA 1.2).

        It leaves at once, or as soon as a connection is free, behind those before it.
        """
        return self._send(order, order_body(order))

    def send_sell(self, sell: OutgoingSell) -> SentOrder:
        """Send an order that closes shares that are held, once (SPEC 12.5, 12.6).

        It leaves like any other. A coin cannot be sold short, so that its intent goes
        without saying.
        """
        return self._send(sell, sell_body(sell))

    def _send(self, order: OutgoingOrder, body: bytes) -> SentOrder:
        sent = SentOrder(order, self._replies, self.budget)
        data = b"%s%d\r\n\r\n%s" % (self._order_head, len(body), body)
        request = sent.send(data, self._pool)
        under_way = self._under_way
        while under_way and under_way[0][1].is_over:
            under_way.popleft()
        under_way.append((trio.current_time() + self._timeout_seconds, request))
        self._sends.unpark()
        return sent

    async def order(
        self,
        *,
        client_order_id: str,
        order_id: str | None,
        symbol: str | None = None,
        side: Side = "buy",
    ) -> BrokerOrder:
        """Look an order up, by the broker's id if that is known (SPEC 8).

        Args:
            client_order_id: The row's id.
            order_id: The broker's; one that is longer than the broker's are is none.
            symbol: What was ordered, where that is known.
            side: Whether it was bought or sold.

        Raises:
            NotFoundError: The broker knows no such order at this moment.
            RefusedError: The broker refuses to answer these keys.
            NotSentError: The broker could not be asked.
            UnknownOutcomeError: The broker gave no readable answer.
            RateLimitedError: The broker asks us to try again later.
        """
        if order_id is not None and len(order_id) > MAX_ORDER_ID_CHARS:
            order_id = None
        if order_id is not None:
            path = f"/v2/orders/{quote(order_id, safe='')}"
        else:
            query = urlencode({"client_order_id": client_order_id})
            path = f"/v2/orders:by_client_order_id?{query}"
        return read_order(
            await self._get(path),
            client_order_id,
            order_id=order_id,
            symbol=symbol,
            side=side,
        )

    async def cancel(self, order_id: str) -> None:
        """Ask that an order be canceled; only evidence says that it is (ALPACA-EXITS 1.2).

        Args:
            order_id: The broker's.

        Raises:
            NotFoundError: The broker knows no such order.
            RefusedError: It cannot be canceled, as it has ended, or the keys are refused.
            NotSentError: The broker could not be asked.
            UnknownOutcomeError: The broker gave no readable answer.
            RateLimitedError: The broker asks us to try again later.
        """
        path = f"/v2/orders/{quote(order_id, safe='')}"
        await self._request("DELETE", path, done=204)

    async def replacement(
        self, order_id: str, *, symbol: str | None = None, side: Side = "buy"
    ) -> BrokerOrder:
        """Look up the order that took another's place, by the broker's id (SPEC 8).

        Its client order id is not the replaced order's; its symbol is.

        Raises:
            BrokerError: There is no readable answer; the same kinds as ``order``.
        """
        content = await self._get(f"/v2/orders/{quote(order_id, safe='')}")
        return read_order(content, None, order_id=order_id, symbol=symbol, side=side)

    async def sell_order(self, order_id: str, symbol: str) -> BrokerOrder:
        """Look up an order that has sold, whoever placed it (SPEC 12.7).

        Raises:
            BrokerError: There is no readable answer; the same kinds as ``order``.
        """
        content = await self._get(f"/v2/orders/{quote(order_id, safe='')}")
        return read_order(content, None, order_id=order_id, symbol=symbol, side="sell")

    async def page_of_activities(self, path: str) -> bytes:
        """Return a page of what happened, as ``ActivityPages`` asks for it.

        Raises:
            BrokerError: There is no whole answer; the same kinds as ``order``.
        """
        return await self._get(path)

    async def page_of_orders(self, path: str) -> bytes:
        """Return a page of the account's orders, as ``OrderPages`` asks for it.

        Raises:
            BrokerError: There is no whole answer; the same kinds as ``order``.
        """
        return await self._get(path)

    async def position_quantity(self, symbol: str) -> Decimal:
        """Return how many shares of a symbol the account holds (ALPACA 2.2, 8).

        Raises:
            NotFoundError: No position, which is common just after a fill.
            UnknownOutcomeError: No answer, or none with a quantity of it above 0.
            NotSentError: The broker could not be asked.
            RefusedError: The broker refuses to answer these keys.
            RateLimitedError: The broker asks us to try again later.
        """
        name = quote(position_symbol(symbol), safe="")
        return read_quantity(await self._get(f"/v2/positions/{name}"), symbol)

    async def positions(self, own: Own = knows_nothing) -> PositionList:
        """Return everything that the account holds (SPEC 12.4, 12.7).

        Args:
            own: Returns what is known of a symbol, of which it has the same objects.

        Raises:
            BrokerError: There is no readable answer; the same kinds as ``order``.
        """
        content = await self._get("/v2/positions", most_bytes=MOST_POSITIONS_BYTES)
        return await read_positions(content, own)

    async def position(self, symbol: str) -> HeldPosition:
        """Return what the account holds of a symbol (ALPACA 2.2, 8).

        Raises:
            NotFoundError: No position, which is common just after a fill.
            BrokerError: There is no readable answer; the same kinds as ``order``.
        """
        name = quote(position_symbol(symbol), safe="")
        return read_position(await self._get(f"/v2/positions/{name}"), symbol)

    async def market_clock(self) -> MarketTimes:
        """Return whether the market is open, and when that changes (ALPACA 2.3).

        Raises:
            BrokerError: There is no readable answer; the same kinds as ``order``.
        """
        return read_market_times(await self._get("/v2/clock"))

    async def trading_days(self, first: date, last: date) -> list[TradingDay]:
        """Return the trading days from one day to another, both included (SPEC 12.8a).

        Raises:
            BrokerError: There is no readable answer; the same kinds as ``order``.
        """
        from snexec.broker.calendar import read_trading_days  # noqa: PLC0415 - for few

        query = urlencode({"start": first.isoformat(), "end": last.isoformat()})
        return read_trading_days(await self._get(f"/v2/calendar?{query}"))

    async def _give_up_late(self) -> None:
        """Abandon orders that are not answered in time; all have the same limit.

        Until then, what follows an answer is listened for, too.
        """
        while True:
            if not self._under_way:
                await self._sends.park()
                continue
            deadline, request = self._under_way.popleft()
            if not request.is_over:
                self._under_way.appendleft((deadline, request))
                if deadline > trio.current_time():
                    await trio.sleep_until(deadline)
                problem = no_connection if request.connection is None else no_answer
                request.abandon(problem(self._timeout_seconds))

    async def _get(self, path: str, *, most_bytes: int = MOST_BYTES) -> bytes:
        """Ask a question, and return the body of the 200."""
        return await self._request("GET", path, most_bytes=most_bytes)

    async def _request(
        self,
        method: Method,
        path: str,
        *,
        done: int = 200,
        most_bytes: int = MOST_BYTES,
    ) -> bytes:
        """Make a request that is no order, and return the body of its answer."""
        reply: Reply | None = None
        try:
            reply, problem, sent = await self._look_ups.ask(
                method, path, most_bytes=most_bytes
            )
        finally:
            self.budget.finish(reply.headers if reply is not None else None)
        return self._replies.content(reply, problem, sent=sent, done=done)
