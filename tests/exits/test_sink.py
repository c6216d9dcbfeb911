"""What market data says reaches the monitor (SPEC 12.4)."""

from __future__ import annotations

from typing import Literal

import pytest
import trio

from snexec.exits.sink import MonitorSink
from snexec.market.ticks import Cancel, Correction, Status
from tests.exits.hands import Desk
from tests.exits.test_snapshots import quote, trade

pytestmark = pytest.mark.jumping_time


def cancel(trade_id: str, exchange: str = "V") -> Cancel:
    return Cancel("AAPL", trade_id, exchange, None)


def status(
    state: Literal["halted", "resumed"] | None, at: float | None = None
) -> Status:
    return Status("AAPL", state, "", "", at)


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
        now = self.clock.now().timestamp()
        self.sink.print_(trade(price, now, conditions, trade_id))


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
    desk.sink.quote(quote(None, now))
    assert desk.reasons == []
    desk.sink.quote(quote(180, now))
    assert desk.reasons == [("AAPL", "stop_loss")]


async def test_conditions_of_a_trade_count(desk: Streamed) -> None:
    for _ in range(5):
        desk.trade(180, conditions=("@", "I"))
    assert desk.reasons == []


async def test_a_trade_that_is_corrected_or_canceled_sells_nothing(
    desk: Streamed,
) -> None:
    desk.trade(180, "1")
    desk.sink.correction(Correction(*cancel("1"), None))
    desk.trade(180, "2")
    desk.sink.canceled(cancel("2"))
    desk.trade(180, "3")
    assert desk.reasons == []
    desk.sink.canceled(cancel("3", "Q"))  # another exchange's third
    desk.sink.canceled(cancel(""))
    desk.trade(180, "4")
    assert desk.reasons == [("AAPL", "stop_loss")]


async def test_a_halt_rests_price_rules(desk: Streamed) -> None:
    desk.sink.status(status(None))
    desk.sink.status(status("halted", desk.clock.now().timestamp()))
    desk.trade(180)
    desk.trade(180)
    assert desk.reasons == []
    await trio.sleep(1)
    desk.sink.status(status("resumed"))
    desk.trade(180)
    desk.trade(180)
    assert desk.reasons == [("AAPL", "stop_loss")]
