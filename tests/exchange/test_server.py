"""Start, stop, load and idleness of the whole."""

import json
import subprocess
import sys
import time
from decimal import Decimal

import httpx
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from snexec.exchange.market import Market
from snexec.exchange.server import Exchange
from snexec.exchange.settings import Behaviour, ExchangeSettings
from tests.day.in_process import Questions

from .conftest import Start, new_client, within


@within(5)
async def test_a_port_in_use_is_a_plain_oserror(start: Start) -> None:
    bench = await start()
    port = int(bench.exchange.paper_url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        await Exchange(ExchangeSettings()).run(port=port)


def test_the_urls_are_unknown_before_the_start() -> None:
    with pytest.raises(RuntimeError):
        _ = Exchange(ExchangeSettings()).paper_url


@within(5)
async def test_cancelling_stops_at_once_whatever_is_open(start: Start) -> None:
    bench = await start()
    exchange = Exchange(
        ExchangeSettings(
            symbols={
                "HANG": Behaviour(lose="after_accept", lose_how="hang"),
                "SLOW": Behaviour(reply_delay_sec=60, fill_delay_sec=60),
            }
        )
    )
    errors: list[str] = []
    async with trio.open_nursery() as clients:
        async with trio.open_nursery() as nursery:
            await nursery.start(exchange.run)
            bench.exchange = exchange

            async def order(symbol: str) -> None:
                async with new_client(exchange.paper_url) as rest:
                    bench.rest = rest
                    rest.headers.update(
                        {"APCA-API-KEY-ID": "k", "APCA-API-SECRET-KEY": "s"}
                    )
                    try:
                        await bench.order(symbol)
                    except httpx.TransportError:
                        errors.append(symbol)

            clients.start_soon(order, "HANG")
            clients.start_soon(order, "SLOW")
            port = int(exchange.paper_url.rpartition(":")[2])
            idle = await trio.open_tcp_stream("127.0.0.1", port)
            deaf = await trio.open_tcp_stream("127.0.0.1", port)
            async with bench.subscribed():
                await deafen(exchange, deaf)
                await trio.sleep(0.1)
                begun = trio.current_time()
                nursery.cancel_scope.cancel()
        took = trio.current_time() - begun
    await idle.aclose()
    await deaf.aclose()
    assert took < 0.5
    assert sorted(errors) == ["HANG", "SLOW"]


async def upgrade(raw: trio.SocketStream, path: str) -> None:
    """Make a WebSocket of a connection, and leave its frames to the test."""
    await raw.send_all(
        f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    await raw.receive_some()


async def deafen(exchange: Exchange, raw: trio.SocketStream) -> None:
    """Connect to the live stream, ask for far more than the buffers hold, read nothing."""
    await upgrade(raw, "/live/stream")
    for _ in range(20):
        exchange.live.feed.send_raw(b"x" * 1_000_000)


@within(5)
async def test_a_port_is_free_again_after_the_end() -> None:
    exchange = Exchange(ExchangeSettings())
    async with trio.open_nursery() as nursery:
        await nursery.start(exchange.run)
        port = int(exchange.paper_url.rpartition(":")[2])
        nursery.cancel_scope.cancel()
    again = Exchange(ExchangeSettings())
    async with trio.open_nursery() as nursery:
        await nursery.start(
            lambda task_status: again.run(port=port, task_status=task_status)
        )
        nursery.cancel_scope.cancel()


@within(5)
async def test_everything_in_it_goes_by_the_clock_that_it_is_given() -> None:
    exchange = Exchange(ExchangeSettings(), now_ns=lambda: 1_000_000_000)
    exchange.paper.market = Market(is_open=False, changes_ns=1_000_000_001)
    asked = Questions(exchange._app(), "")
    clock, _problem, _sent = await asked.ask("GET", "/v2/clock")
    body = {"symbol": "KO", "side": "buy", "type": "market", "notional": "10"}
    order = json.dumps(body | {"time_in_force": "day"}).encode()
    placed, _problem, _sent = await asked.ask("POST", "/v2/orders", order)
    assert clock is not None
    assert placed is not None
    said = json.loads(clock.body)
    assert said["timestamp"] == "1969-12-31T20:00:01-04:00"
    assert said["is_open"] is False
    assert json.loads(placed.body)["submitted_at"].startswith("1970-01-01T00:00:01")
    assert exchange.tape.trade("KO").at_ns == 1_000_000_000


@within(20)
async def test_a_burst_of_orders_all_fill_and_are_all_told(start: Start) -> None:
    bench = await start(rate_limit_per_min=100_000)
    count = 500
    limit = trio.CapacityLimiter(50)

    async def order(number: int) -> None:
        async with limit:
            reply = await bench.order(f"S{number}", client_order_id=f"id-{number}")
            assert reply.status_code == 200

    async with bench.subscribed() as stream, trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(order, number)
        filled = set()
        for _ in range(3 * count):
            event = await stream.event()
            if event["event"] == "fill":
                filled.add(event["order"]["client_order_id"])
    assert filled == {f"id-{number}" for number in range(count)}
    assert bench.exchange.paper.counts["POST /v2/orders"] == count


@within(5)
async def test_a_client_that_leaves_in_the_middle_of_a_body_harms_nobody(
    start: Start,
) -> None:
    bench = await start()
    port = int(bench.exchange.paper_url.rpartition(":")[2])
    raw = await trio.open_tcp_stream("127.0.0.1", port)
    await raw.send_all(
        b"POST /v2/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
    )
    await raw.aclose()
    await trio.sleep(0.05)
    assert (await bench.order()).status_code == 200
    assert len(bench.exchange.paper.posts) == 1


@within(5)
async def test_a_goodbye_that_crosses_the_clients_own_is_no_error(start: Start) -> None:
    bench = await start()
    port = int(bench.exchange.paper_url.rpartition(":")[2])
    goodbye = b"\x88\x82\0\0\0\0\x03\xe8"  # masked, code 1000
    # Trio shuffles its tasks: one time in four the two meet where it hurts.
    for _ in range(40):
        async with await trio.open_tcp_stream("127.0.0.1", port) as raw:
            await upgrade(raw, "/stream")
            await wait_all_tasks_blocked()
            bench.exchange.paper.feed.close()
            await raw.send_all(goodbye)
            while await raw.receive_some():
                pass
    # That no error was logged is what conftest.py asserts.


@within(5)
async def test_an_idle_exchange_uses_no_cpu(start: Start) -> None:
    bench = await start()
    async with bench.subscribed() as stream:
        await bench.order()
        await stream.events(3)
        await trio.sleep(0.1)
        before = time.process_time()
        await trio.sleep(0.5)
        assert time.process_time() - before < 0.05


@within(5)
async def test_prices_walk_around_the_last_quote(start: Start) -> None:
    bench = await start()
    seen = set()
    for price in (Decimal(100), Decimal("0.0851")):
        bench.exchange.quote("KO", price)
        for _ in range(3):
            order = await bench.settled((await bench.order()).json()["id"])
            filled = Decimal(order["filled_avg_price"])
            seen.add(filled)
            assert abs(filled / price - 1) < Decimal("0.02")
    assert len(seen) > 3


@within(5)
async def test_a_seed_repeats_the_prices_and_never_an_id(start: Start) -> None:
    prices, ids, given = [], set(), 0
    for _ in range(2):
        bench = await start(seed=7)
        async with bench.subscribed() as stream:
            reply = await bench.order()
            events = [await stream.event() for _ in range(3)]
        order = events[-1]["order"]
        prices.append((order["filled_qty"], order["filled_avg_price"]))
        some = [
            reply.headers["X-Request-ID"],
            order["id"],
            order["client_order_id"],
            *(event["event_id"] for event in events),
            *(event["execution_id"] for event in events[1:]),
        ]
        assert reply.json()["id"] == order["id"]
        ids.update(some)
        given += len(some)
    assert prices[0] == prices[1]
    assert len(ids) == given


@pytest.mark.parametrize("price", ["0", "-1", "NaN"])
def test_a_price_is_a_positive_number(price: str) -> None:
    with pytest.raises(ValueError, match="positive"):
        Exchange(ExchangeSettings()).quote("KO", Decimal(price))


def test_the_settings_are_imported_without_a_server() -> None:
    code = (
        "import sys, snexec.exchange.settings as _;"
        "print([m for m in ('starlette', 'hypercorn', 'trio') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_nothing_is_printed() -> None:
    code = (
        "import trio\n"
        "from snexec.exchange.server import Exchange\n"
        "from snexec.exchange.settings import ExchangeSettings\n"
        "async def main():\n"
        "    async with trio.open_nursery() as nursery:\n"
        "        await nursery.start(Exchange(ExchangeSettings()).run)\n"
        "        nursery.cancel_scope.cancel()\n"
        "trio.run(main)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    assert (done.stdout, done.stderr) == ("", "")
