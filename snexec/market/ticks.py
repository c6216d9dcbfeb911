"""What market data says, in types; and what takes it (SPEC 12.4, ALPACA-EXITS 2.1).

A price is the number of the JSON text, exactly. A time is in seconds since the epoch, by
the exchange's clock: when a trade took place, not when it was reported.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, NamedTuple, Protocol

_MOST = Decimal(10) ** 18
_LEAST = Decimal(10) ** -18
_MOST_DIGITS = 40
_MOST_ID = 1 << 64
_MOST_TEXT_CHARS = 40  # a time or an exchange's code has fewer


class Print(NamedTuple):
    """One trade.

    Attributes:
        symbol: In its canonical spelling (SPEC 4).
        price: Dollars a share.
        at: When, in seconds since the epoch.
        conditions: The tape's codes; empty for crypto.
        trade_id: The exchange's; unique together with the exchange.
        exchange: Its code; empty for crypto.
    """

    symbol: str
    price: Decimal
    at: float
    conditions: tuple[str, ...]
    trade_id: str
    exchange: str


class Quote(NamedTuple):
    """The best bid.

    Attributes:
        bid: Dollars a share; None if nobody bids.
        at: When, in seconds since the epoch.
    """

    symbol: str
    bid: Decimal | None
    at: float


class Correction(NamedTuple):
    """A trade that was other than printed.

    Attributes:
        trade_id: The exchange's, of the trade that is taken back.
        price: Dollars a share, as printed; None if it cannot be read.
        corrected: The trade as it was; None if that cannot be read.
    """

    symbol: str
    trade_id: str
    exchange: str
    price: Decimal | None
    corrected: Print | None


class Cancel(NamedTuple):
    """A trade that never was.

    Attributes:
        trade_id: The exchange's, of the trade that is taken back.
        price: Dollars a share, as printed; None if it cannot be read.
    """

    symbol: str
    trade_id: str
    exchange: str
    price: Decimal | None


class Status(NamedTuple):
    """Whether a symbol trades.

    Attributes:
        state: None for a code that says neither, such as that quotes have resumed.
        code: The tape's code, as it came.
        reason: The tape's code of the reason, as it came.
        at: When, in seconds since the epoch; None if it cannot be read.
    """

    symbol: str
    state: Literal["halted", "resumed"] | None
    code: str
    reason: str
    at: float | None


class PriceSink(Protocol):
    """Takes what market data says, one thing after the other, and never waits.

    An error that it raises ends the connection, and a new one is opened.
    """

    def print_(self, tick: Print) -> None:
        """Take a trade, whatever its conditions."""

    def quote(self, tick: Quote) -> None:
        """Take a bid and offer."""

    def correction(self, tick: Correction) -> None:
        """Take back a trade, and take the one in its place if there is one."""

    def canceled(self, tick: Cancel) -> None:
        """Take back a trade."""

    def status(self, tick: Status) -> None:
        """Take that a symbol is halted, or trades again."""


def exact(text: str) -> Decimal | None:
    """Read a number of JSON as what its text says; None if nobody means such a one."""
    if len(text) > _MOST_DIGITS:
        return None
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent that no number has
        return None


def price_of(value: object) -> Decimal | None:
    """Return dollars above 0 that a row can hold; None if it is none."""
    if type(value) is int:
        value = exact(str(value)) if abs(value) < _MOST else None
    return value if isinstance(value, Decimal) and _LEAST <= value <= _MOST else None


def moment(value: object) -> float | None:
    """Return a time of market data in seconds since the epoch; None if it is none."""
    if type(value) is not str or len(value) > _MOST_TEXT_CHARS:
        return None
    try:
        found = datetime.fromisoformat(value)
        # Without a zone it would be read in the machine's own.
        return None if found.tzinfo is None else found.timestamp()
    except (ValueError, OverflowError):
        return None


def print_of(symbol: str, fields: dict[str, Any]) -> Print | None:
    """Read a trade, of the stream or of a snapshot; None if it cannot be read.

    One whose conditions cannot be read is none, as nobody knows whether it counts.
    """
    price, at = price_of(fields.get("p")), moment(fields.get("t"))
    conditions = codes(fields.get("c"))
    if price is None or at is None or conditions is None:
        return None
    return Print(
        symbol,
        price,
        at,
        conditions,
        word(fields.get("i")),
        word(fields.get("x")),
    )


def quote_of(symbol: str, fields: dict[str, Any]) -> Quote | None:
    """Read a quote, of the stream or of a snapshot; None if it cannot be read."""
    at = moment(fields.get("t"))
    if at is None:
        return None
    # 0 is the broker's word for none.
    return Quote(symbol, price_of(fields.get("bp")), at)


def codes(value: object) -> tuple[str, ...] | None:
    """Return a print's conditions; None if they cannot be read."""
    if value is None:
        return ()
    if type(value) is not list:
        return None
    for each in value:
        if type(each) is not str or not each.isascii():
            return None
    return tuple(value)


def word(value: object) -> str:
    """Return a code or an id as text; empty if it is none."""
    if type(value) is int:
        return str(value) if abs(value) < _MOST_ID else ""
    if type(value) is not str or len(value) > _MOST_TEXT_CHARS:
        return ""
    return value if value.isascii() and value.isprintable() else ""
