"""MARKET: what the market does: its hours.

It owns the last answer of the broker's clock for each account, which only its own task
writes. It asks only while a limit needs it, and between two answers Trio's clock counts.
It never makes an order wait.
"""

from __future__ import annotations

from snexec.market.hours import MarketHours as MarketHours
