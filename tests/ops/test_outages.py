from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from snexec.events import EventFeed
from snexec.ops.outages import Outages
from tests.fakes import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable


def followed() -> tuple[Outages, Callable[[str], None], Callable[[str], None]]:
    """Return outages, how to tell them the stream's state, and that a row settled."""
    feed = EventFeed(clock=FakeClock())
    outages = Outages(began="2026-01-05T14:00:00.000Z")
    feed.follow(outages.happened)

    def stream(state: str) -> None:
        feed.publish("stream", reason=state)

    def settled(source: str) -> None:
        feed.publish("settled", {"source": source})

    return outages, stream, settled


@pytest.mark.jumping_time
async def test_what_lookups_settle_counts_for_the_time_without_a_stream(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outages, stream, settled = followed()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outages.run)
        stream("authorized")
        await trio.sleep(60)
        stream("waiting")
        stream("connecting")
        await trio.sleep(42)
        assert outages.status()["to"] is None
        stream("authorized")
        settled("lookup")
        settled("lookup")
        settled("stream")
        await trio.sleep(60)
        nursery.cancel_scope.cancel()

    assert outages.status()["settledByLookup"] == 2
    assert outages.status()["count"] == 2
    [line] = [record.getMessage() for record in caplog.records]
    assert "(42.0 s); look-ups settled 2 orders for it" in line


@pytest.mark.jumping_time
async def test_a_short_restart_that_missed_nothing_is_not_worth_a_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outages, stream, _settled = followed()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outages.run)
        stream("authorized")
        stream("connecting")
        await trio.sleep(0.2)
        stream("authorized")
        await trio.sleep(60)
        nursery.cancel_scope.cancel()

    assert not caplog.records
    assert outages.status()["count"] == 2


@pytest.mark.jumping_time
@pytest.mark.parametrize(("seconds", "counted"), [(0, 1), (10, 1), (10.1, 0)])
async def test_a_row_counts_for_an_outage_until_ten_seconds_after_its_end(
    seconds: float, counted: int
) -> None:
    outages, stream, settled = followed()
    stream("authorized")
    await trio.sleep(seconds)
    settled("lookup")

    assert outages.status()["settledByLookup"] == counted


@pytest.mark.jumping_time
@pytest.mark.parametrize("seconds", [3, 300])
async def test_a_row_settled_in_a_new_outage_counts_for_the_new_one(
    seconds: float, caplog: pytest.LogCaptureFixture
) -> None:
    outages, stream, settled = followed()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outages.run)
        await trio.sleep(2)
        stream("authorized")
        settled("lookup")
        settled("lookup")
        await trio.sleep(seconds)
        stream("waiting")
        await trio.sleep(60)  # however long it lasts
        settled("lookup")

        assert outages.status()["to"] is None
        assert outages.status()["settledByLookup"] == 1
        stream("authorized")
        await trio.sleep(60)
        nursery.cancel_scope.cancel()

    first, second = [record.getMessage() for record in caplog.records]
    assert "(2.0 s); look-ups settled 2 orders for it" in first
    assert "(60.0 s); look-ups settled 1 order for it" in second


@pytest.mark.jumping_time
async def test_times_that_follow_each_other_closely_are_each_told_once_they_are_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outages, stream, _settled = followed()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outages.run)
        await trio.sleep(2)
        stream("authorized")
        await trio.sleep(1)
        stream("waiting")
        await trio.sleep(3)
        stream("authorized")
        await trio.sleep(4)
        stream("waiting")
        await trio.sleep(60)
        told = [record.getMessage() for record in caplog.records]
        assert ["(2.0 s)" in told[0], "(3.0 s)" in told[1]] == [True, True]
        assert len(told) == 2, "the third lasts"
        stream("authorized")
        await trio.sleep(60)
        nursery.cancel_scope.cancel()
    assert "(60.0 s)" in caplog.records[2].getMessage()
    assert len(caplog.records) == 3


@pytest.mark.jumping_time
async def test_an_order_of_after_the_outage_does_not_count_for_it() -> None:
    feed = EventFeed(clock=FakeClock())
    outages = Outages(began="2026-01-05T14:00:00.000Z")
    feed.follow(outages.happened)
    feed.publish("placed", trade_id="sn-1")
    feed.publish("stream", reason="authorized")
    feed.publish("placed", trade_id="sn-2")
    await trio.sleep(5)
    for trade_id in ("sn-1", "sn-2", "sn-3"):
        feed.publish("settled", {"source": "lookup"}, trade_id=trade_id)
    assert outages.status()["settledByLookup"] == 2
    await trio.sleep(6)
    feed.publish("placed", trade_id="sn-4")
    assert not outages._placed_since


@pytest.mark.jumping_time
async def test_only_open_orders_of_after_the_outage_are_kept_in_mind() -> None:
    feed = EventFeed(clock=FakeClock())
    outages = Outages(began="2026-01-05T14:00:00.000Z")
    feed.follow(outages.happened)
    feed.publish("stream", reason="authorized")
    for trade_id in ("sn-1", "sn-2"):
        feed.publish("placed", trade_id=trade_id)
    feed.publish("settled", {"source": "stream"}, trade_id="sn-1")

    assert outages._placed_since == {"sn-2"}
    feed.publish("settled", {"source": "lookup"}, trade_id="sn-2")
    assert outages.status()["settledByLookup"] == 0


@pytest.mark.jumping_time
@pytest.mark.parametrize(("seconds", "count"), [(0.2, 2), (42, 3)])
async def test_a_change_of_mode_is_no_lost_stream_unless_it_takes_long(
    seconds: float, count: int
) -> None:
    feed = EventFeed(clock=FakeClock())
    outages = Outages(began="2026-01-05T14:00:00.000Z")
    feed.follow(outages.happened)
    feed.publish("stream", reason="authorized")
    feed.publish("stream", reason="waiting")
    await trio.sleep(3)
    feed.publish("stream", reason="authorized")
    lost = outages.status()
    await trio.sleep(600)
    feed.publish("mode", {"mode": "live"})
    feed.publish("stream", reason="connecting")
    assert outages.status()["to"] is None
    await trio.sleep(seconds)
    feed.publish("stream", reason="authorized")

    assert outages.status()["count"] == count
    assert (outages.status() == lost) is (count == 2)
