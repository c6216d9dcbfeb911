"""The words that all parts share: modes, stars, sides, symbols, cents."""

from __future__ import annotations

import re
from decimal import ROUND_DOWN, Decimal
from typing import Literal, get_args

Mode = Literal["paper", "live"]
MODES: tuple[Mode, ...] = get_args(Mode)
# Accounts, budgets and unsettled orders are keyed by it: each mode has one account.
AccountName = Mode
ACCOUNTS: tuple[AccountName, ...] = MODES
Stars = Literal[3, 4, 5]
Side = Literal["buy", "sell"]

_SYMBOL = re.compile(r"[A-Za-z0-9]+(?:[./-][A-Za-z0-9]+)*", re.ASCII)


def valid_symbol(value: str) -> str:
    """Return a symbol in upper case.

    Raises:
        ValueError: It is not a symbol.
    """
    if not 1 <= len(value) <= 15 or not _SYMBOL.fullmatch(value):
        raise ValueError(
            "must be 1 to 15 characters: groups of A-Z 0-9 joined by single . - or /"
        )
    return value.upper()


def to_cents(dollars: Decimal) -> Decimal:
    """Round dollars down to cents, with two decimals, as Alpaca takes them."""
    return dollars.quantize(Decimal("0.01"), rounding=ROUND_DOWN)
