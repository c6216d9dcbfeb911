"""What is pending comes first, what is new after it, and never more than there is room."""

from __future__ import annotations

import itertools
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import trio

from snexec.clock import SystemClock
from snexec.intake import LINES_PER_TURN, Phase
from snexec.redis.client import Pending, Session
from snexec.redis.entries import Entry
from tests.fakes import FakeClock
from tests.input_helpers import World, signal_line, within
from tests.redis.feeding import STREAM, Fed, fed, until
from tests.redis.server import needs_redis, shared_server

if TYPE_CHECKING:
    from snexec.intake import Answer

pytestmark = needs_redis

FIELDS = {
    "symbol": "KO",
    "catalystCategory": "m_and_a",
    "catalystTier": "2",
    "priceAtSignal": "62.1",
}


def given_to(consumer: str, count: int = 1, *, deliveries: int = 1) -> list[str]:
    """Have entries that somebody was given and has not decided."""
    server = shared_server()
    server.ask("FLUSHALL")
    server.ask("XGROUP", "CREATE", STREAM, "snexec", "0", "MKSTREAM")
    ids = [
        server.text("XADD", STREAM, "*", "signal", signal_line(id=f"p-{n}").decode())
        for n in range(count)
    ]
    read = ("XREADGROUP", "GROUP", "snexec", consumer, "STREAMS", STREAM)
    server.ask(*read, ">")
    for _ in range(deliveries - 1):
        server.ask("XCLAIM", STREAM, "snexec", consumer, "0", *ids)
    return ids


def taken(it: Fed) -> list[str | None]:
    return [each.signal.id for each in it.world.orders.taken()]


@within(20)
async def test_both_forms_are_taken_in_their_order() -> None:
    async with fed(World()) as it:
        it.add(signal_line(id="n-1"))
        entry_id = it.add_fields(**FIELDS)
        it.add_fields(**FIELDS, id="n-3")
        await it.answered(3)
        signals = it.world.orders.taken()
        ids = [each.signal.id for each in signals]
        assert ids == ["n-1", f"{STREAM}:{entry_id}", "n-3"]
        assert all(each.is_kept for each in signals), (
            "the stream has them after a crash"
        )


@within(20)
async def test_what_was_added_before_the_group_was_made_is_read() -> None:
    server = shared_server()
    server.ask("FLUSHALL")
    server.ask("XADD", STREAM, "*", "signal", signal_line(id="old").decode())
    async with fed(World(), server) as it:
        await it.answered(1)
        assert taken(it) == ["old"]


@within(20)
async def test_an_entry_is_as_old_as_its_id_says() -> None:
    wall = FakeClock()
    server = shared_server()
    server.ask("FLUSHALL")
    milliseconds = round(wall.moment.timestamp() * 1000)
    for ago in (20_000, 5_000, -60_000):  # the last one is of the future
        entry_id = f"{milliseconds - ago}-0"
        server.ask("XADD", STREAM, entry_id, "signal", signal_line(id=None).decode())
    async with fed(World(), server, clock=wall) as it:
        await it.answered(3)
        now = trio.current_time()
        ages = [now - each.read_at for each in it.world.orders.taken()]
        assert ages == pytest.approx([20, 5, 0], abs=0.5)


@within(20)
async def test_nothing_is_read_before_signals_are_taken() -> None:
    world = World(phase=Phase.STARTING)
    async with fed(world) as it:
        await it.connected()
        it.add(signal_line(id="n-1"))
        await trio.sleep(0.1)
        assert it.answers == []
        assert it.server.number("XLEN", STREAM) == 1
        world.intake.open()
        await it.answered(1)
        assert taken(it) == ["n-1"]


@within(20)
async def test_a_standby_leaves_everything_in_the_stream() -> None:
    world = World()
    async with fed(world) as it:
        await it.connected()
        world.intake.stand_by()
        it.add(signal_line(id="n-1"))  # the read that waits may still bring it
        await until(lambda: it.server.number("XLEN", STREAM) == 1)
        await trio.sleep(0.1)
        it.add(signal_line(id="n-2"))
        assert taken(it) == []
        assert [answer.status for answer in it.answers] in ([], ["standby"])
        world.intake.open()
        await until(lambda: it.world.intake.has_taken("n-2"))
        assert taken(it) == ["n-1", "n-2"]


@within(20)
async def test_an_entry_is_taken_before_the_task_that_reads_has_its_turn() -> None:
    world, takers = World(), []
    async with fed(world) as it:
        record = world.intake.take

        def take(*words: Any, **more: Any) -> Answer:  # noqa: ANN401
            takers.append(trio.lowlevel.current_task().name)
            return record(*words, **more)

        world.intake.take = take  # type: ignore[method-assign]
        it.add(signal_line(id="n-1"))
        await it.answered(1)
        assert takers != ["entries"], "another wake-up away from its arrival"


@within(20)
async def test_many_entries_are_taken_in_their_order_with_turns_between() -> None:
    turns: list[int] = []
    async with fed(World()) as it:
        await it.connected()

        async def others() -> None:
            while len(it.answers) < 200:
                turns.append(len(it.answers))
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(others)
            await it.send(b"".join(signal_line(id=f"{n}") + b"\n" for n in range(200)))
            await it.answered(200)
        assert taken(it) == [f"{n}" for n in range(200)]
    steps = [after - before for before, after in itertools.pairwise([*turns, 200])]
    # Two: nobody has the same place in each pass of the loop.
    assert max(steps) <= 2 * LINES_PER_TURN


@within(20)
async def test_what_arrives_while_others_are_taken_waits_for_its_turn() -> None:
    async with fed(World()) as it:
        await it.connected()
        async with it.redis._reader._turn:
            it.add(signal_line(id="n-1"))
            await until(lambda: it.pending() == 1)
            await trio.sleep(0.05)
            assert it.answers == []
        await it.answered(1)
        assert taken(it) == ["n-1"]


# What is pending


@within(20)
async def test_what_it_had_not_decided_when_it_crashed_is_read_again_first() -> None:
    given_to("host-a", 3)
    shared_server().ask("XADD", STREAM, "*", "signal", signal_line(id="new").decode())
    async with fed(World(), shared_server()) as it:
        await it.answered(4)
        assert taken(it) == ["p-0", "p-1", "p-2", "new"]
        assert it.redis.status().again == 3


@within(20)
async def test_what_another_one_holds_is_taken_over_once_it_is_idle() -> None:
    given_to("host-b")
    async with fed(World(), shared_server(), claim_idle_sec=0.5) as it:
        began = trio.current_time()
        await it.answered(1)
        assert trio.current_time() - began > 0.3
        assert taken(it) == ["p-0"]


@within(20)
async def test_what_another_one_works_at_is_left_to_it() -> None:
    given_to("host-b")
    async with fed(World(), shared_server()) as it:
        await it.connected()
        await trio.sleep(0.2)
        assert it.answers == []


@within(20)
async def test_many_pending_ones_are_all_taken() -> None:
    given_to("host-a", 350)
    async with fed(World(), shared_server()) as it:
        await it.answered(350)
        assert taken(it) == [f"p-{n}" for n in range(350)]


@within(20)
async def test_one_that_was_delivered_too_often_is_dead() -> None:
    [often] = given_to("host-a", deliveries=5)
    async with fed(World(), shared_server()) as it:
        await until(lambda: it.redis.status().dead == 1)
        assert it.answers == []
        await until(lambda: it.pending() == 0)
        [[_id, fields]] = it.server.entries(it.settings.dead)
        assert fields["entry"] == often
        assert fields["reason"] == "delivered 6 times and never decided"
        assert fields["deliveries"] == "6"
        assert fields["by"] == "host-a"
        assert json.loads(fields["signal"])["id"] == "p-0"


@within(20)
async def test_one_that_was_delivered_as_often_as_it_may_is_taken() -> None:
    given_to("host-a", deliveries=4)
    async with fed(World(), shared_server()) as it:
        await it.answered(1)
        assert it.redis.status().dead == 0


@within(20)
async def test_one_that_was_deleted_before_it_was_read_is_said_and_dropped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gone, _here = given_to("host-a", 2)
    shared_server().ask("XDEL", STREAM, gone)
    async with fed(World(), shared_server()) as it:
        await it.answered(1)
        await until(lambda: it.pending() == 1)
        assert taken(it) == ["p-1"]
    said = f"1 entry of {STREAM}: deleted or trimmed before a decision; the first is {gone}"
    assert said in caplog.text


@within(20)
async def test_one_that_was_acknowledged_in_between_is_not_called_deleted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_to("host-a", 2)
    look = Session.pending

    async def acknowledged_then(self: Session, start: str, count: int) -> list[Pending]:
        found = await look(self, start, count)
        for each in found:
            shared_server().ask("XACK", STREAM, "snexec", each.id)
        return found

    monkeypatch.setattr(Session, "pending", acknowledged_then)
    async with fed(World(), shared_server()) as it:
        it.add(signal_line(id="n-1"))
        await it.answered(1)
        assert taken(it) == ["n-1"]
    assert "deleted" not in caplog.text


@within(20)
@pytest.mark.parametrize("reason", ["", "standby", "stopping"])
async def test_an_entry_that_is_delivered_twice_is_no_repetition_of_itself(
    reason: str,
) -> None:
    async with fed(World()) as it:
        it.add(signal_line(id="n-1"))
        await it.answered(1)
        if reason:
            it.feed.publish("skipped", sequence=1, signal_id="n-1", reason=reason)
        # As where a read was answered, and the entry is claimed before that is looked at.
        [(name, _fields)] = it.server.entries(STREAM)
        entry = Entry(name, [(b"signal", signal_line(id="n-1"))], deliveries=2)
        await it.redis._reader._feed([entry])
        assert not it.redis._undecided.decided
        assert it.pending() == 1


# Room


@within(20)
async def test_it_takes_at_most_half_of_what_may_wait() -> None:
    world = World()
    world.live.now = world.live.now.model_copy(
        update={"intake": world.live.now.intake.model_copy(update={"max_pending": 20})}
    )
    async with fed(world) as it:
        await it.connected()
        await it.send(b"".join(signal_line(id=f"n-{n}") + b"\n" for n in range(30)))
        await it.answered(10)
        await trio.sleep(0.1)
        assert len(it.answers) == 10
        assert it.pending() == 10, "the others are in the stream"
        for sequence in range(1, 4):
            it.feed.publish("placed", sequence=sequence)
        await it.answered(13)


@within(20)
async def test_a_full_daemon_leaves_entries_in_the_stream() -> None:
    world = World(max_pending=4)
    async with fed(world) as it:
        await it.connected()
        await it.send(b"".join(signal_line(id=f"n-{n}") + b"\n" for n in range(9)))
        await it.answered(4)
        await trio.sleep(0.1)
        assert {answer.status for answer in it.answers} == {"accepted"}
        assert it.pending() == 4
        taken(it)
        for sequence in range(1, 5):
            world.orders.started()
            it.feed.publish("placed", sequence=sequence)
        await it.answered(8)


@within(20)
async def test_while_rows_cannot_be_written_entries_stay_in_the_stream() -> None:
    world = World(healthy=False)
    async with fed(world) as it:
        await it.connected()
        it.add(signal_line(id="n-1"))
        await trio.sleep(0.2)
        assert it.answers == []
        world.healthy = True
        await it.answered(1)
        assert it.answers[0].status == "accepted"


@within(20)
async def test_a_stale_clock_makes_no_entry_younger() -> None:
    class Behind(SystemClock):
        def now(self):  # type: ignore[no-untyped-def]  # noqa: ANN202
            return super().now() - timedelta(seconds=90)

    async with fed(World(), clock=Behind()) as it:
        it.add(signal_line(id="n-1"))
        await it.answered(1)
        [each] = it.world.orders.taken()
        assert trio.current_time() - each.read_at < 1
