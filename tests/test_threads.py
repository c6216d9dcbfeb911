"""Threads for what may block: few, kept, and their want is no end of anything."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, NoReturn

import pytest
import trio
import trio.lowlevel
from trio.testing import wait_all_tasks_blocked

from snexec.threads import Job, NoThreadError, Threads, Worker, in_own_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Give what a job may wait for; it is open in the end."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Give a function after which no thread can be started."""

    def start(_thread: threading.Thread) -> NoReturn:
        raise RuntimeError("can't start new thread")

    return lambda: monkeypatch.setattr(threading.Thread, "start", start)


def my_thread() -> str:
    return threading.current_thread().name


def broken() -> NoReturn:
    raise ZeroDivisionError("mine")


# One thread


def test_a_worker_keeps_its_thread_from_job_to_job() -> None:
    worker, threads = Worker("commits"), []
    for _ in range(3):
        job = Job(threading.current_thread)
        worker.begin(job)
        assert job.has_ended_within(5)
        threads.append(job.result())
    worker.end()

    assert len(set(threads)) == 1
    assert threads[0].name == "commits"
    assert not threads[0].is_alive(), "it ends with its owner"
    worker.end()


def test_what_a_job_raises_is_raised_where_its_result_is_asked_for() -> None:
    worker = Worker("w")
    for error in (ZeroDivisionError, KeyboardInterrupt):

        def fails(error: type[BaseException] = error) -> NoReturn:
            raise error

        job = Job(fails)
        worker.begin(job)
        assert job.has_ended_within(5)
        with pytest.raises(error):
            job.result()
    worker.end()


def test_a_job_that_takes_long_holds_nobody_longer_than_was_said(
    gate: threading.Event,
) -> None:
    worker, job = Worker("w"), Job(gate.wait)
    worker.begin(job)
    before = time.monotonic()
    assert not job.has_ended_within(0.01)
    assert time.monotonic() - before < 1
    gate.set()
    assert job.has_ended_within(5)
    assert job.has_ended_within(0)
    worker.end()


@pytest.mark.parametrize("late", [True, False])
async def test_the_end_of_a_job_is_told_once(gate: threading.Event, late: bool) -> None:
    worker, told = Worker("w"), list[str]()
    job = Job(gate.wait)
    worker.begin(job)
    if late:
        gate.set()
        assert job.has_ended_within(5)
    job.call_at_end(lambda: told.append("ended"))
    assert told == (["ended"] if late else [])
    gate.set()
    with trio.fail_after(30):
        while not told:
            await trio.lowlevel.checkpoint()
    await wait_all_tasks_blocked(0.01)
    assert told == ["ended"]
    worker.end()


async def test_the_end_of_a_job_is_told_once_whoever_comes_first() -> None:
    worker, told = Worker("w"), list[int]()
    for number in range(2_000):
        job = Job(int)
        worker.begin(job)
        job.call_at_end(lambda number=number: told.append(number))  # type: ignore[misc]
        with trio.fail_after(30):
            while len(told) <= number:
                await trio.lowlevel.checkpoint()
    assert told == list(range(2_000))
    worker.end()


def test_a_thread_that_cannot_be_started_is_an_error_with_advice(
    no_threads: Callable[[], None],
) -> None:
    worker = Worker("w")
    no_threads()
    with pytest.raises(NoThreadError, match="can't start new thread: raise the limit"):
        worker.begin(Job(int))


# Those of one kind


async def test_threads_are_made_at_the_start_and_outlast_a_limit(
    no_threads: Callable[[], None],
) -> None:
    with Threads("reads", 2) as threads:
        no_threads()
        names = set[str]()

        async def read() -> None:
            names.add(await threads.run(my_thread))

        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                for _ in range(10):
                    nursery.start_soon(read)
    assert names <= {"reads 1", "reads 2"}


async def test_a_start_without_threads_goes_on_and_they_are_tried_again(
    monkeypatch: pytest.MonkeyPatch, no_threads: Callable[[], None]
) -> None:
    no_threads()
    with Threads("reads", 2) as threads:
        for _ in range(3):
            with pytest.raises(NoThreadError):
                await threads.run(my_thread)
        monkeypatch.undo()
        assert await threads.run(my_thread) in {"reads 1", "reads 2"}


async def test_no_more_run_than_were_made_and_the_rest_wait(
    gate: threading.Event, nursery: trio.Nursery
) -> None:
    running: list[str] = []

    def work() -> None:
        running.append(my_thread())
        gate.wait()

    with Threads("reads", 2) as threads:
        async with trio.open_nursery() as askers:
            for _ in range(5):
                askers.start_soon(threads.run, work)
            with trio.fail_after(30):
                while len(running) < 2:
                    await trio.lowlevel.checkpoint()
            await wait_all_tasks_blocked(0.01)
            assert sorted(running) == ["reads 1", "reads 2"]
            gate.set()
    assert len(running) == 5
    nursery.cancel_scope.cancel()


async def test_who_is_cancelled_leaves_a_hung_thread_and_others_have_the_rest(
    gate: threading.Event,
) -> None:
    with Threads("reads", 2) as threads:
        with trio.fail_after(30):
            with trio.move_on_after(0.01) as hung:
                await threads.run(gate.wait, abandon_on_cancel=True)
            assert hung.cancelled_caught
            for _ in range(3):
                await threads.run(my_thread)
            gate.set()
            async with trio.open_nursery() as both:
                both.start_soon(threads.run, my_thread)
                both.start_soon(threads.run, my_thread)


async def test_what_the_work_raises_is_raised_here() -> None:
    with Threads("reads", 1) as threads:
        for _ in range(2):
            with pytest.raises(ZeroDivisionError, match="mine"):
                await threads.run(broken)
        assert await threads.run(my_thread) == "reads 1"


async def test_threads_end_with_their_owner() -> None:
    with Threads("reads", 1) as threads:
        thread = await threads.run(threading.current_thread)
    assert not thread.is_alive()


async def test_what_happens_once_has_a_thread_of_its_own(
    no_threads: Callable[[], None],
) -> None:
    thread = await in_own_thread("import", threading.current_thread)
    assert thread.name == "import 1"
    assert not thread.is_alive()
    no_threads()
    with pytest.raises(NoThreadError, match="can't start new thread"):
        await in_own_thread("import", my_thread)
