"""Events go to a stream; it may be away, full or refused, and nothing waits for it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import trio

from snexec.redis import results
from tests.input_helpers import World, signal_line, within
from tests.redis.feeding import fed, until
from tests.redis.server import needs_redis

if TYPE_CHECKING:
    from tests.conftest import LoggedErrors

pytestmark = needs_redis

RESULTS = "snexec:results"


@within(20)
async def test_every_event_is_added_as_the_feed_has_it() -> None:
    async with fed(World(), results=RESULTS) as it:
        await it.connected()
        it.feed.publish("placed", {"mode": "paper"}, signal_id="n-1", symbol="KO")
        it.feed.publish("halt", reason="why")
        await until(lambda: it.server.number("XLEN", RESULTS) == 2)
        first, second = (fields for _id, fields in it.server.entries(RESULTS))
        assert list(first) == ["event"]
        event = json.loads(first["event"])
        assert (event["event"], event["signalId"], event["mode"]) == (
            *("placed", "n-1", "paper"),
        )
        assert json.loads(second["event"])["event"] == "halt"


@within(20)
async def test_without_the_key_none_is() -> None:
    async with fed(World()) as it:
        await it.connected()
        it.feed.publish("halt")
        await trio.sleep(0.1)
        assert it.server.number("EXISTS", RESULTS) == 0


@within(20)
async def test_the_stream_keeps_about_as_many_as_it_may() -> None:
    async with fed(World(), results=RESULTS, results_max_length=100) as it:
        await it.connected()
        for number in range(1000):
            it.feed.publish("halt", reason=str(number))
        await until(
            lambda: (
                b"999"
                in it.server.ask_whole("XREVRANGE", RESULTS, "+", "-", "COUNT", "1")
            )
        )
        assert it.server.number("XLEN", RESULTS) < 300


@within(20)
async def test_what_happens_while_it_is_away_is_added_afterwards() -> None:
    async with fed(World(), results=RESULTS) as it:
        await it.connected()
        await it.break_off()
        for number in range(250):
            it.feed.publish("halt", reason=str(number))
        await until(lambda: it.server.number("XLEN", RESULTS) == 250)
        reasons = [
            json.loads(fields["event"])["reason"]
            for _id, fields in it.server.entries(RESULTS)
        ]
        assert reasons == [str(number) for number in range(250)]


@within(20)
async def test_more_than_may_wait_are_dropped_oldest_first_and_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(results, "_MOST_WAITING", 10)
    async with fed(World(), results=RESULTS) as it:
        for number in range(25):
            it.feed.publish("halt", reason=str(number))
        assert it.redis.status().dropped == 15
        await until(lambda: it.server.number("XLEN", RESULTS) == 10)
        [_id, first], *_ = it.server.entries(RESULTS)
        assert json.loads(first["event"])["reason"] == "15"
    assert caplog.text.count("events are dropped") == 1


@within(20)
async def test_a_key_that_is_no_stream_costs_its_events_and_nothing_else(
    logged_errors: LoggedErrors,
) -> None:
    async with fed(World(), results=RESULTS) as it:
        await it.connected()
        it.server.ask("SET", RESULTS, "mine")
        it.feed.publish("halt")
        await until(lambda: it.redis.status().dropped == 1)
        it.add(signal_line(id="n-1"))
        await it.answered(1)
        assert it.redis.status().connected
    [error] = logged_errors.take()
    assert error == (
        "snexec:results takes no events, they are dropped and counted: Operation"
        " against a key holding the wrong kind of value"
    )
