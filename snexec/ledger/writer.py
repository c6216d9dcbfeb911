"""The only writer of the database: changes in, in order, durable rows out.

What waits is committed together, by a task of the writer's own. The rows of orders may
be written sooner, in the step that asks for them (``open_now``): the switch to another
task would cost a lone order a tenth of its time. The two never collide, as no step of
the event loop interrupts another.

One kept thread commits. The event loop waits for it a moment where the disk is quick, as
to switch to other tasks and back costs an order more than the commit itself; a disk that
is slow or locked holds up nothing else. A write that fails is tried again, never dropped.
"""

from __future__ import annotations

import collections
import logging
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import trio

from snexec.ledger.changes import AwaitedChange, Batch, Probes, report_all
from snexec.ledger.checkpoints import Checkpoints
from snexec.ledger.commits import Committer
from snexec.threads import NoThreadError

if TYPE_CHECKING:
    from snexec.ledger.changes import Change, Report
    from snexec.ledger.commit_times import CommitTimes
    from snexec.ledger.store import Store

log = logging.getLogger("Writer")

T = TypeVar("T")

# A stream that outruns the disk by this many changes is held back, and recovery makes
# up for what that costs.
_MAX_WAITING = 10_000
_BEHIND = 64  # changes; more would take memory that is never given back
_MAX_BATCH = 64
_REPORTED_AT_ONCE = 16
_ALONE_SECONDS = 0.003  # of quiet before an order: then others hardly come with it
_SHARE_SECONDS = 0.004  # how long a change waits for others in a flood
_RETRY_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
_REMIND_SECONDS = 60.0


class WriterStatus(NamedTuple):
    """What the writer has done and has to do.

    Attributes:
        pending: Changes that wait.
        applied: Changes written since the start.
        healthy: Whether the last try to write succeeded.
        tries: Commits that were begun, each try anew of one that failed among them.
        abandoned: Changes that were not written when the writer ended.
        commits: How long commits took.
    """

    pending: int
    applied: int
    healthy: bool
    tries: int
    abandoned: int
    commits: CommitTimes


class Writer:
    """Owns the store's connection while it runs.

    Args:
        store: The rows.
        checkpoint: Copies the write-ahead log into the file, over another connection;
            called in a thread.
    """

    def __init__(
        self, store: Store, *, checkpoint: Callable[[], None] | None = None
    ) -> None:
        self._committer = Committer(store)
        self._checkpoints = (
            None if checkpoint is None else Checkpoints(checkpoint, self)
        )
        self._opening: collections.deque[Change[Any]] = collections.deque()
        self._others: collections.deque[Change[Any]] = collections.deque()
        self._wake = trio.lowlevel.ParkingLot()
        self._closed = False
        self._fault: Exception | None = None
        self._openings_wait = False  # for the writer's task
        self._others_next = False  # after rows of orders were committed alone
        self._pending = 0
        self._room = trio.lowlevel.ParkingLot()
        self._applied = 0
        self._probes = Probes()
        self._healthy = True
        self._abandoned = 0

    @property
    def pending(self) -> int:
        """Changes that wait, probes too."""
        return self._pending

    @property
    def applied(self) -> int:
        """Changes written since the start, probes aside."""
        return self._applied - self._probes.seen

    @property
    def healthy(self) -> bool:
        """Whether the last try to write succeeded."""
        return self._healthy

    @property
    def is_behind(self) -> bool:
        """Whether so many changes wait that no more should be added."""
        return self._pending > _BEHIND

    def status(self) -> WriterStatus:
        """Return what the writer has done and has to do."""
        return WriterStatus(
            pending=max(self._pending - self._probes.waiting, 0),
            applied=self.applied,
            healthy=self._healthy,
            tries=self._committer.tries,
            abandoned=self._abandoned,
            commits=self._committer.times,
        )

    def open(self, change: Change[Any]) -> None:
        """Queue the change that opens an order's row; it goes before all others.

        Results are reported in the order of the calls.
        """
        self._committer.note_order()
        self._queue(self._opening, change)

    def open_now(self) -> None:
        """Write the rows that wait to be opened, where the disk is quick.

        The writer's own task would do that one task switch later, for all rows of that
        moment together; a row that follows another closely is left to it. A fault is
        raised there.
        """
        quiet = self._committer.seconds_since_rows > _ALONE_SECONDS
        if quiet and not self._openings_wait:
            self._open_at_once()
        self._openings_wait = bool(self._opening)

    def _open_at_once(self) -> None:
        committer = self._committer
        if not self._opening or not committer.disk_is_quick or committer.in_thread:
            return
        batch = self._take_openings()
        try:
            reports = committer.at_once(batch)
            if reports is None:
                if committer.late is None:
                    self._opening.extend(batch.changes)  # next, and with patience
                self._wake.unpark()  # the writer's task sees to it
                return
            self._note_written(len(reports))
            report_all(collections.deque(reports))
            committer.look()
        except Exception as exc:  # noqa: BLE001 - not this caller's
            self._fault = exc
            self._wake.unpark()

    async def write(self, function: Callable[[Store], T]) -> T:
        """Apply a change and return its result once it is durable.

        A caller that is cancelled meanwhile leaves the change behind, to be applied.

        Raises:
            sqlite3.IntegrityError: The file's own rules forbid the change.
        """
        change = AwaitedChange(function)
        self.put(change)
        return await change.result()

    def put(self, change: Change[Any]) -> None:
        """Queue a change."""
        self._queue(self._others, change)

    async def submit(self, change: Change[Any]) -> None:
        """Queue a change, and wait while too many are queued."""
        self.put(change)
        while self._pending > _MAX_WAITING:
            await self._room.park()

    def probe(self, note: Callable[[Store], None] | None = None) -> None:
        """Queue a change of no row, or of notes that may be lost; it counts as none."""
        self.put(self._probes.new(note=note))

    async def submit_probe(self, seen: Callable[[], None]) -> None:
        """Queue a call behind what was queued before, as ``submit`` queues a change."""
        await self.submit(self._probes.new(seen))

    def _queue(
        self, queue: collections.deque[Change[Any]], change: Change[Any]
    ) -> None:
        # No checkpoint: what a caller knows is queued, even if the caller is cancelled.
        if self._closed:
            raise trio.ClosedResourceError("the writer takes no more changes")
        queue.append(change)
        self._pending += 1
        # The writer parks while nothing is pending, or to let others share a commit.
        if self._wake and (self._pending == 1 or self._is_enough()):
            self._wake.unpark()

    def _is_enough(self) -> bool:
        """Return whether a commit waits for no more changes to share it."""
        return bool(self._opening) or len(self._others) >= _MAX_BATCH

    def close(self) -> None:
        """Take no more changes; ``run`` returns when what waits is written."""
        self._closed = True
        self._wake.unpark()

    async def run(self) -> None:
        """Write until closed and drained.

        When cancelled, it abandons what still waits: the rows are open, and recovery
        asks the broker about them at the next start.
        """
        async with trio.open_nursery() as nursery:
            if self._checkpoints is not None:
                nursery.start_soon(self._checkpoints.run)
            with suppress(NoThreadError):  # the first commit tries again, and says so
                self._committer.start()
            try:
                while True:
                    if self._fault is not None:
                        raise self._fault
                    await self._finish_late()
                    batch = await self._next_batch()
                    if batch.changes:
                        await self._commit(batch)
                    elif self._closed:
                        break
                    else:
                        await self._wake.park()
            finally:
                self._closed = True
                await self._finish_late()
                self._committer.close()
                self._abandoned = self.status().pending
            nursery.cancel_scope.cancel(reason="everything is written")

    async def _next_batch(self) -> Batch:
        """Take what is to be committed together, the rows of orders first."""
        if self._others and not self._opening:
            before = len(self._others)
            await trio.lowlevel.checkpoint()
            if len(self._others) > before and not self._is_enough():
                # A flood of fills shares its commits; an order's row waits for nothing.
                with trio.move_on_after(_SHARE_SECONDS):
                    await self._wake.park()
        batch = self._take_openings()
        # They go alone, as a fill takes as long as an order's row; but not every time.
        self._others_next = bool(batch.openings) and not self._others_next
        if not self._others_next:
            for _ in range(min(_MAX_BATCH, len(self._others))):
                batch.changes.append(self._others.popleft())
        return batch

    def _take_openings(self) -> Batch:
        changes = list(self._opening)
        self._opening.clear()
        self._openings_wait = False
        return Batch(changes, len(changes))

    async def _commit(self, batch: Batch) -> None:
        since, tries, last_logged = trio.current_time(), 0, -_REMIND_SECONDS
        committer = self._committer
        await self._finish_late()
        reports = await committer.in_turn(batch) if committer.disk_is_quick else None
        while reports is None:
            try:
                if committer.late is not None:
                    reports = await committer.finish()
                else:
                    reports = await committer.with_patience(batch)
            except (sqlite3.Error, NoThreadError) as exc:
                self._healthy = False
                if self._closed and batch.is_of_probes:
                    self._note_written(len(batch.changes))
                    return
                waited = trio.current_time() - since
                if waited - last_logged >= _REMIND_SECONDS:
                    last_logged = waited
                    log.error(  # noqa: TRY400 - the reason says it all
                        "cannot write the database: %s; no order is placed until it"
                        " succeeds; changes that wait: %d (tried for %.0f s): %s",
                        exc,
                        self.status().pending,
                        waited,
                        getattr(exc, "advice", "free the disk or the lock"),
                    )
                await trio.sleep(_RETRY_SECONDS[min(tries, len(_RETRY_SECONDS) - 1)])
                tries += 1
        if not self._healthy:
            self._healthy = True
            log.warning(
                "writes the database again, after %.1f s", trio.current_time() - since
            )
        self._others.extendleft(reversed(batch.changes[len(reports) :]))
        self._note_written(len(reports))
        await self._report(collections.deque(reports), pausing=not batch.openings)
        committer.look()

    async def _finish_late(self) -> None:
        """Report the rows of orders that ``open_now`` has left with a slow disk."""
        if (batch := self._committer.late) is None:
            return
        try:
            reports = await self._committer.finish()
        except sqlite3.Error:
            self._opening.extendleft(reversed(batch.changes))  # next, and with patience
            return
        self._note_written(len(reports))
        report_all(collections.deque(reports))

    async def _report(
        self, reports: collections.deque[Report], *, pausing: bool
    ) -> None:
        """Report what is durable; write rows of orders that come in between."""
        try:
            if not pausing:
                report_all(reports)
            await trio.lowlevel.checkpoint()
            while reports:
                self._open_at_once()
                for _ in range(min(_REPORTED_AT_ONCE, len(reports))):
                    call, result = reports.popleft()
                    call(result)
                await trio.lowlevel.checkpoint()
        finally:
            report_all(reports)  # even if the writer's time is up

    def _note_written(self, changes: int) -> None:
        self._applied += changes
        self._pending -= changes
        if self._room and self._pending <= _MAX_WAITING:
            self._room.unpark_all()
        if self._checkpoints is not None:
            self._checkpoints.note(changes)
