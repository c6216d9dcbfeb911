"""A position with what is known of its price, and which rules hold for it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from snexec.exits.prices import NEVER
from snexec.exits.rules import show_price
from snexec.exits.symbol_prices import SymbolPrices

if TYPE_CHECKING:
    from decimal import Decimal

    from snexec.exits.position import Position
    from snexec.exits.prices import Price
    from snexec.exits.rules import Trigger

log = logging.getLogger("PositionMonitor")


class BookEntry:
    """One position of the book.

    Attributes:
        is_armed: Whether new rules hold for it, while they wait for the others: it was
            asked once, and they did not sell it.
        held_back: What a new rule would sell it for, while that waits.
        waits_until: Until when, on Trio's clock; None before that was seen.
        changed_at: When its shares last changed, on Trio's clock: what was asked before
            says nothing of what is held.
        written_high: Its highest price as the row has it.
        written_at: When that was written, on Trio's clock.
    """

    __slots__ = (
        "changed_at",
        "held_back",
        "is_armed",
        "position",
        "prices",
        "waits_until",
        "written_at",
        "written_high",
    )

    def __init__(self, position: Position) -> None:
        self.position = position
        self.prices = SymbolPrices(position.high_price)
        self.is_armed = True
        self.changed_at = NEVER
        self.held_back: Trigger | None = None
        self.waits_until: float | None = None
        self.written_high: Decimal | None = position.high_price
        self.written_at = NEVER

    def change(self) -> None:
        """Note that its shares have changed."""
        self.changed_at = trio.current_time()
        self.position.held = self.position.free = None

    def say_jump(self, price: Price, most_pct: Decimal) -> None:
        """Warn, once, of a price that is too far from the last one to count alone.

        Args:
            price: What was passed over.
            most_pct: How far it may be, in percent.
        """
        last = self.prices.measure or self.position.entry_price
        if last is None or not self.prices.is_news():
            return
        log.warning(
            "%s: %s (%s) is more than %s %% from the last price, %s, and no second source"
            " is near it: it is passed over until a snapshot or the bid agrees; `snexec"
            " close %s` sells without a price",
            price.symbol,
            show_price(price.price),
            price.source,
            f"{most_pct:f}",
            show_price(last),
            price.symbol,
        )

    def take_high(self) -> None:
        """Have the position know its highest price.

        While its price rules rest, prices may be of other shares than the row's, as after
        a split that the row has not seen: they only lower it, where a print is taken back.
        """
        position, high = self.position, self.prices.highs.highest
        before = position.high_price
        is_lower = high is None or (before is not None and high < before)
        if position.rests is None or is_lower:
            position.high_price = high
