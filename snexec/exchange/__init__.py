"""A simulated Alpaca exchange: the trading REST and WebSocket API on loopback."""
