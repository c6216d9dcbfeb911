"""A broker whose answers come twice, or unasked: what a real daemon makes of them."""

from __future__ import annotations

import json
import re
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import trio

from tests.integration.harness import Box, short_folder, signal_line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Order = dict[str, Any]
    Script = Callable[["ByteBroker", trio.abc.Stream, Order], Awaitable[None]]

LAG_SECONDS = 0.3


def http(status: str, body: object) -> bytes:
    content = json.dumps(body).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(content)}\r\n\r\n".encode() + (
        content
    )


REFUSAL = http("403 Forbidden", {"code": 40310000, "message": "no buying power"})


@dataclass(eq=False)
class ByteBroker:
    """A broker of bytes, which answers each order as a script says.

    Attributes:
        posts: The symbols that were ordered, each with the number of its connection.
        book: The orders that it has taken, by client order id.
    """

    script: Script
    posts: list[tuple[str, int]] = field(default_factory=list)
    book: dict[str, Order] = field(default_factory=dict)
    connections: int = 0

    def take(self, order: Order) -> bytes:
        """Take an order, and return the answer that says so."""
        taken = order | {"id": f"o-{order['symbol']}", "status": "accepted"}
        self.book[order["client_order_id"]] = taken | {"filled_qty": "0"}
        return http("200 OK", self.book[order["client_order_id"]])

    async def serve(self, stream: trio.abc.Stream) -> None:
        self.connections += 1
        number, data = self.connections, b""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while more := await stream.receive_some():
                data += more
                while (request := _whole(data)) is not None:
                    data = data[len(request) :]
                    await self._answer(request, stream, number)

    async def _answer(
        self, request: bytes, stream: trio.abc.Stream, number: int
    ) -> None:
        head, _, body = request.partition(b"\r\n\r\n")
        path = head.split(b" ", 2)[1].decode()
        if head.startswith(b"POST"):
            order = json.loads(body)
            self.posts.append((order["symbol"], number))
            await self.script(self, stream, order)
            return
        found = [
            order
            for order in self.book.values()
            if path.endswith((order["client_order_id"], order["id"]))
        ]
        missing = http("404 Not Found", {"message": "order not found"})
        await stream.send_all(http("200 OK", found[0]) if found else missing)


def _whole(data: bytes) -> bytes | None:
    head, found, body = data.partition(b"\r\n\r\n")
    if not found:
        return None
    told = re.search(rb"(?i)content-length: (\d+)", head)
    length = int(told[1]) if told else 0
    return data[: len(head) + 4 + length] if len(body) >= length else None


@asynccontextmanager
async def trading_with(script: Script) -> AsyncIterator[tuple[Box, ByteBroker]]:
    """Run a daemon whose broker has this script."""
    broker = ByteBroker(script)
    with short_folder() as folder:
        async with trio.open_nursery() as nursery:
            box = Box(folder)
            (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
            url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
            nursery.start_soon(trio.serve_listeners, broker.serve, [listener])
            box.configure(
                alpaca={"simulate": False, "paper_url": url, "warm_connections": 1}
            )
            async with box.daemon():
                yield box, broker
            nursery.cancel_scope.cancel()


async def test_a_refusal_that_comes_twice_is_not_the_next_orders_answer() -> None:
    refused: set[int] = set()

    async def script(broker: ByteBroker, stream: trio.abc.Stream, order: Order) -> None:
        if order["symbol"] == "AAA":
            refused.add(id(stream))
            await stream.send_all(REFUSAL)
            return
        answer = broker.take(order)
        if id(stream) in refused:
            await stream.send_all(REFUSAL)
            await trio.sleep(LAG_SECONDS)
        await stream.send_all(answer)

    async with trading_with(script) as (box, broker):
        async with box.client() as feeder, box.client() as feed:
            assert (await feed.ask(b'{"command":"events"}\n'))["status"] == "ok"
            await feeder.ask(signal_line("AAA", id="n-1"))
            assert (await feed.order_event())["event"] == "refused"
            await feeder.ask(signal_line("BBB", id="n-2"))
            assert (await feed.order_event())["event"] == "placed"
            await feeder.ask(signal_line("BBB", id="n-3"))
            assert (await feed.order_event())["reason"] == "symbol_open"
        (row,) = box.rows()
        assert (row["symbol"], row["alpacaOrderId"]) == ("BBB", "o-BBB")
        assert [symbol for symbol, _ in broker.posts] == ["AAA", "BBB"]


async def test_a_stray_refusal_costs_no_row_even_if_the_broker_is_slow() -> None:
    async def script(broker: ByteBroker, stream: trio.abc.Stream, order: Order) -> None:
        await stream.send_all(REFUSAL)
        await trio.sleep(LAG_SECONDS)  # until then look-ups are answered 404, too
        await stream.send_all(broker.take(order))

    async with trading_with(script) as (box, broker):
        async with box.client() as feeder:
            await feeder.ask(signal_line("AAA", id="n-1"))
            await box.until(
                lambda: [row["alpacaOrderId"] for row in box.rows()] == ["o-AAA"],
                "the row names the order",
            )
        assert "its row is written again" in box.log()
        assert [symbol for symbol, _ in broker.posts] == ["AAA"]
