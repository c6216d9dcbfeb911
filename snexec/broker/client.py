"""Alpaca's REST API, one client a mode (SPEC 5, ALPACA 1 and 2).

Orders leave over connections of our own, in the order of the calls; all else is httpx
(``snexec.broker.lookups``).
Foreign errors become ours here and nowhere else. Nothing is ever sent twice.
"""

from __future__ import annotations

import collections
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urlsplit

import trio

from snexec import __version__
from snexec.broker.answers import (
    BrokerOrder,
    MarketTimes,
    read_market_times,
    read_order,
    read_quantity,
)
from snexec.broker.pool import Pool
from snexec.broker.replies import ReplyReader
from snexec.errors import NotSentError, no_answer
from snexec.logs import SecretMask

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping
    from decimal import Decimal

    from snexec.broker.budget import RateBudget
    from snexec.broker.lookups import LookUps
    from snexec.broker.wire import Reply, Request
    from snexec.clock import Clock
    from snexec.model import Mode
    from snexec.settings import Credentials

# A validated symbol, cents and an id of our own need no escapes.
_ORDER_BODY = (
    b'{"symbol":"%b","notional":"%b","side":"buy","type":"market",'
    b'"time_in_force":"day","client_order_id":"%b"}'
)
_CONNECT_SHARE = 0.9  # of the time for a whole request


class SentOrder:
    """An order on its way, and then what became of it."""

    def __init__(
        self, request: Request, client_order_id: str, replies: ReplyReader
    ) -> None:
        self._request = request
        self._client_order_id = client_order_id
        self._replies = replies

    @property
    def is_taken(self) -> bool:
        """Whether the broker has answered that it took the order."""
        reply = self._request.reply
        return reply is not None and reply.complete and reply.status == 200

    def abandon(self, problem: str) -> None:
        """Wait for its answer no longer; one that has not left never does."""
        self._request.abandon(problem)

    def outcome(self) -> BrokerOrder:
        """Return the broker's order, once it is answered.

        Raises:
            NotSentError: It never left this machine.
            RefusedError: The broker does not take it.
            DuplicateOrderError: The broker has an order of this id already.
            RateLimitedError: The broker asks to come again later.
            UnknownOutcomeError: It left, and what became of it is not known.
        """
        request = self._request
        content = self._replies.content(
            request.reply, request.problem or "", sent=request.sent
        )
        return read_order(content, self._client_order_id)


class AlpacaClient:
    """One account's REST API, with its keys, its connections and its budget.

    The caller takes the request from the budget first; the client gives it back or
    finishes it.
    """

    def __init__(
        self,
        *,
        mode: Mode,
        base_url: str,
        credentials: Credentials | None,
        budget: RateBudget,
        timeout_seconds: float,
        max_connections: int,
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
        self._order_head = _order_head(base_url, headers)
        dial_seconds = _CONNECT_SHARE * timeout_seconds
        self._pool = Pool(base_url, tls=ssl_context, dial_seconds=dial_seconds)
        self._under_way: collections.deque[tuple[float, Request]] = collections.deque()
        self._sends = trio.lowlevel.ParkingLot()
        self._make_look_ups: Callable[[type[LookUps]], LookUps] = lambda look_ups: (
            look_ups(
                base_url,
                headers=headers,
                timeout_seconds=timeout_seconds,
                dial_seconds=dial_seconds,
                max_connections=max_connections,
                ssl_context=ssl_context,
            )
        )
        self._look_ups: LookUps | None = None

    async def run(self) -> None:
        """Keep the connections, until cancelled; then close every one."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._give_up_late)
                await self._pool.run()
        finally:
            with trio.move_on_after(1, shield=True):
                if self._look_ups is not None:
                    await self._look_ups.aclose()

    def keep_warm(self, connections: int) -> None:
        """Have so many connections for orders open at any time, from now on."""
        self._pool.keep_warm(connections)

    def send_order(
        self,
        *,
        symbol: str,
        notional: str,
        client_order_id: str,
        answered: Callable[[], None],
        left: Callable[[], None] | None = None,
        withheld: Callable[[], bool] | None = None,
    ) -> SentOrder:
        """Send a market buy of so many dollars, once (ALPACA 1.2).

        It leaves at once, or as soon as a connection is free, behind those before it.

        Args:
            symbol: What to buy.
            notional: Dollars, with two decimals.
            client_order_id: The row's id.
            answered: Called once, later, when the outcome is known or out of time.
            left: Called in the moment it leaves.
            withheld: Asked of one that has to wait before it leaves; if so, it never
                does.
        """
        body = _ORDER_BODY % (
            symbol.encode(),
            notional.encode(),
            client_order_id.encode(),
        )
        data = b"%s%d\r\n\r\n%s" % (self._order_head, len(body), body)
        request = self._pool.submit(
            data,
            left=left,
            withheld=withheld,
            ended=partial(self._answered, answered),
        )
        under_way = self._under_way
        while under_way and under_way[0][1].done.is_set():
            under_way.popleft()
        under_way.append((trio.current_time() + self._timeout_seconds, request))
        self._sends.unpark()
        return SentOrder(request, client_order_id, self._replies)

    async def order(self, *, client_order_id: str, order_id: str | None) -> BrokerOrder:
        """Look an order up, by the broker's id where it is known (SPEC 8).

        Raises:
            NotFoundError: The broker knows no such order at this moment.
            RefusedError: The broker does not answer these keys.
            NotSentError: The broker could not be asked.
            UnknownOutcomeError: The broker gave no readable answer.
            RateLimitedError: The broker asks to come again later.
        """
        if order_id is not None:
            path = f"/v2/orders/{quote(order_id, safe='')}"
        else:
            query = urlencode({"client_order_id": client_order_id})
            path = f"/v2/orders:by_client_order_id?{query}"
        return read_order(await self._get(path), client_order_id)

    async def position_quantity(self, symbol: str) -> Decimal:
        """Return how many shares of a symbol the account holds (ALPACA 2.2).

        Raises:
            NotFoundError: No position, which just after a fill is common.
            UnknownOutcomeError: No answer, or none with a quantity above 0.
            NotSentError: The broker could not be asked.
            RefusedError: The broker does not answer these keys.
            RateLimitedError: The broker asks to come again later.
        """
        return read_quantity(await self._get(f"/v2/positions/{quote(symbol, safe='')}"))

    async def market_clock(self) -> MarketTimes:
        """Return whether the market is open, and when that changes (ALPACA 2.3).

        Raises:
            BrokerError: There is no readable answer; one of those of ``order``.
        """
        return read_market_times(await self._get("/v2/clock"))

    def _answered(self, answered: Callable[[], None], request: Request) -> None:
        reply = request.reply
        self.budget.finish(reply.headers if reply is not None else None)
        answered()

    async def _give_up_late(self) -> None:
        """End the orders that are not answered in time; all have the same time."""
        while True:
            if not self._under_way:
                await self._sends.park()
                continue
            deadline, request = self._under_way.popleft()
            if not request.done.is_set():
                self._under_way.appendleft((deadline, request))
                if deadline > trio.current_time():
                    await trio.sleep_until(deadline)
                request.abandon(no_answer(self._timeout_seconds))

    async def _get(self, path: str) -> bytes:
        """Ask for something and return the body of the 200."""
        reply: Reply | None = None
        try:
            look_ups = self._look_ups or await self._begin_look_ups()
            reply, problem, sent = await look_ups.get(path)
        finally:
            self.budget.finish(reply.headers if reply is not None else None)
        return self._replies.content(reply, problem, sent=sent)

    async def _begin_look_ups(self) -> LookUps:
        """Import what asks questions, and return it.

        Raises:
            NotSentError: Its files cannot be opened now; it may be tried again.
        """
        try:
            look_ups = await trio.to_thread.run_sync(import_look_ups)
            self._look_ups = self._look_ups or self._make_look_ups(look_ups)
        except (OSError, ImportError) as exc:
            raise NotSentError(str(exc)) from None
        return self._look_ups


def _order_head(base_url: str, headers: Mapping[str, str]) -> bytes:
    """Return what every order's request begins with, up to its length."""
    url = urlsplit(base_url)
    lines = [
        f"POST {url.path}/v2/orders HTTP/1.1",
        f"Host: {url.netloc}",
        f"User-Agent: snexec/{__version__}",
        *(f"{name}: {value}" for name, value in headers.items()),
        "Content-Type: application/json",
        "Content-Length: ",
    ]
    return "\r\n".join(lines).encode()


def import_look_ups() -> type[LookUps]:
    """Import what asks questions, which takes a tenth of a start; in a thread."""
    from snexec.broker.lookups import LookUps  # noqa: PLC0415

    return LookUps
