"""What corporations do to positions, with or without a trace (ALPACA-EXITS 1.5)."""

from decimal import Decimal

from pydantic import BaseModel, ConfigDict, Field

from snexec.exchange.activities import Activities, CorporateAction
from snexec.exchange.assets import canonical
from snexec.exchange.book import Book
from snexec.exchange.errors import not_found
from snexec.exchange.spelling import number


class Action(BaseModel):
    """One corporate action on what an account holds.

    Attributes:
        symbol: Whose.
        kind: `SPLIT` multiplies the quantity by `ratio` and divides the price, `SPIN`
            leaves both, `NC` gives the position the name `to`, `MA` and `REORG` pay
            `price` a share and end it.
        ratio: New shares for each old one.
        price: USD a share.
        to: A symbol.
        activity: Whether the account's activities tell of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    symbol: str
    kind: CorporateAction = "SPLIT"
    ratio: Decimal = Field(default=Decimal(1), gt=0, allow_inf_nan=False)
    price: Decimal = Field(default=Decimal(0), ge=0, allow_inf_nan=False)
    to: str | None = None
    activity: bool = True


def carry_out(action: Action, book: Book, activities: Activities, at_ns: int) -> None:
    """Change the position, and the price where that follows.

    Raises:
        ApiError: The account holds nothing of the symbol.
    """
    symbol = canonical(action.symbol)
    positions = book.positions
    before = positions.qty(symbol)
    if not before:
        raise not_found("position does not exist")
    match action.kind:
        case "SPLIT":
            positions.split(symbol, action.ratio)
            book.prices.split(symbol, action.ratio)
        case "NC" if action.to is not None:
            positions.rename(symbol, canonical(action.to))
        case "MA" | "REORG":
            book.cash += before * action.price
            positions.sell(symbol, before)
        case _:
            pass
    if action.activity:
        change = number(positions.qty(symbol) - before)
        activities.corporate_action(action.kind, at_ns, symbol, change)
