"""What symbols cost: the last quote, and a small random walk around it."""

import hashlib
import random
from collections.abc import Callable
from decimal import Decimal

from snexec.exchange.assets import canonical
from snexec.exchange.halts import Halts

# One execution moves the price by at most this share of it.
_STEP = 0.0003
# The walk stays within this share of the quote, however long the exchange runs.
_REACH = Decimal("0.02")
# Sells get the bid, so that a position begins with a small loss.
_HALF_SPREAD = Decimal("0.0001")


class Prices:
    """The market of both accounts, in USD, by canonical symbol.

    Attributes:
        halts: Which symbols do not trade now.
    """

    def __init__(self, rng: random.Random) -> None:
        self.halts = Halts()
        self._rng = rng
        self._quotes: dict[str, Decimal] = {}
        self._last: dict[str, Decimal] = {}
        self._fixed: set[str] = set()
        self._followers: list[Callable[[str, Decimal], None]] = []

    def follow(self, follower: Callable[[str, Decimal], None]) -> None:
        """Call a function with each print: its symbol, and its price in USD."""
        self._followers.append(follower)

    def quote(self, symbol: str, price: Decimal) -> None:
        """Set a symbol's last price.

        Raises:
            ValueError: The price is not a positive number.
        """
        if not price.is_finite() or price <= 0:
            raise ValueError(f"a price is a positive number, not {price}")
        name = canonical(symbol)
        self._fixed.discard(name)
        self._quotes[name] = price
        self._print(name, price)

    def fix(self, symbol: str, price: Decimal) -> None:
        """Set a symbol's price, at which all is executed until another one is set.

        Raises:
            ValueError: The price is not a positive number.
        """
        self.quote(symbol, price)
        self._fixed.add(canonical(symbol))

    def split(self, symbol: str, ratio: Decimal) -> None:
        """Divide a symbol's price: each share has become ``ratio`` shares."""
        self.quote(symbol, _rounded(self.last(symbol) / ratio))

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
        if symbol in self._fixed:
            price = self._quotes[symbol]
            self._print(symbol, price)
            return price
        opening = self.opening(symbol)
        start = self.last(symbol) if near is None else near
        moved = start * (1 + Decimal(self._rng.uniform(-_STEP, _STEP)))
        moved = min(max(moved, opening * (1 - _REACH)), opening * (1 + _REACH))
        price = _rounded(moved)
        self._print(symbol, price)
        return price

    def paid(self, symbol: str, price: Decimal) -> Decimal:
        """Return what a seller gets for an execution at a price: the bid, or that price."""
        return price if symbol in self._fixed else self.bid(price)

    def bid(self, price: Decimal) -> Decimal:
        """Return what is bid while the last sale was at a price."""
        return _rounded(price * (1 - _HALF_SPREAD))

    def ask(self, price: Decimal) -> Decimal:
        """Return what is asked while the last sale was at a price."""
        return _rounded(price * (1 + _HALF_SPREAD))

    def apart(self, price: Decimal, percent: float) -> Decimal:
        """Return the price that is so many percent above another, or below."""
        return _rounded(price * (1 + Decimal(repr(percent)) / 100))

    def _print(self, symbol: str, price: Decimal) -> None:
        self._last[symbol] = price
        for follower in self._followers:
            follower(symbol, price)


def _rounded(price: Decimal) -> Decimal:
    """Round to three decimals above a dollar and to seven significant digits below."""
    if price >= 1:
        return price.quantize(Decimal("0.001"))
    return price.quantize(Decimal(1).scaleb(price.adjusted() - 6))


def _invented(symbol: str) -> Decimal:
    """Return a price between 10 and 500 USD that depends only on the symbol."""
    digest = hashlib.sha256(symbol.encode()).digest()
    return Decimal(1000 + int.from_bytes(digest[:4], "big") % 49000) / 100
