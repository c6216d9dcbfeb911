"""The only task that writes the database: changes in, in order, durable rows out.

What waits is committed together, in a thread, so the event loop never waits for the
disk and a burst costs one commit. A write that fails is tried again, never dropped.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import trio

if TYPE_CHECKING:
    from snexec.store import Store

log = logging.getLogger("Writer")

T = TypeVar("T")
Change = Callable[["Store"], T]

# A stream that outruns the disk by so many changes is held back, and recovery makes
# good what that costs.
_MAX_WAITING = 10_000
_MAX_BATCH = 256  # bounds how long a new order's row waits for the batch before it
_RETRY_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
_REMIND_SECONDS = 60.0

# What the disk, a lock or another program's hand in the file can cause. Anything else
# is the change's own fault, and ends that change alone.
_CHANGE_FAULTS = (sqlite3.IntegrityError, sqlite3.ProgrammingError)


@dataclass(slots=True, eq=False)
class _Waiting(Generic[T]):
    change: Change[T]
    done: Callable[[T], None]
    failed: Callable[[Exception], None]

    def attempt(self, store: Store) -> Callable[[], None]:
        """Apply the change, and return what to call once it is durable."""
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
    """Owns the store's connection while it runs."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._send, self._receive = trio.open_memory_channel[_Waiting[Any]](
            _MAX_WAITING
        )
        self._thread_limit = trio.CapacityLimiter(1)
        self._batch_size = 0
        self._applied = 0
        self.healthy = True
        self.abandoned = 0

    def status(self) -> WriterStatus:
        """Return what ``status`` shows."""
        return WriterStatus(
            pending=self._send.statistics().current_buffer_used + self._batch_size,
            applied=self._applied,
            healthy=self.healthy,
        )

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

        await self._queue(_Waiting(change, done, failed))
        await settled.wait()
        if errors:
            raise errors[0]
        return results[0]

    async def submit(self, change: Change[T], done: Callable[[T], None]) -> None:
        """Queue a change, and have its result told once it is durable."""
        await self._queue(_Waiting(change, done, _log_failure))

    async def _queue(self, waiting: _Waiting[Any]) -> None:
        try:
            # No checkpoint: what a caller knows is queued even if it is cancelled.
            self._send.send_nowait(waiting)
        except trio.WouldBlock:
            await self._send.send(waiting)

    def close(self) -> None:
        """Take no more changes; ``run`` returns when what waits is written."""
        self._send.close()

    async def run(self) -> None:
        """Write until closed and drained.

        Cancelled, it abandons what cannot be written at once: the rows are open, and
        recovery asks the broker about them at the next start.
        """
        try:
            async for first in self._receive:
                batch = [first]
                while len(batch) < _MAX_BATCH:
                    try:
                        batch.append(self._receive.receive_nowait())
                    except (trio.WouldBlock, trio.EndOfChannel):
                        break
                await self._commit(batch)
        finally:
            self.abandoned = self.status().pending
            self._receive.close()

    async def _commit(self, batch: list[_Waiting[Any]]) -> None:
        self._batch_size = len(batch)
        since = trio.current_time()
        tries = 0
        last_told = -_REMIND_SECONDS
        tell: list[Callable[[], None]] | None = None
        while tell is None:
            try:
                # Shielded: a batch that has left the channel must not be lost to a
                # cancellation before the thread has it; SQLite's own timeout bounds it.
                with trio.CancelScope(shield=True):
                    tell = await trio.to_thread.run_sync(
                        self._attempt, batch, limiter=self._thread_limit
                    )
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
        self._applied += len(batch)
        self._batch_size = 0
        for told in tell:
            told()

    def _attempt(self, batch: list[_Waiting[Any]]) -> list[Callable[[], None]]:
        store = self._store
        try:
            store.begin()
            tell = [waiting.attempt(store) for waiting in batch]
            store.commit()
        except BaseException:
            store.rollback()
            raise
        return tell


def _log_failure(error: Exception) -> None:
    log.error("a change of a row failed, recovery will ask again", exc_info=error)
