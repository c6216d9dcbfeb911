"""A part that sells, as operations see it, and nothing of it."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import trio

from snexec.broker.positions import HeldPosition
from snexec.exits import CloseAnswer, Exits, ExitsStatus, Explained, PositionStatus
from snexec.ledger.store import Store
from snexec.model import Mode
from tests.fakes import make_trade, ref_of

NOTHING = ExitsStatus(
    watched=0,
    closing=0,
    blocked=0,
    unwatched=0,
    source=None,
    price_age_sec=None,
    blind=False,
    passed_over={},
)


class FakeExits(Exits):
    """Answers as it is told, and notes what it was asked.

    Attributes:
        asked: Symbols, and whether they may wait for the open.
        by: Who asked last.
        refusals: Why a symbol is not sold.
    """

    def __init__(self) -> None:  # it has no parts
        self.asked: list[tuple[list[str], bool]] = []
        self.refusals: dict[str, str] = {}
        self.statuses: list[PositionStatus] = []
        self.rules: list[Explained] | None = None
        self.now = NOTHING
        self.by = ""

    async def close(
        self, symbols: Sequence[str], *, at_open: bool, by: str = "operator"
    ) -> list[CloseAnswer]:
        """Answer that each is sold, but those that are refused."""
        self.by = by
        await trio.lowlevel.checkpoint()
        self.asked.append((list(symbols), at_open))
        return [self._answer(symbol) for symbol in symbols]

    def positions(self) -> list[PositionStatus]:
        """Return the set ones."""
        return self.statuses

    def status(self) -> ExitsStatus:
        """Return the set one."""
        return self.now

    def explain(self, row_id: str) -> list[Explained] | None:
        """Return the set ones."""
        del row_id
        return self.rules

    def _answer(self, symbol: str) -> CloseAnswer:
        error = self.refusals.get(symbol, "")
        if error:
            return CloseAnswer(symbol, None, None, "refused", error)
        return CloseAnswer(symbol, Decimal("0.5"), f"sn-{symbol}-x1", "selling")


def holding(symbol: str, quantity: str, *, price: str = "101") -> HeldPosition:
    """Return what an account lists of a symbol."""
    return HeldPosition(
        symbol,
        Decimal(quantity),
        quantity,
        max(Decimal(quantity), Decimal(0)),
        Decimal(price),
        Decimal(100),
        "short" if quantity.startswith("-") else "long",
    )


def hold(
    store: Store, symbol: str = "AAPL", *, shares: str = "0.5", mode: Mode = "paper"
) -> None:
    """Leave an open row, sn-SYMBOL, that has bought at 100."""
    trade = make_trade(f"sn-{symbol}", symbol, mode=mode)
    store.open_trade(trade)
    store.apply_fill(
        ref_of(trade, f"o-{symbol}"), price=Decimal(100), quantity=Decimal(shares)
    )
