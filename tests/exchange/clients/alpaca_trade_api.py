import asyncio
import sys

sys.path.pop(0)  # this file has the name of what it imports
import alpaca_trade_api
from alpaca_trade_api.stream import Stream

base = sys.argv[1]
api = alpaca_trade_api.REST("PK", "secret", base_url=base, api_version="v2")
stream = Stream("PK", "secret", base_url=base)
heard = asyncio.Queue()


async def on_update(update):
    if update.event == "fill":
        await heard.put(update.order["side"])


stream.subscribe_trade_updates(on_update)


async def main():
    task = asyncio.ensure_future(stream._trading_ws._run_forever())
    assert api.get_account().status == "ACTIVE"
    assert api.get_clock().is_open
    assert api.list_assets()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    api.submit_order("KO", notional=50, side="buy", type="market", time_in_force="day")
    assert await asyncio.wait_for(heard.get(), 20) == "buy"
    api.close_position("KO")
    assert await asyncio.wait_for(heard.get(), 20) == "sell"
    task.cancel()
    print("done")


asyncio.run(main())
