"""Nothing is acknowledged before it is decided; what is dead is kept with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from tests.input_helpers import World, signal_line, within
from tests.redis.feeding import DEAD, STREAM, fed, until
from tests.redis.server import needs_redis

if TYPE_CHECKING:
    from tests.conftest import LoggedErrors

pytestmark = needs_redis


@within(20)
async def test_a_signal_is_acknowledged_once_it_is_decided() -> None:
    async with fed(World()) as it:
        it.add(signal_line(id="n-1"))
        it.add(signal_line(id="n-2"))
        await it.answered(2)
        await trio.sleep(0.1)
        assert it.pending() == 2
        it.feed.publish("placed", sequence=1, signal_id="n-1")
        await until(lambda: it.pending() == 1)
        it.feed.publish("skipped", sequence=2, signal_id="n-2", reason="stale")
        await until(lambda: it.pending() == 0)


@within(20)
async def test_a_repeated_one_is_acknowledged_at_once() -> None:
    async with fed(World()) as it:
        it.add(signal_line(id="n-1"))
        it.add(signal_line(id="n-1"))
        await it.answered(2)
        await until(lambda: it.pending() == 1)


@within(20)
async def test_what_a_stop_leaves_is_not_acknowledged() -> None:
    async with fed(World()) as it:
        it.add(signal_line(id="n-1"))
        await it.answered(1)
        it.feed.publish("skipped", sequence=1, signal_id="n-1", reason="stopping")
        await trio.sleep(0.1)
        assert it.pending() == 1


@within(20)
async def test_what_was_decided_last_is_acknowledged_at_the_end() -> None:
    async with fed(World()) as it:
        it.add(signal_line(id="n-1"))
        await it.answered(1)
        it.feed.publish("placed", sequence=1, signal_id="n-1")
    assert it.pending() == 0


@within(20)
async def test_what_is_no_signal_is_put_aside_with_its_fields_and_the_reason() -> None:
    async with fed(World()) as it:
        entry_id = it.add_fields(symbol="KO", catalystTier="9", by="its own")
        await until(lambda: it.pending() == 0 and it.server.number("XLEN", DEAD) == 1)
        [[_id, fields]] = it.server.entries(DEAD)
        assert fields["symbol"] == "KO"
        assert fields["entry"] == entry_id
        assert (
            "catalystTier: Input should be less than or equal to 4" in fields["reason"]
        )
        assert fields["deliveries"] == "1"
        assert fields["by"] == "host-a"
        assert it.redis.status().dead == 1


@within(20)
async def test_one_that_cannot_be_put_aside_stays_pending(
    logged_errors: LoggedErrors,
) -> None:
    async with fed(World()) as it:
        it.server.ask("SET", DEAD, "no stream")
        it.add("no signal")
        it.add(signal_line(id="n-1"))
        await it.answered(2)
        await trio.sleep(0.1)
        assert it.pending() == 2
        assert it.redis.status().dead == 0
        assert it.redis.status().connected
    [error] = logged_errors.take()
    assert "cannot be added to snexec:signals:dead, and stays pending" in error


@within(20)
async def test_an_acknowledgement_that_was_lost_is_made_by_the_next_session() -> None:
    async with fed(World()) as it:
        it.add(signal_line(id="n-1"))
        await it.answered(1)
        it.server.ask("CLIENT", "PAUSE", "600", "WRITE")
        it.feed.publish("placed", sequence=1, signal_id="n-1")
        await it.break_off()
        await it.connected()
        await until(lambda: it.pending() == 0)
        assert [answer.status for answer in it.answers] == ["accepted"], STREAM
