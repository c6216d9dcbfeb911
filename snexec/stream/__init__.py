"""STREAM: Alpaca's trading stream, a WebSocket that is kept, and what is said on it.

It owns one connection, its state, and when the broker was last heard; the stream's own
task writes these, and ``restart``, which anybody may call. What the broker says of orders
goes to a ``TradeUpdates``. It never touches a row, and never asks the REST API.
"""

from __future__ import annotations

from snexec.stream.trading import StreamState as StreamState
from snexec.stream.trading import StreamStatus as StreamStatus
from snexec.stream.trading import TradingStream as TradingStream
from snexec.stream.updates import TradeUpdates as TradeUpdates
