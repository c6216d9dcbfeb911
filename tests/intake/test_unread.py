"""What lay unread while nothing ran is as old as that, and what comes next is not."""

from __future__ import annotations

import os
import socket
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from snexec.intake.stdin import Kind, StandardInput
from snexec.intake.unread import Source, Unread
from tests.input_helpers import Owner, World, open_pipe, served, signal_line

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.frozen_time

AGE = 30.0


def stand_still(seconds: float) -> None:
    """Let time pass in which nothing runs."""
    clock = trio.lowlevel.current_clock()
    assert isinstance(clock, MockClock)
    clock.jump(seconds)


def taken(world: World) -> dict[str, float]:
    """Return when each signal counts as read."""
    return {each.signal.symbol: each.read_at for each in world.orders.taken()}


def line(symbol: str) -> bytes:
    return signal_line(symbol=symbol, id=symbol) + b"\n"


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Give two connected sockets: what is written to, and what is read from."""
    theirs, ours = socket.socketpair()
    with closing(theirs), closing(ours):
        yield theirs, ours


# The looks --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "seconds"), [(30.0, 1.0), (4.0, 1.0), (2.0, 0.5), (0.001, 0.05)]
)
async def test_the_looks_come_more_often_where_a_signal_grows_old_sooner(
    age: float, seconds: float
) -> None:
    assert Unread(age).look_seconds == seconds


async def test_nothing_is_a_gap_before_somebody_looks() -> None:
    unread = Unread(AGE)
    stand_still(1000)
    assert unread.notice(trio.current_time()) is None


async def test_a_look_that_is_late_by_more_than_a_look_is_a_gap_once() -> None:
    unread = Unread(AGE)
    unread.looked()
    began = trio.current_time()
    stand_still(2)
    assert unread.notice(trio.current_time()) is None
    stand_still(0.5)
    assert unread.notice(trio.current_time()) == began
    assert unread.notice(trio.current_time()) is None


# One source -------------------------------------------------------------------------


async def test_what_lay_in_a_source_is_dated_back_to_the_byte(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    theirs, ours = ends
    unread = Unread(AGE)
    with Source(unread, ours.fileno()) as source:
        unread.looked()
        began = trio.current_time()
        theirs.send(b"old\nold\n")
        stand_still(10)
        unread.looked()
        theirs.send(b"new\n")

        assert [source.read_at(4), source.read_at(4)] == [began, began]
        assert source.read_at(4) == trio.current_time()


async def test_a_source_that_lay_empty_dates_nothing_back_however_late_a_line_comes(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    unread = Unread(AGE)
    with Source(unread, ends[1].fileno()) as source:
        unread.looked()
        stand_still(10)
        unread.looked()
        stand_still(1)
        assert source.read_at(4) == trio.current_time()


async def test_a_line_of_which_a_part_was_read_before_is_as_old_as_that(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    unread = Unread(AGE)
    with Source(unread, ends[1].fileno()) as source:
        assert list(source.lines(b"begun before")) == []
        unread.looked()
        began = trio.current_time()
        stand_still(10)
        unread.looked()
        stand_still(1)
        assert source.read_at(8) == began
        assert list(source.lines(b", ended\nand the next")) == [b"begun before, ended"]
        assert source.read_at(1) == trio.current_time(), "once, not for ever"


async def test_the_rest_of_such_a_line_may_come_in_pieces(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    unread = Unread(AGE)
    with Source(unread, ends[1].fileno()) as source:
        assert list(source.lines(b"begun ")) == []
        unread.looked()
        began = trio.current_time()
        stand_still(10)
        unread.looked()
        for piece in (b"before", b", and still not ended"):
            assert source.read_at(len(piece)) == began
            assert list(source.lines(piece)) == []
        assert source.read_at(6) == began
        assert list(source.lines(b"\nnext")) == [b"begun before, and still not ended"]
        assert source.read_at(1) == trio.current_time(), "the next line is no such line"


async def test_a_line_that_is_never_ended_is_as_old_as_its_beginning(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    theirs, ours = ends
    unread = Unread(AGE)
    with Source(unread, ours.fileno()) as source:
        assert list(source.lines(b"begun ")) == []
        unread.looked()
        began = trio.current_time()
        theirs.send(b"before")
        for _gap in range(2):
            stand_still(10)
            unread.looked()
        for piece in (b"before", b", and after"):
            assert source.read_at(len(piece)) == began
            assert list(source.lines(piece)) == []
        assert source.read_at(0) == began
        assert list(source.lines(b"")) == [b"begun before, and after"]


async def test_a_line_of_which_a_part_lay_unread_is_as_old_as_that(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    theirs, ours = ends
    unread = Unread(AGE)
    with Source(unread, ours.fileno()) as source:
        unread.looked()
        began = trio.current_time()
        theirs.send(b"begun in the gap")
        stand_still(10)
        unread.looked()
        stand_still(1)
        assert source.read_at(16) == began
        assert list(source.lines(b"begun in the gap")) == []
        assert source.read_at(7) == began


async def test_whoever_reads_first_after_a_gap_notices_it_for_all(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    theirs, ours = ends
    unread = Unread(AGE)
    with (
        open_pipe() as (read_end, _),
        Source(unread, read_end) as other,
        Source(unread, ours.fileno()) as source,
    ):
        unread.looked()
        began = trio.current_time()
        theirs.send(b"old\n")
        stand_still(10)
        assert other.read_at(4) == began
        assert source.read_at(4) == began
        assert source.read_at(4) == trio.current_time()


async def test_what_a_second_gap_finds_still_unread_is_as_old_as_the_first(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    theirs, ours = ends
    unread = Unread(AGE)
    with Source(unread, ours.fileno()) as source:
        unread.looked()
        began = trio.current_time()
        theirs.send(b"old\n")
        for _gap in range(2):
            stand_still(10)
            unread.looked()
        assert source.read_at(4) == began

        second = trio.current_time()
        theirs.send(b"younger\n")
        stand_still(10)
        unread.looked()
        assert source.read_at(8) == second


async def test_of_a_source_that_cannot_say_how_much_lies_in_it_the_next_is_old() -> (
    None
):
    unread = Unread(AGE)
    fd = os.open("/dev/null", os.O_RDONLY)
    try:
        with Source(unread, fd) as source:
            unread.looked()
            began = trio.current_time()
            stand_still(10)
            unread.looked()
            assert source.read_at(100) == began
            assert source.read_at(100) == trio.current_time()
    finally:
        os.close(fd)


async def test_a_source_that_has_ended_is_asked_no_more(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    unread = Unread(AGE)
    with Source(unread, ends[1].fileno()):
        assert len(unread._held) == 1
    assert unread._held == set()


# The feeders ------------------------------------------------------------------------


async def test_lines_in_a_clients_socket_are_as_old_as_the_gap() -> None:
    world = World()
    unread = world.intake.unread
    async with served(world) as it, it.client() as client, it.client() as idle:
        await wait_all_tasks_blocked()
        unread.looked()
        began = trio.current_time()
        stand_still(20)
        await client.send(signal_line(symbol="OLD", id="1"))  # nothing has run yet
        unread.looked()
        await idle.send(signal_line(symbol="NEW", id="2"))
        await client.answer()
        await idle.answer()
        assert taken(world) == {"OLD": began, "NEW": began + 20}
        assert await client.ask(signal_line(symbol="NEXT", id="3"))
        assert taken(world) == {"NEXT": began + 20}


@pytest.mark.parametrize("turns", [*range(4)] * 16)  # tasks take turns at random
async def test_lines_are_as_old_whatever_was_under_way_as_the_gap_began(
    turns: int,
) -> None:
    world = World()
    unread = world.intake.unread
    async with served(world) as it, it.client() as client:
        await wait_all_tasks_blocked()
        unread.looked()
        began = trio.current_time()
        with (
            closing(socket.socket(socket.AF_UNIX)) as first,
            closing(socket.socket(socket.AF_UNIX)) as waiting,
        ):
            first.connect(str(it.path))
            os.write(client.stream.socket.fileno(), line("FIRST"))
            for _turn in range(turns):
                await trio.lowlevel.checkpoint()
            stand_still(20)
            waiting.connect(str(it.path))
            waiting.send(line("DOOR"))
            os.write(client.stream.socket.fileno(), line("OLD"))
            await trio.lowlevel.checkpoint()
            unread.looked()
            await world.orders.wait_for(3)
        assert taken(world) == {"FIRST": began, "OLD": began, "DOOR": began}


async def test_a_client_that_goes_before_it_is_let_in_ends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    accept = socket.socket.accept
    goes = [ConnectionAbortedError(103, "Software caused connection abort")]

    def come(sock: socket.socket) -> tuple[socket.socket, object]:
        if goes:
            raise goes.pop()
        return accept(sock)

    monkeypatch.setattr(socket.socket, "accept", come)
    async with served(World()) as it, it.client() as client:
        assert await client.ask(signal_line())
    assert goes == []


async def test_a_client_that_waited_at_the_door_through_a_gap_is_no_news() -> None:
    world = World()
    unread = world.intake.unread
    async with served(world) as it:
        await wait_all_tasks_blocked()
        unread.looked()
        began = trio.current_time()
        with closing(socket.socket(socket.AF_UNIX)) as waiting:
            waiting.connect(str(it.path))
            waiting.send(line("OLD"))
            stand_still(20)
            unread.looked()
            await world.orders.wait_for(1)
            await wait_all_tasks_blocked()
            async with it.client() as client:
                await client.ask(signal_line(symbol="NEW", id="2"))
        assert taken(world) == {"OLD": began, "NEW": began + 20}


async def test_a_client_that_was_let_in_and_not_read_yet_is_no_news_either() -> None:
    world = World()
    unread = world.intake.unread
    async with served(world) as it:
        unread.looked()
        began = trio.current_time()
        listening = trio.socket.socket(socket.AF_UNIX)
        await listening.bind(f"{it.path}-2")
        listening.listen()
        door = it.server._open_door(trio.SocketListener(listening))
        with closing(socket.socket(socket.AF_UNIX)) as waiting:
            waiting.connect(f"{it.path}-2")
            waiting.send(line("OLD"))
            stream = await door.accept()
            stand_still(20)
            unread.looked()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(it.server._serve, stream)
                await world.orders.wait_for(1)
                nursery.cancel_scope.cancel()
        await door.aclose()
        assert taken(world) == {"OLD": began}


async def test_lines_in_a_pipe_on_standard_input_are_as_old_as_the_gap() -> None:
    world = World()
    unread = world.intake.unread
    with open_pipe() as (read_end, write_end):
        feeder = StandardInput(world.intake, Kind.PIPE, Owner(), fd=read_end)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(feeder.run)
            os.write(write_end, line("PART")[:20])
            await wait_all_tasks_blocked()
            unread.looked()
            began = trio.current_time()
            os.write(write_end, line("PART")[20:] + line("OLD"))
            stand_still(20)
            unread.looked()
            await world.orders.wait_for(2)
            os.write(write_end, line("NEW"))
            await world.orders.wait_for(3)
            os.close(write_end)
    assert taken(world) == {"PART": began, "OLD": began, "NEW": began + 20}


async def test_the_lines_of_a_file_are_of_no_time() -> None:
    world = World()
    world.intake.unread.looked()
    owner = Owner()
    owner.may_feed.set()
    with open_pipe() as (read_end, write_end):
        os.write(write_end, line("LINE"))
        os.close(write_end)
        stand_still(20)
        await StandardInput(world.intake, Kind.FILE, owner, fd=read_end).run()
    assert taken(world) == {"LINE": trio.current_time()}
