"""Ticks over a WebSocket: who gets them, and what is refused."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import pytest
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

from snexec.exchange.data_stream import DataFaults, DataFeed

from .conftest import Bench, Start, new_client, within

AUTH = {"action": "auth", "key": "PKTEST", "secret": "s"}
CONNECTED = {"T": "success", "msg": "connected"}
AUTHENTICATED = {"T": "success", "msg": "authenticated"}


class Ticks:
    """A client of market data."""

    def __init__(self, websocket: WebSocketConnection) -> None:
        self.websocket = websocket

    async def receive(self) -> dict[str, Any]:
        (message,) = json.loads(await self.websocket.get_message())
        assert isinstance(message, dict)
        return message

    async def ask(self, request: object) -> dict[str, Any]:
        await self.websocket.send_message(json.dumps(request))
        return await self.receive()

    async def subscribe(self, **channels: list[str]) -> dict[str, Any]:
        return await self.ask({"action": "subscribe", **channels})


@asynccontextmanager
async def connect(bench: Bench, path: str = "v2/iex") -> AsyncIterator[Ticks]:
    url = urlsplit(f"{bench.exchange.data_url}/{path}")
    assert url.hostname is not None
    assert url.port is not None
    async with await trio.open_tcp_stream(url.hostname, url.port) as tcp:
        websocket = await wrap_client_stream(bench.nursery, tcp, url.netloc, url.path)
        async with websocket:
            ticks = Ticks(websocket)
            assert await ticks.receive() == CONNECTED
            yield ticks


@asynccontextmanager
async def authenticated(bench: Bench, path: str = "v2/iex") -> AsyncIterator[Ticks]:
    async with connect(bench, path) as ticks:
        assert await ticks.ask(AUTH) == AUTHENTICATED
        yield ticks


def iex(bench: Bench) -> DataFeed:
    return bench.exchange.data_feeds["v2/iex"]


async def nobody_is_connected(bench: Bench) -> None:
    while iex(bench).connections:  # noqa: ASYNC110
        await trio.sleep(0.005)


@within(5)
async def test_a_sale_is_a_trade_and_a_quote_to_those_who_asked(start: Start) -> None:
    bench = await start()
    async with authenticated(bench) as ticks:
        lists = await ticks.subscribe(trades=["KO", "PEP"], quotes=["KO"])
        assert (lists["T"], lists["trades"]) == ("subscription", ["KO", "PEP"])
        assert (lists["quotes"], lists["corrections"]) == (["KO"], ["KO", "PEP"])
        bench.exchange.quote("F", Decimal(9))
        bench.exchange.quote("KO", Decimal("60.5"))
        trade, quote = await ticks.receive(), await ticks.receive()
        assert (trade["T"], trade["S"], trade["p"]) == ("t", "KO", 60.5)
        assert (quote["T"], quote["S"]) == ("q", "KO")
        assert quote["bp"] < 60.5 < quote["ap"]

        left = await ticks.ask({"action": "unsubscribe", "trades": ["KO"]})
        assert (left["trades"], left["quotes"]) == (["PEP"], ["KO"])
        bench.exchange.quote("KO", Decimal(61))
        assert (await ticks.receive())["T"] == "q"


@within(5)
async def test_an_execution_is_printed(start: Start) -> None:
    bench = await start()
    async with authenticated(bench) as ticks:
        await ticks.subscribe(trades=["KO"])
        placed = (await bench.order()).json()
        assert (await ticks.receive())["T"] == "t"
        await bench.settled(placed["id"])


@within(5)
async def test_pairs_have_an_endpoint_of_their_own_and_tell_the_takers_side(
    start: Start,
) -> None:
    bench = await start()
    async with authenticated(bench, "v1beta3/crypto/us") as ticks:
        await ticks.subscribe(trades=["BTC/USD"])
        bench.exchange.quote("BTCUSD", Decimal(60_000))
        trade = await ticks.receive()
        assert (trade["S"], trade["p"], trade["tks"]) == ("BTC/USD", 60_000, "B")


@within(5)
async def test_odd_prints_corrections_and_halts_come_with_their_marks(
    start: Start,
) -> None:
    bench = await start()
    bench.exchange.quote("KO", Decimal(60))
    async with (
        authenticated(bench) as ticks,
        new_client(f"{bench.exchange.paper_url}/control/data") as control,
    ):
        await ticks.subscribe(trades=["KO"], statuses=["KO"])
        odd = {"symbol": "KO", "price": 30, "conditions": ["I", "Z"]}
        assert (await control.post("/print", json=odd)).status_code == 204
        trade = await ticks.receive()
        assert (trade["p"], trade["c"]) == (30, ["I", "Z"])
        assert bench.exchange.tape.trade("KO").price == 60, "it moves no price"

        await control.post("/take-back", json={"symbol": "KO", "price": 59})
        corrected = await ticks.receive()
        assert (corrected["T"], corrected["op"], corrected["cp"]) == ("c", 60, 59)
        await control.post("/take-back", json={"symbol": "KO"})
        assert (await ticks.receive())["T"] == "x"

        for halted, code in ((True, "H"), (False, "T")):
            await control.put("/halts", json={"symbol": "KO", "halted": halted})
            status = await ticks.receive()
            assert (status["T"], status["S"], status["sc"]) == ("s", "KO", code)


@pytest.mark.parametrize(
    ("first", "code"),
    [
        ({"action": "auth", "key": "", "secret": "s"}, 402),
        ({"action": "auth", "key": "PKTEST"}, 402),
        ({"action": "subscribe", "trades": ["KO"]}, 401),
    ],
)
@within(5)
async def test_who_is_not_authenticated_is_sent_away(
    start: Start, first: dict[str, Any], code: int
) -> None:
    bench = await start()
    async with connect(bench) as ticks:
        assert (await ticks.ask(first))["code"] == code
        with pytest.raises(ConnectionClosed):
            await ticks.receive()


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (AUTH, 403),
        ({"action": "dance"}, 410),
        ({"action": "subscribe", "trades": "KO"}, 400),
        ({"action": "subscribe", "trades": [5]}, 400),
        ([], 400),
        ("nonsense", 400),
    ],
)
@within(5)
async def test_a_senseless_request_is_refused_and_the_connection_lives(
    start: Start, request_: object, code: int
) -> None:
    bench = await start()
    async with authenticated(bench) as ticks:
        answer = await ticks.ask(request_)
        assert (answer["T"], answer["code"]) == ("error", code)
        assert (await ticks.subscribe(trades=["KO"]))["trades"] == ["KO"]


@within(5)
async def test_one_connection_may_ask_for_thirty_symbols(start: Start) -> None:
    bench = await start()
    thirty = [f"S{n}" for n in range(30)]
    async with authenticated(bench) as ticks:
        assert len((await ticks.subscribe(trades=thirty))["trades"]) == 30
        refused = await ticks.subscribe(trades=["KO"])
        assert (refused["code"], refused["msg"]) == (405, "symbol limit exceeded")
        assert iex(bench).subscribed == sorted(thirty), "the others stay"


@within(5)
async def test_a_second_connection_is_refused_until_the_first_has_gone(
    start: Start,
) -> None:
    bench = await start()
    async with authenticated(bench), connect(bench) as second:
        assert (await second.ask(AUTH))["code"] == 406
    await nobody_is_connected(bench)
    async with authenticated(bench):
        assert iex(bench).connections == 1
    iex(bench).faults = DataFaults(slot_hold_sec=60)
    async with authenticated(bench):
        pass
    await nobody_is_connected(bench)
    async with connect(bench) as third:
        assert (await third.ask(AUTH))["code"] == 406, "its slot is held a while"


@within(5)
async def test_a_feed_can_stall_drop_or_refuse(start: Start) -> None:
    bench = await start()
    async with (
        authenticated(bench) as ticks,
        new_client(f"{bench.exchange.paper_url}/control/data") as control,
    ):
        await ticks.subscribe(trades=["KO"])
        stalled = await control.put("/feeds/v2/iex", json={"stall": True})
        assert stalled.status_code == 204
        bench.exchange.quote("KO", Decimal(60))
        with trio.move_on_after(0.1):
            pytest.fail(f"came: {await ticks.receive()}")
        await control.delete("/feeds/v2/iex")
        bench.exchange.quote("KO", Decimal(61))
        assert (await ticks.receive())["p"] == 61
        assert (await control.get("/feeds")).json()["v2/iex"] == {
            "connections": 1,
            "trades": ["KO"],
        }
        await control.post("/drop/v2/iex")
        with pytest.raises(ConnectionClosed):
            await ticks.receive()
        await control.put("/feeds/v2/iex", json={"refuse": 409})
        assert (await control.put("/feeds/v9", json={})).status_code == 404
    async with connect(bench) as ticks:
        assert (await ticks.ask(AUTH))["code"] == 409
