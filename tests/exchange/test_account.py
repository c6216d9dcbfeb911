"""The life of orders while the market is closed, until it opens."""

import time
from decimal import Decimal

import pytest
import trio

from snexec.exchange.market import Market

from .conftest import Bench, Start, within


async def held_back(bench: Bench, order_id: str) -> None:
    """Make sure that an order is accepted and nothing of it is traded."""
    await trio.sleep(0.05)  # five times what an execution takes here
    order = (await bench.rest.get(f"/v2/orders/{order_id}")).json()
    assert (order["status"], order["filled_qty"]) == ("accepted", "0")
    assert (await bench.rest.get("/v2/positions")).json() == []


@within(5)
async def test_a_day_order_waits_for_the_open_and_is_filled_then(start: Start) -> None:
    bench = await start(market_open=False)
    async with bench.subscribed() as stream:
        reply = await bench.order()
        assert (reply.status_code, reply.json()["status"]) == (200, "accepted")
        await held_back(bench, reply.json()["id"])
        bench.exchange.paper.market = Market(is_open=True)
        assert await stream.events(3) == ["accepted", "new", "fill"]
    order = await bench.settled(reply.json()["id"])
    assert Decimal(order["filled_qty"]) > 0


@within(5)
async def test_a_queued_order_is_filled_at_the_hour_that_the_clock_announced(
    start: Start,
) -> None:
    bench = await start()
    opens_ns = time.time_ns() + 500_000_000
    bench.exchange.paper.market = Market(is_open=False, changes_ns=opens_ns)
    placed = (await bench.order()).json()
    assert placed["status"] == "accepted"
    await bench.settled(placed["id"])
    assert time.time_ns() >= opens_ns - 10_000_000
    assert (await bench.rest.get("/v2/clock")).json()["is_open"] is True


@within(5)
async def test_an_announced_open_that_is_taken_back_fills_nothing(start: Start) -> None:
    bench = await start(market_open=False)
    placed = (await bench.order()).json()
    account = bench.exchange.paper
    account.market = Market(is_open=False, changes_ns=time.time_ns() + 10_000_000)
    account.market = Market(is_open=False)
    await held_back(bench, placed["id"])
    assert (await bench.rest.get("/v2/clock")).json()["is_open"] is False


@within(5)
async def test_an_order_after_the_announced_close_waits(start: Start) -> None:
    bench = await start()
    bench.exchange.paper.market = Market(is_open=True, changes_ns=time.time_ns())
    await held_back(bench, (await bench.order()).json()["id"])


@within(5)
async def test_a_queued_order_that_is_canceled_is_not_filled_at_the_open(
    start: Start,
) -> None:
    bench = await start(market_open=False)
    async with bench.subscribed() as stream:
        placed = (await bench.order()).json()
        reply = await bench.rest.delete(f"/v2/orders/{placed['id']}")
        assert reply.status_code == 204
        assert await stream.events(2) == ["accepted", "canceled"]
        bench.exchange.paper.market = Market(is_open=True)
        await stream.nothing_comes()
    assert await bench.status(placed["id"]) == "canceled"


@within(5)
async def test_queued_orders_claim_their_dollars(start: Start) -> None:
    bench = await start(market_open=False)
    bench.exchange.paper.set_cash(Decimal(10))
    assert (await bench.order(notional="35.00")).status_code == 200
    reply = await bench.order("PEP", notional="5.01")
    assert reply.json()["message"] == "insufficient buying power"


@pytest.mark.parametrize("symbol", ["BTC/USD", "BTCUSD"])
@within(5)
async def test_a_pair_does_not_wait_for_the_open(start: Start, symbol: str) -> None:
    bench = await start(market_open=False)
    reply = await bench.order(symbol, notional="20.00", time_in_force="gtc")
    assert reply.json()["status"] == "pending_new"
    await bench.settled(reply.json()["id"])
