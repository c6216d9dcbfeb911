"""What a client is asked, and what answers it without a network."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

import httpx
import trio

from snexec.broker.budget import Purpose
from snexec.broker.lookups import LookUps
from snexec.broker.pool import Pool
from snexec.broker.request import Reply, Request

if TYPE_CHECKING:
    from snexec.broker.answers import BrokerOrder
    from snexec.broker.client import AlpacaClient
    from snexec.broker.request import Listener
    from snexec.broker.sent import SentOrder
    from snexec.model import Side

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

    def submit(self, data: bytes, listener: Listener | None = None) -> Request:
        request = Request(data, listener, sent=True)
        request.left()
        self._tasks.start_soon(self._answer, request)
        return request

    async def _answer(self, request: Request) -> None:
        request.end(reply=await reply_by_route(request.data, BASE))


class RoutedLookUps(LookUps):
    """Has a respx route answer the questions, from the bytes that would leave.

    Args:
        look_ups: What would have sent them.
    """

    def __init__(self, look_ups: LookUps) -> None:
        vars(self).update(vars(look_ups))

    async def _carry(self, request: Request) -> None:
        try:
            reply = await reply_by_route(request.data, self._base_url)
        except httpx.ConnectError as exc:
            raise OSError(str(exc)) from None
        request.sent = True
        request.end(reply=reply)


async def reply_by_route(request: bytes, base_url: str) -> Reply:
    """Return what a respx route answers to the bytes of a request."""
    head, _, content = request.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    method, path, _version = first.split(" ")
    headers = dict(line.split(": ", 1) for line in lines)
    async with httpx.AsyncClient(verify=False) as client:  # noqa: S501 - no network
        answer = await client.request(
            method, f"{base_url}{path}", headers=headers, content=content
        )
    told = {name.lower(): value for name, value in answer.headers.items()}
    return Reply(answer.status_code, told, answer.content, True)


@dataclass(kw_only=True)
class Outgoing:
    """The order of row sn-1, which notes what it hears of its request.

    Attributes:
        withheld: What it says if it is asked whether it must not leave any more.
        heard: What it heard and was asked.
        done: Set once it is answered.
    """

    symbol: str = "AAPL"
    side: Side = "buy"
    notional: Decimal | None = Decimal("100.00")
    quantity: Decimal | None = None
    client_order_id: str = "sn-1"
    withheld: bool = False
    heard: list[str] = field(default_factory=list)
    done: trio.Event = field(default_factory=trio.Event)

    def left(self) -> None:
        self.heard.append("left")

    def is_withheld(self) -> bool:
        self.heard.append("is it withheld?")
        return self.withheld

    def answered(self) -> None:
        self.heard.append("answered")
        self.done.set()


async def place(client: AlpacaClient, *, symbol: str = "AAPL") -> BrokerOrder:
    """Place the order of row sn-1, within its budget."""
    assert client.budget.try_take(Purpose.START)
    sent, answered = send(client, symbol=symbol)
    try:
        await answered.wait()
    finally:
        sent.abandon("cancelled")
    return sent.outcome()


def send(client: AlpacaClient, *, symbol: str = "AAPL") -> tuple[SentOrder, trio.Event]:
    """Send the order of row sn-1, and return what is set once it is answered."""
    order = Outgoing(symbol=symbol)
    return client.send_order(order), order.done


async def look_up(client: AlpacaClient, order_id: str | None = None) -> BrokerOrder:
    """Look row sn-1's order up, within the budget."""
    assert client.budget.try_take(Purpose.START)
    return await client.order(client_order_id="sn-1", order_id=order_id)


async def position(client: AlpacaClient, symbol: str = "AAPL") -> Decimal:
    """Ask for a position, within the budget."""
    assert client.budget.try_take(Purpose.START)
    return await client.position_quantity(symbol)
