"""The official SDK, unmodified, takes the exchange for Alpaca."""

import json
import subprocess
import sys
import textwrap
from decimal import Decimal
from typing import Any

import trio

from .conftest import Start, within

# In a process of its own: the SDK runs an asyncio loop and blocks.
SCRIPT = """
    import json, os, sys, threading
    from datetime import timedelta
    from alpaca.common.exceptions import APIError
    from alpaca.trading.client import TradingClient
    from alpaca.common.enums import Sort
    from alpaca.trading.enums import OrderSide, QueryOrderStatus, TimeInForce
    from alpaca.trading.requests import GetOrdersRequest, MarketOrderRequest
    from alpaca.trading.stream import TradingStream

    base = sys.argv[1]
    client = TradingClient("PKTEST", "secret", url_override=base)
    stream = TradingStream(
        "PKTEST", "secret", url_override=base.replace("http", "ws") + "/stream"
    )
    events = []
    filled = {}
    over = {name: threading.Event() for name in ("sdk-1", "sdk-2")}

    async def on_update(update):
        events.append([str(getattr(update.event, "value", update.event)), update.order.client_order_id])
        if update.event == "fill":
            name = update.order.client_order_id
            filled[name] = [update.order.symbol, str(update.order.filled_qty)]
            over[name].set()

    stream.subscribe_trade_updates(on_update)
    thread = threading.Thread(target=stream.run, daemon=True)
    thread.start()
    print("ready?", flush=True)
    sys.stdin.readline()

    def order(time_in_force=TimeInForce.DAY, **fields):
        return client.submit_order(
            MarketOrderRequest(
                side=OrderSide.BUY, time_in_force=time_in_force, **fields
            )
        )

    def error(call):
        try:
            call()
        except APIError as exc:
            return [exc.status_code, exc.code, exc.message]

    placed = order(symbol="KO", notional=5, client_order_id="sdk-1")
    assert over["sdk-1"].wait(5)
    coins = order(
        symbol="BTCUSD",
        notional=20,
        client_order_id="sdk-2",
        time_in_force=TimeInForce.GTC,
    )
    assert over["sdk-2"].wait(5)
    found = client.get_order_by_client_id("sdk-1")

    def listed(**query):
        query = GetOrdersRequest(
            status=QueryOrderStatus.ALL, limit=500, direction=Sort.ASC, **query
        )
        return [order.client_order_id for order in client.get_orders(query)]

    second = timedelta(seconds=1)
    result = {
        "placed": [placed.status.value, str(placed.id), placed.notional, placed.qty],
        "found": [found.status.value, str(found.id), found.filled_avg_price],
        "positions": [[p.symbol, p.qty] for p in client.get_all_positions()],
        "coins": [coins.symbol, coins.asset_class.value, filled["sdk-2"][0]],
        "coins_filled": filled["sdk-2"][1],
        "coins_held": client.get_open_position("BTCUSD").qty,
        "coins_with_slash": error(lambda: client.get_open_position("BTC/USD")),
        "coins_asset": client.get_asset("BTC/USD").symbol,
        "coins_today": error(lambda: order(symbol="BTC/USD", notional=20)),
        "coins_few": error(
            lambda: order(
                symbol="BTC/USD", notional=9.99, time_in_force=TimeInForce.GTC
            )
        ),
        "class_with_slash": error(lambda: order(symbol="BRK/B", notional=20)),
        "account": client.get_account().status.value,
        "clock": client.get_clock().is_open,
        "asset": client.get_asset("KO").fractionable,
        "no_position": error(lambda: client.get_open_position("NONE")),
        "twice": error(
            lambda: order(symbol="KO", notional=5, client_order_id="sdk-1")
        ),
        "events": events,
        "listed": listed(after=placed.submitted_at - second, side=OrderSide.BUY),
        "listed_coins": listed(symbols=["BTC/USD"]),
        "listed_before": listed(until=placed.submitted_at),
        "listed_sells": listed(side=OrderSide.SELL),
        "listed_open": [order.client_order_id for order in client.get_orders()],
    }
    print(json.dumps(result), flush=True)
    # The SDK's stream takes five seconds to stop.
    os._exit(0)
"""


@within(20)
async def test_alpaca_py_trades_on_it(start: Start) -> None:
    bench = await start()
    feed = bench.exchange.paper.feed
    process = await trio.lowlevel.open_process(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), bench.exchange.paper_url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        while not feed.listeners:  # noqa: ASYNC110
            await trio.sleep(0.02)
        assert process.stdin is not None
        assert process.stdout is not None
        await process.stdin.send_all(b"\n")
        output = b"".join([chunk async for chunk in process.stdout])
        assert await process.wait() == 0
    finally:
        with trio.CancelScope(shield=True):
            process.kill()
            await process.wait()
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    position = (await bench.rest.get("/v2/positions/KO")).json()
    order_id = result["placed"][1]
    assert result["placed"] == ["pending_new", order_id, "5", None]
    assert result["found"][:2] == ["filled", order_id]
    assert Decimal(result["found"][2]) > 0
    assert result["positions"] == [
        ["KO", position["qty"]],
        ["BTCUSD", result["coins_held"]],
    ]
    assert result["coins"] == ["BTC/USD", "crypto", "BTC/USD"]
    kept = Decimal(result["coins_filled"]) - Decimal(result["coins_held"])
    assert (
        Decimal("0.0024") < kept / Decimal(result["coins_filled"]) < Decimal("0.0026")
    )
    assert result["coins_with_slash"][:2] == [404, 40410000]
    assert result["listed"] == ["sdk-1", "sdk-2"]
    assert result["listed_coins"] == ["sdk-2"]
    assert result["listed_before"] == result["listed_sells"] == []
    assert result["listed_open"] == []
    assert result["coins_asset"] == "BTC/USD"
    assert result["coins_today"] == [422, 42210000, "invalid crypto time_in_force"]
    assert result["coins_few"] == [
        403,
        40310000,
        "cost basis must be >= minimal amount of order 10",
    ]
    assert result["class_with_slash"] == [422, 42210000, 'asset "BRK/B" not found']
    assert (result["account"], result["clock"], result["asset"]) == (
        "ACTIVE",
        True,
        True,
    )
    assert result["no_position"] == [404, 40410000, "position does not exist"]
    assert result["twice"] == [422, 40010001, "client_order_id must be unique"]
    assert result["events"] == [
        [event, name]
        for name in ("sdk-1", "sdk-2")
        for event in ("pending_new", "new", "fill")
    ]
