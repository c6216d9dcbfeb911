"""How long orders took."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from snexec import latency
from snexec.latency import Latencies, Times, percentile
from tests.fakes import Rig, make_signal


@pytest.fixture
def latencies() -> Latencies:
    """Give latencies of a run that has timed nothing yet."""
    return Latencies()


async def test_each_time_counts_from_the_reading_of_the_line(
    latencies: Latencies, mock_clock: MockClock
) -> None:
    latencies.begin("sn-1", read_at=trio.current_time())
    mock_clock.jump(0.0015)
    latencies.sent("sn-1")
    mock_clock.jump(0.02)
    assert latencies.replied("sn-1", at=trio.current_time()) == Times(
        wire_ms=1.5, reply_ms=21.5
    )
    mock_clock.jump(0.1)
    assert latencies.filled("sn-1") == Times(wire_ms=1.5, reply_ms=21.5, fill_ms=121.5)
    assert latencies.status() == {
        "wireMs": {"p50": 1.5, "p90": 1.5, "p99": 1.5, "count": 1},
        "replyMs": {"p50": 21.5, "p90": 21.5, "p99": 21.5, "count": 1},
        "fillMs": {"p50": 121.5, "p90": 121.5, "p99": 121.5, "count": 1},
    }


async def test_a_fill_that_comes_before_the_reply_keeps_its_own_time(
    latencies: Latencies, mock_clock: MockClock
) -> None:
    latencies.begin("sn-1", read_at=trio.current_time())
    latencies.sent("sn-1")
    mock_clock.jump(0.003)
    assert latencies.filled("sn-1") == Times(wire_ms=0.0, fill_ms=3.0)
    mock_clock.jump(0.003)
    assert latencies.filled("sn-1").fill_ms == 3.0, "the first word of it counts"
    assert latencies.replied("sn-1", at=trio.current_time()) == Times(
        wire_ms=0.0, reply_ms=6.0, fill_ms=3.0
    )


async def test_orders_of_other_runs_have_no_times(latencies: Latencies) -> None:
    latencies.sent("sn-9")
    assert (
        latencies.replied("sn-9", at=trio.current_time())
        == latencies.filled(None)
        == Times()
    )
    assert latencies.status()["fillMs"] == {
        "p50": None,
        "p90": None,
        "p99": None,
        "count": 0,
    }


async def test_a_refused_order_is_forgotten(latencies: Latencies) -> None:
    latencies.begin("sn-1", read_at=trio.current_time())
    latencies.forget("sn-1")
    assert latencies.replied("sn-1", at=trio.current_time()) == Times()


async def test_memory_stays_bounded_where_fills_never_come(
    latencies: Latencies, monkeypatch: pytest.MonkeyPatch, mock_clock: MockClock
) -> None:
    del mock_clock  # stands still
    monkeypatch.setattr(latency, "_FOLLOWED_ORDERS", 3)
    for number in range(5):
        latencies.begin(f"sn-{number}", read_at=trio.current_time())
    assert len(latencies._watches) == 3
    assert latencies.replied("sn-1", at=trio.current_time()) == Times(), (
        "the oldest went first"
    )
    assert latencies.replied("sn-4", at=trio.current_time()).reply_ms == 0.0


@pytest.mark.jumping_time
async def test_a_row_says_how_long_its_order_took(rig: Rig) -> None:
    rig.paper.seconds = 0.25
    await rig.trade(make_signal(id="n-1"))
    (row,) = rig.rows().values()
    assert (row["wireMs"], row["replyMs"], row["fillMs"]) == (0.0, 250.0, None)
    await trio.sleep(0.75)
    await rig.fills.on_fill_event(
        "fill", "paper-o-1", "1.5", "10", "AAPL", mode="paper",
        client_order_id=row["id"],
    )  # fmt: skip
    (row,) = rig.rows().values()
    assert (row["wireMs"], row["replyMs"], row["fillMs"]) == (0.0, 250.0, 1000.0)
    told = {event.event: event.more for event in rig.events}
    assert told["placed"].items() >= {"wireMs": 0.0, "replyMs": 250.0}.items()
    assert told["settled"]["fillMs"] == told["fill"]["fillMs"] == 1000.0


@pytest.mark.jumping_time
async def test_a_fill_without_a_price_is_not_final_and_has_no_time(rig: Rig) -> None:
    await rig.trade(make_signal(id="n-1"))
    (row,) = rig.rows().values()
    await rig.fills.on_fill_event(
        "fill", "paper-o-1", "1.5", None, "AAPL", mode="paper",
        client_order_id=row["id"],
    )  # fmt: skip
    (row,) = rig.rows().values()
    assert row["fillMs"] is None


@pytest.mark.parametrize(("percent", "expected"), [(50, 50), (90, 90), (99, 99)])
def test_a_percentile_is_one_of_the_samples(percent: float, expected: float) -> None:
    assert percentile([float(n) for n in range(100, 0, -1)], percent) == expected
