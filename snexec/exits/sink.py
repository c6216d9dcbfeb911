"""What market data says, as the monitor hears it (SPEC 12.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from snexec.exits.prices import Price

if TYPE_CHECKING:
    from decimal import Decimal

    from snexec.exits.monitor import PositionMonitor
    from snexec.exits.prices import Source

_NUMBERS = (1 << 53) - 1  # what a float holds exactly


class Trade(Protocol):
    """One trade, of the stream or of a snapshot."""

    @property
    def symbol(self) -> str:
        """In its canonical spelling."""

    @property
    def price(self) -> Decimal:
        """Dollars a share."""

    @property
    def at(self) -> float:
        """When, in seconds since 1970."""

    @property
    def conditions(self) -> tuple[str, ...]:
        """The tape's codes."""

    @property
    def trade_id(self) -> str:
        """The exchange's."""

    @property
    def exchange(self) -> str:
        """Its code."""


class BidAndOffer(Protocol):
    """The best bid and offer."""

    @property
    def symbol(self) -> str:
        """In its canonical spelling."""

    @property
    def bid(self) -> Decimal | None:
        """Dollars a share; None if nobody bids."""

    @property
    def at(self) -> float:
        """When, in seconds since 1970."""


class TakenBack(Protocol):
    """A trade that never was, or was another."""

    @property
    def symbol(self) -> str:
        """In its canonical spelling."""

    @property
    def trade_id(self) -> str:
        """The exchange's, of the trade that is taken back."""

    @property
    def exchange(self) -> str:
        """Its code."""


class Trading(Protocol):
    """Whether a symbol trades."""

    @property
    def symbol(self) -> str:
        """In its canonical spelling."""

    @property
    def state(self) -> str | None:
        """``halted`` or ``resumed``; None for what says neither."""

    @property
    def at(self) -> float | None:
        """When, in seconds since 1970; None if it cannot be read."""


class MonitorSink:
    """The market data's ``PriceSink``: hands all of it to the monitor."""

    def __init__(self, monitor: PositionMonitor) -> None:
        self._monitor = monitor

    def print_(self, tick: Trade) -> None:
        """Take a trade, whatever its conditions."""
        self._monitor.hear(price_of(tick, "stream"))

    def quote(self, tick: BidAndOffer) -> None:
        """Take a bid and offer."""
        self._monitor.hear_bid(tick.symbol, tick.bid, tick.at)

    def correction(self, tick: TakenBack) -> None:
        """Take back a trade; the one in its place is no last sale any more."""
        self.canceled(tick)

    def canceled(self, tick: TakenBack) -> None:
        """Take back a trade."""
        number = _number(tick.trade_id, tick.exchange)
        if number:
            self._monitor.take_back(tick.symbol, number)

    def status(self, tick: Trading) -> None:
        """Take that a symbol is halted, or trades again."""
        if tick.state is not None:
            self._monitor.hear_status(
                tick.symbol, is_halted=tick.state == "halted", at=tick.at
            )


def price_of(trade: Trade, source: Source) -> Price:
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
