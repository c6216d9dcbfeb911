"""Stop orders that rest until a print elects them."""

import time
from decimal import Decimal
from typing import Any

import pytest
import trio

from snexec.exchange.market import Market

from .conftest import Bench, Start, within


async def holding(start: Start, **settings: Any) -> Bench:  # noqa: ANN401
    """Start an exchange whose account holds 2.5 KO, at 60 dollars."""
    bench = await start(**settings)
    bench.exchange.quote("KO", Decimal(60))
    placed = await bench.order(notional=None, qty="2.5")
    await bench.settled(placed.json()["id"])
    return bench


def stop(price: str = "55", **more: object) -> dict[str, Any]:
    """Return the fields of a stop that sells."""
    fields = {"notional": None, "qty": "2.5", "side": "sell", "type": "stop"}
    return {**fields, "stop_price": price, **more}


@within(5)
async def test_a_print_at_the_stop_elects_it_and_it_sells_at_the_market(
    start: Start,
) -> None:
    bench = await holding(start)
    placed = (await bench.order(**stop())).json()
    assert (placed["type"], placed["stop_price"]) == ("stop", "55")
    bench.exchange.quote("KO", Decimal("55.01"))
    await trio.sleep(0.05)
    assert await bench.status(placed["id"]) == "new"
    bench.exchange.quote("KO", Decimal(50))
    order = await bench.settled(placed["id"])
    assert abs(Decimal(order["filled_avg_price"]) - 50) < Decimal("0.1")
    assert (await bench.rest.get("/v2/positions/KO")).status_code == 404


@within(5)
async def test_a_resting_stop_holds_the_shares(start: Start) -> None:
    bench = await holding(start)
    await bench.order(**stop())
    position = (await bench.rest.get("/v2/positions/KO")).json()
    assert (position["qty"], position["qty_available"]) == ("2.5", "0")
    reply = await bench.order(notional=None, qty="1", side="sell")
    assert reply.json()["held_for_orders"] == "2.5"


@pytest.mark.parametrize(
    ("fields", "code", "message"),
    [
        ({"stop_price": None}, 40010001, "stop orders require stop price"),
        (
            {"stop_price": "55.001"},
            42210000,
            "sub-penny increment does not fulfill minimum pricing criteria",
        ),
        (
            {"time_in_force": "gtc"},
            42210000,
            "fractional orders must be DAY orders",
        ),
        ({"type": "market"}, 40010001, "market orders must not have stop_price"),
        (
            {"symbol": "BTC/USD", "time_in_force": "gtc"},
            42210000,
            "invalid order type for crypto order",
        ),
    ],
)
@within(5)
async def test_a_stop_that_makes_no_sense_is_refused(
    start: Start, fields: dict[str, Any], code: int, message: str
) -> None:
    bench = await holding(start)
    reply = await bench.order(**stop() | fields)
    assert (reply.status_code, reply.json()) == (
        422,
        {"code": code, "message": message},
    )


@within(5)
async def test_a_price_below_a_dollar_has_four_decimals(start: Start) -> None:
    bench = await holding(start)
    assert (await bench.order(**stop("0.1234"))).status_code == 200


@within(5)
async def test_a_day_stop_ends_with_its_session(start: Start) -> None:
    bench = await holding(start)
    account = bench.exchange.paper
    async with bench.subscribed() as stream:
        placed = (await bench.order(**stop())).json()
        assert await stream.events(2) == ["pending_new", "new"]
        closes_ns = time.time_ns() + 50_000_000
        account.market = Market(is_open=True, changes_ns=closes_ns)
        assert await stream.events(1) == ["expired"]
    assert time.time_ns() >= closes_ns
    assert await bench.status(placed["id"]) == "expired"
    assert (await bench.rest.get("/v2/clock")).json()["is_open"] is False


@within(5)
async def test_a_stop_sent_after_the_close_waits_for_the_next_session(
    start: Start,
) -> None:
    bench = await holding(start)
    account = bench.exchange.paper
    account.market = Market(is_open=False)
    placed = (await bench.order(**stop())).json()
    bench.exchange.quote("KO", Decimal(40))
    await trio.sleep(0.05)
    assert await bench.status(placed["id"]) == "accepted", "no print counts meanwhile"
    account.market = Market(is_open=True)
    await trio.sleep(0.05)
    assert await bench.status(placed["id"]) == "new"
    bench.exchange.quote("KO", Decimal(41))
    await bench.settled(placed["id"])


@within(5)
async def test_a_stop_that_was_canceled_is_not_elected(start: Start) -> None:
    bench = await holding(start)
    placed = (await bench.order(**stop())).json()
    await trio.sleep(0.02)
    assert (await bench.rest.delete(f"/v2/orders/{placed['id']}")).status_code == 204
    bench.exchange.quote("KO", Decimal(40))
    await trio.sleep(0.05)
    assert await bench.status(placed["id"]) == "canceled"
    assert (await bench.rest.get("/v2/positions/KO")).status_code == 200
