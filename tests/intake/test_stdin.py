"""Standard input as a feeder, whatever it is."""

import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from snexec.intake.admission import LINES_PER_TURN, Phase, TakenSignal
from snexec.intake.stdin import Kind, kind_of_stdin, read_signals
from snexec.signals import MAX_LINE_BYTES
from tests.input_helpers import (
    Told,
    close_quietly,
    new_intake,
    open_pipe,
    signal_line,
    taken,
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
    intake, told = new_intake(), Told()
    before = trio.current_time()

    with source(lines_of(100)) as fd:
        await read_signals(intake, kind, told=told, fd=fd)

    assert told.statuses == ["accepted"] * 100
    queued = taken(intake)
    assert [t.signal.id for t in queued] == [f"n-{n}" for n in range(100)]
    assert all(before <= t.read_at <= trio.current_time() for t in queued)


@EACH_SOURCE
@within(5)
async def test_a_last_line_without_a_newline_counts(kind: Kind, source: Source) -> None:
    intake, told = new_intake(), Told()

    with source(lines_of(2)[:-1]) as fd:
        await read_signals(intake, kind, told=told, fd=fd)

    assert [answer.id for answer in told.answers] == ["n-0", "n-1"]
    assert told.statuses == ["accepted"] * 2


@EACH_SOURCE
@within(5)
async def test_an_empty_input_has_no_line(kind: Kind, source: Source) -> None:
    told = Told()

    with source(b"") as fd:
        await read_signals(new_intake(), kind, told=told, fd=fd)

    assert told.answers == []


@EACH_SOURCE
@within(5)
async def test_empty_lines_are_passed_over(kind: Kind, source: Source) -> None:
    told = Told()

    with source(b"\n \n\r\n" + signal_line() + b"\r\n\n\t") as fd:
        await read_signals(new_intake(), kind, told=told, fd=fd)

    assert told.statuses == ["accepted"]


@EACH_SOURCE
@within(5)
async def test_what_is_no_signal_ends_nothing(kind: Kind, source: Source) -> None:
    intake, told = new_intake(), Told()
    data = b"hello\n\xff\xfe\n\0\n[]\n" + signal_line() + b"\n" + signal_line(id=5)

    with source(data) as fd:
        await read_signals(intake, kind, told=told, fd=fd)

    assert told.statuses == ["invalid"] * 4 + ["accepted", "invalid"]


@EACH_SOURCE
@within(5)
async def test_nobody_need_be_told(kind: Kind, source: Source) -> None:
    intake = new_intake()

    with source(lines_of(3)) as fd:
        await read_signals(intake, kind, fd=fd)

    assert intake.counts == {"accepted": 3}


@EACH_SOURCE
@within(5)
async def test_the_descriptor_is_left_open_and_blocking(
    kind: Kind, source: Source
) -> None:
    with source(lines_of(1)) as fd:
        await read_signals(new_intake(), kind, fd=fd)

        assert os.get_blocking(fd)


@EACH_SOURCE
@within(5)
async def test_lines_are_taken_while_the_daemon_is_starting(
    kind: Kind, source: Source
) -> None:
    intake, told = new_intake(phase=Phase.STARTING), Told()

    with source(lines_of(3)) as fd:
        await read_signals(intake, kind, told=told, fd=fd)

    assert told.statuses == ["accepted"] * 3


@EACH_SOURCE
@within(5)
async def test_nothing_is_taken_while_the_daemon_is_stopping(
    kind: Kind, source: Source
) -> None:
    intake, told = new_intake(), Told()
    intake.close()

    with source(lines_of(3)) as fd:
        await read_signals(intake, kind, told=told, fd=fd)

    assert told.statuses == ["stopping"] * 3


@within(10)
async def test_a_large_file_is_taken_line_by_line() -> None:
    intake, told = new_intake(), Told()
    too_long = b"x" * (MAX_LINE_BYTES + 1) + b"\n"
    data = lines_of(5_000)  # some 600 kB

    with file_of(too_long + data + too_long * 3) as fd:
        await read_signals(intake, Kind.FILE, told=told, fd=fd)

    assert told.statuses == ["invalid"] + ["accepted"] * 5_000 + ["invalid"] * 3
    assert told.answers[0].error == "line: longer than 65536 bytes"


@within(5)
async def test_the_null_device_ends_at_once() -> None:
    told = Told()
    fd = os.open(os.devnull, os.O_RDONLY)
    try:
        await read_signals(new_intake(), Kind.DEVICE, told=told, fd=fd)
    finally:
        os.close(fd)

    assert told.answers == []


@within(5)
async def test_a_closed_descriptor_ends_at_once() -> None:
    told = Told()
    with open_pipe() as (read_end, _):
        os.close(read_end)
        await read_signals(new_intake(), Kind.NOTHING, told=told, fd=read_end)

    assert told.answers == []


@within(5)
async def test_a_terminal_is_read_until_its_end_is_typed() -> None:
    told = Told()
    with terminal() as (keyboard, fd):
        os.write(keyboard, signal_line() + b"\n")
        async with trio.open_nursery() as nursery:

            async def read() -> None:
                await read_signals(new_intake(), Kind.TERMINAL, told=told, fd=fd)

            nursery.start_soon(read)
            await told.wait_for(1)
            assert os.get_blocking(fd)  # others write to the same terminal
            os.write(keyboard, b"\x04")

    assert told.statuses == ["accepted"]


# As it comes ------------------------------------------------------------------------


@within(5)
async def test_a_line_of_a_pipe_is_taken_as_soon_as_it_is_complete() -> None:
    intake, told = new_intake(), Told()
    with open_pipe() as (read_end, write_end):
        async with trio.open_nursery() as nursery:

            async def read() -> None:
                await read_signals(intake, Kind.PIPE, told=told, fd=read_end)

            nursery.start_soon(read)
            line = signal_line(id="n-1")
            os.write(write_end, line[:20])
            os.write(write_end, line[20:] + b"\n" + signal_line(id="n-2")[:-1])
            await told.wait_for(1)
            os.write(write_end, b"}\n")
            await told.wait_for(2)
            os.close(write_end)

    assert [answer.id for answer in told.answers] == ["n-1", "n-2"]


@within(5)
async def test_reading_a_pipe_that_stays_silent_can_be_cancelled() -> None:
    with open_pipe() as (read_end, _):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                lambda: read_signals(new_intake(), Kind.PIPE, fd=read_end)
            )
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()

        assert os.get_blocking(read_end)


@pytest.mark.parametrize("source", [ended_pipe_of, ended_socket_of])
@within(5)
async def test_a_pipe_is_answered_overloaded_and_never_held_up(source: Source) -> None:
    intake, told = new_intake(max_pending=3), Told()

    with source(lines_of(10)) as fd:
        await read_signals(intake, Kind.PIPE, told=told, fd=fd)

    assert told.statuses == ["accepted"] * 3 + ["overloaded"] * 7


@within(5)
async def test_a_file_waits_for_room_and_loses_nothing() -> None:
    intake, told = new_intake(max_pending=3), Told()

    with file_of(lines_of(10)) as fd:
        async with trio.open_nursery() as nursery:

            async def read() -> None:
                await read_signals(intake, Kind.FILE, told=told, fd=fd)
                intake.close()

            nursery.start_soon(read)
            await told.wait_for(3)
            await wait_all_tasks_blocked()
            assert len(told.answers) == 3

            async for _ in intake.taken:
                assert intake.pending <= 3
                intake.started()
                await wait_all_tasks_blocked()

    assert told.statuses == ["accepted"] * 10


@within(5)
async def test_a_files_last_line_without_a_newline_waits_for_room_too() -> None:
    intake, told = new_intake(max_pending=1), Told()

    with file_of(lines_of(2)[:-1]) as fd:
        async with trio.open_nursery() as nursery:

            async def read() -> None:
                await read_signals(intake, Kind.FILE, told=told, fd=fd)

            nursery.start_soon(read)
            await told.wait_for(1)
            # Time for the thread that finds the end of the file.
            await wait_all_tasks_blocked(0.05)
            assert told.statuses == ["accepted"]
            intake.started()

    assert told.statuses == ["accepted"] * 2


@within(5)
async def test_a_line_that_waited_for_room_is_as_old_as_its_turn() -> None:
    intake, told = new_intake(max_pending=1), Told()

    with file_of(lines_of(2)) as fd:
        async with trio.open_nursery() as nursery:

            async def read() -> None:
                await read_signals(intake, Kind.FILE, told=told, fd=fd)

            nursery.start_soon(read)
            await told.wait_for(1)
            await wait_all_tasks_blocked(0.02)
            room_at = trio.current_time()
            intake.started()

    first, second = taken(intake)
    assert first.read_at <= room_at <= second.read_at


@within(5)
async def test_a_file_that_waits_for_room_can_be_cancelled() -> None:
    intake, told = new_intake(max_pending=1), Told()

    with file_of(lines_of(2)) as fd:
        async with trio.open_nursery() as nursery:

            async def read() -> None:
                await read_signals(intake, Kind.FILE, told=told, fd=fd)

            nursery.start_soon(read)
            await told.wait_for(1)
            nursery.cancel_scope.cancel()

    assert told.statuses == ["accepted"]


@within(10)
async def test_a_flood_from_a_pipe_leaves_the_others_their_turn() -> None:
    intake, told = new_intake(), Told()
    data = lines_of(400)  # within one read of 64 KiB
    answered_at_first: list[int] = []

    async def work_off() -> None:
        await intake.taken.receive()
        answered_at_first.append(len(told.answers))

    with ended_pipe_of(data) as fd:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(work_off)
            await read_signals(intake, Kind.PIPE, told=told, fd=fd)

    assert told.statuses == ["accepted"] * 400
    [answered] = answered_at_first
    assert answered <= 2 * LINES_PER_TURN


@within(10)
async def test_what_lines_of_one_read_began_leaves_without_a_wait() -> None:
    intake, steps = new_intake(), list[str]()

    def begin(_signal: TakenSignal) -> bool:
        steps.append("begin")
        return True

    intake.hand_over(begin, lambda: steps.append("leave"))
    with ended_pipe_of(lines_of(LINES_PER_TURN + 4)) as fd:
        await read_signals(intake, Kind.PIPE, fd=fd)
    first = ["begin"] * LINES_PER_TURN + ["leave"]
    assert steps == first + ["begin"] * 4 + ["leave"]


async def test_an_input_that_breaks_off_is_told_and_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.send(b"never read")
        theirs.close()  # with something unread, which resets the connection
        with trio.fail_after(5):
            await read_signals(new_intake(), Kind.PIPE, fd=ours.fileno())
    assert "standard input broke off" in caplog.text
