"""The official SDK's market data, unmodified, takes the exchange for Alpaca."""

import json
import subprocess
import sys
import textwrap
from datetime import date
from decimal import Decimal
from typing import Any

import trio

from snexec.exchange.announcements import Announcement

from .conftest import Start, within

PATHS = ("v2/iex", "v1beta3/crypto/us")

# In a process of its own: the SDK runs an asyncio loop and blocks.
SCRIPT = """
    import json, os, sys, threading
    from datetime import date
    from alpaca.data.historical import StockHistoricalDataClient
    from alpaca.data.historical.corporate_actions import CorporateActionsClient
    from alpaca.data.live import CryptoDataStream, StockDataStream
    from alpaca.data.requests import CorporateActionsRequest, StockSnapshotRequest

    base = sys.argv[1]
    ticks = base.replace("http", "ws")
    seen, both = {}, threading.Event()

    async def on_tick(tick):
        key = f"{type(tick).__name__} {tick.symbol}"
        seen[key] = getattr(tick, "price", None) or tick.bid_price
        if len(seen) == 3:
            both.set()

    stocks = StockDataStream("PK", "s", url_override=f"{ticks}/v2/iex")
    stocks.subscribe_trades(on_tick, "KO")
    stocks.subscribe_quotes(on_tick, "KO")
    coins = CryptoDataStream("PK", "s", url_override=f"{ticks}/v1beta3/crypto/us")
    coins.subscribe_trades(on_tick, "BTC/USD")
    for stream in (stocks, coins):
        threading.Thread(target=stream.run, daemon=True).start()
    both.wait(10)
    client = StockHistoricalDataClient("PK", "s", url_override=base)
    snapshot = client.get_stock_snapshot(StockSnapshotRequest(symbol_or_symbols="KO"))
    actions = CorporateActionsClient("PK", "s", url_override=base)
    day = date(2026, 1, 6)
    known = actions.get_corporate_actions(
        CorporateActionsRequest(symbols=["KO"], start=day, end=day)
    ).data
    print(json.dumps({
        "seen": seen,
        "splits": [
            [kind, split.symbol, split.new_rate, split.old_rate]
            for kind, splits in known.items() for split in splits
        ],
        "snapshot": snapshot["KO"].latest_trade.price,
        "year": snapshot["KO"].latest_trade.timestamp.year,
    }), flush=True)
    # The SDK's stream takes five seconds to stop.
    os._exit(0)
"""


@within(20)
async def test_alpaca_pys_streams_and_snapshots_work_on_it(start: Start) -> None:
    bench = await start()
    feeds = bench.exchange.data_feeds
    for split in (
        Announcement(symbol="KO", day=date(2026, 1, 6), new_rate=3),
        Announcement(
            symbol="KO", day=date(2026, 1, 6), kind="reverse_split", old_rate=8
        ),
    ):
        bench.exchange.announcements.add(split)
    process = await trio.lowlevel.open_process(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), bench.exchange.data_url],
        stdout=subprocess.PIPE,
    )
    try:
        while not all(feeds[path].subscribed for path in PATHS):  # noqa: ASYNC110
            await trio.sleep(0.02)
        bench.exchange.quote("KO", Decimal("60.5"))
        bench.exchange.quote("BTC/USD", Decimal(60_000))
        assert process.stdout is not None
        output = b"".join([chunk async for chunk in process.stdout])
        assert await process.wait() == 0
    finally:
        with trio.CancelScope(shield=True):
            process.kill()
            await process.wait()
    said: dict[str, Any] = json.loads(output.splitlines()[-1])
    assert said["seen"]["Trade KO"] == 60.5
    assert 60 < said["seen"]["Quote KO"] < 60.5
    assert said["seen"]["Trade BTC/USD"] == 60_000
    assert said["snapshot"] == 60.5
    assert said["splits"] == [
        ["forward_splits", "KO", 3, 1],
        ["reverse_splits", "KO", 2, 8],
    ]
    assert said["year"] >= 2026
