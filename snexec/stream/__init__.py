"""Alpaca's trading stream: a connection that is kept, and what is said on it."""

from __future__ import annotations

from snexec.stream.trading import StreamState as StreamState
from snexec.stream.trading import StreamStatus as StreamStatus
from snexec.stream.trading import TradingStream as TradingStream
from snexec.stream.updates import TradeUpdates as TradeUpdates
