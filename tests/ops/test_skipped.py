"""What is not traded leaves a trace, and no flood."""

from __future__ import annotations

import logging

import pytest
import trio

from snexec.events import EventFeed
from snexec.ops.skipped import SkippedSummary
from tests.fakes import FakeClock


@pytest.mark.jumping_time
async def test_skipped_signals_are_one_line_a_minute_that_counts_them_by_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    feed, summary = EventFeed(clock=FakeClock()), SkippedSummary()
    feed.follow(summary.happened, "skipped")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(summary.run)
        await trio.sleep(600)
        for reason in ("market_closed", "symbol_open", "market_closed"):
            feed.publish("skipped", reason=reason)
        feed.publish("placed")
        await trio.sleep(59)
        assert caplog.messages == []
        await trio.sleep(2)
        for _ in range(1000):
            feed.publish("skipped", reason="paused")
        await trio.sleep(600)
        feed.publish("skipped", reason="stale")
        nursery.cancel_scope.cancel()

    assert caplog.messages == [
        "not traded since the last such line: 3 signals (2 market_closed, 1 symbol_open)",
        "not traded since the last such line: 1000 signals (1000 paused)",
        "not traded since the last such line: 1 signal (1 stale)",
    ]
