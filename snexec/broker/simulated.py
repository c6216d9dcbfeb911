"""What the rest of the daemon must know of the simulated exchange inside it."""

from __future__ import annotations

from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from snexec.model import AccountName


class Priced(Protocol):
    """An order, and what its signal said of the price."""

    @property
    def symbol(self) -> str:
        """What is ordered."""

    @property
    def price_at_signal(self) -> float:
        """Dollars per share."""


class BuiltInExchange(NamedTuple):
    """The simulated exchange, where it answers for the broker.

    Attributes:
        urls: Its REST base URL for each account.
        quote: Called with a symbol and its price, in dollars.
        id_salt: Sets this run's order ids apart: a simulated account starts empty each
            time, and so do its ids.
        data_url: Base URL of its market data, REST and streams.
        stories: For how many seconds symbols do something by themselves once they are
            bought.
    """

    urls: Mapping[AccountName, str]
    quote: Callable[[str, Decimal], None]
    id_salt: str
    data_url: str = ""
    stories: Mapping[str, float] = MappingProxyType({})

    def leaving(self, order: Priced, _sequence: int | None) -> None:
        """Have a symbol cost what the signal of an order said."""
        self.quote(order.symbol, Decimal(repr(order.price_at_signal)))
