"""What market data says, as the monitor hears it (SPEC 12.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snexec.exits.prices import Price

if TYPE_CHECKING:
    from snexec.exits.monitor import PositionMonitor
    from snexec.exits.prices import Source
    from snexec.market.ticks import Cancel, Correction, Print, Quote, Status

_NUMBERS = (1 << 53) - 1  # what a float holds exactly


class MonitorSink:
    """The market data's ``PriceSink``: hands all of it to the monitor."""

    def __init__(self, monitor: PositionMonitor) -> None:
        self._monitor = monitor

    def print_(self, tick: Print) -> None:
        """Take a trade, whatever its conditions."""
        self._monitor.hear(price_of(tick, "stream"))

    def quote(self, tick: Quote) -> None:
        """Take a bid and offer."""
        self._monitor.hear_bid(tick.symbol, tick.bid, tick.at)

    def correction(self, tick: Correction) -> None:
        """Take back a trade; the one in its place is no last sale any more."""
        self.canceled(tick)

    def canceled(self, tick: Cancel | Correction) -> None:
        """Take back a trade."""
        number = _number(tick.trade_id, tick.exchange)
        if number:
            self._monitor.take_back(tick.symbol, number)

    def status(self, tick: Status) -> None:
        """Take that a symbol is halted, or trades again."""
        if tick.state is not None:
            self._monitor.hear_status(
                tick.symbol, is_halted=tick.state == "halted", at=tick.at
            )


def price_of(trade: Print, source: Source) -> Price:
    """Return a trade as a price."""
    return Price(
        trade.symbol,
        trade.price,
        trade.at,
        source,
        _number(trade.trade_id, trade.exchange),
        trade.conditions,
    )


def _number(trade_id: str, exchange: str) -> int:
    """Return a number for a print; 0 for one that nobody can take back."""
    return (hash((trade_id, exchange)) & _NUMBERS) or 1 if trade_id else 0
