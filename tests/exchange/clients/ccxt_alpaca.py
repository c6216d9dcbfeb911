import sys
import time

import ccxt

base = sys.argv[1]
exchange = ccxt.alpaca({"apiKey": "PK", "secret": "secret"})
exchange.urls["api"]["trader"] = base
assert exchange.load_markets()


def filled(side, amount):
    order = exchange.create_order("BTC/USD", "market", side, amount)
    for _ in range(200):
        if exchange.fetch_order(order["id"])["status"] == "closed":
            return
        time.sleep(0.1)
    raise AssertionError(side)


filled("buy", 1)
filled("sell", 0.9)
print("done")
