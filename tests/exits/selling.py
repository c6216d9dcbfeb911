"""The wing's seller over the daemon's own order side, with a scripted broker."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import trio
from trio.testing import wait_all_tasks_blocked

from snexec.errors import RefusedError
from snexec.exits.book import PositionBook
from snexec.exits.means import Means
from snexec.exits.rules import Trigger
from snexec.exits.seller import Seller
from tests.fakes import make_order, make_trade
from tests.orders.hearing import buy, exits_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from snexec.broker.answers import BrokerOrder
    from snexec.exits.closing import Closing
    from snexec.exits.position import Position
    from snexec.exits.stop_keeper import StopKeeper
    from snexec.ledger import Applied, ExitApplied, ExitReason
    from snexec.model import Mode
    from snexec.reconciliation import Fate, ForeignSell
    from tests.fakes import Rig

SHARES = "0.533386947"
STOP = Trigger(
    "stop_loss",
    Decimal("180.02"),
    "positions",
    "180.02 is at or below 180.10 (entry 189.58, -5.0 %), 2 prints",
)


class Shop:
    """A rig with a book, a seller, and a row to sell.

    Attributes:
        looks: At which accounts others' sales were to be looked at.
        holds: Whether the rule still holds, where it is asked.
        set: Whether there still is such a rule.
        keeper: Keeps stops, where there is somebody who does.
    """

    def __init__(self, rig: Rig, nursery: trio.Nursery) -> None:
        self.rig = rig
        self.nursery = nursery
        self.looks: list[Mode] = []
        self.holds: bool | None = True
        self.set = True
        self.book = PositionBook(rig.clock)
        self.book.follows_all = True
        self.keeper: StopKeeper | None = None
        self.means = Means(
            *(rig.settings, rig.accounts, rig.ledger, rig.reconciler),
            *(rig.orders, rig.market, rig.feed),
        )
        self.means.guard_by(self)
        self.seller = Seller(self.means, rig.reconciler, self.book)
        rig.reconciler.report_to(self)
        rig.market.open = True

    # As reconciliation's holdings, in the order of ``Exits``.

    def bought(self, applied: Applied) -> None:
        self.book.bought(applied)
        if self.keeper is not None:
            self.keeper.look()
        self.seller.bought(applied)

    def sold(self, applied: ExitApplied) -> None:
        self.book.sold(applied)
        if self.keeper is not None:
            self.keeper.heard(applied)
        self.seller.sold(applied)

    def foreign_sell(self, sell: ForeignSell) -> None:
        raise AssertionError(f"nobody else sells here: {sell}")

    # As the guard of what sells share.

    def look_now(self, mode: Mode) -> None:
        self.looks.append(mode)

    def is_set(self, _reason: str) -> bool:
        return self.set

    def still_holds(self, _row_id: str, _reason: str) -> bool | None:
        return self.holds

    def fate(self, exit_id: str) -> Fate:
        assert self.keeper is not None
        return self.keeper.fate(exit_id)

    async def start(self, *, shares: str = SHARES, symbol: str = "AAPL") -> Position:
        """Start the services with a row that was bought, and return its position."""
        buy(self.rig, symbol=symbol, shares=shares)
        return await self.start_with_rows()

    async def start_with_rows_unwatched(self) -> None:
        """Start the services without an ``[exits]``, with a row that was bought."""
        buy(self.rig)
        self.book.follows_all = False
        self._start_services()
        await wait_all_tasks_blocked()

    async def start_with_rows(self) -> Position:
        """Start the services as the daemon does."""
        rig = self.rig
        rig.reconciler.load(rig.store.unsettled(), rig.store.exits.unsettled())
        rows = rig.store.held.watched()
        self.book.load(rows)
        for each in self.book:
            each.position.bought_at -= 60  # so that no position lags
        for row in rows:
            self.seller.take_over(row, self.position)
        self._start_services()
        await wait_all_tasks_blocked()
        return self.position

    def _start_services(self) -> None:
        rig = self.rig
        for run in (rig.fills.run, rig.recover, rig.reconciler.sells.run):
            self.nursery.start_soon(run)
        self.nursery.start_soon(rig.orders.run)
        self.nursery.start_soon(self.seller.run)

    @property
    def position(self) -> Position:
        """The position of the one row."""
        entry = self.book.of_row("sn-1")
        assert entry is not None
        return entry.position

    def state(self) -> str:
        """Return whose the position is, or that it is blocked."""
        return self.position.state

    async def sell(self, trigger: Trigger = STOP) -> Closing:
        """Begin, as the monitor does."""
        closing = self.seller.begin(self.position, trigger)
        await wait_all_tasks_blocked()
        return closing

    async def buy_in_part(self) -> Position:
        """Start with a row whose buy has bought a part and works on."""
        rig = self.rig
        rig.open_row(make_trade("sn-1", "AAPL"), order_id="o-sn-1")
        rig.paper.holds["AAPL"] = Decimal("0.2")
        for run in (rig.fills.run, rig.recover, rig.reconciler.sells.run):
            self.nursery.start_soon(run)
        self.nursery.start_soon(rig.orders.run)
        self.nursery.start_soon(self.seller.run)
        rig.unsettled.placed(make_trade("sn-1", "AAPL"), order_id="o-sn-1")
        await self.said("partial_fill", "0.2", row="sn-1", order_id="o-sn-1")
        return self.position

    async def said(
        self,
        event: Any,  # noqa: ANN401 - one of two words
        quantity: str,
        price: str = "180",
        *,
        row: str = "sn-1-x1",
        order_id: str = "paper-o-1",
    ) -> None:
        """Have the stream report an execution, of a sell or of the buy."""
        await self.rig.fills.on_fill_event(
            *(event, order_id, quantity, price, self.symbol),
            mode="paper",
            client_order_id=row,
            side="buy" if row == "sn-1" else "sell",
        )
        await wait_all_tasks_blocked()

    @property
    def symbol(self) -> str:
        return str(self.rig.rows()["sn-1"]["symbol"])

    def posts(self) -> list[tuple[float, str | None, str]]:
        """Return when each sell left, its id and its quantity."""
        return [
            (each.at, each.client_order_id, f"{each.quantity:f}")
            for each in self.rig.paper.asked("place")
        ]

    def states(self) -> dict[str, str]:
        """Return the state of each sell."""
        return {name: row["state"] for name, row in exits_of(self.rig).items()}


def refused(status: int, reason: str, **fields: object) -> RefusedError:
    """Make the broker's no."""
    body = json.dumps({"message": reason, **fields})
    return RefusedError(status_code=status, body=body, reason=reason)


def insufficient(available: str, existing: str, held: str) -> RefusedError:
    """Make the broker's no for want of free shares."""
    return refused(
        403,
        f"insufficient qty available for order (requested: 1, available: {available})",
        available=available,
        existing_qty=existing,
        held_for_orders=held,
    )


def trigger(reason: ExitReason) -> Trigger:
    """Make a reason without a price."""
    return Trigger(reason, None, "clock", "it is time")


def taken_meanwhile(
    shop: Shop, how: str = "DELETE FROM BotExit"
) -> Callable[[object], Awaitable[BrokerOrder]]:
    """Have the broker take a sell as o-9 while somebody else writes its row."""

    async def take(_request: object) -> BrokerOrder:
        await trio.sleep(1)
        shop.rig.store._db.execute(how)
        return make_order("sn-1-x1", order_id="o-9")

    return take
