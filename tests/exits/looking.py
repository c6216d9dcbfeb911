"""A lookout over real rows, at accounts that others trade on."""

from __future__ import annotations

import itertools
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

import trio

from snexec.broker.positions import read_position, read_positions
from snexec.events import Event, EventFeed
from snexec.exits.findings import Findings
from snexec.exits.lookout import Lookout
from snexec.exits.position import Position
from snexec.ledger.rows import OrderRef
from tests.fakes import (
    FakeAccounts,
    FakeClient,
    InlineLedger,
    InlineWriter,
    TrioClock,
    live_settings,
    make_order,
    make_settings,
    make_trade,
    not_found,
    row_of,
)
from tests.ledger.selling import exits_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from snexec.broker.answers import BrokerOrder
    from snexec.broker.budget import RateBudget
    from snexec.broker.positions import HeldPosition, PositionList
    from snexec.ledger import ExitApplied, Split
    from snexec.ledger.store import Store
    from snexec.model import Mode

INTERVAL = 20.0
GRACE = 30.0


@dataclass(frozen=True)
class Question:
    """A question about positions, or about what happened."""

    at: float
    kind: Literal["positions", "position", "activities", "seller"]


class TradedClient(FakeClient):
    """An account on which others trade, too.

    Attributes:
        questions: What it was asked, beside look-ups of orders.
        averages: Dollars a share paid for what it holds, where positions say so.
        unlisted: Symbols that the list of positions leaves out.
        garbled: Symbols whose position has no quantity that can be read.
        happened: What its activities are, newest first, as Alpaca writes them.
        sellers: Orders that have sold, by the broker's id.
        away: What every such question raises, if anything.
        keeps_activities: Whether there is a list of what happened.
    """

    def __init__(self, mode: Mode, budget: RateBudget) -> None:
        super().__init__(mode, budget)
        self.questions: list[Question] = []
        self.averages: dict[str, Decimal] = {}
        self.unlisted: set[str] = set()
        self.garbled: set[str] = set()
        self.happened: list[dict[str, object]] = []
        self.sellers: dict[str, BrokerOrder] = {}
        self.away: Exception | None = None
        self.keeps_activities = True

    async def positions(self, *_own: object) -> PositionList:
        await self._hear("positions")
        listed = [each for each in self.holds if each not in self.unlisted]
        return await read_positions(
            json.dumps([self._held(each) for each in listed]).encode()
        )

    async def position(self, symbol: str) -> HeldPosition:
        await self._hear("position")
        if symbol not in self.holds:
            raise not_found()
        return read_position(json.dumps(self._held(symbol)).encode(), symbol)

    async def page_of_activities(self, _path: str) -> bytes:
        await self._hear("activities")
        if not self.keeps_activities:
            raise not_found()
        return json.dumps(self.happened).encode()

    async def sell_order(self, order_id: str, _symbol: str) -> BrokerOrder:
        await self._hear("seller")
        if order_id not in self.sellers:
            raise not_found()
        return self.sellers[order_id]

    def times_asked(self, kind: str) -> int:
        """Return how often it was asked something."""
        return sum(each.kind == kind for each in self.questions)

    async def _hear(
        self, kind: Literal["positions", "position", "activities", "seller"]
    ) -> None:
        self.questions.append(Question(trio.current_time(), kind))
        self.budget.finish(None)
        await trio.lowlevel.checkpoint()
        if self.away is not None:
            raise self.away

    def _held(self, symbol: str) -> dict[str, object]:
        """Make a position as Alpaca writes it."""
        quantity, average = f"{self.holds[symbol]:f}", self.averages.get(symbol)
        return {
            "asset_class": "crypto" if "/" in symbol else "us_equity",
            "symbol": symbol.replace("/", ""),
            "qty": "?" if symbol in self.garbled else quantity,
            "qty_available": quantity,
            "side": "long",
            "avg_entry_price": None if average is None else f"{average:f}",
            "current_price": None,
        }


class TradedAccounts(FakeAccounts):
    """Both modes' accounts, on which others trade, too."""

    def __init__(self, *, clock: TrioClock, per_minute: int) -> None:
        super().__init__(clock=clock, per_minute=per_minute)
        self.traded = {
            mode: TradedClient(mode, client.budget)
            for mode, client in self.clients.items()
        }
        for mode, client in self.traded.items():
            self._held[mode].client = client


class Rows:
    """The watched rows, and what was heard of them."""

    def __init__(self) -> None:
        self.all: list[Position] = []
        self.heard: list[str] = []

    def of_mode(self, mode: Mode) -> Sequence[Position]:
        return [each for each in self.all if each.mode == mode]

    def of_row(self, row_id: str) -> Position | None:
        return next((each for each in self.all if each.row_id == row_id), None)

    def sold_by_others(self, applied: ExitApplied) -> None:
        self.heard.append("sold")
        [position] = [each for each in self.all if each.row_id == applied.row_id]
        position.remaining = applied.remaining
        if applied.closed:
            self.all.remove(position)

    def position(self, symbol: str) -> Position | None:
        return next((each for each in self.all if each.symbol == symbol), None)

    def split(self, split: Split) -> None:
        self.heard.append("split")
        [position] = [each for each in self.all if each.row_id == split.row_id]
        position.shares, position.remaining = split.shares, split.remaining
        position.entry_price = split.entry_price

    def ended(self, row_id: str) -> None:
        self.heard.append("ended")
        self.all = [each for each in self.all if each.row_id != row_id]


@dataclass(kw_only=True)
class Bench:
    """Everything that the lookout needs; rows were bought a minute before the start."""

    store: Store
    clock: TrioClock
    exits: dict[str, Any] = field(default_factory=dict)
    per_minute: int = 200
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        sections: dict[str, Any] = {
            "alpaca": {"reconcile_interval_sec": INTERVAL},
            "exits": {"external_grace_sec": GRACE, **self.exits},
        }
        self.live = live_settings(make_settings(**sections))
        self.accounts = TradedAccounts(clock=self.clock, per_minute=self.per_minute)
        self.paper = self.accounts.traded["paper"]
        ledger = InlineLedger(self.store, InlineWriter(self.store), self.clock)
        self.rows = Rows()
        feed = EventFeed(clock=self.clock)
        feed.follow(self.events.append)
        self.lookout = Lookout(
            self.live,
            self.accounts,
            ledger,
            self.rows,
            Findings(ledger.writer, self.rows, feed),
        )
        self._numbers = itertools.count(1)

    def buy(
        self,
        symbol: str = "AAPL",
        shares: str = "10",
        price: str = "100",
        *,
        row_id: str = "sn-1",
        age: timedelta = timedelta(minutes=1),
        is_known: bool = True,
        mode: Mode = "paper",
    ) -> Position:
        """Leave an open row, and the account as its buy left it."""
        order_id = f"o-{row_id}"
        assert self.store.open_trade(make_trade(row_id, symbol, mode=mode)) == "opened"
        ref = OrderRef(mode=mode, order_id=order_id, client_order_id=row_id)
        self.store.apply_fill(ref, price=Decimal(price), quantity=Decimal(shares))
        client = self.accounts.traded[mode]
        if is_known:
            client.book[row_id] = make_order(
                row_id, "filled", order_id=order_id, quantity=shares, price=price
            )
            client.holds[symbol] = Decimal(shares)
            client.averages[symbol] = Decimal(price)
        position = Position(
            row_id=row_id,
            symbol=symbol,
            mode=mode,
            shares=Decimal(shares),
            remaining=Decimal(shares),
            entry_price=Decimal(price),
            entry_at=(self.clock.now() - age).timestamp(),
            held_since=trio.current_time() - 60,
            order_id=order_id,
        )
        self.rows.all.append(position)
        return position

    def after_a_kill(self) -> Bench:
        """Return what a start finds at the same account, and in the same file."""
        started = Bench(store=self.store, clock=self.clock, exits=self.exits)
        for symbol, quantity in self.paper.holds.items():
            started.paper.holds[symbol] = quantity
        started.paper.averages = dict(self.paper.averages)
        started.paper.book = dict(self.paper.book)
        rows = self.store.held.watched()
        started.rows.all = [
            replace(
                position,
                shares=row.shares,
                remaining=row.remaining,
                entry_price=row.entry_price,
                rests=None,
            )
            for position, row in zip(self.rows.all, rows, strict=True)
        ]
        started.lookout.load(rows)
        return started

    def hold(self, quantity: str, symbol: str = "AAPL", average: str = "") -> None:
        """Have the account hold so much, by whatever happened."""
        if Decimal(quantity):
            self.paper.holds[symbol] = Decimal(quantity)
        else:
            self.paper.holds.pop(symbol, None)
        if average:
            self.paper.averages[symbol] = Decimal(average)

    def executed(
        self,
        quantity: str,
        price: str = "110",
        *,
        side: str = "sell",
        symbol: str = "AAPL",
        order_id: str | None = None,
        client_order_id: str = "by-hand",
        ago: timedelta = timedelta(0),
    ) -> None:
        """Have the account's activities tell of an execution."""
        order_id = order_id or f"hand-{next(self._numbers)}"
        at = self.clock.now() - ago
        self.paper.happened.insert(
            0,
            {
                "activity_type": "FILL",
                "id": f"fill-{next(self._numbers)}",
                "order_id": order_id,
                "symbol": symbol,
                "side": side,
                "qty": quantity,
                "price": price,
                "transaction_time": at.isoformat(),
            },
        )
        self.paper.sellers[order_id] = make_order(
            client_order_id, "filled", order_id=order_id, quantity=quantity, price=price
        )

    def acted(
        self,
        kind: str,
        quantity: str = "0",
        *,
        symbol: str = "AAPL",
        ago: timedelta = timedelta(0),
    ) -> None:
        """Have the account's activities tell of what a corporation did."""
        day = (self.clock.now() - ago).date()
        self.paper.happened.insert(
            0,
            {
                "activity_type": kind,
                "id": f"act-{next(self._numbers)}",
                "symbol": symbol,
                "qty": quantity,
                "date": day.isoformat(),
                "status": "executed",
            },
        )

    def sell_by_hand(self, quantity: str, price: str = "110") -> None:
        """Sell of what the account holds, with all traces of it."""
        left = self.paper.holds["AAPL"] - Decimal(quantity)
        self.hold(f"{left:f}")
        self.executed(quantity, price)

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[None]:
        """Run the lookout, which has seen all rows once when the block begins."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.lookout.run)
            await trio.sleep(0.5)
            yield
            nursery.cancel_scope.cancel()

    def row(self, row_id: str = "sn-1") -> dict[str, Any]:
        return row_of(self.store, row_id)

    def exits_of_row(self) -> list[tuple[str, str, str | None]]:
        """Return each BotExit as its id, quantity and price."""
        return [
            (name, row["filledQty"], row["filledAvgPrice"])
            for name, row in exits_of(self.store).items()
        ]

    def told(self) -> list[str]:
        return [event.event for event in self.events]
