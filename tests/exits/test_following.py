"""The stream follows what is held, and nothing unless prices come from it (SPEC 12.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from snexec.exits.following import Following
from tests.exits.hands import Desk

if TYPE_CHECKING:
    from collections.abc import Iterable

pytestmark = pytest.mark.jumping_time


class Stream:
    def __init__(self) -> None:
        self.symbols: list[str] = []

    def watch(self, symbols: Iterable[str]) -> None:
        self.symbols = list(symbols)


async def test_symbols_come_and_go_with_their_positions(nursery: trio.Nursery) -> None:
    desk, stream = Desk(hard_stop_loss_pct=5, price_source="stream"), Stream()
    desk.hold("AAPL", "BTC/USD")
    nursery.start_soon(Following(desk.live, desk.book, stream).run)
    await trio.sleep(0.1)
    assert stream.symbols == ["AAPL", "BTC/USD"]
    desk.book.ended("row-AAPL")
    desk.hold("MSFT")
    await trio.sleep(1)
    assert stream.symbols == ["BTC/USD", "MSFT"]
    desk.set(max_hold_duration_sec=60, price_source="stream")
    await trio.sleep(1)
    assert stream.symbols == [], "no rule goes by a price"
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("source", ["positions", "snapshots", None])
async def test_nothing_is_followed_unless_prices_come_from_the_stream(
    nursery: trio.Nursery, source: str | None
) -> None:
    keys = {} if source is None else {"price_source": source, "hard_stop_loss_pct": 5}
    desk, stream = Desk(**keys), Stream()
    desk.hold()
    nursery.start_soon(Following(desk.live, desk.book, stream).run)
    await trio.sleep(10)
    assert stream.symbols == []
    nursery.cancel_scope.cancel()
