"""What usual clients call first."""

from urllib.parse import urlsplit

import pytest
import trio
from trio_websocket import wrap_client_stream

from .conftest import Start, Stream, within


@within(10)
async def test_assets_are_listed_by_class(start: Start) -> None:
    bench = await start()
    await bench.order("ZZZ")

    listed = (await bench.rest.get("/v2/assets?status=active")).json()
    coins = (await bench.rest.get("/v2/assets?asset_class=crypto")).json()

    assert {"AAPL", "BTC/USD", "ZZZ"} <= {each["symbol"] for each in listed}
    assert {each["class"] for each in coins} == {"crypto"}
    assert all(each["min_trade_increment"] for each in coins)
    assert (await bench.rest.get("/v2/assets?status=inactive")).json() == []


@within(10)
async def test_configurations_are_kept(start: Start) -> None:
    bench = await start()
    path = "/v2/account/configurations"

    assert (await bench.rest.get(path)).json()["suspend_trade"] is False
    changed = await bench.rest.patch(path, json={"suspend_trade": True})
    assert changed.json()["suspend_trade"] is True
    assert (await bench.rest.get(path)).json() == changed.json()
    assert (await bench.rest.patch(path, json={"x": 1})).status_code == 422


@within(10)
async def test_a_history_is_of_now(start: Start) -> None:
    bench = await start()
    path = "/v2/account/portfolio/history"

    history = (await bench.rest.get(f"{path}?timeframe=1H")).json()

    assert history["timeframe"] == "1H"
    assert len(history["timestamp"]) == len(history["equity"]) == 1
    assert history["equity"] == [history["base_value"]]
    assert (await bench.rest.get(f"{path}?timeframe=1Y")).status_code == 422


@within(10)
async def test_all_orders_are_canceled_at_once(start: Start) -> None:
    bench = await start(fill_delay_sec=60)
    ids = {(await bench.order(symbol)).json()["id"] for symbol in ("KO", "PEP")}

    reply = await bench.rest.delete("/v2/orders")

    assert reply.status_code == 207
    assert {each["id"] for each in reply.json()} == ids
    assert {await bench.status(each) for each in ids} == {"canceled"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("order_class", "bracket"),
        ("order_class", "oco"),
        ("take_profit", {"limit_price": "70"}),
        ("stop_loss", {"stop_price": "50"}),
        ("trail_percent", "3"),
    ],
)
@within(10)
async def test_what_it_does_not_do_is_refused_and_not_left_out(
    start: Start, name: str, value: object
) -> None:
    bench = await start()

    whole = {"symbol": "KO", "qty": "1", "side": "buy", "type": "market"}
    order = {**whole, "time_in_force": "day"}
    reply = await bench.rest.post("/v2/orders", json={**order, name: value})

    assert reply.status_code == 422
    assert "this simulated exchange" in reply.json()["message"]
    simple = {**order, "order_class": "simple"}
    assert (await bench.rest.post("/v2/orders", json=simple)).status_code == 200


@within(10)
async def test_the_stream_may_have_a_slash_behind_it(start: Start) -> None:
    bench = await start()
    url = urlsplit(bench.exchange.paper_url)
    async with await trio.open_tcp_stream(url.hostname or "", url.port or 0) as tcp:
        path = "/stream/"
        websocket = await wrap_client_stream(bench.nursery, tcp, url.netloc, path)
        async with websocket:
            await Stream(websocket).subscribe()
