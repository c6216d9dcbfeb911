"""One session after the other, whatever becomes of the server."""

from __future__ import annotations

import signal
from datetime import timedelta

import pytest
import trio

from snexec.clock import SystemClock
from snexec.errors import RedisLostError
from snexec.events import EventFeed
from snexec.redis import feeder_of
from snexec.risk import Active
from tests.input_helpers import World, signal_line, within
from tests.redis.feeding import STREAM, fed, no_tls, until
from tests.redis.server import needs_redis, running_server

pytestmark = needs_redis


def test_without_its_section_there_is_no_feeder() -> None:
    world = World()
    clock = SystemClock()
    feed = EventFeed(clock=clock)
    assert (
        feeder_of(
            world.live, no_tls, world.intake, feed, clock=clock, active=Active(clock)
        )
        is None
    )


@within(30)
async def test_it_reads_again_once_a_killed_server_is_back() -> None:
    with running_server("--appendonly", "yes", "--appendfsync", "always") as server:
        async with fed(World(), server) as it:
            it.add(signal_line(id="n-1"))
            await it.answered(1)
            it.feed.publish("placed", sequence=1)
            await until(lambda: it.pending() == 0)
            server.kill()
            await until(lambda: not it.redis.status().connected)
            since = it.redis.status().since
            await trio.sleep(0.3)
            assert it.redis.status().since == since
            server.start()
            it.add(signal_line(id="n-2"))
            await it.answered(2)
            assert it.redis.status().connected
            assert [answer.id for answer in it.answers] == ["n-1", "n-2"]


@within(30)
async def test_a_server_that_has_lost_everything_gets_its_group_again() -> None:
    async with fed(World()) as it:
        it.add(signal_line(id="n-1"))
        await it.answered(1)
        it.server.ask("FLUSHALL")
        it.add(signal_line(id="n-2"))
        await it.answered(2)
        assert it.answers[1].id == "n-2"


@within(30)
async def test_an_entry_that_is_read_twice_is_taken_once() -> None:
    async with fed(World()) as it:
        it.add_fields(
            symbol="KO", catalystCategory="x", catalystTier="1", priceAtSignal="5"
        )
        await it.answered(1)
        it.server.ask("XGROUP", "DESTROY", STREAM, "snexec")
        it.add(signal_line(id="n-2"))
        await it.answered(2)
        assert [answer.status for answer in it.answers] == ["accepted", "accepted"]
        assert it.answers[1].id == "n-2"
        assert it.pending() == 2, "read again, and not decided"


@within(30)
async def test_what_it_took_is_not_taken_again_when_the_connection_was_lost() -> None:
    async with fed(World()) as it:
        it.add(signal_line(id="n-1"))
        await it.answered(1)
        await it.break_off()
        await it.connected()
        it.add(signal_line(id="n-2"))
        await it.answered(2)
        assert [answer.id for answer in it.answers] == ["n-1", "n-2"]
        assert it.redis.status().again == 0


@within(40)
async def test_a_server_that_stands_still_is_noticed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with running_server() as server:
        async with fed(World(), server) as it:
            await it.connected()
            server.send_signal(signal.SIGSTOP)
            await until(lambda: not it.redis.status().connected)
            server.send_signal(signal.SIGCONT)
            it.add(signal_line(id="n-1"))
            await it.answered(1)
    assert "entries stay in the stream" in caplog.text


@within(20)
async def test_a_server_that_is_absent_at_the_start_is_waited_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with running_server() as server:
        server.kill()
        async with fed(World(), server) as it:
            await until(lambda: "entries stay in the stream" in caplog.text)
            assert not it.redis.status().connected
            server.start()
            await it.connected()
    assert caplog.text.count("entries stay in the stream") == 1, "once a fault"


@within(20)
async def test_a_server_that_refuses_us_is_said_in_its_words_and_asked_less_and_less(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with running_server("--requirepass", "geheim") as server:
        async with fed(World(), server) as it:
            await trio.sleep(1)
            assert not it.redis.status().connected
    assert "HELLO must be called with the client already authenticated" in caplog.text


@within(20)
async def test_a_clock_that_differs_is_named_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Behind(SystemClock):
        def now(self):  # type: ignore[no-untyped-def]  # noqa: ANN202
            return super().now() - timedelta(seconds=5)

    async with fed(World(), clock=Behind()) as it:
        await it.connected()
        await it.break_off()
        await it.connected()
    assert caplog.text.count("s ahead of ours: entries look that much younger") == 1


@within(20)
async def test_the_state_of_the_group_is_known() -> None:
    async with fed(World()) as it:
        it.add(signal_line(id="n-1"))
        await it.answered(1)
        await until(lambda: it.redis.status().pending == 1)
        assert it.redis.status().lag in {0, None}  # None before Redis 7


@within(30)
async def test_a_daemon_that_ends_says_nothing_of_its_own_end(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    holds = trio.Event()

    async def hold(_speak: object) -> None:
        holds.set()
        try:
            await trio.sleep_forever()
        except trio.Cancelled as exc:  # as the driver may, where it is slow to close
            raise RedisLostError(str(exc)) from None

    async with fed(World()) as it:
        await it.connected()
        monkeypatch.setattr(it.redis, "_hold_session", hold)
        it.server.ask("CLIENT", "KILL", "TYPE", "normal")
        await holds.wait()
        caplog.clear()
    assert caplog.text == ""
