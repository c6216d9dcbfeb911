"""What the writer takes: a change, and what to call once it is durable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

import trio

from snexec.ledger.faults import is_of_one_change

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable

    from snexec.ledger.store import Store

T = TypeVar("T")
R = TypeVar("R")


class Change(Protocol[R]):
    """One change of rows, applied in a transaction that others may share."""

    def apply(self, store: Store) -> R:
        """Make the change; may be called again where the commit failed."""

    def done(self, result: R, /) -> None:
        """Called with the result the moment it is durable; must not raise."""

    def failed(self, error: Exception, /) -> None:
        """Called if this change, and it alone, cannot be made."""


# What to call about a change, and with what.
Report = tuple["Callable[[Any], None]", Any]


class Batch(NamedTuple):
    """Changes that are to be committed together.

    Attributes:
        openings: How many of the first changes open the rows of orders.
    """

    changes: list[Change[Any]]
    openings: int

    @property
    def is_of_probes(self) -> bool:
        """Whether nothing is lost if it is not written."""
        return all(isinstance(each, Probe) for each in self.changes)


def report_all(reports: deque[Report]) -> None:
    """Make every call, whatever one of them raises."""
    try:
        while reports:
            call, result = reports.popleft()
            call(result)
    finally:
        if reports:
            report_all(reports)


def apply(change: Change[Any], store: Store) -> Report:
    """Apply a change, and return what to call once it is durable."""
    return change.done, change.apply(store)


def apply_alone(
    change: Change[Any], store: Store, refused: dict[int, Exception]
) -> Report:
    """Apply a change, or undo it alone where the fault is its own.

    Args:
        change: What to apply.
        store: The rows.
        refused: What earlier changes met that ended the whole transaction, by the
            change's ``id``; such a change is not tried again, and is added here.
    """
    if (known := refused.get(id(change))) is not None:
        return change.failed, known
    store.savepoint()
    try:
        result = change.apply(store)
    except Exception as exc:
        if not is_of_one_change(exc):
            raise
        if not store.in_transaction:  # a trigger may end it: RAISE(ROLLBACK, ...)
            refused[id(change)] = store.explained(exc)
            raise
        store.undo_to_savepoint()
        return change.failed, store.explained(exc)
    store.release()
    return change.done, result


class AwaitedChange(Generic[T]):
    """A change that its caller waits for.

    Args:
        function: Makes it.
    """

    def __init__(self, function: Callable[[Store], T]) -> None:
        self.apply = function
        self._settled = trio.Event()
        self._results: list[T] = []
        self._error: Exception | None = None

    def done(self, result: T) -> None:
        """Wake the caller with the result."""
        self._results.append(result)
        self._settled.set()

    def failed(self, error: Exception) -> None:
        """Wake the caller with the error."""
        self._error = error
        self._settled.set()

    async def result(self) -> T:
        """Wait until the change is durable, and return its result.

        Raises:
            Exception: What kept this change from being made.
        """
        await self._settled.wait()
        if self._error is not None:
            raise self._error
        return self._results[0]


class Probe:
    """A change of no row; by itself its commit writes nothing to the disk.

    Args:
        probes: Where it counts.
        seen: Called once it has come through, if there is anything to call.
        note: What it changes beside the rows, if anything.
    """

    def __init__(
        self,
        probes: Probes,
        seen: Callable[[], None] | None,
        note: Callable[[Store], None] | None,
    ) -> None:
        self._probes = probes
        self._seen = seen
        self._note = note

    def apply(self, store: Store) -> None:
        """Change no row."""
        if self._note is not None:
            self._note(store)

    def done(self, _result: None) -> None:
        """Report that it has come through."""
        self._probes.waiting -= 1
        self._probes.seen += 1
        if self._seen is not None:
            self._seen()

    def failed(self, _error: Exception) -> None:
        """Report that it has come through; no row depends on it."""
        self.done(None)


class Probes:
    """Counts the probes of one writer, as they are no changes.

    Attributes:
        waiting: How many wait, or were not reported yet.
        seen: How many have come through.
    """

    def __init__(self) -> None:
        self.waiting = 0
        self.seen = 0

    def new(
        self,
        seen: Callable[[], None] | None = None,
        *,
        note: Callable[[Store], None] | None = None,
    ) -> Probe:
        """Return another one, which counts from now on."""
        self.waiting += 1
        return Probe(self, seen, note)
