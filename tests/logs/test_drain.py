"""The way out of log lines: it never blocks, and what is lost is counted."""

import errno
import json
import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from snexec.logs import drain as drain_module
from snexec.logs.drain import LogDrain
from snexec.logs.lines import JsonFormatter, LineFormatter, json_of_dropped
from snexec.logs.mask import SecretMask
from tests.input_helpers import open_pipe, within
from tests.logs.records import HEAD, mask_of


def logger_of(drain: LogDrain) -> logging.Logger:
    """Give a logger that stands alone and writes to the drain."""
    logger = logging.getLogger("Test")
    logger.setLevel(logging.DEBUG)
    logger.propagate, logger.handlers = False, [drain]
    return logger


def drain_to(fd: int, *secrets: str) -> tuple[LogDrain, logging.Logger]:
    drain = LogDrain(LineFormatter(mask_of(*secrets)), fd=fd)
    return drain, logger_of(drain)


def fill(fd: int) -> None:
    """Write to a pipe until it is full."""
    os.set_blocking(fd, False)
    for size in (65_536, 4_096, 1):
        with suppress(BlockingIOError):
            while True:
                os.write(fd, b"-" * size)
    os.set_blocking(fd, True)


def read_now(fd: int) -> list[str]:
    """Read the lines that lie in a pipe, without their heads."""
    os.set_blocking(fd, False)
    data = b""
    with suppress(BlockingIOError):
        while piece := os.read(fd, 65_536):
            data += piece
    return texts_of(data)


def texts_of(data: bytes) -> list[str]:
    lines = data.lstrip(b"-").decode().splitlines()
    return [HEAD.sub("", line) for line in lines]


def account(lines: list[str]) -> tuple[list[str], int]:
    """Tell lines from what is said of dropped ones; give their sum."""
    said = [re.fullmatch(r"\((\d+) log lines were dropped: .*\)", x) for x in lines]
    kept = [line for line, dropped in zip(lines, said, strict=True) if not dropped]
    return kept, sum(int(dropped[1]) for dropped in said if dropped)


def accounts_for(count: int) -> Callable[[bytes], bool]:
    """Tell whether so many lines were read or are said to be dropped."""

    def enough(data: bytes) -> bool:
        if not data.endswith(b"\n"):
            return False
        kept, dropped = account(texts_of(data))
        return len(kept) + dropped >= count

    return enough


async def read_until(fd: int, enough: Callable[[bytes], bool]) -> list[str]:
    """Read a pipe until there is enough, without the filling."""
    data = b""
    async with trio.lowlevel.FdStream(os.dup(fd)) as stream:
        while not enough(data):
            data += await stream.receive_some(65_536)
    return texts_of(data)


@within(5)
async def test_lines_are_written_in_order_and_masked() -> None:
    with open_pipe() as (read_end, write_end):
        drain, logger = drain_to(write_end, "s3cret")
        logger.info("before the loop")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain.run)
            for number in range(500):
                logger.info("line %d %s", number, "s3cret")
                if number % 100 == 0:
                    await wait_all_tasks_blocked()
            lines = await read_until(read_end, lambda data: data.count(b"\n") == 501)
            nursery.cancel_scope.cancel()

    assert lines == ["before the loop"] + [f"line {n} ***" for n in range(500)]


@within(5)
async def test_a_line_comes_without_waiting_for_the_next() -> None:
    with open_pipe() as (read_end, write_end):
        drain, logger = drain_to(write_end)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain.run)
            for number in range(5):
                await wait_all_tasks_blocked()
                logger.info("line %d", number)
                lines = await read_until(read_end, lambda data: data.endswith(b"\n"))
                assert lines == [f"line {number}"]
            nursery.cancel_scope.cancel()


@within(5)
async def test_a_line_that_a_thread_logs_is_written_too() -> None:
    with open_pipe() as (read_end, write_end):
        drain, logger = drain_to(write_end)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain.run)
            await wait_all_tasks_blocked()
            await trio.to_thread.run_sync(logger.info, "from a thread")
            lines = await read_until(read_end, lambda data: data.endswith(b"\n"))
            assert lines == ["from a thread"]
            nursery.cancel_scope.cancel()


@within(10)
async def test_a_full_pipe_never_blocks_the_loop_and_what_is_lost_is_counted() -> None:
    with open_pipe() as (read_end, write_end):
        fill(write_end)
        drain, logger = drain_to(write_end)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain.run)
            for number in range(12_000):
                logger.info("line %d", number)
                if number % 1_000 == 0:
                    await trio.lowlevel.checkpoint()

            lines = await read_until(read_end, accounts_for(12_000))
            nursery.cancel_scope.cancel()

    kept, dropped = account(lines)
    assert len(kept) >= 10_000
    assert kept == [f"line {number}" for number in range(len(kept))]
    assert len(kept) + dropped == 12_000


@within(10)
async def test_after_a_full_pipe_was_read_lines_come_again() -> None:
    with open_pipe() as (read_end, write_end):
        fill(write_end)
        drain, logger = drain_to(write_end)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain.run)
            for number in range(11_000):
                logger.info("line %d", number)
            await read_until(read_end, accounts_for(11_000))
            logger.info("again")

            again = await read_until(read_end, lambda data: data.endswith(b"\n"))
            assert again == ["again"]
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("milliseconds", [0, 0.1, 0.2, 0.3, 0.5, 1, 2, 12])
@within(5)
async def test_no_line_is_lost_or_doubled_at_cancellation(milliseconds: float) -> None:
    with open_pipe() as (read_end, write_end):
        drain, logger = drain_to(write_end)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain.run)
            for number in range(300):
                logger.info("line %d", number)
            await trio.sleep(milliseconds / 1000)
            nursery.cancel_scope.cancel()
        drain.flush_now()
        lines = read_now(read_end)

    assert lines == [f"line {number}" for number in range(300)]


@within(5)
async def test_no_line_is_lost_when_the_reader_comes_back_after_cancellation() -> None:
    with open_pipe() as (read_end, write_end):
        fill(write_end)
        drain, logger = drain_to(write_end)
        async with trio.open_nursery() as draining:
            draining.start_soon(drain.run)
            for number in range(500):
                logger.info("line %d", number)
            await trio.sleep(0.05)  # the thread waits for its reader now
            draining.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                lines = await read_until(
                    read_end, lambda data: data.count(b"\n") >= 500
                )

    assert lines == [f"line {number}" for number in range(500)]


@within(5)
async def test_a_reader_that_never_comes_back_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(drain_module, "_FLUSH_SECONDS", 0.05)
    with open_pipe() as (_, write_end):
        fill(write_end)
        drain, logger = drain_to(write_end)
        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(drain.run)
                for number in range(500):
                    logger.info("line %d", number)
                await wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()


@contextmanager
def full_disk() -> Iterator[int]:
    fd = os.open("/dev/full", os.O_WRONLY)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def pipe_without_reader() -> Iterator[int]:
    with open_pipe() as (read_end, write_end):
        os.close(read_end)
        yield write_end


@contextmanager
def full_pipe_that_does_not_block() -> Iterator[int]:
    with open_pipe() as (_, write_end):
        fill(write_end)
        os.set_blocking(write_end, False)
        yield write_end


@contextmanager
def closed_descriptor() -> Iterator[int]:
    with open_pipe() as (_, write_end):
        os.close(write_end)
        yield write_end


BROKEN = pytest.mark.parametrize(
    ("broken", "number"),
    [
        (full_disk, errno.ENOSPC),
        (pipe_without_reader, errno.EPIPE),
        (full_pipe_that_does_not_block, errno.EAGAIN),
        (closed_descriptor, errno.EBADF),
    ],
    ids=lambda value: value.__name__ if callable(value) else errno.errorcode[value],
)
Broken = Callable[[], AbstractContextManager[int]]


@BROKEN
@within(5)
async def test_a_log_that_cannot_be_written_ends_nothing(
    broken: Broken, number: int
) -> None:
    with broken() as fd:
        with pytest.raises(OSError) as caught:  # noqa: PT011 - its number says which
            os.write(fd, b"x")
        assert caught.value.errno == number

        drain, logger = drain_to(fd)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain.run)
            for text in ("first", "second"):
                logger.info(text)
                await wait_all_tasks_blocked(0.05)
            logger.info("last")
            nursery.cancel_scope.cancel()


@within(5)
async def test_lines_that_could_not_be_written_are_counted_once_they_can() -> None:
    with open_pipe() as (read_end, write_end):
        fill(write_end)
        os.set_blocking(write_end, False)
        drain, logger = drain_to(write_end)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain.run)
            for number in range(8):
                logger.info("line %d", number)
                if number in {4, 7}:
                    await wait_all_tasks_blocked(0.05)
            assert read_now(read_end) == []

            logger.info("again")
            kept, dropped = account(
                await read_until(
                    read_end, lambda data: b"again" in data and data.endswith(b"\n")
                )
            )
            nursery.cancel_scope.cancel()

    assert kept[-1] == "again"
    assert len(kept) + dropped == 9


@BROKEN
def test_a_log_that_cannot_be_flushed_is_no_error(broken: Broken, number: int) -> None:
    del number
    with broken() as fd:
        drain, logger = drain_to(fd)
        logger.info("nobody reads this")

        drain.flush_now()


def test_what_waits_is_flushed_before_and_after_the_loop() -> None:
    with open_pipe() as (read_end, write_end):
        drain, logger = drain_to(write_end)
        for number in range(300):
            logger.info("line %d", number)

        drain.flush_now()
        drain.flush_now()

        assert read_now(read_end) == [f"line {number}" for number in range(300)]
        assert os.get_blocking(write_end)


def test_a_flush_never_waits_for_a_reader() -> None:
    with open_pipe() as (_, write_end):
        fill(write_end)
        drain, logger = drain_to(write_end)
        logger.info("lost")

        drain.flush_now()

        assert os.get_blocking(write_end)


def test_no_write_is_longer_than_what_a_pipe_takes_whole() -> None:
    drain, logger = drain_to(-1)
    for number in range(200):
        logger.info("%d %s", number, "€" * (number % 50))

    chunks = []
    while chunk := drain._next_chunk():
        chunks.append(chunk)

    assert max(map(len, chunks)) <= 4_096
    assert all(chunk.endswith(b"\n") for chunk in chunks)
    assert len(texts_of(b"".join(chunks))) == 200


def test_what_is_said_of_dropped_lines_is_never_within_a_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(drain_module, "_MAX_WAITING_LINES", 2)
    drain, logger = drain_to(-1)
    logger.info("x" * 10_000)
    logger.info("kept")

    written = drain._next_chunk()
    for _ in range(3):
        logger.info("dropped, but for one perhaps")
    while chunk := drain._next_chunk():
        written += chunk

    kept, dropped = account(texts_of(written))
    assert kept[:2] == ["x" * 10_000, "kept"]
    assert len(kept) + dropped == 5


@within(5)
async def test_a_line_that_is_longer_than_a_pipe_comes_whole() -> None:
    with open_pipe() as (read_end, write_end):
        drain, logger = drain_to(write_end)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain.run)
            logger.info("x" * 200_000)
            logger.info("short")
            lines = await read_until(read_end, lambda data: data.count(b"\n") == 2)
            nursery.cancel_scope.cancel()

    assert lines == ["x" * 200_000, "short"]


def no_thread(_thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


@within(5)
async def test_without_a_thread_lines_are_written_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    with open_pipe() as (read_end, write_end):
        drain, logger = drain_to(write_end)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain.run)
            for number in range(100):
                logger.info("line %d", number)
                await trio.lowlevel.checkpoint()
            lines = await read_until(read_end, lambda data: data.count(b"\n") == 100)
            nursery.cancel_scope.cancel()
        assert os.get_blocking(write_end)

    assert lines == [f"line {number}" for number in range(100)]
    assert drain.dropped == 0


@within(5)
async def test_without_a_thread_a_full_pipe_drops_and_counts_and_waits_for_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    with open_pipe() as (read_end, write_end):
        fill(write_end)
        drain, logger = drain_to(write_end)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain.run)
            for number in range(100):
                logger.info("line %d", number)
                await trio.sleep(0.001)
            await trio.sleep(0.05)
            assert drain.dropped == 100
            read_now(read_end)
            logger.info("again")
            kept, dropped = account(await read_until(read_end, accounts_for(101)))
            nursery.cancel_scope.cancel()

    assert (kept, dropped) == (["again"], 100)


@within(5)
async def test_the_thread_is_made_at_the_start_and_ends_with_the_task() -> None:
    before = set(threading.enumerate())
    with open_pipe() as (_, write_end):
        drain, _logger = drain_to(write_end)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain.run)
            await wait_all_tasks_blocked()
            [thread] = set(threading.enumerate()) - before
            assert thread.name == "log lines 1"
            nursery.cancel_scope.cancel()
    assert not thread.is_alive()


def test_what_waits_is_bounded_in_bytes() -> None:
    drain, logger = drain_to(-1)
    for _ in range(1_000):
        logger.info("x" * 1_000_000)
    assert sum(map(len, drain._lines)) <= 8 * 1024 * 1024
    assert drain.dropped == 1_000 - len(drain._lines) == 992

    while drain._next_chunk():
        pass
    for _ in range(10):
        logger.info("x" * 1_000_000)
    assert len(drain._lines) == 8, "there is room again"
    assert drain._drop_waiting() == 8
    logger.info("x" * 8_000_000)
    assert len(drain._lines) == 1


def test_a_log_call_with_wrong_arguments_stops_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    with open_pipe() as (read_end, write_end):
        drain, logger = drain_to(write_end)

        logger.info("%d", "no number")
        logger.info("next")
        drain.flush_now()

        assert read_now(read_end) == ["next"]
    assert capsys.readouterr().err == ""


def test_the_default_descriptor_is_standard_error() -> None:
    assert LogDrain(LineFormatter(SecretMask()))._fd == 2 == sys.__stderr__.fileno()  # type: ignore[union-attr]


def test_what_was_dropped_is_told_as_json_among_json_lines() -> None:
    with open_pipe() as (reader, writer):
        drain = LogDrain(JsonFormatter(SecretMask()), fd=writer, notice=json_of_dropped)
        logger = logger_of(drain)
        for number in range(10_005):
            logger.info("%d", number)
        os.set_blocking(reader, False)
        drain.flush_now()
        first = json.loads(os.read(reader, 65_536).splitlines()[0])

    assert drain.dropped == 5
    assert first["message"].startswith("5 log lines were dropped")
    assert first["component"] == "Log"
    assert first["level"] == "WARNING"
