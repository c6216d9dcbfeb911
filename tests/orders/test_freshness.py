"""What is too old to be ordered for, by its age or by a gap."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from snexec.orders.freshness import Freshness
from tests.fakes import FakeClock, Rig, symbols_ordered, warnings_of
from tests.input_helpers import signal_line

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.frozen_time


def clock() -> MockClock:
    found = trio.lowlevel.current_clock()
    assert isinstance(found, MockClock)
    return found


def take(rig: Rig, symbol: str) -> None:
    """Take a line as the socket does, which orders for it in the same step."""
    answer = rig.intake.take(
        signal_line(symbol=symbol, id=symbol), read_at=trio.current_time()
    )
    assert answer.status == "accepted"
    rig.intake.flush()


async def test_age_alone_makes_stale_where_nobody_looks() -> None:
    freshness = Freshness(30.0)
    read_at = trio.current_time()
    clock().jump(30)
    assert not freshness.is_stale(read_at)
    clock().jump(1)
    assert freshness.is_stale(read_at)
    assert not freshness.is_stale(trio.current_time())


async def test_a_gap_that_no_age_shows_makes_stale_what_was_read_until_then() -> None:
    freshness = Freshness(30.0)
    read_at = trio.current_time()
    clock().jump(1)
    freshness.begin_anew()
    assert freshness.is_stale(read_at)
    assert freshness.is_stale(trio.current_time())
    assert freshness.is_from_before_a_gap(read_at)
    clock().jump(0.001)
    assert not freshness.is_stale(trio.current_time())
    assert not freshness.is_from_before_a_gap(trio.current_time())


@pytest.mark.parametrize(
    ("wall_seconds", "stale"), [(30.0, False), (31.5, True), (-600.0, False)]
)
async def test_a_pause_is_seen_before_anybody_looks_for_it(
    wall_seconds: float, *, stale: bool
) -> None:
    freshness, wall = Freshness(30.0), FakeClock()
    freshness.looked(wall)
    read_at = trio.current_time()
    clock().jump(0.5)
    wall.advance(0.5 + wall_seconds)
    assert freshness.is_stale(read_at) is stale
    assert freshness.is_from_before_a_gap(read_at) is stale
    freshness.looked(wall)
    clock().jump(0.5)
    wall.advance(0.5)
    assert not freshness.is_stale(trio.current_time())


async def test_an_order_is_kept_by_a_pause_that_nobody_has_looked_for_yet(
    make_rig: Callable[..., Rig],
    nursery: trio.Nursery,
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig, wall = make_rig(), FakeClock()
    nursery.start_soon(rig.orders.run)
    await wait_all_tasks_blocked()
    rig.orders.freshness.looked(wall)
    rig.writer.gate = trio.Event()
    take(rig, "AAPL")
    clock().jump(0.01)
    wall.advance(8 * 3600)
    rig.writer.gate.set()
    await wait_all_tasks_blocked()
    rig.orders.freshness.looked(wall)
    clock().jump(1)
    wall.advance(1)
    take(rig, "MSFT")
    await wait_all_tasks_blocked()

    assert symbols_ordered(rig) == ["MSFT"]
    assert [row["symbol"] for row in rig.rows().values()] == ["MSFT"]
    assert rig.told("skipped") == [("skipped", "stale")]
    assert warnings_of(caplog) == [
        "AAPL signal=AAPL is not traded: it came before the gap, or in it"
    ]
    nursery.cancel_scope.cancel()
