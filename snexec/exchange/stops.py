"""Stop orders that rest until a print elects them (ALPACA-EXITS 1.1)."""

from collections.abc import Callable
from decimal import Decimal

from snexec.exchange.order import Order


class Stops:
    """Holds what waits for a price, by symbol."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[tuple[Order, Callable[[], None]]]] = {}

    def wait(self, order: Order, elected: Callable[[], None]) -> None:
        """Call a function once a print elects an order, unless it has ended by then."""
        self._waiting.setdefault(order.symbol, []).append((order, elected))

    def printed(self, symbol: str, price: Decimal) -> None:
        """Elect the orders that a print of this price elects."""
        waiting = self._waiting.get(symbol)
        if not waiting:
            return
        still = [each for each in waiting if not each[0].terminal]
        ready = [each for each in still if _is_elected(each[0], price)]
        self._waiting[symbol] = [each for each in still if each not in ready]
        for _order, elected in ready:
            elected()


def _is_elected(order: Order, price: Decimal) -> bool:
    if order.stop_price is None:
        return True
    return (
        price <= order.stop_price if order.side == "sell" else price >= order.stop_price
    )
