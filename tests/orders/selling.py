"""An intent that is not a buy: what every part of the order desk must take as well."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Literal

import trio

from tests.fakes import make_trade

if TYPE_CHECKING:
    from snexec.ledger.rows import NewTrade, Opening
    from snexec.ledger.store import Store
    from snexec.model import Mode, Side
    from snexec.orders.intent import Lapse, SkipReason


class Sell:
    """An intent to sell shares, as whatever closes positions would hand it in."""

    side: Side = "sell"
    sequence: int | None = None

    def __init__(self, symbol: str, quantity: str) -> None:
        self.symbol = symbol
        self.quantity = Decimal(quantity)
        self.read_at = trio.current_time()
        self.stop: Literal["paused"] | None = None
        self.lapse: Lapse | None = None
        self.drops: list[tuple[SkipReason, str]] = []

    def stopped(self) -> SkipReason | None:
        return self.stop

    def lapsed(self) -> Lapse | None:
        return self.lapse

    def draw_up(self, account: Mode) -> NewTrade:
        return make_trade(f"x-{self.symbol}", self.symbol, mode=account)

    def open_row(self, store: Store, trade: NewTrade) -> Opening:
        return store.open_trade(trade)

    def dropped(self, reason: SkipReason, *, why: str = "") -> None:
        self.drops.append((reason, why))
