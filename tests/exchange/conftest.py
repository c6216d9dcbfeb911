"""An exchange on a free port, and clients that speak to it over real connections."""

import functools
import json
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, ParamSpec
from urllib.parse import urlsplit

import httpx
import pytest
import trio
from trio_websocket import WebSocketConnection, wrap_client_stream

from snexec.exchange.server import Exchange
from snexec.exchange.settings import Behaviour, ExchangeSettings

KEYS = {"APCA-API-KEY-ID": "PKTEST", "APCA-API-SECRET-KEY": "secret"}

# Made once: httpx makes one for each client, which takes longer than most tests.
TLS = ssl.create_default_context()

P = ParamSpec("P")


def within(
    seconds: float,
) -> Callable[[Callable[P, Awaitable[None]]], Callable[P, Awaitable[None]]]:
    """Fail a test that takes longer; the clock is the real one."""

    def decorate(test: Callable[P, Awaitable[None]]) -> Callable[P, Awaitable[None]]:
        @functools.wraps(test)
        async def timed(*args: P.args, **kwargs: P.kwargs) -> None:
            with trio.fail_after(seconds):
                await test(*args, **kwargs)

        return timed

    return decorate


def new_client(base: str, headers: dict[str, str] | None = None) -> httpx.AsyncClient:
    """Give an HTTP client of an account."""
    return httpx.AsyncClient(base_url=base, headers=headers, verify=TLS)


class Stream:
    """A client of the trading stream."""

    def __init__(self, websocket: WebSocketConnection) -> None:
        self.websocket = websocket

    async def send(self, message: object) -> None:
        """Send a message as JSON."""
        await self.websocket.send_message(json.dumps(message))

    async def receive(self) -> dict[str, Any]:
        """Receive one message."""
        message = json.loads(await self.websocket.get_message())
        assert isinstance(message, dict)
        return message

    async def ask(self, message: object) -> dict[str, Any]:
        """Send a message and receive the answer."""
        await self.send(message)
        return await self.receive()

    async def subscribe(self) -> None:
        """Authenticate and ask for trade updates."""
        reply = await self.ask({"action": "auth", "key": "PKTEST", "secret": "s"})
        assert reply["data"]["status"] == "authorized"
        reply = await self.ask(
            {"action": "listen", "data": {"streams": ["trade_updates"]}}
        )
        assert reply["data"]["streams"] == ["trade_updates"]

    async def event(self) -> dict[str, Any]:
        """Receive one trade update."""
        message = await self.receive()
        assert message["stream"] == "trade_updates"
        data: dict[str, Any] = message["data"]
        return data

    async def events(self, count: int) -> list[str]:
        """Receive some trade updates and give their names."""
        return [(await self.event())["event"] for _ in range(count)]

    async def nothing_comes(self, seconds: float = 0.15) -> None:
        """Make sure that no message arrives for a while."""
        with trio.move_on_after(seconds):
            pytest.fail(f"came: {await self.receive()}")


@dataclass
class Bench:
    """A running exchange and an HTTP client of its paper account."""

    exchange: Exchange
    rest: httpx.AsyncClient
    nursery: trio.Nursery

    async def order(self, symbol: str = "KO", **fields: object) -> httpx.Response:
        """Post an order, by default a buy for five dollars; None takes a field out."""
        body = order_body(symbol) | fields
        body = {name: value for name, value in body.items() if value is not None}
        return await self.rest.post("/v2/orders", json=body)

    async def status(self, order_id: str) -> str:
        """Ask for an order's status."""
        reply = await self.rest.get(f"/v2/orders/{order_id}")
        status: str = reply.json()["status"]
        return status

    async def settled(self, order_id: str, status: str = "filled") -> dict[str, Any]:
        """Ask for an order until it has a status."""
        while True:
            reply = await self.rest.get(f"/v2/orders/{order_id}")
            order: dict[str, Any] = reply.json()
            if order["status"] == status:
                return order
            await trio.sleep(0.005)

    @asynccontextmanager
    async def connect(self, base: str | None = None) -> AsyncIterator[Stream]:
        """Open a WebSocket."""
        url = urlsplit((base or self.exchange.paper_url) + "/stream")
        assert url.hostname is not None
        assert url.port is not None
        # trio-websocket leaves its socket open when the server is the first to close.
        async with await trio.open_tcp_stream(url.hostname, url.port) as tcp:
            websocket = await wrap_client_stream(
                self.nursery, tcp, url.netloc, url.path
            )
            async with websocket:
                yield Stream(websocket)

    async def upgrade_status(self) -> int:
        """Ask for a WebSocket and give the status that answers, 101 if it is one."""
        headers = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        }
        async with (
            new_client(self.exchange.paper_url) as client,
            client.stream("GET", "/stream", headers=headers) as reply,
        ):
            return reply.status_code

    @asynccontextmanager
    async def subscribed(self) -> AsyncIterator[Stream]:
        """Open a WebSocket that gets trade updates."""
        async with self.connect() as stream:
            await stream.subscribe()
            yield stream


def order_body(symbol: str = "KO") -> dict[str, object]:
    """Give the body of an order that is fine."""
    return {
        "symbol": symbol,
        "notional": "5.00",
        "side": "buy",
        "type": "market",
        "time_in_force": "day",
    }


class Start:
    """Starts exchanges in the test's nursery; the test's end stops them."""

    def __init__(self, nursery: trio.Nursery, stack: AsyncExitStack) -> None:
        self._nursery = nursery
        self._stack = stack

    async def __call__(
        self,
        symbols: dict[str, Behaviour] | None = None,
        **settings: Any,  # noqa: ANN401
    ) -> Bench:
        """Start an exchange that fills fast and never by chance in parts."""
        defaults = {"fill_delay_sec": 0.01, "partial_fill_ratio": 0.0, "seed": 1}
        exchange = Exchange(
            ExchangeSettings(**{**defaults, **settings, "symbols": symbols or {}})
        )
        await self._nursery.start(exchange.run)
        client = new_client(exchange.paper_url, KEYS)
        await self._stack.enter_async_context(client)
        return Bench(exchange, client, self._nursery)


@pytest.fixture(autouse=True)
def _nothing_goes_wrong_unseen(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test in which the exchange logs an error."""
    yield
    errors = [
        record.getMessage()
        for record in caplog.get_records("call")
        if record.levelno >= logging.ERROR
    ]
    assert errors == []


@pytest.fixture
async def start(nursery: trio.Nursery) -> AsyncIterator[Start]:
    """Give a function that starts an exchange."""
    async with AsyncExitStack() as stack:
        yield Start(nursery, stack)
