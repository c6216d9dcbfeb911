"""Snapshots: where prices come from, or what stands in, or a second source (SPEC 12.4)."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import trio

from snexec.errors import UnknownOutcomeError
from snexec.exits.snapshots import SnapshotPoll
from snexec.market.snapshots import Snapshot
from snexec.market.ticks import Print, Quote
from tests.exits.hands import Desk
from tests.fakes import warnings_of

if TYPE_CHECKING:
    from collections.abc import Iterable

pytestmark = pytest.mark.jumping_time

STOP: dict[str, Any] = {"hard_stop_loss_pct": 5, "blind_sec": 10_000.0}


def trade(
    price: float,
    at: float,
    conditions: tuple[str, ...] = (),
    trade_id: str = "7",
) -> Print:
    """One of AAPL."""
    return Print("AAPL", Decimal(str(price)), at, conditions, trade_id, "V")


def quote(bid: float | None, at: float) -> Quote:
    """One of AAPL."""
    return Quote("AAPL", None if bid is None else Decimal(str(bid)), at)


class Snapped(Desk):
    """A desk with market data, which says what ``last`` and ``bids`` hold, of now.

    Attributes:
        traded_at: When the last trades were instead, UTC.
    """

    def __init__(self, **keys: object) -> None:
        super().__init__(**keys)
        self.asked: list[tuple[float, list[str]]] = []
        self.last: dict[str, float] = {}
        self.bids: dict[str, float] = {}
        self.fails = False
        self.traded_at: float | None = None
        self.poll = SnapshotPoll(
            self.live, self, self.book, self.view, self.monitor, clock=self.clock
        )

    async def ask(self, symbols: Iterable[str]) -> dict[str, Snapshot]:
        self.asked.append((trio.current_time(), list(symbols)))
        await trio.lowlevel.checkpoint()
        if self.fails:
            raise UnknownOutcomeError("no answer within 10 s")
        now = self.clock.now().timestamp()
        traded_at = now if self.traded_at is None else self.traded_at
        return {
            symbol: Snapshot(
                symbol,
                trade(self.last[symbol], traded_at)._replace(symbol=symbol)
                if symbol in self.last
                else None,
                quote(self.bids[symbol], now)._replace(symbol=symbol)
                if symbol in self.bids
                else None,
            )
            for symbol in {*self.last, *self.bids}
        }

    def start(self, nursery: trio.Nursery, *, again: bool = True) -> None:
        super().start(nursery, again=again)
        nursery.start_soon(self.poll.run)


async def test_a_stop_sells_by_two_snapshots_of_one_trade_where_the_bid_agrees(
    nursery: trio.Nursery,
) -> None:
    desk = Snapped(**STOP, price_source="snapshots")
    desk.hold("AAPL", "MSFT")
    desk.last = {"AAPL": 180.02, "MSFT": 180.02}
    desk.bids = {"AAPL": 179.9, "MSFT": 181}
    desk.start(nursery)
    desk.traded_at = desk.clock.now().timestamp() + 1
    await trio.sleep(2.1)
    assert desk.asked == [(2, ["AAPL", "MSFT"])]
    await trio.sleep(2)
    [(sold_at, position, trigger)] = desk.seller.sells
    assert sold_at == 4
    assert (position.symbol, trigger.source) == ("AAPL", "snapshots")
    assert trigger.price == Decimal("180.02")
    assert trigger.text.endswith("2 polls")
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "why", ["positions", "no price rule", "closed", "no rows", "off"]
)
async def test_nobody_is_asked_where_snapshots_are_not_wanted(
    nursery: trio.Nursery, why: str
) -> None:
    rule = {"max_hold_duration_sec": 1e6} if why == "no price rule" else STOP
    desk = Snapped(
        **rule,
        price_source="positions" if why == "positions" else "snapshots",
        enabled=why != "off",
    )
    if why != "no rows":
        desk.hold()
    if why == "closed":
        desk.market.close()
    desk.start(nursery)
    await trio.sleep(100)
    assert desk.asked == []
    nursery.cancel_scope.cancel()


async def test_they_stand_in_for_a_stream_that_says_nothing_of_a_symbol(
    nursery: trio.Nursery,
) -> None:
    desk = Snapped(**STOP, price_source="stream")
    desk.hold("AAPL", "MSFT")
    desk.last = {"AAPL": 189, "MSFT": 189}
    desk.start(nursery)
    for _ in range(20):
        desk.say(189, "AAPL")
        await trio.sleep(0.5)
    assert {tuple(symbols) for _at, symbols in desk.asked} == {("MSFT",)}
    await trio.sleep(20)
    assert desk.asked[-1][1] == ["AAPL", "MSFT"]
    nursery.cancel_scope.cancel()


async def test_no_answer_is_a_warning_and_asked_less_and_less_often(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Snapped(**STOP, price_source="snapshots")
    desk.hold()
    desk.fails = True
    desk.start(nursery)
    await trio.sleep(1000)
    assert len(desk.asked) <= 9
    assert warnings_of(caplog)[0] == (
        "snapshots cannot be asked for: no answer within 10 s; the prices of positions"
        " stand in"
    )
    desk.fails = False
    await trio.sleep(400)
    assert len(desk.asked) > 30
    nursery.cancel_scope.cancel()


async def test_a_doubted_price_is_asked_about_whatever_the_source(
    nursery: trio.Nursery,
) -> None:
    desk = Snapped(**STOP)
    desk.hold()
    desk.start(nursery)
    desk.say(189)
    assert desk.say(120) == "jump"
    desk.bids = {"AAPL": 119}
    await desk.poll.ask(desk.monitor.doubted())
    assert desk.reasons == [("AAPL", "stop_loss")]
    nursery.cancel_scope.cancel()
