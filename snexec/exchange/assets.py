"""What may be traded, how it is spelled, and what Alpaca makes depend on its class."""

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from uuid import NAMESPACE_DNS, uuid5

# A class of shares is set off by a dot; a pair is quoted in dollars.
_SHARE = re.compile(r"[A-Z0-9]+(\.[A-Z0-9]+)?")
_PAIR = re.compile(r"[A-Z0-9]+/USD")
# No ticker of a share is as long and ends so.
_COMPACT_PAIR = re.compile(r"[A-Z0-9]{3,}USD")


@dataclass(frozen=True, kw_only=True, slots=True)
class AssetClass:
    """What the broker makes depend on an asset's class (ALPACA 8).

    Attributes:
        name: As Alpaca spells it.
        exchange: Where it is listed, as Alpaca spells it.
        times_in_force: Those that an order may have.
        smallest_buy: The least that a buy may cost, in USD.
        fee: The share of what an execution yields that is kept back, 0 to 1.
        around_the_clock: Whether it is traded while the market is closed.
    """

    name: str
    exchange: str
    times_in_force: frozenset[str]
    smallest_buy: Decimal
    fee: Decimal
    around_the_clock: bool


SHARES = AssetClass(
    name="us_equity",
    exchange="NYSE",
    times_in_force=frozenset({"day", "gtc", "opg", "cls", "ioc", "fok"}),
    smallest_buy=Decimal(1),
    fee=Decimal(0),
    around_the_clock=False,
)
CRYPTO = AssetClass(
    name="crypto",
    exchange="CRYPTO",
    times_in_force=frozenset({"gtc", "ioc"}),
    smallest_buy=Decimal(10),
    fee=Decimal("0.0025"),
    around_the_clock=True,
)


@lru_cache(maxsize=4096)
def canonical(symbol: str) -> str:
    """Return the spelling of a symbol in orders: `BTCUSD` is taken for `BTC/USD`."""
    if _COMPACT_PAIR.fullmatch(symbol):
        return f"{symbol.removesuffix('USD')}/USD"
    return symbol


def exists(symbol: str) -> bool:
    """Return whether a symbol, in its canonical spelling, can be traded at all."""
    return bool(_SHARE.fullmatch(symbol) or _PAIR.fullmatch(symbol))


def class_of(symbol: str) -> AssetClass:
    """Return the class of an asset by its canonical symbol."""
    return CRYPTO if "/" in symbol else SHARES


def position_symbol(symbol: str) -> str:
    """Return the spelling of a canonical symbol in positions: a pair has no slash."""
    return symbol.replace("/", "")


@lru_cache(maxsize=4096)
def asset_id(symbol: str) -> str:
    """Return the id of an asset, which depends only on its canonical symbol."""
    return str(uuid5(NAMESPACE_DNS, symbol))
