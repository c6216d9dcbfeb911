"""What the market does: its hours."""

from __future__ import annotations

from snexec.market.hours import MarketClock as MarketClock
