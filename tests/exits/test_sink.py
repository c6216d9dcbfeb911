"""What market data says reaches the monitor (SPEC 12.4)."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

import pytest
import trio

from snexec.exits.sink import MonitorSink
from tests.exits.hands import Desk
from tests.exits.test_snapshots import Quote, Trade

pytestmark = pytest.mark.jumping_time


class Cancel(NamedTuple):
    symbol: str
    trade_id: str
    exchange: str = "V"


class Status(NamedTuple):
    symbol: str
    state: str | None
    at: float | None = None


class Streamed(Desk):
    """A desk with a stream."""

    def __init__(self) -> None:
        super().__init__(hard_stop_loss_pct=5, price_source="stream")
        self.sink = MonitorSink(self.monitor)
        self.hold()
        self.apply_rules()

    def trade(
        self, price: float, trade_id: str = "", conditions: tuple[str, ...] = ()
    ) -> None:
        now, dollars = self.clock.now().timestamp(), Decimal(str(price))
        self.sink.print_(Trade("AAPL", dollars, now, conditions, trade_id))


@pytest.fixture
async def desk() -> Streamed:
    return Streamed()


async def test_two_trades_sell(desk: Streamed) -> None:
    desk.trade(180)
    assert desk.reasons == []
    desk.trade(180)
    assert desk.reasons == [("AAPL", "stop_loss")]


async def test_a_trade_and_a_quote_sell(desk: Streamed) -> None:
    now = desk.clock.now().timestamp()
    desk.trade(180)
    desk.sink.quote(Quote("AAPL", None, now))
    assert desk.reasons == []
    desk.sink.quote(Quote("AAPL", Decimal(180), now))
    assert desk.reasons == [("AAPL", "stop_loss")]


async def test_conditions_of_a_trade_count(desk: Streamed) -> None:
    for _ in range(5):
        desk.trade(180, conditions=("@", "I"))
    assert desk.reasons == []


async def test_a_trade_that_is_corrected_or_canceled_sells_nothing(
    desk: Streamed,
) -> None:
    desk.trade(180, "1")
    desk.sink.correction(Cancel("AAPL", "1"))
    desk.trade(180, "2")
    desk.sink.canceled(Cancel("AAPL", "2"))
    desk.trade(180, "3")
    assert desk.reasons == []
    desk.sink.canceled(Cancel("AAPL", "3", "Q"))  # another exchange's third
    desk.sink.canceled(Cancel("AAPL", ""))
    desk.trade(180, "4")
    assert desk.reasons == [("AAPL", "stop_loss")]


async def test_a_halt_rests_price_rules(desk: Streamed) -> None:
    desk.sink.status(Status("AAPL", None))
    desk.sink.status(Status("AAPL", "halted", desk.clock.now().timestamp()))
    desk.trade(180)
    desk.trade(180)
    assert desk.reasons == []
    await trio.sleep(1)
    desk.sink.status(Status("AAPL", "resumed"))
    desk.trade(180)
    desk.trade(180)
    assert desk.reasons == [("AAPL", "stop_loss")]
