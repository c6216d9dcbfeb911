"""What the accounts hold beside the open rows, and how that differs, in words (SPEC 2)."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

import trio

from snexec.assets import asset_class
from snexec.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from snexec.broker import PositionList
    from snexec.ledger import OpenRow
    from snexec.model import Mode

_DUST = Decimal("1e-6")  # shares; rows hold floats
_MOST_NAMED = 8


class Held(NamedTuple):
    """What an account holds of a row's symbol.

    Attributes:
        shares: Below 0 where they are owed; None where it cannot be read.
        price: Dollars of the last sale; None without one.
        difference: From what the row has left, in words; empty where there is none.
    """

    shares: Decimal | None
    price: Decimal | None = None
    difference: str = ""


class Beside(NamedTuple):
    """What the accounts hold.

    Attributes:
        held: By the rows' ids; a row is absent where its account was not asked.
        notes: What is to be said of an account: that it does not answer, or what it
            holds that no open row of it has.
    """

    held: dict[str, Held]
    notes: list[str]


async def look_beside(
    rows: Sequence[OpenRow], ask: Callable[[Mode], Awaitable[PositionList]]
) -> Beside:
    """Ask the account of each row what it holds.

    Args:
        rows: Those of another program are nobody's account's.
        ask: Returns all that an account holds; raises BrokerError or OSError.
    """
    beside = Beside({}, [])

    async def look(mode: Mode) -> None:
        try:
            listed = await ask(mode)
        except (BrokerError, OSError) as exc:
            why = str(exc) or type(exc).__name__
            beside.notes.append(f"what {mode} holds could not be asked: {why}")
            return
        for row in rows:
            if row.mode == mode:
                beside.held[row.trade_id] = _compared(row, listed)
        if others := _others(rows, mode, listed):
            beside.notes.append(others)

    async with trio.open_nursery() as nursery:
        for mode in dict.fromkeys(row.mode for row in rows if row.mode is not None):
            nursery.start_soon(look, mode)
    return beside


def _compared(row: OpenRow, listed: PositionList) -> Held:
    found, mode, left = listed.get(row.symbol), row.mode, row.remaining
    if not listed.speaks_of(row.symbol):
        return Held(None, None, f"what {mode} holds of it cannot be read")
    if found is None:
        gone = left is not None and left > _DUST
        return Held(Decimal(0), None, f"{mode} holds none of it" if gone else "")
    held, price = found.quantity, found.current_price
    if held < 0:
        return Held(held, price, f"{mode} owes {-held:f} of it")
    if left is None or abs(held - left) <= _DUST:
        return Held(held, price)
    if held > left:
        more = f"{mode} holds {held:f}, {held - left:f} more than the row"
        return Held(held, price, more)
    fee = left * asset_class(row.symbol).largest_fee
    why = ": the fee of the buy" if left - held <= fee else ""
    return Held(
        held, price, f"{mode} holds {held:f}, {left - held:f} less than the row{why}"
    )


def _others(rows: Sequence[OpenRow], mode: Mode, listed: PositionList) -> str:
    """Name what an account holds that none of its open rows, nor another program's, has."""
    ours = {row.symbol for row in rows if row.mode in {mode, None}}
    names = sorted(each.symbol for each in listed if each.symbol not in ours)
    if not names:
        return ""
    more = len(names) - _MOST_NAMED
    named = ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
    return f"{mode} also holds {named}, which no open row has"
