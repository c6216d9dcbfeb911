"""What follows a buy by itself: its symbol's price moves, and a hand sells it."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Protocol

from snexec.exchange.errors import ApiError
from snexec.exchange.order import Order
from snexec.exchange.prices import Prices
from snexec.exchange.settings import Behaviour


class Stage(Protocol):
    """Where it happens."""

    def after(self, delay_sec: float, call: Callable[[], None], /) -> None:
        """Call a function this many seconds from now."""


def begin(
    behaviour: Behaviour,
    order: Order,
    stage: Stage,
    *,
    prices: Prices,
    sell: Callable[[str], object],
) -> None:
    """Have happen what a symbol's behaviour says of the time after a buy.

    Args:
        behaviour: The symbol's.
        order: The buy, all of which is executed.
        stage: Calls what is due later.
        prices: What symbols cost.
        sell: Sells all that is held of a symbol.
    """
    for after_sec, percent in behaviour.path:
        price = prices.apart(order.sizing_price, percent)
        stage.after(after_sec, partial(prices.quote, order.symbol, price))
    if behaviour.sold_by_hand_sec is not None:
        stage.after(behaviour.sold_by_hand_sec, partial(_sell, sell, order.symbol))


def _sell(sell: Callable[[str], object], symbol: str) -> None:
    with suppress(ApiError):  # somebody was faster: nothing is left to sell
        sell(symbol)
