"""What is too old to be ordered for, by its age or by a gap."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from snexec.orders.freshness import Freshness
from tests.fakes import Rig, symbols_ordered, warnings_of
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


async def test_what_lay_ready_to_be_read_after_a_gap_is_stale() -> None:
    freshness = Freshness(30.0)
    freshness.looked()
    clock().jump(31)
    assert not freshness.is_stale(trio.current_time()), "no longer than it may be"
    clock().jump(1)
    assert freshness.is_stale(trio.current_time())
    freshness.looked()
    clock().jump(0.25)
    assert not freshness.is_stale(trio.current_time())


async def test_a_gap_that_no_age_shows_makes_stale_what_was_read() -> None:
    freshness = Freshness(30.0)
    freshness.looked()
    read_at = trio.current_time()
    clock().jump(1)
    freshness.begin_anew()
    assert freshness.is_stale(read_at)
    assert freshness.is_from_before_a_gap(read_at)
    clock().jump(0.25)
    assert not freshness.is_from_before_a_gap(trio.current_time())


async def test_a_line_that_lay_in_the_socket_through_a_gap_is_not_ordered(
    make_rig: Callable[..., Rig],
    nursery: trio.Nursery,
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = make_rig()
    nursery.start_soon(rig.orders.run)
    await wait_all_tasks_blocked()
    rig.orders.freshness.looked()
    clock().jump(8 * 3600)

    take(rig, "AAPL")
    await wait_all_tasks_blocked()
    rig.orders.freshness.looked()
    clock().jump(1)
    take(rig, "MSFT")
    await wait_all_tasks_blocked()

    assert symbols_ordered(rig) == ["MSFT"]
    assert [row["symbol"] for row in rig.rows().values()] == ["MSFT"]
    assert rig.told("skipped") == [("skipped", "stale")]
    assert warnings_of(caplog) == [
        "AAPL signal=AAPL is not traded: it came before the gap, or in it"
    ]
    nursery.cancel_scope.cancel()
