"""MARKET: what the market does: its hours, and what is paid there.

It owns the last answer of the broker's clock for each account, today's session, and the
connections to market data; only its own tasks write these. The clock is asked only while
a limit or a position needs it, and between two answers Trio's clock counts. Market data
is loaded and asked for by whoever watches positions, and never otherwise; what a stream
says goes to a ``PriceSink``, which says which price counts. It never makes an order wait.
"""

from __future__ import annotations

from snexec.market.hours import MarketHours as MarketHours
from snexec.market.hours import View as View
