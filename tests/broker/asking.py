"""What a client is asked, and what answers it without a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import trio

from snexec.broker.budget import Purpose
from snexec.broker.pool import Pool
from snexec.broker.wire import Reply, Request

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

    from snexec.broker.answers import BrokerOrder
    from snexec.broker.client import AlpacaClient, SentOrder

BASE = "https://paper-api.alpaca.markets"
REPLY: dict[str, object] = {
    "id": "f1a08ee3-8b15-4d31-b04b-944f30a06604",
    "client_order_id": "sn-1",
    "status": "pending_new",
    "filled_qty": "0",
    "filled_avg_price": None,
    "qty": None,
    "notional": "5",
    "legs": None,
    "extended_hours": False,
}
NGINX = "<html><head><title>504 Gateway Time-out</title></head><hr>nginx/1.16.1</html>"


class RoutedPool(Pool):
    """Has a respx route answer the orders too, from the bytes that would leave."""

    def __init__(self, nursery: trio.Nursery) -> None:
        super().__init__(BASE, tls=None, dial_seconds=1.0)
        self._tasks = nursery

    def submit(
        self,
        data: bytes,
        *,
        left: Callable[[], None] | None = None,
        withheld: Callable[[], bool] | None = None,  # noqa: ARG002 - nothing waits here
        ended: Callable[[Request], None] | None = None,
    ) -> Request:
        request = Request(data, left, ended=ended, sent=True)
        self._tasks.start_soon(self._answer, request)
        return request

    async def _answer(self, request: Request) -> None:
        head, _, content = request.data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        method, path, _version = first.split(" ")
        headers = dict(line.split(": ", 1) for line in lines)
        async with httpx.AsyncClient(verify=False) as client:  # noqa: S501 - no network
            answer = await client.request(
                method, f"{BASE}{path}", headers=headers, content=content
            )
        told = {name.lower(): value for name, value in answer.headers.items()}
        request.end(reply=Reply(answer.status_code, told, answer.content, True))


async def place(client: AlpacaClient) -> BrokerOrder:
    """Place the order of row sn-1, within its budget."""
    assert client.budget.try_take(Purpose.START)
    sent, answered = send(client)
    try:
        await answered.wait()
    finally:
        sent.abandon("cancelled")
    return sent.outcome()


def send(client: AlpacaClient) -> tuple[SentOrder, trio.Event]:
    """Send the order of row sn-1, and return what is set once it is answered."""
    answered = trio.Event()
    sent = client.send_order(
        symbol="AAPL",
        notional="100.00",
        client_order_id="sn-1",
        answered=answered.set,
    )
    return sent, answered


async def look_up(client: AlpacaClient, order_id: str | None = None) -> BrokerOrder:
    """Look row sn-1's order up, within the budget."""
    assert client.budget.try_take(Purpose.START)
    return await client.order(client_order_id="sn-1", order_id=order_id)


async def position(client: AlpacaClient, symbol: str = "AAPL") -> Decimal:
    """Ask for a position, within the budget."""
    assert client.budget.try_take(Purpose.START)
    return await client.position_quantity(symbol)
