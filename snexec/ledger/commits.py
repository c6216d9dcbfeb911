"""Commits of batches of changes, at once or with patience, always in one kept thread.

A commit that has begun cannot be handed over, and any may be the one that the disk holds
up for a minute. So the event loop never makes one: it makes the changes, in memory, and
waits for the thread, a moment at most, which costs it nothing where the disk is quick. In
a burst it reads on meanwhile. Where the disk is not quick, the thread does it all.
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from snexec.ledger.changes import apply, apply_alone
from snexec.ledger.commit_times import CommitTimer
from snexec.ledger.faults import is_of_one_change
from snexec.threads import Job, Worker

if TYPE_CHECKING:
    from snexec.ledger.changes import Batch, Change, Report
    from snexec.ledger.commit_times import CommitTimes
    from snexec.ledger.store import Store

# These bound how long a flood of fills keeps an order, and the event loop, waiting.
_BATCH_SECONDS = 0.003
_BATCH_SECONDS_BESIDE_ORDERS = 0.001
_BESIDE_ORDERS_SECONDS = 1.0  # after the last order; the next may come any time
_SLOW_SECONDS = 0.02  # after a slower commit, the event loop waits for none
_LOOP_SECONDS = 0.02  # how long it waits for one
_FEW = 4  # changes; to switch to others and back takes longer than their commit
_LOOK_SECONDS = 0.01
_PATIENCE_SECONDS = 2.0  # for a lock, where it does not


class Committer:
    """Commits batches over the store's connection, one at a time.

    Attributes:
        disk_is_quick: Whether the last commit was quick; false before the first.
        late: The batch that ``at_once`` has left with the thread, if there is one.
        tries: Commits that were begun.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._worker = Worker("commits")
        self._job: Job[list[Report]] | None = None
        self._began_at = -math.inf  # by `time.perf_counter`, as are the next
        self._opened_at = -math.inf
        self._rows_written_at = -math.inf
        self._looked_at = -math.inf
        self._timer = CommitTimer()
        self.disk_is_quick = False
        self.late: Batch | None = None
        self.tries = 0

    @property
    def in_thread(self) -> bool:
        """Whether the thread has the store's connection now."""
        return self._job is not None

    @property
    def times(self) -> CommitTimes:
        """How long commits took."""
        return self._timer.times()

    @property
    def seconds_since_rows(self) -> float:
        """How long ago the rows of orders were last written."""
        return time.perf_counter() - self._rows_written_at

    def note_order(self) -> None:
        """Keep commits short for a while: an order has come, and more may."""
        self._opened_at = time.perf_counter()

    def look(self) -> None:
        """Look at the files, not too often; call it when the orders have left."""
        now = time.perf_counter()
        if now - self._looked_at > _LOOK_SECONDS:
            self._looked_at = now
            self._store.watch.look()

    def start(self) -> None:
        """Start the thread, so that it is there when it is needed.

        Raises:
            NoThreadError: It cannot be started now; each commit tries again.
        """
        self._worker.start()

    def close(self) -> None:
        """End the thread, which must be done."""
        self._worker.end()

    def at_once(self, batch: Batch) -> list[Report] | None:
        """Commit while the event loop waits; None where that needs patience.

        A batch that takes long is cut short: the reports are of its first changes. One
        that the disk holds up is ``late``: the thread goes on with it, and ``finish``
        returns its reports.
        """
        return self._ended(batch) if self._began(batch) else None

    async def in_turn(self, batch: Batch) -> list[Report] | None:
        """Commit as ``at_once``; while it is a large batch, others have a turn."""
        if not self._began(batch):
            return None
        if len(batch.changes) > _FEW:
            # In a burst they read what is committed next. Twice, as the order in which
            # ready tasks run is random.
            await trio.lowlevel.cancel_shielded_checkpoint()
            await trio.lowlevel.cancel_shielded_checkpoint()
        return self._ended(batch)

    def _began(self, batch: Batch) -> bool:
        """Make the changes, and have the thread commit; False if that needs patience."""
        try:
            reports = self._apply(batch)
        except sqlite3.Error:
            self._set_quick(quick=False)
            return False
        self._start_job(partial(self._commit, batch, reports))
        return True

    def _ended(self, batch: Batch) -> list[Report] | None:
        """Wait for the commit that has begun; see ``at_once``."""
        job = self._job
        assert job is not None  # noqa: S101 - it has begun
        if not job.has_ended_within(_LOOP_SECONDS):
            self.late = batch
            return None
        self._job = None
        try:
            return job.result()
        except sqlite3.Error:
            self._set_quick(quick=False)
            return None

    async def with_patience(self, batch: Batch) -> list[Report]:
        """Commit, where a slow disk or a lock holds up nothing else.

        Raises:
            sqlite3.Error: The file cannot be written now.
            NoThreadError: There is no thread for it.
        """
        return await self._wait_for(
            self._start_job(partial(self._mend_and_write, batch))
        )

    async def finish(self) -> list[Report]:
        """Wait for the batch that is late, and return its reports.

        Raises:
            sqlite3.Error: The file cannot be written now.
        """
        assert self._job is not None  # noqa: S101 - it is late
        try:
            return await self._wait_for(self._job)
        except sqlite3.Error:
            self._set_quick(quick=False)
            raise
        finally:
            self.late = None

    def _start_job(self, write: Callable[[], list[Report]]) -> Job[list[Report]]:
        job = Job(write)
        self._worker.begin(job)
        self._job = job
        return job

    async def _wait_for(self, job: Job[list[Report]]) -> list[Report]:
        ended = trio.Event()
        job.call_at_end(ended.set)
        # Shielded: a batch that has left its queue must not be lost to a cancellation,
        # nor the connection be used while the thread has it.
        with trio.CancelScope(shield=True):
            await ended.wait()
        self._job = None
        return job.result()

    def _mend_and_write(self, batch: Batch) -> list[Report]:
        try:
            self._store.mend()
        except sqlite3.Error:
            self.tries += 1  # so that it is seen to be alive
            raise
        return self._commit(batch, self._apply(batch))

    def _apply(self, batch: Batch) -> list[Report]:
        """Make the changes in a transaction that is left open."""
        self.tries += 1
        self._began_at = time.perf_counter()
        try:
            return self._apply_all(batch, apply)
        except Exception as exc:
            if not is_of_one_change(exc):
                raise
            # One change is at fault, and finding it costs the others time.
            return self._apply_each(batch)

    def _commit(self, batch: Batch, reports: list[Report]) -> list[Report]:
        """Make the transaction durable, and return the reports of its changes."""
        try:
            self._store.commit()
        except BaseException:
            self._store.rollback()
            raise
        self._store.stop_note.must_go = False
        ended = time.perf_counter()
        took = ended - self._began_at
        self._timer.add(took)
        self._set_quick(quick=took < _SLOW_SECONDS)
        if batch.openings:
            self._rows_written_at = ended
        return reports

    def _apply_each(self, batch: Batch) -> list[Report]:
        """Make all that can be made, each change undone alone where it is at fault."""
        refused: dict[int, Exception] = {}
        while True:
            known = len(refused)
            try:
                return self._apply_all(batch, partial(apply_alone, refused=refused))
            except Exception:
                # Raised on, unless a change was found to be at fault: then without it.
                if len(refused) == known:
                    raise

    def _apply_all(
        self, batch: Batch, apply_one: Callable[[Change[Any], Store], Report]
    ) -> list[Report]:
        store = self._store
        try:
            store.begin()
            if store.stop_note.must_go:
                self._forget_stop()
            reports: list[Report] = []
            enough = time.perf_counter() + self._batch_seconds()
            for place, change in enumerate(batch.changes):
                if place and place >= batch.openings and time.perf_counter() > enough:
                    break
                reports.append(apply_one(change, store))
        except BaseException:
            store.rollback()
            raise
        return reports

    def _forget_stop(self) -> None:
        """Take the note of the last stop away; where that is forbidden, leave it."""
        store = self._store
        store.savepoint()
        try:
            store.stop_note.forget()
        except Exception as exc:
            if not is_of_one_change(exc):
                raise
            store.stop_note.must_go = False
            if not store.in_transaction:  # a trigger may end it
                raise
            store.undo_to_savepoint()
        else:
            store.release()

    def _batch_seconds(self) -> float:
        if time.perf_counter() - self._opened_at < _BESIDE_ORDERS_SECONDS:
            return _BATCH_SECONDS_BESIDE_ORDERS
        return _BATCH_SECONDS

    def _set_quick(self, *, quick: bool) -> None:
        if quick != self.disk_is_quick:
            self.disk_is_quick = quick
            self._store.wait_for_locks(0.0 if quick else _PATIENCE_SECONDS)
