"""Shares and crypto pairs: what Alpaca makes depend on the class of an asset."""

from decimal import Decimal
from typing import Any

import pytest

from snexec.exchange.settings import Behaviour

from .conftest import Bench, Start, within


async def order_coins(bench: Bench, symbol: str = "BTC/USD", **fields: object) -> Any:  # noqa: ANN401
    """Post an order as Alpaca takes it for a pair, by default a buy for 20 dollars."""
    body: dict[str, object] = {"notional": "20.00", "time_in_force": "gtc"}
    return await bench.order(symbol, **(body | fields))


async def buy_coins(bench: Bench, symbol: str = "BTC/USD") -> dict[str, Any]:
    """Buy coins for 20 dollars and give the filled order."""
    placed = (await order_coins(bench, symbol)).json()
    return await bench.settled(placed["id"])


@pytest.mark.parametrize("time_in_force", ["gtc", "ioc"])
@within(5)
async def test_a_pair_is_bought_for_dollars(start: Start, time_in_force: str) -> None:
    bench = await start()
    placed = (await order_coins(bench, time_in_force=time_in_force)).json()
    order = await bench.settled(placed["id"])
    assert order["symbol"] == "BTC/USD"
    assert order["asset_class"] == "crypto"
    assert order["time_in_force"] == time_in_force
    assert order["notional"] == "20"


@pytest.mark.parametrize("time_in_force", ["day", "opg", "cls", "fok"])
@within(5)
async def test_a_pair_takes_no_other_time_in_force(
    start: Start, time_in_force: str
) -> None:
    bench = await start()
    reply = await order_coins(bench, time_in_force=time_in_force)
    assert reply.status_code == 422
    assert reply.json() == {
        "code": 42210000,
        "message": "invalid crypto time_in_force",
    }
    assert list(bench.exchange.paper.book.orders()) == []


@within(5)
async def test_a_pair_is_taken_without_its_slash_and_shown_with_it(
    start: Start,
) -> None:
    bench = await start()
    order = await buy_coins(bench, "BTCUSD")
    assert order["symbol"] == "BTC/USD"
    slashed = await buy_coins(bench, "BTC/USD")
    assert slashed["asset_id"] == order["asset_id"]
    for spelling in ("BTCUSD", "BTC/USD"):
        reply = await bench.rest.get(
            "/v2/orders", params={"status": "all", "symbols": spelling}
        )
        assert len(reply.json()) == 2


@within(5)
async def test_both_spellings_of_a_pair_have_one_price_and_one_behaviour(
    start: Start,
) -> None:
    bench = await start(symbols={"ETHUSD": Behaviour(refuse=403, times=1)})
    bench.exchange.quote("BTCUSD", Decimal(100_000))
    order = await buy_coins(bench, "BTC/USD")
    assert Decimal(99_000) < Decimal(order["filled_avg_price"]) < Decimal(101_000)
    assert (await order_coins(bench, "ETH/USD")).status_code == 403
    assert (await order_coins(bench, "ETHUSD")).status_code == 200


@within(5)
async def test_the_fee_of_a_buy_is_withheld_in_the_coin(start: Start) -> None:
    bench = await start()
    async with bench.subscribed() as stream:
        placed = (await order_coins(bench, notional="100.00")).json()
        fill = [await stream.event() for _ in range(3)][-1]
    order = await bench.settled(placed["id"])
    bought = Decimal(order["filled_qty"])
    position = (await bench.rest.get("/v2/positions/BTCUSD")).json()
    held = Decimal(position["qty"])
    assert fill["qty"] == order["filled_qty"]
    assert fill["position_qty"] == position["qty"] == position["qty_available"]
    assert Decimal(0) <= bought * Decimal("0.9975") - held < Decimal("1e-9")
    assert abs(
        Decimal(position["avg_entry_price"]) - Decimal(order["filled_avg_price"])
    ) < Decimal("0.01")
    spent = bought * Decimal(order["filled_avg_price"])
    cash = Decimal((await bench.rest.get("/v2/account")).json()["cash"])
    assert abs(100_000 - spent - cash) < Decimal("0.02")


@within(5)
async def test_the_fee_of_a_sell_is_withheld_in_dollars(start: Start) -> None:
    bench = await start()
    await buy_coins(bench)
    held = (await bench.rest.get("/v2/positions/BTCUSD")).json()["qty"]
    cash = bench.exchange.paper.book.cash

    sold = await order_coins(bench, notional=None, qty=held, side="sell")
    order = await bench.settled(sold.json()["id"])
    assert order["filled_qty"] == held
    assert (await bench.rest.get("/v2/positions")).json() == []
    made = Decimal(held) * Decimal(order["filled_avg_price"]) * Decimal("0.9975")
    assert abs(bench.exchange.paper.book.cash - cash - made) < Decimal("0.0001")


@within(5)
async def test_shares_are_bought_without_a_fee(start: Start) -> None:
    bench = await start()
    order = await bench.settled((await bench.order()).json()["id"])
    position = (await bench.rest.get("/v2/positions/KO")).json()
    assert position["qty"] == order["filled_qty"]


@within(5)
async def test_a_position_in_a_pair_is_listed_and_asked_for_without_a_slash(
    start: Start,
) -> None:
    bench = await start()
    await buy_coins(bench)
    position = (await bench.rest.get("/v2/positions/BTCUSD")).json()
    assert position["symbol"] == "BTCUSD"
    assert position["asset_class"] == "crypto"
    assert (await bench.rest.get("/v2/positions")).json() == [position]


@pytest.mark.parametrize("path", ["BTC%2FUSD", "BTC/USD", "btcusd", "BTC"])
@within(5)
async def test_no_other_spelling_finds_the_position_in_a_pair(
    start: Start, path: str
) -> None:
    bench = await start()
    await buy_coins(bench)
    reply = await bench.rest.get(f"/v2/positions/{path}")
    assert reply.status_code == 404
    assert reply.json()["code"] == 40410000


@within(5)
async def test_the_smallest_buy_of_a_pair_costs_ten_dollars(start: Start) -> None:
    bench = await start()
    bench.exchange.quote("BTC/USD", Decimal(100_000))
    dust: dict[str, object] = {"notional": None, "qty": "0.000099"}
    for fields in ({"notional": "9.99"}, dust):
        reply = await order_coins(bench, **fields)
        assert reply.status_code == 403
        assert reply.json() == {
            "code": 40310000,
            "message": "cost basis must be >= minimal amount of order 10",
        }
    assert (await order_coins(bench, notional="10.00")).status_code == 200


@within(5)
async def test_less_than_ten_dollars_of_a_pair_can_be_sold(start: Start) -> None:
    bench = await start()
    await buy_coins(bench)
    reply = await order_coins(bench, notional="5.00", side="sell")
    assert reply.status_code == 200


@pytest.mark.parametrize(
    "symbol",
    ["ETH/BTC", "ETH/USDT", "BRK/B", "BRK-B", "BTC-USD", "aapl", "BRK.B.C"],
)
@within(5)
async def test_what_is_not_traded_is_an_unknown_asset(
    start: Start, symbol: str
) -> None:
    bench = await start()
    for fields in ({}, {"time_in_force": "gtc", "notional": "20.00"}):
        reply = await bench.order(symbol, **fields)
        assert reply.status_code == 422
        assert reply.json() == {
            "code": 42210000,
            "message": f'asset "{symbol}" not found',
        }
    reply = await bench.rest.get(f"/v2/assets/{symbol.replace('/', '%2F')}")
    assert reply.status_code == 404
    assert reply.json() == {
        "code": 40410000,
        "message": f"asset not found for {symbol}",
    }


@within(5)
async def test_a_class_of_shares_is_set_off_by_a_dot(start: Start) -> None:
    bench = await start()
    await bench.settled((await bench.order("BRK.B")).json()["id"])
    position = (await bench.rest.get("/v2/positions/BRK.B")).json()
    assert (position["symbol"], position["asset_class"]) == ("BRK.B", "us_equity")


@within(5)
async def test_a_short_ticker_that_ends_in_usd_is_a_share(start: Start) -> None:
    bench = await start()
    assert (await bench.order("ABUSD")).json()["symbol"] == "ABUSD"


@pytest.mark.parametrize("path", ["BTCUSD", "BTC%2FUSD"])
@within(5)
async def test_the_asset_of_a_pair_has_a_slash(start: Start, path: str) -> None:
    bench = await start()
    asset = (await bench.rest.get(f"/v2/assets/{path}")).json()
    assert (asset["symbol"], asset["class"]) == ("BTC/USD", "crypto")
    assert asset["id"] == (await buy_coins(bench))["asset_id"]
