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
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

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


class Known(Protocol):
    """What whoever asks keeps of a symbol: a list has the same objects where it can.

    Of most positions all but the price is what their row has, list after list; to keep it
    twice meanwhile would take more memory than all else that is kept of a row's price.
    """

    @property
    def symbol(self) -> str:
        """In its canonical spelling."""

    @property
    def remaining(self) -> Decimal:
        """Shares."""

    @property
    def entry_price(self) -> Decimal | None:
        """Dollars a share; None if it is not known."""

    @property
    def held(self) -> str | None:
        """The whole position as the broker spelled it last."""


Own = Callable[[str], Known | None]  # of a symbol in its canonical spelling


def knows_nothing(_symbol: str) -> None:
    """Return that nothing is known of a symbol."""


class PositionList:
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
        self.unreadable = frozenset(unreadable)
        self.is_whole = is_whole
        self._by_symbol = {each.symbol: each for each in held}

    def __iter__(self) -> Iterator[HeldPosition]:
        return iter(self._by_symbol.values())

    def __len__(self) -> int:
        return len(self._by_symbol)

    def get(self, symbol: str) -> HeldPosition | None:
        """Return the position in a symbol; None if none is listed that can be read."""
        return self._by_symbol.get(symbol)

    def speaks_of(self, symbol: str) -> bool:
        """Return whether it says that a symbol is held, or that it is not."""
        if symbol in self._by_symbol:
            return True
        return self.is_whole and symbol not in self.unreadable


async def read_positions(content: bytes, own: Own = knows_nothing) -> PositionList:
    """Read the body of a 200 as the list of all positions, in turns with other tasks.

    Args:
        content: The body.
        own: Returns what is known of a symbol; None if nothing is.

    Raises:
        UnknownOutcomeError: It is no list of positions.
    """
    listed = PositionList()
    unreadable, held = set[str](), listed._by_symbol  # noqa: SLF001 - it is being made
    async for fields in InTurns(_entries(content)):
        named = _symbol(fields) if isinstance(fields, dict) else None
        if named is None:
            listed.is_whole = False
        if not named:
            continue
        position = _read(fields, named, own(named))
        if position is None or named in held or named in unreadable:
            unreadable.add(named)
            held.pop(named, None)
        else:
            held[position.symbol] = position
    listed.unreadable = frozenset(unreadable)
    return listed


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


def _read(
    fields: dict[str, Any], symbol: str, known: Known | None = None
) -> HeldPosition | None:
    """Read one position; None if it does not say how much of it is held."""
    told = fields.get("qty")
    quantity, side = signed(told), fields.get("side")
    if quantity is None or side not in ("long", "short", None):
        return None
    if side == "short" and quantity > 0:
        quantity = -quantity
    if side == "long" and quantity < 0:
        return None
    average = amount(fields.get("avg_entry_price"))
    is_plain = isinstance(told, str) and _PLAIN.fullmatch(told)
    text = str(told) if is_plain else f"{quantity:f}"
    if known is not None:
        symbol = known.symbol
        text = known.held if known.held == text else text
        quantity = known.remaining if quantity == known.remaining else quantity
        average = known.entry_price if average == known.entry_price else average
    held = max(quantity, _ZERO)
    free = quantity_or_zero(fields.get("qty_available"))
    if free is None or free >= held:
        free = held  # one object for both, of nearly all
    return HeldPosition(
        symbol=symbol,
        quantity=quantity,
        quantity_text=text,
        available=free,
        current_price=amount(fields.get("current_price")),
        average_price=average,
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
