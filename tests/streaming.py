"""Frames as Alpaca sends them, and what a trading stream is tested with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from snexec.events import EventFeed
from snexec.stream.trading import TradingStream
from snexec.stream.updates import TradeUpdates
from tests.fakes import FakeAccounts, FakeClock, live_settings, make_settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from snexec.broker.endpoint import Endpoint
    from snexec.model import Mode

AUTHORIZED = {
    "stream": "authorization",
    "data": {"action": "authenticate", "status": "authorized"},
}
UNAUTHORIZED = {
    "stream": "authorization",
    "data": {"message": "code=401, message=Unauthorized", "status": "unauthorized"},
}
LISTENING = {"stream": "listening", "data": {"streams": ["trade_updates"]}}


def update(event: object = "fill", **changes: object) -> dict[str, Any]:
    """Make a trade update as Alpaca sends it; changes are to its order."""
    order = {
        "id": "o-1",
        "client_order_id": "sn-1",
        "symbol": "AAPL",
        "notional": "5",
        "qty": None,
        "filled_qty": "0.057436865",
        "filled_avg_price": "86.878",
        "status": "filled",
    }
    return {
        "stream": "trade_updates",
        "data": {
            "event": event,
            "execution_id": "e-1",
            "price": "1",
            "qty": "1",
            "position_qty": "9",
            "timestamp": "2026-09-18T13:24:50.019303395Z",
            "order": order | changes,
        },
    }


TAKEN_FILL = (
    *("fill", "o-1", "0.057436865", "86.878", "AAPL"),
    *("paper", "sn-1", "e-1"),
)


class RecordingFills(TradeUpdates):
    """Records what the stream hands over."""

    def __init__(self) -> None:
        self.taken: list[tuple[object, ...]] = []
        self.sides: list[str | None] = []
        self.moments: list[datetime | None] = []
        self.problem: Exception | None = None

    async def on_fill_event(
        self,
        event: str,
        order_id: str,
        filled_qty: object,
        filled_avg_price: object,
        symbol: str | None,
        *,
        mode: Mode,
        client_order_id: str | None = None,
        execution_id: str | None = None,
        side: str | None = None,
        at: datetime | None = None,
    ) -> None:
        self.sides.append(side)
        self.moments.append(at)
        await trio.lowlevel.checkpoint()
        if self.problem is not None:
            raise self.problem
        self.taken.append(
            (
                *(event, order_id, filled_qty, filled_avg_price, symbol),
                *(mode, client_order_id, execution_id),
            )
        )

    async def on_sell_ended_event(
        self,
        event: str,
        order_id: str,
        filled_qty: object,
        filled_avg_price: object,
        symbol: str | None,
        *,
        mode: Mode,
        client_order_id: str | None = None,
        execution_id: str | None = None,
        at: datetime | None = None,
    ) -> None:
        self.moments.append(at)
        await trio.lowlevel.checkpoint()
        self.taken.append(
            (
                *(event, order_id, filled_qty, filled_avg_price, symbol),
                *(mode, client_order_id, execution_id),
            )
        )

    async def on_rejected_event(
        self,
        order_id: str,
        symbol: str | None,
        reason: str | None,
        *,
        mode: Mode,
        client_order_id: str | None = None,
        execution_id: str | None = None,
        filled_qty: object = None,
        filled_avg_price: object = None,
        side: str | None = None,
    ) -> None:
        self.sides.append(side)
        await trio.lowlevel.checkpoint()
        self.taken.append(
            (
                *("rejected", order_id, symbol, reason, mode),
                *(client_order_id, execution_id, filled_qty, filled_avg_price),
            )
        )


class StreamAccounts(FakeAccounts):
    """Accounts that trade wherever a test says.

    Attributes:
        endpoints: Where each mode trades.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        super().__init__(clock=FakeClock())
        self._environ = environ or {}
        self._tls = None
        self.endpoints: dict[Mode, Endpoint] = {}

    def endpoint(self, mode: Mode) -> Endpoint:
        return self.endpoints.get(mode) or super().endpoint(mode)


def bare_stream(updates: TradeUpdates) -> TradingStream:
    """Make a stream that is never connected."""
    return TradingStream(
        live_settings(make_settings()),
        StreamAccounts(),
        updates,
        EventFeed(clock=FakeClock()),
    )
