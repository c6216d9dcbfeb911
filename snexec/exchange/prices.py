"""What symbols cost: the last quote, and a small random walk around it."""

import hashlib
import random
from decimal import Decimal

from snexec.exchange.assets import canonical

# One execution moves the price by at most this share of it.
_STEP = 0.0003
# The walk stays within this share of the quote, however long the exchange runs.
_REACH = Decimal("0.02")


class Prices:
    """The market of both accounts, in USD, by canonical symbol."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._quotes: dict[str, Decimal] = {}
        self._last: dict[str, Decimal] = {}

    def quote(self, symbol: str, price: Decimal) -> None:
        """Set a symbol's last price.

        Raises:
            ValueError: The price is not a positive number.
        """
        if not price.is_finite() or price <= 0:
            raise ValueError(f"a price is a positive number, not {price}")
        name = canonical(symbol)
        self._quotes[name] = price
        self._last[name] = price

    def opening(self, symbol: str) -> Decimal:
        """Return the price around which the walk goes."""
        quote = self._quotes.get(symbol)
        if quote is None:
            quote = self._quotes[symbol] = _invented(symbol)
        return quote

    def last(self, symbol: str) -> Decimal:
        """Return the price of the last execution, or the quote before the first."""
        return self._last.get(symbol) or self.opening(symbol)

    def execute(self, symbol: str, near: Decimal | None = None) -> Decimal:
        """Make one step of the walk and return the price reached.

        Args:
            symbol: What is traded.
            near: The price to step from; None is the last one.
        """
        opening = self.opening(symbol)
        start = self.last(symbol) if near is None else near
        moved = start * (1 + Decimal(self._rng.uniform(-_STEP, _STEP)))
        moved = min(max(moved, opening * (1 - _REACH)), opening * (1 + _REACH))
        price = _rounded(moved)
        self._last[symbol] = price
        return price


def _rounded(price: Decimal) -> Decimal:
    """Round to three decimals above a dollar and to seven significant digits below."""
    if price >= 1:
        return price.quantize(Decimal("0.001"))
    return price.quantize(Decimal(1).scaleb(price.adjusted() - 6))


def _invented(symbol: str) -> Decimal:
    """Return a price between 10 and 500 USD that depends only on the symbol."""
    digest = hashlib.sha256(symbol.encode()).digest()
    return Decimal(1000 + int.from_bytes(digest[:4], "big") % 49000) / 100
