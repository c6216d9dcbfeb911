"""Bodies: one signal or an array, in turns, and as old as they are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import trio

from snexec.intake import LINES_PER_TURN
from snexec.web.posted import MOST_SIGNALS, ManyError, Posted, signals_in
from snexec.web.producers import Producer
from tests.input_helpers import FLUSH, World, signal_line

if TYPE_CHECKING:
    from trio.testing import MockClock

ONE = signal_line()


@pytest.mark.parametrize(
    "body",
    [ONE, b"", b" ", b"{}", b"null", b"x", b"\xff[", b'"["', b"[", b"[1", b"[1,]",
     b"[,1]", b"[1 2]", b"[1]x", b"[1][2]", b"[" * 60_000, b"[" + b"9" * 60_000 + b"]",
     b'{"a":' * 10_000, "[1]".encode("utf-16")],
    ids=lambda body: repr(body[:12]),
)  # fmt: skip
def test_what_is_no_array_is_one_line(body: bytes) -> None:
    assert signals_in(body) is None


@pytest.mark.parametrize(
    ("body", "elements"),
    [
        (b"[1]", [b"1"]),
        (b"\xef\xbb\xbf [1]", [b"1"]),
        (
            b'\r\n[ 1 ,\t{"a": [2, "]"]}\n, null ] \n',
            [b"1", b'{"a": [2, "]"]}', b"null"],
        ),
        (b"[1.10,1e400,NaN]", [b"1.10", b"1e400", b"NaN"]),
        ('["ä\\ud83d"]'.encode(), ['"ä\\ud83d"'.encode()]),
        (b"[" + ONE + b"," + ONE + b"]", [ONE, ONE]),
    ],
)
def test_the_elements_of_an_array_are_as_they_were_written(
    body: bytes, elements: list[bytes]
) -> None:
    assert signals_in(body) == elements


def test_an_array_holds_a_signal_and_a_hundred_at_most() -> None:
    assert signals_in(json.dumps([1] * MOST_SIGNALS).encode()) == [b"1"] * 100
    for body in (b"[]", b" [ ] ", json.dumps([1] * 101).encode()):
        with pytest.raises(ManyError, match="an array "):
            signals_in(body)


async def take(world: World, *lines: bytes) -> list[str]:
    posted = Posted(world.intake)
    producer = Producer("tv", per_minute=60)
    read_at = posted.arrived()
    answers = await posted.take(lines, producer, read_at=read_at)
    return [answer.status for answer in answers]


async def test_an_array_is_taken_in_turns_each_of_which_lets_its_orders_leave() -> None:
    world = World()
    lines = [signal_line(id=f"n-{number}") for number in range(MOST_SIGNALS)]
    assert await take(world, *lines) == ["accepted"] * 100
    steps = world.orders.steps
    assert steps[LINES_PER_TURN] == FLUSH
    assert steps[-1] == FLUSH
    assert steps.count(FLUSH) == 4
    assert {taken.producer for taken in world.orders.taken()} == {"tv"}


async def test_what_finds_no_room_is_overloaded_and_what_comes_before_it_is_taken() -> (
    None
):
    world = World(max_pending=2)
    lines = [signal_line(id=f"n-{number}") for number in range(4)]
    assert await take(world, *lines) == [*["accepted"] * 2, *["overloaded"] * 2]


async def test_what_is_read_soon_after_a_gap_is_as_old_as_the_gap(
    autojump_clock: MockClock,
) -> None:
    world = World()
    posted, unread = Posted(world.intake), world.intake.unread
    async with trio.open_nursery() as nursery:
        nursery.start_soon(posted.run)
        await trio.testing.wait_all_tasks_blocked()
        unread.looked()
        before = trio.current_time()
        assert posted.arrived() == before
        autojump_clock.jump(600)  # the machine sleeps
        assert posted.arrived() == before
        await trio.sleep(1)
        unread.looked()
        assert posted.arrived() == before, "it may have lain in the kernel"
        for _ in range(3):
            await trio.sleep(1)
            unread.looked()
        assert posted.arrived() == trio.current_time()
        nursery.cancel_scope.cancel()


@pytest.mark.jumping_time
async def test_once_ended_it_hears_of_no_gap() -> None:
    world = World()
    posted = Posted(world.intake)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(posted.run)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    world.intake.unread.date_back(-1.0)
    assert posted.arrived() == trio.current_time()
