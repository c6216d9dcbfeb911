import sys
import threading

from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderSide, TimeInForce
from alpaca.trading.requests import MarketOrderRequest
from alpaca.trading.stream import TradingStream

base = sys.argv[1]
client = TradingClient("PK", "secret", url_override=base)
address = base.replace("http", "ws") + "/stream"
stream = TradingStream("PK", "secret", url_override=address)
heard = {"buy": threading.Event(), "sell": threading.Event()}


async def on_update(update):
    if update.event == "fill":
        heard[update.order.side.value].set()


stream.subscribe_trade_updates(on_update)
threading.Thread(target=stream.run, daemon=True).start()
assert client.get_account().status == "ACTIVE"
assert client.get_clock().is_open
assert client.get_all_assets()
while not stream._running:
    pass
sys.stdin.readline()
client.submit_order(
    MarketOrderRequest(
        symbol="KO", notional=50, side=OrderSide.BUY, time_in_force=TimeInForce.DAY
    )
)
assert heard["buy"].wait(20)
client.close_position("KO")
assert heard["sell"].wait(20)
print("done")
