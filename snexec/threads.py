"""Threads for what may block, so that the event loop never does (SPEC 1).

Each kind of work has its own few, made at the start and kept: no other kind can use them
up, and a limit of processes that is reached later takes none away.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, Self, TypeVar

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_JOIN_SECONDS = 1.0  # an idle one ends at once; one that hangs is left behind


class NoThreadError(OSError):
    """No thread can be started."""


class Job(Generic[T]):
    """One piece of work in a thread, and what came of it.

    Args:
        function: The work.
    """

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._ended = threading.Lock()
        self._ended.acquire()
        self._results: list[T] = []
        self._error: BaseException | None = None
        self._tells: list[Callable[[], None]] = []  # taken by one of the two, only once

    def work(self) -> None:
        """Do it; for the thread."""
        try:
            self._results.append(self._function())
        except BaseException as exc:  # noqa: BLE001 - raised where it is asked for
            self._error = exc
        self._ended.release()
        # Whoever adds a call looks at the lock after that, so one of the two makes it.
        if self._tells:
            with suppress(IndexError):
                self._tells.pop()()

    def has_ended_within(self, seconds: float) -> bool:
        """Wait, and hold up the event loop, until it has ended or the time is up."""
        if not self._ended.acquire(timeout=seconds):
            return False
        self._ended.release()
        return True

    def call_at_end(self, function: Callable[[], None]) -> None:
        """Have the event loop call a function once it has ended; it must not raise."""
        token = trio.lowlevel.current_trio_token()

        def tell() -> None:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(function)

        self._tells.append(tell)
        if self.has_ended_within(0):
            with suppress(IndexError):
                self._tells.pop()
                function()

    def result(self) -> T:
        """Return what the work returned, or raise what it raised; it must have ended."""
        if self._error is not None:
            raise self._error
        return self._results[0]


class Worker:
    """One thread, which does one job at a time.

    Args:
        name: Of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._job: Job[object] | None = None
        self._go = threading.Lock()
        self._go.acquire()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, unless it runs.

        Raises:
            NoThreadError: It cannot be started now.
        """
        if self._thread is not None:
            return
        thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError as exc:
            raise NoThreadError(
                f"{exc}: raise the limit of processes (TasksMax, ulimit -u), or end some"
            ) from None
        self._thread = thread

    def begin(self, job: Job[T]) -> None:
        """Begin a job; the one before must have ended.

        Raises:
            NoThreadError: The thread does not run, and cannot be started.
        """
        self.start()
        self._job = job  # type: ignore[assignment]  # its result is the caller's
        self._go.release()

    def end(self) -> None:
        """End the thread; its last job must have ended."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._go.release()  # without a job
            thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        while True:
            self._go.acquire()
            job, self._job = self._job, None
            if job is None:
                return
            job.work()
            del job


class Threads:
    """The threads of one kind of work.

    Args:
        kind: Names them.
        count: How many there are.
    """

    def __init__(self, kind: str, count: int) -> None:
        self._workers = [Worker(f"{kind} {number}") for number in range(1, count + 1)]
        self._idle = self._workers.copy()
        self._limiter = trio.CapacityLimiter(count)

    def __enter__(self) -> Self:
        """Start them all; one that cannot be started is tried again when it is needed."""
        with suppress(NoThreadError):
            for worker in self._workers:
                worker.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """End those that are idle; one that hangs ends with the program."""
        for worker in self._idle:
            worker.end()

    async def run(
        self, function: Callable[[], T], *, abandon_on_cancel: bool = False
    ) -> T:
        """Call a function in one of the threads, once one is free.

        Args:
            function: What to call.
            abandon_on_cancel: Whether a cancelled caller leaves the thread to itself.

        Raises:
            NoThreadError: None runs that is free, and none can be started.
        """
        job, ended = Job(function), trio.Event()
        await self._limiter.acquire_on_behalf_of(job)
        # The last one that became idle is tried first: it surely runs.
        worker = self._idle.pop()
        try:
            worker.begin(job)
        except NoThreadError:
            self._idle.insert(0, worker)
            self._limiter.release_on_behalf_of(job)
            raise

        def free() -> None:
            self._idle.append(worker)
            self._limiter.release_on_behalf_of(job)
            ended.set()

        job.call_at_end(free)
        with trio.CancelScope(shield=not abandon_on_cancel):
            await ended.wait()
        return job.result()


async def in_own_thread(
    kind: str, function: Callable[[], T], *, abandon_on_cancel: bool = False
) -> T:
    """Call a function in a thread of its own; for what happens once, as an import.

    Raises:
        NoThreadError: None can be started.
    """
    with Threads(kind, 1) as threads:
        return await threads.run(function, abandon_on_cancel=abandon_on_cancel)
