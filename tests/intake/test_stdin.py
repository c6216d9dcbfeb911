"""Standard input as a feeder, whatever it is."""

import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from snexec.intake import stdin as stdin_module
from snexec.intake.admission import LINES_PER_TURN, Phase
from snexec.intake.stdin import Kind, StandardInput, kind_of_stdin
from snexec.signals import MAX_LINE_BYTES
from tests.fakes import warnings_of
from tests.input_helpers import (
    FLUSH,
    Owner,
    World,
    close_quietly,
    open_pipe,
    signal_line,
    within,
)


@contextmanager
def file_of(data: bytes) -> Iterator[int]:
    """Open a file that holds these bytes."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        yield file.fileno()


@contextmanager
def ended_pipe_of(data: bytes) -> Iterator[int]:
    """Open a pipe whose writer has written these bytes and gone."""
    with open_pipe() as (read_end, write_end):
        os.write(write_end, data)
        os.close(write_end)
        yield read_end


@contextmanager
def ended_socket_of(data: bytes) -> Iterator[int]:
    """Open a socket whose peer has sent these bytes and gone."""
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        theirs.sendall(data)
        theirs.close()
        yield ours.fileno()


@contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    """Open a terminal: what is typed at, and what is read from."""
    ends = os.openpty()
    try:
        yield ends
    finally:
        for fd in ends:
            close_quietly(fd)


Source = Callable[[bytes], AbstractContextManager[int]]
EACH_SOURCE = pytest.mark.parametrize(
    ("kind", "source"),
    [(Kind.FILE, file_of), (Kind.PIPE, ended_pipe_of), (Kind.PIPE, ended_socket_of)],
    ids=["file", "pipe", "socket"],
)


async def read(
    world: World, kind: Kind, *, fd: int, owner: Owner | None = None
) -> None:
    """Take every line of a descriptor."""
    await StandardInput(world.intake, kind, owner or Owner(), fd=fd).run()


def lines_of(count: int) -> bytes:
    return b"".join(signal_line(id=f"n-{n}") + b"\n" for n in range(count))


# What it is -------------------------------------------------------------------------


def test_a_file_is_a_file() -> None:
    with file_of(b"") as fd:
        assert kind_of_stdin(fd) is Kind.FILE


def test_a_pipe_is_a_pipe() -> None:
    with open_pipe() as (read_end, _):
        assert kind_of_stdin(read_end) is Kind.PIPE


def test_a_socket_is_a_pipe() -> None:
    with ended_socket_of(b"") as fd:
        assert kind_of_stdin(fd) is Kind.PIPE


def test_a_terminal_is_a_terminal() -> None:
    with terminal() as (_, fd):
        assert kind_of_stdin(fd) is Kind.TERMINAL


def test_the_null_device_is_a_device() -> None:
    fd = os.open(os.devnull, os.O_RDONLY)
    try:
        assert kind_of_stdin(fd) is Kind.DEVICE
    finally:
        os.close(fd)


def test_a_closed_descriptor_is_nothing() -> None:
    with open_pipe() as (read_end, _):
        os.close(read_end)
        assert kind_of_stdin(read_end) is Kind.NOTHING


# What is read from it ---------------------------------------------------------------


@EACH_SOURCE
@within(5)
async def test_every_line_is_taken_in_order(kind: Kind, source: Source) -> None:
    world, owner = World(), Owner()
    before = trio.current_time()

    with source(lines_of(100)) as fd:
        await read(world, kind, owner=owner, fd=fd)

    assert owner.statuses == ["accepted"] * 100
    queued = world.orders.taken()
    assert [t.signal.id for t in queued] == [f"n-{n}" for n in range(100)]
    assert all(before <= t.read_at <= trio.current_time() for t in queued)


@EACH_SOURCE
@within(5)
async def test_a_last_line_without_a_newline_counts(kind: Kind, source: Source) -> None:
    world, owner = World(), Owner()

    with source(lines_of(2)[:-1]) as fd:
        await read(world, kind, owner=owner, fd=fd)

    assert [answer.id for answer in owner.answers] == ["n-0", "n-1"]
    assert owner.statuses == ["accepted"] * 2


@EACH_SOURCE
@within(5)
async def test_an_empty_input_has_no_line(kind: Kind, source: Source) -> None:
    owner = Owner()

    with source(b"") as fd:
        await read(World(), kind, owner=owner, fd=fd)

    assert owner.answers == []


@EACH_SOURCE
@within(5)
async def test_empty_lines_are_passed_over(kind: Kind, source: Source) -> None:
    owner = Owner()

    with source(b"\n \n\r\n" + signal_line() + b"\r\n\n\t") as fd:
        await read(World(), kind, owner=owner, fd=fd)

    assert owner.statuses == ["accepted"]


@EACH_SOURCE
@within(5)
async def test_what_is_no_signal_ends_nothing(kind: Kind, source: Source) -> None:
    world, owner = World(), Owner()
    data = b"hello\n\xff\xfe\n\0\n[]\n" + signal_line() + b"\n" + signal_line(id=5)

    with source(data) as fd:
        await read(world, kind, owner=owner, fd=fd)

    assert owner.statuses == ["invalid"] * 4 + ["accepted", "invalid"]


@EACH_SOURCE
@within(5)
async def test_every_line_is_counted(kind: Kind, source: Source) -> None:
    world = World()

    with source(lines_of(3)) as fd:
        await read(world, kind, fd=fd)

    assert world.counts == {"accepted": 3}


@EACH_SOURCE
@within(5)
async def test_the_end_is_reported_once_behind_the_last_answer(
    kind: Kind, source: Source
) -> None:
    owner = Owner()  # it refuses a second end, and an answer behind the end

    with source(lines_of(2)[:-1]) as fd:
        await read(World(), kind, owner=owner, fd=fd)

    assert owner.ended.is_set()
    assert len(owner.answers) == 2


@EACH_SOURCE
@within(5)
async def test_what_the_last_line_began_has_left_when_the_end_is_reported(
    kind: Kind, source: Source
) -> None:
    world, at_the_end = World(), list[str]()

    class Watching(Owner):
        def input_ended(self) -> None:
            at_the_end.extend(world.orders.steps)

    with source(lines_of(1)[:-1]) as fd:
        await read(world, kind, owner=Watching(), fd=fd)

    assert at_the_end[-2:] == ["AAPL", FLUSH]


@EACH_SOURCE
@within(5)
async def test_the_descriptor_is_left_open_and_blocking(
    kind: Kind, source: Source
) -> None:
    with source(lines_of(1)) as fd:
        await read(World(), kind, fd=fd)

        assert os.get_blocking(fd)


@EACH_SOURCE
@within(5)
async def test_lines_are_taken_while_the_daemon_is_starting(
    kind: Kind, source: Source
) -> None:
    world, owner = World(phase=Phase.STARTING), Owner()

    with source(lines_of(3)) as fd:
        await read(world, kind, owner=owner, fd=fd)

    assert owner.statuses == ["accepted"] * 3


@EACH_SOURCE
@within(5)
async def test_nothing_is_taken_while_the_daemon_is_stopping(
    kind: Kind, source: Source
) -> None:
    world, owner = World(), Owner()
    world.intake.close()

    with source(lines_of(3)) as fd:
        await read(world, kind, owner=owner, fd=fd)

    assert owner.statuses == ["stopping"] * 3


@within(10)
async def test_a_large_file_is_taken_line_by_line() -> None:
    world, owner = World(), Owner()
    too_long = b"x" * (MAX_LINE_BYTES + 1) + b"\n"
    data = lines_of(5_000)  # some 600 kB

    with file_of(too_long + data + too_long * 3) as fd:
        await read(world, Kind.FILE, owner=owner, fd=fd)

    assert owner.statuses == ["invalid"] + ["accepted"] * 5_000 + ["invalid"] * 3
    assert owner.answers[0].error == "line: longer than 65536 bytes"


@within(5)
async def test_a_file_waits_for_a_thread_to_read_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[str] = []

    def no_start(_thread: threading.Thread) -> None:
        tries.append("start")
        if len(tries) == 5:
            monkeypatch.undo()
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(stdin_module, "_NO_THREAD_SECONDS", 0.001)
    monkeypatch.setattr(threading.Thread, "start", no_start)
    world = World()
    with file_of(signal_line(id="n-1")) as fd:
        await read(world, Kind.FILE, fd=fd)

    assert world.counts["accepted"] == 1
    [line] = warnings_of(caplog)
    assert line.startswith("standard input waits: can't start new thread: raise")


@within(5)
async def test_the_null_device_ends_at_once() -> None:
    owner = Owner()
    fd = os.open(os.devnull, os.O_RDONLY)
    try:
        await read(World(), Kind.DEVICE, owner=owner, fd=fd)
    finally:
        os.close(fd)

    assert owner.answers == []


@within(5)
async def test_a_closed_descriptor_ends_at_once() -> None:
    owner = Owner()
    with open_pipe() as (read_end, _):
        os.close(read_end)
        await read(World(), Kind.NOTHING, owner=owner, fd=read_end)

    assert owner.answers == []


@within(5)
async def test_a_terminal_is_read_until_its_end_is_typed() -> None:
    owner = Owner()
    with terminal() as (keyboard, fd):
        os.write(keyboard, signal_line() + b"\n")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                StandardInput(World().intake, Kind.TERMINAL, owner, fd=fd).run
            )
            await owner.wait_for(1)
            assert os.get_blocking(fd)  # others write to the same terminal
            os.write(keyboard, b"\x04")

    assert owner.statuses == ["accepted"]


# As it comes ------------------------------------------------------------------------


@within(5)
async def test_a_line_of_a_pipe_is_taken_as_soon_as_it_is_complete() -> None:
    world, owner = World(), Owner()
    with open_pipe() as (read_end, write_end):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                StandardInput(world.intake, Kind.PIPE, owner, fd=read_end).run
            )
            line = signal_line(id="n-1")
            os.write(write_end, line[:20])
            os.write(write_end, line[20:] + b"\n" + signal_line(id="n-2")[:-1])
            await owner.wait_for(1)
            os.write(write_end, b"}\n")
            await owner.wait_for(2)
            os.close(write_end)

    assert [answer.id for answer in owner.answers] == ["n-1", "n-2"]


@within(5)
async def test_reading_a_pipe_that_stays_silent_can_be_cancelled() -> None:
    owner = Owner()
    with open_pipe() as (read_end, _):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                StandardInput(World().intake, Kind.PIPE, owner, fd=read_end).run
            )
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()

        assert os.get_blocking(read_end)
    assert not owner.ended.is_set()  # more might have come


@pytest.mark.parametrize("source", [ended_pipe_of, ended_socket_of])
@within(5)
async def test_a_pipe_is_answered_overloaded_and_never_held_up(source: Source) -> None:
    world, owner = World(max_pending=3), Owner()

    with source(lines_of(10)) as fd:
        await read(world, Kind.PIPE, owner=owner, fd=fd)

    assert owner.statuses == ["accepted"] * 3 + ["overloaded"] * 7


@within(5)
async def test_no_line_of_a_file_is_taken_before_its_owner_says_so() -> None:
    world, owner = World(), Owner()
    owner.may_feed = trio.Event()

    with file_of(lines_of(3)) as fd:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(StandardInput(world.intake, Kind.FILE, owner, fd=fd).run)
            # Time for a thread that reads the file too soon.
            await wait_all_tasks_blocked(0.05)
            assert owner.answers == []
            owner.may_feed.set()

    assert owner.statuses == ["accepted"] * 3


@pytest.mark.parametrize("source", [ended_pipe_of, ended_socket_of])
@within(5)
async def test_a_pipe_asks_nobody_whether_it_may_be_fed(source: Source) -> None:
    world, owner = World(), Owner()
    owner.may_feed = trio.Event()

    with source(lines_of(3)) as fd:
        await read(world, Kind.PIPE, owner=owner, fd=fd)

    assert owner.statuses == ["accepted"] * 3


@within(5)
async def test_a_file_waits_for_room_and_loses_nothing() -> None:
    world, owner = World(max_pending=3), Owner()

    with file_of(lines_of(10)) as fd:
        async with trio.open_nursery() as nursery:

            async def read_all() -> None:
                await read(world, Kind.FILE, owner=owner, fd=fd)
                world.orders.close()

            nursery.start_soon(read_all)
            await owner.wait_for(3)
            await wait_all_tasks_blocked()
            assert len(owner.answers) == 3

            async for _ in world.orders:
                assert world.orders.pending <= 3
                world.orders.started()
                await wait_all_tasks_blocked()

    assert owner.statuses == ["accepted"] * 10


@within(5)
async def test_a_files_last_line_without_a_newline_waits_for_room_too() -> None:
    world, owner = World(max_pending=1), Owner()

    with file_of(lines_of(2)[:-1]) as fd:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(StandardInput(world.intake, Kind.FILE, owner, fd=fd).run)
            await owner.wait_for(1)
            # Time for the thread that finds the end of the file.
            await wait_all_tasks_blocked(0.05)
            assert owner.statuses == ["accepted"]
            world.orders.started()

    assert owner.statuses == ["accepted"] * 2


@within(5)
async def test_a_line_that_waited_for_room_is_as_old_as_its_turn() -> None:
    world, owner = World(max_pending=1), Owner()

    with file_of(lines_of(2)) as fd:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(StandardInput(world.intake, Kind.FILE, owner, fd=fd).run)
            await owner.wait_for(1)
            await wait_all_tasks_blocked(0.02)
            room_at = trio.current_time()
            world.orders.started()

    first, second = world.orders.taken()
    assert first.read_at <= room_at <= second.read_at


@within(5)
async def test_a_file_that_waits_for_room_can_be_cancelled() -> None:
    world, owner = World(max_pending=1), Owner()

    with file_of(lines_of(2)) as fd:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(StandardInput(world.intake, Kind.FILE, owner, fd=fd).run)
            await owner.wait_for(1)
            nursery.cancel_scope.cancel()

    assert owner.statuses == ["accepted"]


@within(10)
async def test_a_flood_from_a_pipe_leaves_the_others_their_turn() -> None:
    world, owner = World(), Owner()
    data = lines_of(400)  # within one read of 64 KiB
    answered_at_first: list[int] = []

    async def work_off() -> None:
        await anext(aiter(world.orders))
        answered_at_first.append(len(owner.answers))

    with ended_pipe_of(data) as fd:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(work_off)
            await read(world, Kind.PIPE, owner=owner, fd=fd)

    assert owner.statuses == ["accepted"] * 400
    [answered] = answered_at_first
    assert answered <= 2 * LINES_PER_TURN


@within(10)
async def test_what_lines_of_one_read_began_leaves_without_a_wait() -> None:
    world = World()
    with ended_pipe_of(lines_of(LINES_PER_TURN + 4)) as fd:
        await read(world, Kind.PIPE, fd=fd)
    first = ["AAPL"] * LINES_PER_TURN + [FLUSH]
    at_the_end = [FLUSH]
    assert world.orders.steps == first + ["AAPL"] * 4 + [FLUSH] + at_the_end


async def test_an_input_that_breaks_off_is_told_and_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    owner = Owner()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.send(b"never read")
        theirs.close()  # with something unread, which resets the connection
        with trio.fail_after(30):
            await read(World(), Kind.PIPE, owner=owner, fd=ours.fileno())
    assert "standard input broke off" in caplog.text
    assert owner.ended.is_set()
