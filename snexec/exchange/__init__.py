"""A simulated Alpaca exchange: its trading API, REST and WebSocket, on loopback.

It owns its accounts, orders and prices, which only requests and its own controls change.
It imports nothing of the daemon's.
"""
