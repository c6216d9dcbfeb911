"""The only writer of the database: changes in, in order, durable rows out.

What waits is committed together, by a task of the writer's own. The rows of orders may
be written sooner, in the step that asks for them (``open_now``): the switch to another
task would cost a lone order a tenth of its way. Neither can meet the other, as no step
of the event loop interrupts another.

A quick disk is written from the event loop, as the way to a thread and back costs an
order more than the commit itself; a disk that is slow or locked is waited for in a
thread, so that it holds nothing else up. A write that fails is tried again, never
dropped.
"""

from __future__ import annotations

import collections
import logging
import math
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import trio

if TYPE_CHECKING:
    from snexec.ledger.store import Store

log = logging.getLogger("Writer")

T = TypeVar("T")
Change = Callable[["Store"], T]

# A stream that outruns the disk by so many changes is held back, and recovery makes
# good what that costs.
_MAX_WAITING = 10_000
_BEHIND = 64  # changes; more of them would be memory that is never given back
# These bound how long a flood of fills keeps an order, and the event loop, waiting.
_MAX_BATCH = 32
_BATCH_SECONDS = 0.003
_BATCH_SECONDS_BESIDE_ORDERS = 0.001
_BESIDE_ORDERS_SECONDS = 1.0  # since the last one; the next may come any time
_TOLD_AT_ONCE = 16
_ALONE_SECONDS = 0.003  # of quiet before an order: then it hardly comes with others
_SLOW_SECONDS = 0.02  # a commit that takes longer is the thread's from then on
_SHARE_SECONDS = 0.004  # that a change waits for others in a flood
_PATIENCE_SECONDS = 2.0  # for a lock, in the thread
_RETRY_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
_REMIND_SECONDS = 60.0
# Changes, some 2 MB of write-ahead log: a commit over what the log held before is a
# fifth quicker than one that makes it longer.
_CHECKPOINT_EVERY = 100
# A commit that meets a checkpoint waits 2 to 15 ms for the disk.
_LULL_SECONDS = 0.004
_LONGEST_LULL_WAIT_SECONDS = 5.0  # a flood that goes on makes 30 MB of log by then

# What the disk, a lock or another program's hand in the file can cause. Anything else
# is the change's own fault, and ends that change alone.
_CHANGE_FAULTS = (sqlite3.IntegrityError, sqlite3.ProgrammingError)


@dataclass(slots=True, eq=False)
class _Waiting(Generic[T]):
    change: Change[T]
    done: Callable[[T], None]
    failed: Callable[[Exception], None]
    opens: bool = False

    def apply(self, store: Store) -> Callable[[], None]:
        """Apply the change, and return what to call once it is durable."""
        result = self.change(store)
        return lambda: self.done(result)

    def apply_alone(self, store: Store) -> Callable[[], None]:
        """Apply the change, or undo it alone where the fault is its own."""
        store.savepoint()
        try:
            result = self.change(store)
        except sqlite3.Error as exc:
            if not isinstance(exc, _CHANGE_FAULTS):
                raise
            store.undo_to_savepoint()
            return self._failure(exc)
        except Exception as exc:  # noqa: BLE001 - handed to whoever asked for the change
            store.undo_to_savepoint()
            return self._failure(exc)
        store.release()
        return lambda: self.done(result)

    def _failure(self, exc: Exception) -> Callable[[], None]:
        return lambda: self.failed(exc)


@dataclass(frozen=True, kw_only=True, slots=True)
class WriterStatus:
    """The writer's part of ``status`` (SPEC 6)."""

    pending: int
    applied: int
    healthy: bool


class Writer:
    """Owns the store's connection while it runs.

    Args:
        checkpoint: Copies the write-ahead log into the file, over another connection;
            called in a thread.

    Attributes:
        tries: Commits that were begun; it grows also while a disk or a lock is waited
            for, as that is tried again and again.
        timed: Called with the seconds that each commit took, from any thread.
    """

    def __init__(
        self, store: Store, *, checkpoint: Callable[[], None] | None = None
    ) -> None:
        self._store = store
        self._checkpoint = checkpoint
        self._checkpoint_due = trio.Event()
        self._since_checkpoint = 0
        self._opening: collections.deque[_Waiting[Any]] = collections.deque()
        self._others: collections.deque[_Waiting[Any]] = collections.deque()
        self._wake = trio.lowlevel.ParkingLot()
        self._closed = False
        self._in_thread = False  # the store's connection
        self._fault: Exception | None = None
        self._thread_limit = trio.CapacityLimiter(1)
        self._disk_is_quick = False  # until it has shown that it is
        self._opened_at = -math.inf  # by `time.perf_counter`, as what follows
        self._rows_written_at = -math.inf
        self._left_to_task = False  # rows that wait to be opened
        self._others_next = False  # after rows of orders were committed alone
        self._pending = 0
        self._room = trio.Event()
        self._applied = 0
        self.tries = 0
        self.timed: Callable[[float], None] | None = None
        self.healthy = True
        self.abandoned = 0

    def status(self) -> WriterStatus:
        """Return what ``status`` shows."""
        return WriterStatus(
            pending=self._pending, applied=self._applied, healthy=self.healthy
        )

    @property
    def is_behind(self) -> bool:
        """Whether so much waits that no more should be made to."""
        return self._pending > _BEHIND

    def open(
        self,
        change: Change[T],
        done: Callable[[T], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Queue the change that opens an order's row; it goes before all others.

        Its result is told in the moment it is durable, in the order of the calls.
        """
        self._opened_at = time.perf_counter()
        self._queue(self._opening, _Waiting(change, done, failed, opens=True))

    def open_now(self) -> None:
        """Write the rows that are queued to be opened, where the disk is quick.

        The writer's own task comes to it a task switch later, and then writes those of
        all who ask at once together: what follows another closely is left to it. A
        fault is raised there.
        """
        quiet = time.perf_counter() - self._rows_written_at > _ALONE_SECONDS
        if quiet and not self._left_to_task:
            self._open_at_once()
        self._left_to_task = bool(self._opening)

    def _open_at_once(self) -> None:
        if not self._opening or not self._disk_is_quick or self._in_thread:
            return
        batch = self._take_opening()
        try:
            tell = self._attempt_at_once(batch)
            if tell is None:
                self._opening.extend(batch)  # next, and with patience
                return
            self._note_written(len(tell))
            _tell_all(collections.deque(tell))
        except Exception as exc:  # noqa: BLE001 - not this caller's
            self._fault = exc
            self._wake.unpark()

    async def write(self, change: Change[T]) -> T:
        """Apply a change and return its result once it is durable.

        A caller that is cancelled meanwhile leaves the change behind, to be applied.

        Raises:
            sqlite3.IntegrityError: The file's own rules forbid the change.
        """
        settled = trio.Event()
        results: list[T] = []
        errors: list[Exception] = []

        def done(result: T) -> None:
            results.append(result)
            settled.set()

        def failed(error: Exception) -> None:
            errors.append(error)
            settled.set()

        self.put(change, done, failed)
        await settled.wait()
        if errors:
            raise errors[0]
        return results[0]

    def put(
        self,
        change: Change[T],
        done: Callable[[T], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Queue a change, and have its result told once it is durable."""
        self._queue(self._others, _Waiting(change, done, failed))

    async def submit(self, change: Change[T], done: Callable[[T], None]) -> None:
        """Queue a change as ``put`` does; wait where too many wait already."""
        self.put(change, done, _log_failure)
        while self._pending > _MAX_WAITING:
            await self._room.wait()

    def _queue(
        self, queue: collections.deque[_Waiting[Any]], waiting: _Waiting[Any]
    ) -> None:
        # No checkpoint: what a caller knows is queued even if it is cancelled.
        if self._closed:
            raise trio.ClosedResourceError("the writer takes no more changes")
        queue.append(waiting)
        self._pending += 1
        # It parks where nothing is pending, or to let others share a commit.
        if self._pending == 1 or self._is_enough():
            self._wake.unpark()

    def _is_enough(self) -> bool:
        """Tell whether a commit waits for no more changes to share it."""
        return bool(self._opening) or len(self._others) >= _MAX_BATCH

    def close(self) -> None:
        """Take no more changes; ``run`` returns when what waits is written."""
        self._closed = True
        self._wake.unpark()

    async def run(self) -> None:
        """Write until closed and drained.

        Cancelled, it abandons what cannot be written at once: the rows are open, and
        recovery asks the broker about them at the next start.
        """
        async with trio.open_nursery() as nursery:
            if self._checkpoint is not None:
                nursery.start_soon(self._keep_log_short, self._checkpoint)
            try:
                while True:
                    if self._fault is not None:
                        raise self._fault
                    if batch := await self._next_batch():
                        await self._commit(batch)
                    elif self._closed:
                        break
                    else:
                        await self._wake.park()
            finally:
                self._closed = True
                self.abandoned = self._pending
            nursery.cancel_scope.cancel(reason="everything is written")

    async def _next_batch(self) -> list[_Waiting[Any]]:
        """Take what shall be committed together, the rows of orders first."""
        if self._others and not self._opening:
            before = len(self._others)
            await trio.lowlevel.checkpoint()
            if len(self._others) > before and not self._is_enough():
                # A flood of fills shares its commits; an order's row waits for nothing.
                with trio.move_on_after(_SHARE_SECONDS):
                    await self._wake.park()
        batch = self._take_opening()
        # Alone, as a fill takes as long as an order's row does; but not for ever.
        self._others_next = bool(batch) and not self._others_next
        if not self._others_next:
            for _ in range(min(_MAX_BATCH, len(self._others))):
                batch.append(self._others.popleft())
        return batch

    def _take_opening(self) -> list[_Waiting[Any]]:
        batch = list(self._opening)
        self._opening.clear()
        self._left_to_task = False
        return batch

    async def _commit(self, batch: list[_Waiting[Any]]) -> None:
        since = trio.current_time()
        tries = 0
        last_told = -_REMIND_SECONDS
        tell = self._attempt_at_once(batch) if self._disk_is_quick else None
        while tell is None:
            try:
                # Shielded: a batch that has left the channel must not be lost to a
                # cancellation before the thread has it; SQLite's own timeout bounds it.
                with trio.CancelScope(shield=True):
                    tell = await self._attempt_in_thread(batch)
            except sqlite3.Error as exc:
                self.healthy = False
                waited = trio.current_time() - since
                if waited - last_told >= _REMIND_SECONDS:
                    last_told = waited
                    log.error(  # noqa: TRY400 - the reason says it all
                        "cannot write the database: %s; no order is placed until it"
                        " succeeds, %d changes wait (tried for %.0f s): free the disk"
                        " or the lock",
                        exc,
                        self.status().pending,
                        waited,
                    )
                await trio.sleep(_RETRY_SECONDS[min(tries, len(_RETRY_SECONDS) - 1)])
                tries += 1
        if not self.healthy:
            self.healthy = True
            log.warning(
                "writes the database again, after %.1f s", trio.current_time() - since
            )
        self._others.extendleft(reversed(batch[len(tell) :]))
        self._note_written(len(tell))
        await self._tell(collections.deque(tell), pausing=not batch[0].opens)

    async def _tell(
        self, tell: collections.deque[Callable[[], None]], *, pausing: bool
    ) -> None:
        """Tell what is durable; orders' rows that come meanwhile go between."""
        try:
            if not pausing:
                _tell_all(tell)
            await trio.lowlevel.checkpoint()
            while tell:
                self._open_at_once()
                for _ in range(min(_TOLD_AT_ONCE, len(tell))):
                    tell.popleft()()
                await trio.lowlevel.checkpoint()
        finally:
            _tell_all(tell)  # also of a writer whose time is up

    def _attempt_at_once(
        self, batch: list[_Waiting[Any]]
    ) -> list[Callable[[], None]] | None:
        """Write from the event loop; None where that must be tried with patience."""
        try:
            return self._attempt(batch)
        except sqlite3.Error:
            self._set_quick(quick=False)
            return None

    async def _attempt_in_thread(
        self, batch: list[_Waiting[Any]]
    ) -> list[Callable[[], None]]:
        self._in_thread = True
        try:
            return await trio.to_thread.run_sync(
                self._attempt, batch, limiter=self._thread_limit
            )
        finally:
            self._in_thread = False

    def _attempt(self, batch: list[_Waiting[Any]]) -> list[Callable[[], None]]:
        self.tries += 1
        began = time.perf_counter()
        try:
            tell = self._write_all(batch, _Waiting.apply)
        except Exception as exc:
            if isinstance(exc, sqlite3.Error) and not isinstance(exc, _CHANGE_FAULTS):
                raise
            # One of them is at fault: it is told apart, which costs the others more.
            tell = self._write_all(batch, _Waiting.apply_alone)
        seconds = time.perf_counter() - began
        if self.timed is not None:
            self.timed(seconds)
        self._set_quick(quick=seconds < _SLOW_SECONDS)
        if batch[0].opens:
            self._rows_written_at = time.perf_counter()
        return tell

    def _write_all(
        self,
        batch: list[_Waiting[Any]],
        apply: Callable[[_Waiting[Any], Store], Callable[[], None]],
    ) -> list[Callable[[], None]]:
        """Commit as much of a batch as is quickly done, from its beginning."""
        store = self._store
        try:
            store.begin()
            tell: list[Callable[[], None]] = []
            enough = time.perf_counter() + self._batch_seconds()
            for waiting in batch:
                if tell and not waiting.opens and time.perf_counter() > enough:
                    break
                tell.append(apply(waiting, store))
            store.commit()
        except BaseException:
            store.rollback()
            raise
        return tell

    def _batch_seconds(self) -> float:
        if time.perf_counter() - self._opened_at < _BESIDE_ORDERS_SECONDS:
            return _BATCH_SECONDS_BESIDE_ORDERS
        return _BATCH_SECONDS

    def _set_quick(self, *, quick: bool) -> None:
        if quick != self._disk_is_quick:
            self._disk_is_quick = quick
            self._store.wait_for_locks(0.0 if quick else _PATIENCE_SECONDS)

    def _note_written(self, changes: int) -> None:
        self._applied += changes
        self._pending -= changes
        if self._pending <= _MAX_WAITING:
            self._room.set()
            self._room = trio.Event()
        self._since_checkpoint += changes
        if self._since_checkpoint >= _CHECKPOINT_EVERY:
            self._since_checkpoint = 0
            self._checkpoint_due.set()

    async def _keep_log_short(self, checkpoint: Callable[[], None]) -> None:
        while True:
            await self._checkpoint_due.wait()
            await self._wait_for_lull()
            self._checkpoint_due = trio.Event()
            try:
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(checkpoint)
            except sqlite3.Error as exc:
                log.debug("the write-ahead log stays long for now: %s", exc)

    async def _wait_for_lull(self) -> None:
        pause = _LULL_SECONDS
        with trio.move_on_after(_LONGEST_LULL_WAIT_SECONDS):
            while True:
                before = self._applied
                await trio.sleep(pause)
                if self._applied == before and not self._pending:
                    return
                pause *= 1.5


def _tell_all(tell: collections.deque[Callable[[], None]]) -> None:
    """Tell all of it, whatever one of them raises."""
    try:
        while tell:
            tell.popleft()()
    finally:
        if tell:
            _tell_all(tell)


def _log_failure(error: Exception) -> None:
    log.error("a change of a row failed, recovery will ask again", exc_info=error)
