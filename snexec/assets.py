"""What depends on what an asset is: its spelling, its class, and the class's rules.

One asset has one spelling here (SPEC 4). How what a feeder writes is read:

| written | is | because |
| --- | --- | --- |
| `BRK.B`, `BRK/B`, `BRK-B` | share `BRK.B` | one or two characters after it are a class |
| `BAC.PRB`, `BAC/PRB`, `BAC-PRB` | share `BAC.PRB` | PR and a character: a preferred one |
| `X.WS.A`, `X/WS/A` | share `X.WS.A` | each of its parts is such a class |
| `ABC.XYZ`, `BTC.USD` | share as written | a dot is never part of a pair |
| `BTC/USD`, `BTC-USD`, `ABC-USD` | crypto `BTC/USD`, `ABC/USD` | quoted in dollars |
| `BTCUSD`, `DOGEUSD` | crypto `BTC/USD`, `DOGE/USD` | no share has six letters |
| `BUSD`, `ABUSD` | share as written | it may be one: shorter than six |
| `ETH/BTC`, `ETH-USDT`, `BTC/EUR` | invalid | dollars cannot be ordered in it |
| `ETHBTC`, `ETHUSDT`, `BTCUSDC` | invalid | the same, and no share has six letters |
| `A/B/USD`, `BRK.B/USD` | invalid | a pair has a base and a quote |
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Literal, NamedTuple

_MOST_CHARS = 15
_WRITTEN = re.compile(r"[A-Za-z0-9]+(?:[./-][A-Za-z0-9]+)*", re.ASCII)
_SHARES = re.compile(r"[A-Z0-9]+(?:[./-](?:[A-Z0-9]{1,2}|PR[A-Z0-9]))*")
_DOTTED = re.compile(r"[A-Z0-9]+(?:\.[A-Z0-9]+)*")
_OTHER_QUOTES = ("USDT", "USDC", "BTC")  # that the broker has, beside USD
_MOST_LETTERS_OF_A_SHARE = 5


class AssetClass(NamedTuple):
    """What the broker makes depend on it (ALPACA 1.2, 8).

    Attributes:
        time_in_force: Of a market order.
        around_the_clock: Whether it trades while the market of shares is closed.
        smallest_dollars: What an order has to cost at least.
        largest_fee: What part of a buy the broker keeps at most, so that the position
            is smaller than what was bought (SPEC 12.5).
    """

    name: Literal["share", "crypto"]
    time_in_force: Literal["day", "gtc"]
    around_the_clock: bool
    smallest_dollars: Decimal
    largest_fee: Decimal


SHARE = AssetClass("share", "day", False, Decimal(1), Decimal(0))
CRYPTO = AssetClass("crypto", "gtc", True, Decimal(10), Decimal("0.005"))


def canonical_symbol(written: str) -> str:
    """Return the one spelling of an asset; the module says how it is read.

    Raises:
        ValueError: It is no symbol, or a pair that dollars cannot be ordered in.
    """
    if not 1 <= len(written) <= _MOST_CHARS or not _WRITTEN.fullmatch(written):
        raise ValueError(
            "must be 1 to 15 characters: groups of A-Z 0-9 joined by single . - or /"
        )
    # One object where they are equal, as each poll of positions reads every symbol.
    symbol = written if written.isupper() else written.upper()
    if symbol.isalnum():
        return _joined(symbol)
    if _DOTTED.fullmatch(symbol):
        return symbol
    if _SHARES.fullmatch(symbol):
        return symbol.replace("/", ".").replace("-", ".")
    base, _separator, quote = re.split("([/-])", symbol, maxsplit=1)
    if quote == "USD" and base.isalnum():
        return f"{base}/USD"
    raise _not_in_dollars(symbol)


def may_be(symbol: str, told: object) -> bool:
    """Return whether what the broker says may be about this asset (SPEC 11).

    A pair comes with its slash or without (ALPACA 8). An order of several legs has no
    symbol, or an empty one: that contradicts nothing.
    """
    if told == symbol or told is None or told == "":
        return True
    try:
        return canonical_symbol(str(told)) == canonical_symbol(symbol)
    except ValueError:
        return False


def asset_class(symbol: str) -> AssetClass:
    """Return the class of an asset, by its canonical symbol."""
    return CRYPTO if "/" in symbol else SHARE


def position_symbol(symbol: str) -> str:
    """Return how the path of a position spells a canonical symbol (ALPACA 8)."""
    return symbol.replace("/", "")


def _joined(symbol: str) -> str:
    """Read a symbol without separators."""
    if len(symbol) <= _MOST_LETTERS_OF_A_SHARE:
        return symbol
    if symbol.endswith(_OTHER_QUOTES):
        raise _not_in_dollars(symbol)
    if not symbol.endswith("USD"):
        return symbol
    if len(symbol) == _MOST_CHARS:
        raise ValueError("must be at most 15 characters as BASE/USD")
    return f"{symbol.removesuffix('USD')}/USD"


def _not_in_dollars(symbol: str) -> ValueError:
    return ValueError(
        f"must be quoted in USD, such as BTC/USD, or a share such as BRK.B: dollars"
        f" cannot be ordered in {symbol}"
    )
