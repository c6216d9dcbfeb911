"""What one account holds of each symbol."""

from dataclasses import dataclass
from decimal import Decimal

from snexec.exchange.assets import asset_id, class_of, position_symbol
from snexec.exchange.order import ZERO
from snexec.exchange.spelling import MICRO, QTY_STEP, number, truncate


@dataclass(kw_only=True, slots=True)
class Position:
    """A holding; `cost` is what was paid for it, in USD."""

    symbol: str
    qty: Decimal = ZERO
    cost: Decimal = ZERO

    def to_reply(self, price: Decimal, opening: Decimal, held: Decimal) -> object:
        """Return the position as REST replies spell it.

        Args:
            price: The symbol's price now, in USD.
            opening: The symbol's price at the start of the day, in USD.
            held: The quantity that open sell orders claim.
        """
        value = _micro(self.qty * price)
        cost = _micro(self.cost)
        gain = value - cost
        share = _micro(gain / cost) if cost else ZERO
        asset_class = class_of(self.symbol)
        return {
            "asset_class": asset_class.name,
            "asset_id": asset_id(self.symbol),
            "asset_marginable": not asset_class.around_the_clock,
            "avg_entry_price": number(_micro(self.cost / self.qty)),
            "change_today": number((price / opening - 1).quantize(Decimal("0.00001"))),
            "cost_basis": number(cost),
            "current_price": number(price),
            "exchange": asset_class.exchange,
            "lastday_price": number(opening),
            "market_value": number(value),
            "qty": number(self.qty),
            "qty_available": number(self.qty - held),
            "side": "long",
            "symbol": position_symbol(self.symbol),
            "unrealized_intraday_pl": number(gain),
            "unrealized_intraday_plpc": number(share),
            "unrealized_pl": number(gain),
            "unrealized_plpc": number(share),
        }


class Positions:
    """All holdings of one account, and what they cost together."""

    def __init__(self) -> None:
        self._by_symbol: dict[str, Position] = {}
        self.cost = ZERO

    def get(self, symbol: str) -> Position | None:
        """Find the position in a symbol."""
        return self._by_symbol.get(symbol)

    def all(self) -> list[Position]:
        """Return every position, in the order in which they were opened."""
        return list(self._by_symbol.values())

    def qty(self, symbol: str) -> Decimal:
        """Return the quantity held of a symbol, 0 if none is."""
        position = self._by_symbol.get(symbol)
        return ZERO if position is None else position.qty

    def buy(self, symbol: str, qty: Decimal, cost: Decimal) -> None:
        """Add to a position."""
        position = self._by_symbol.get(symbol)
        if position is None:
            position = self._by_symbol[symbol] = Position(symbol=symbol)
        position.qty += qty
        position.cost += cost
        self.cost += cost

    def sell(self, symbol: str, qty: Decimal) -> None:
        """Take from a position; the rest keeps its mean price."""
        position = self._by_symbol[symbol]
        whole = qty >= position.qty
        cost = position.cost if whole else position.cost * qty / position.qty
        position.qty -= qty
        position.cost -= cost
        self.cost -= cost
        if whole:
            del self._by_symbol[symbol]

    def split(self, symbol: str, ratio: Decimal) -> None:
        """Multiply a position's quantity; what it cost stays."""
        position = self._by_symbol[symbol]
        position.qty = truncate(position.qty * ratio, QTY_STEP)

    def rename(self, symbol: str, name: str) -> None:
        """Give a position another symbol."""
        position = self._by_symbol.pop(symbol)
        position.symbol = name
        self._by_symbol[name] = position


def _micro(value: Decimal) -> Decimal:
    return value.quantize(MICRO)
