"""What the market prints: trades, quotes, halts, and prints that are taken back.

Shaped as Alpaca's market data is (ALPACA-EXITS 2.1).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import count
from typing import Literal

from snexec.exchange.assets import canonical, class_of
from snexec.exchange.prices import Prices
from snexec.exchange.spelling import Moment

Channel = Literal["trades", "quotes", "statuses"]
Message = Mapping[str, object]
Follower = Callable[[Channel, str, Message], None]

_FIRST_TRADE_ID = 52_983_525_000_000
_HALTED = {"sc": "H", "sm": "Trading Halt", "rc": "T12", "rm": "News Pending"}
_RESUMED = {"sc": "T", "sm": "Trading Resumption", "rc": "", "rm": ""}


@dataclass(frozen=True, kw_only=True, slots=True)
class Trade:
    """One print; its time in nanoseconds since the epoch."""

    id: int
    price: Decimal
    size: float
    conditions: tuple[str, ...]
    at_ns: int
    is_of_pair: bool = False

    def fields(self) -> dict[str, object]:
        """Return it as market data spells it, without its symbol."""
        if self.is_of_pair:
            head = {"i": self.id, "p": float(self.price), "s": self.size}
            return {**head, "t": Moment(self.at_ns), "tks": "B"}
        return {
            "i": self.id,
            "x": "V",
            "p": float(self.price),
            "s": self.size,
            "c": list(self.conditions),
            "t": Moment(self.at_ns),
            "z": "A",
        }


class Tape:
    """Tells followers what is printed, and remembers each symbol's last sale."""

    def __init__(self, prices: Prices, *, now_ns: Callable[[], int]) -> None:
        self.followers: set[Follower] = set()
        self._prices = prices
        self._now_ns = now_ns
        self._began_ns = now_ns()
        self._ids = count(_FIRST_TRADE_ID)
        self._last: dict[str, Trade] = {}
        prices.follow(self._sold)

    def trade(self, symbol: str) -> Trade:
        """Return a symbol's last sale; it has one from before the first print."""
        name = canonical(symbol)
        if name not in self._last:
            last = self._prices.last(name)
            self._last[name] = self._trade(name, last, at=self._began_ns)
        return self._last[name]

    def quote(self, symbol: str) -> dict[str, object]:
        """Return what is bid and asked now, as market data spells it."""
        name = canonical(symbol)
        last = self._prices.last(name)
        both: dict[str, object] = {
            "ap": float(self._prices.ask(last)),
            "as": 200.0,
            "bp": float(self._prices.bid(last)),
            "bs": 300.0,
            "t": Moment(self._now_ns()),
        }
        if class_of(name).around_the_clock:
            return both
        return both | {"ax": "V", "bx": "V", "c": ["R"], "z": "A"}

    def print_odd(
        self, symbol: str, price: Decimal, conditions: tuple[str, ...], size: float
    ) -> None:
        """Print what moves no price: with conditions, or an error of the tape."""
        name = canonical(symbol)
        self._publish_trade(name, self._trade(name, price, conditions, size))

    def take_back(self, symbol: str, corrected: Decimal | None) -> None:
        """Cancel a symbol's last print, or correct its price, in USD."""
        name = canonical(symbol)
        before = self.trade(name)
        old = {"x": "V", "t": Moment(self._now_ns()), "z": "A"}
        if corrected is None:
            canceled = {"i": before.id, "p": float(before.price), "s": before.size}
            self._publish("trades", name, {"T": "x", "a": "C", **canceled, **old})
            return
        after = self._trade(name, corrected, before.conditions, before.size)
        changes = {
            "oi": before.id,
            "op": float(before.price),
            "os": before.size,
            "oc": list(before.conditions),
            "ci": after.id,
            "cp": float(corrected),
            "cs": after.size,
            "cc": list(after.conditions),
        }
        self._publish("trades", name, {"T": "c", **changes, **old})

    def halted(self, symbol: str, *, halted: bool) -> None:
        """Tell that a symbol is halted, or trades again."""
        words = _HALTED if halted else _RESUMED
        message = {"T": "s", **words, "t": Moment(self._now_ns()), "z": "C"}
        self._publish("statuses", canonical(symbol), message)

    def _sold(self, symbol: str, price: Decimal) -> None:
        self._last[symbol] = trade = self._trade(symbol, price)
        self._publish_trade(symbol, trade)
        self._publish("quotes", symbol, {"T": "q", **self.quote(symbol)})

    def _publish_trade(self, symbol: str, trade: Trade) -> None:
        self._publish("trades", symbol, {"T": "t", **trade.fields()})

    def _publish(self, channel: Channel, symbol: str, message: Message) -> None:
        if self.followers:
            named = {"S": symbol, **message}
            for follower in tuple(self.followers):
                follower(channel, symbol, named)

    def _trade(
        self,
        symbol: str,
        price: Decimal,
        conditions: tuple[str, ...] = ("@",),
        size: float = 100.0,
        *,
        at: int | None = None,
    ) -> Trade:
        return Trade(
            id=next(self._ids),
            price=price,
            size=size,
            conditions=conditions,
            at_ns=self._now_ns() if at is None else at,
            is_of_pair=class_of(symbol).around_the_clock,
        )
