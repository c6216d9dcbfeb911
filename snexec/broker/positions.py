"""What an account holds, as the broker lists it (ALPACA 2.2, SPEC 12.4, 12.7): no I/O here.

An entry that cannot be read says nothing about its symbol, neither that it is held nor that
it is gone; the others count all the same. How an entry is read:

| in it | is |
| --- | --- |
| `symbol` of an asset that no row can have, as an option | passed over |
| `symbol` that is no text of an asset's; no fields | unreadable, may be any symbol's |
| `qty` unreadable, or of the other sign than `side` | unreadable |
| a second entry of one asset | both unreadable |
| `qty_available` missing, unreadable or out of bounds | at most `qty`, at least 0 |
| a price that is no amount | None |
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic_core import from_json

from snexec.assets import canonical_symbol
from snexec.broker.answers import amount, quantity_or_zero
from snexec.errors import UnknownOutcomeError
from snexec.turns import InTurns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MOST_POSITIONS_BYTES = 16 * 1024 * 1024  # some 20,000; the list has no pages

PositionSide = Literal["long", "short"]

_ASSET = re.compile(r"[A-Za-z0-9./_-]{1,64}")
_OPENED = re.compile(rb"[ \t\r\n]*\[")
_ENTRY = re.compile(rb"[ \t\r\n]*(\{[^{}]*\})[ \t\r\n]*([,\]])")  # of a list
_PLAIN = re.compile(r"[0-9]{1,40}(?:\.[0-9]{1,40})?")
_ZERO = Decimal(0)


class HeldPosition(NamedTuple):
    """What an account holds of one asset.

    Attributes:
        symbol: In its canonical spelling (SPEC 4).
        quantity: Shares; below 0 where they are owed.
        quantity_text: The same as the broker spells it, for an order that sells it all.
        available: Shares that no order holds, from 0 to ``quantity``.
        current_price: Dollars of the last sale; None if there is none to read.
        average_price: Dollars a share paid, over all buys of the account; None likewise.
    """

    symbol: str
    quantity: Decimal
    quantity_text: str
    available: Decimal
    current_price: Decimal | None
    average_price: Decimal | None
    side: PositionSide

    @property
    def held(self) -> Decimal:
        """Shares that can be sold, were they free; none of what is owed."""
        return max(self.quantity, _ZERO)


class PositionList(list[HeldPosition]):
    """Everything that an account holds, as far as it can be read.

    Attributes:
        unreadable: Symbols of which it says nothing, though it names them.
        is_whole: Whether what is not in it may be held to be absent from it.
    """

    def __init__(
        self,
        held: Iterable[HeldPosition] = (),
        *,
        unreadable: Iterable[str] = (),
        is_whole: bool = True,
    ) -> None:
        super().__init__(held)
        self.unreadable = frozenset(unreadable)
        self.is_whole = is_whole
        self._by_symbol = {each.symbol: each for each in self}

    def get(self, symbol: str) -> HeldPosition | None:
        """Return the position in a symbol; None if none is listed that can be read."""
        return self._by_symbol.get(symbol)

    def speaks_of(self, symbol: str) -> bool:
        """Return whether it says that a symbol is held, or that it is not."""
        if symbol in self._by_symbol:
            return True
        return self.is_whole and symbol not in self.unreadable


async def read_positions(content: bytes) -> PositionList:
    """Read the body of a 200 as the list of all positions, in turns with other tasks.

    Raises:
        UnknownOutcomeError: It is no list of positions.
    """
    held: dict[str, HeldPosition] = {}
    unreadable, is_whole = set(), True
    async for fields in InTurns(_entries(content)):
        named = _symbol(fields) if isinstance(fields, dict) else None
        if named is None:
            is_whole = False
        if not named:
            continue
        position = _read(fields, named)
        if position is None or named in held or named in unreadable:
            unreadable.add(named)
            held.pop(named, None)
        else:
            held[named] = position
    return PositionList(held.values(), unreadable=unreadable, is_whole=is_whole)


def _entries(content: bytes) -> Iterator[Any]:
    """Yield what a list holds, one entry after the other.

    To read it in one step would take ten times its memory, and time that an order which
    comes meanwhile has to wait for. What is not spelled as plainly as by Alpaca is read
    so all the same.

    Raises:
        UnknownOutcomeError: It is no list.
    """
    opened, read = _OPENED.match(content), 0
    at = opened.end() if opened else len(content)
    while found := _ENTRY.match(content, at):
        try:
            # Its prices are other ones in each list: kept as text, they are only in the way.
            fields = from_json(found[1], cache_strings="keys")
        except ValueError:
            break
        at = found.end()
        if found[2] == b"]" and content[at:].strip():
            break
        yield fields
        if found[2] == b"]":
            return
        read += 1
    try:
        page = from_json(content)
    except ValueError:
        page = None
    if not isinstance(page, list):
        raise UnknownOutcomeError("the answer is no list of positions")
    yield from page[read:]


def read_position(content: bytes, symbol: str) -> HeldPosition:
    """Read the body of a 200 as the position in a symbol.

    Args:
        content: The body.
        symbol: What was asked for, in its canonical spelling.

    Raises:
        UnknownOutcomeError: It cannot be read, or is about another symbol.
    """
    try:
        fields = from_json(content)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise UnknownOutcomeError("the answer is no position")
    # Without the broker's own text, which may be anything.
    if _symbol(fields, "crypto" if "/" in symbol else "us_equity") != symbol:
        raise UnknownOutcomeError(
            f"the answer speaks of another position: its symbol is not {symbol}"
        )
    position = _read(fields, symbol)
    if position is None:
        raise UnknownOutcomeError(f"the position in {symbol} cannot be read")
    return position


def told_symbol(told: object, kind: object) -> str | None:
    """Return the canonical spelling of an asset that the broker names.

    Args:
        told: Its symbol as it came; a pair without its slash, in positions.
        kind: Its ``asset_class`` as it came.

    Returns:
        Empty for an asset that no row can have; None if it is no name of an asset.
    """
    if not isinstance(told, str) or not _ASSET.fullmatch(told):
        return None
    if kind == "crypto" and told.isalnum() and told.upper().endswith("USD"):
        # Also one that is as short as a share's symbol: OPUSD.
        told = f"{told[:-3]}/{told[-3:]}"
    try:
        return canonical_symbol(told)
    except ValueError:
        return ""


def _symbol(fields: dict[str, Any], kind: str | None = None) -> str | None:
    return told_symbol(fields.get("symbol"), fields.get("asset_class") or kind)


def _read(fields: dict[str, Any], symbol: str) -> HeldPosition | None:
    """Read one position; None if it does not say how much of it is held."""
    told = fields.get("qty")
    quantity, side = signed(told), fields.get("side")
    if quantity is None or side not in ("long", "short", None):
        return None
    if side == "short" and quantity > 0:
        quantity = -quantity
    if side == "long" and quantity < 0:
        return None
    held = max(quantity, _ZERO)
    free = quantity_or_zero(fields.get("qty_available"))
    if free is None or free >= held:
        free = held  # one object for both, of nearly all
    is_plain = isinstance(told, str) and _PLAIN.fullmatch(told)
    return HeldPosition(
        symbol=symbol,
        quantity=quantity,
        quantity_text=str(told) if is_plain else f"{quantity:f}",
        available=free,
        current_price=amount(fields.get("current_price")),
        average_price=amount(fields.get("avg_entry_price")),
        side="short" if quantity < 0 else "long",
    )


def signed(value: object) -> Decimal | None:
    """Read a quantity that may be below 0; None if it cannot be read."""
    if isinstance(value, str) and value.startswith("-"):
        owed = quantity_or_zero(value[1:])
    elif isinstance(value, int | float) and value < 0:
        owed = quantity_or_zero(-value)
    else:
        return quantity_or_zero(value)
    return None if owed is None else -owed
