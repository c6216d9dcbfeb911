"""Stores that can be watched and held up, and changes of their rows."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import trio

from snexec.ledger.store import Store
from tests.fakes import FakeClock, make_trade

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from snexec.ledger.writer import Writer

T = TypeVar("T")

ADD = "INSERT INTO BotTrade (id, symbol, status, createdAt, updatedAt) VALUES "


class CountingStore(Store):
    """A real store that counts its transactions, and may be held up.

    Attributes:
        commits: How many there were.
        may_commit: Holds every commit back until it is set.
        fault: What every commit meets, if anything.
        has_room: The disk has room again from the next transaction on.
        committed: Called once, after the next commit.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection, clock=FakeClock())
        self.commits = 0
        self.may_commit = threading.Event()
        self.may_commit.set()
        self.fault: sqlite3.Error | None = None
        self.has_room = threading.Event()
        self.committed: Callable[[], None] | None = None

    def begin(self) -> None:
        if self.has_room.is_set():
            self._db.execute("PRAGMA max_page_count = 1000000")
        super().begin()

    def commit(self) -> None:
        assert self.may_commit.wait(10)
        if self.fault is not None:
            raise self.fault
        super().commit()
        self.commits += 1
        if (call := self.committed) is not None:
            self.committed = None
            call()


def log_failure(error: Exception) -> None:
    """Log what a change that nobody waits for has met, which fails the test."""
    logging.getLogger("Writer").error("a change of a row failed", exc_info=error)


def _ignore(_result: object) -> None:
    pass


class ChangeOf(Generic[T]):
    """A change made of functions.

    Args:
        apply: Makes it.
        done: Hears the result.
        failed: Hears what was wrong with it; logs that, unless given.
    """

    def __init__(
        self,
        apply: Callable[[Store], T],
        done: Callable[[T], None] = _ignore,
        failed: Callable[[Exception], None] = log_failure,
    ) -> None:
        self.apply = apply
        self.done = done
        self.failed = failed


def opens(trade_id: str) -> Callable[[Store], str]:
    """Make the function that opens a row."""
    return lambda store: store.open_trade(make_trade(trade_id, trade_id))


def opening(trade_id: str, reported: list[str]) -> ChangeOf[str]:
    """Make the change that opens a row, and whose report is the row's id in a list."""
    return ChangeOf(opens(trade_id), lambda _: reported.append(trade_id))


def change_nothing(_store: Store) -> None:
    """Change no row."""


def breaks_a_rule(store: Store) -> None:
    """Add a second row of an id."""
    store._db.execute(ADD + "('a', 'first', 'open', 'x', 'x')")
    store._db.execute(ADD + "('a', 'second', 'open', 'x', 'x')")


def divides_by_zero(store: Store) -> None:
    """Add a row, and then do what no change should."""
    opens("z")(store)
    raise ZeroDivisionError


def reports_nothing(_result: Any) -> None:  # noqa: ANN401 - of any change
    """Fail, as whoever hears of a change must not."""
    raise ZeroDivisionError


async def settled(condition: Callable[[], bool]) -> None:
    """Wait for what a thread brings about."""
    while not condition():  # noqa: ASYNC110 - a thread sets no Trio event
        await trio.sleep(0.002)


async def quick(writer: Writer) -> None:
    """Have a writer find out that its disk is quick."""
    await writer.write(change_nothing)
