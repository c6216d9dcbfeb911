"""STREAM: Alpaca's trading stream, a WebSocket that is kept, and what is said on it.

It owns one connection, its state, and when the broker was last heard; the stream's own
task writes these, and ``restart``, which anybody may call. What the broker says of orders
goes to a ``TradeUpdates``. What keeps a connection is lent to market data, whose
conversation is another. It never touches a row, and never asks the REST API.
"""

from __future__ import annotations

from snexec.stream.keeper import Keeper as Keeper
from snexec.stream.life import SignsOfLife as SignsOfLife
from snexec.stream.pings import keep_pinging as keep_pinging
from snexec.stream.timeouts import limit as limit
from snexec.stream.trading import StreamState as StreamState
from snexec.stream.trading import StreamStatus as StreamStatus
from snexec.stream.trading import TradingStream as TradingStream
from snexec.stream.updates import TradeUpdates as TradeUpdates
