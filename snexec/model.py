"""The words that all parts share: modes, stars, sides, events of exits, cents, counts."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal
from typing import Literal, get_args

Mode = Literal["paper", "live"]
MODES: tuple[Mode, ...] = get_args(Mode)
# Accounts, budgets and unsettled orders are keyed by it: each mode has one account.
AccountName = Mode
ACCOUNTS: tuple[AccountName, ...] = MODES
Stars = Literal[3, 4, 5]
STARS: tuple[Stars, ...] = get_args(Stars)
Side = Literal["buy", "sell"]
# What happens to what is held: on the feed, and a word of ``[notify] events`` (SPEC 12.8).
ExitEvent = Literal[
    "exit",  # decided
    "exit_placed",
    "exit_refused",
    "exit_unknown",
    "exit_fill",
    "closed",
    "exit_blocked",
    "exits_blind",
    "external",
    "split",
    "oversold",
]
EXIT_EVENTS: tuple[ExitEvent, ...] = get_args(ExitEvent)


def counted(number: float, noun: str) -> str:
    """Return a number with its noun: 1 row, 2 rows; a verb or more may follow the noun.

    Args:
        number: How many.
        noun: As of one; what comes after a first word stays as it is: "row of trades".
    """
    first, space, rest = noun.partition(" ")
    return f"{number:.15g} {first if number == 1 else f'{first}s'}{space}{rest}"


def to_cents(dollars: Decimal) -> Decimal:
    """Round dollars down to cents, with two decimals, as Alpaca takes them."""
    return dollars.quantize(Decimal("0.01"), rounding=ROUND_DOWN)


def plain(number: Decimal) -> str:
    """Return a number in digits, without needless zeros and never as ``4E-10``."""
    return f"{number.normalize():f}"
