"""The ledger as the rest of the daemon sees it: rows, their writer, their reader."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import trio

from snexec.errors import StartError
from snexec.ledger.file import check_large, checkpoint
from snexec.ledger.reader import Reader
from snexec.ledger.writer import Writer
from snexec.model import ACCOUNTS, counted
from snexec.threads import NoThreadError, Threads, in_own_thread
from snexec.trading_days import day_began

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from snexec.clock import Clock
    from snexec.ledger.exit_rows import UnsettledExit
    from snexec.ledger.held_rows import WatchedRow
    from snexec.ledger.rows import Unsettled
    from snexec.ledger.signal_log import Decision
    from snexec.ledger.store import Store
    from snexec.ledger.writer import WriterStatus
    from snexec.locks import Lock
    from snexec.model import AccountName, Mode
    from snexec.risk import Recently

log = logging.getLogger("Daemon")

T = TypeVar("T")

_READERS = 3  # threads; more who ask wait for one
# A lock is waited for two seconds; who asks hears then that there is no answer.
_READ_SECONDS = 3.0
_LOOK_SECONDS = 1.0


class Ledger:
    """The BotTrade rows of one database file.

    Args:
        store: The rows; only the writer uses it from now on, but for ``tallied``.
        path: The file.
        clock: Gives rows their time.
        lock: Keeps other daemons off the file.

    Attributes:
        writer: Takes every change.
        reader: Answers questions that need the file.
        clock: Gives rows their time.
        newest_row_at: When the last row was written that was there at the start, in
            seconds since 1970; None where there was none.
        unsettled_exits: The sells that an earlier run left unsettled, once loaded.
        tried: How many sells of each row that is held were decided in this session.
        failed_stops: How many stops of each of them came to nothing in it.
        exit_rules: The rules that were applied last.
        swept_at: Likewise, up to when every order of a mode has its row, where known.
        unconcluded: Rows of each mode of which an earlier run did not find out whether
            what they bought was sold.
        complete: The modes whose every order has its row, as far as the file and what
            was asked since say; of another one orders may be missing.
    """

    def __init__(
        self, store: Store, *, path: Path, clock: Clock, lock: Lock | None = None
    ) -> None:
        self._store = store
        self._lock = lock
        self._rival: str | None = None
        self._path = path
        self.clock = clock
        self.newest_row_at: float | None = None
        self.unsettled_exits: list[UnsettledExit] = []
        self.tried: dict[str, int] = {}
        self.failed_stops: dict[str, int] = {}
        self.exit_rules: str | None = None
        self.swept_at: dict[AccountName, float | None] = {}
        self.unconcluded: dict[AccountName, list[str]] = {}
        self.complete: set[AccountName] = set()
        self._notes_stop = False
        self.writer = Writer(store, checkpoint=self._checkpoint)
        self.reader = Reader(path, clock, lambda: self.damage)
        self._reading = Threads("database reads", _READERS)

    @property
    def healthy(self) -> bool:
        """Whether rows can be written, to files that will be found again."""
        return self.writer.healthy and self.damage is None

    @property
    def damage(self) -> str | None:
        """What was done to the rows' files or their lock; no order leaves meanwhile."""
        damage = self._store.watch.damage
        return self._rival if damage is None else damage.what

    def look(self) -> str | None:
        """Look at the files, in some microseconds, and return the damage."""
        self._store.watch.look()
        return self.damage

    def load(
        self, *, simulated: bool, tally: bool, is_shared: bool = False
    ) -> list[Unsettled]:
        """Return the rows that an earlier run left unsettled, before any is written.

        Args:
            simulated: Whether to end what is open first: the account of an earlier
                simulation is gone.
            tally: Whether to count recent orders now, as a limit will ask for them.
            is_shared: Whether other hosts order in the account, whose orders no file of
                ours has.

        Raises:
            StartError: The file cannot be used.
        """
        try:
            if simulated and (ended := self._store.end_simulation()):
                left = counted(ended, "row")
                log.info("ended %s that an earlier simulation left open", left)
            self._store.name_dates_ahead()
            if tally:
                self._store.begin_tallies()
            found = self._store.found
            self.newest_row_at = found.newest_at()
            self.swept_at = {mode: found.swept_at(mode) for mode in ACCOUNTS}
            unconcluded = self._store.unconcluded
            self.unconcluded = {mode: unconcluded.of(mode) for mode in ACCOUNTS}
            # The account of a simulation is a fresh one each time.
            self._notes_stop = not simulated and not is_shared
            changed_at = self._changed_at()
            note = self._store.stop_note
            self.complete = note.read(changed_at=changed_at)
            note.must_go = bool(self.complete) and not simulated
            rows = self._store.unsettled()
            self.unsettled_exits = self._store.exits.unsettled()
            held = self._store.held
            self.exit_rules = held.rules()
            since = day_began(self.clock.now())
            self.tried, self.failed_stops = held.tried(since), held.failed_stops(since)
            self._store.watch.begin()
        except (sqlite3.Error, OSError) as exc:  # OSError: a file goes in this moment
            raise StartError(f"database: {self._path} cannot be used: {exc}") from None
        return rows

    def held(self, *, every_row: bool) -> list[WatchedRow]:
        """Return the rows that are held, before any is written, the oldest first.

        Args:
            every_row: Whether those count of which nothing is sold, nor is to be.

        Raises:
            StartError: The file cannot be used.
        """
        held = self._store.held
        try:
            return held.watched() if every_row else held.busy()
        except sqlite3.Error as exc:
            raise StartError(f"database: {self._path} cannot be used: {exc}") from None

    @asynccontextmanager
    async def writing(self, *, until: Callable[[], float]) -> AsyncIterator[None]:
        """Write changes for as long as the block lasts, and then those that still wait.

        Args:
            until: Called once, when the block is left; returns when that must be over,
                on Trio's clock.
        """
        drain = trio.CancelScope(shield=True)  # whatever ends the block
        watching = trio.CancelScope()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write, drain, name="writer")
            nursery.start_soon(self._watch, watching, name="files of the database")
            try:
                if self._store.stop_note.must_go and self.newest_row_at is not None:
                    self.writer.probe()  # beside whatever starts, before a backup
                with self._reading:
                    yield
                self._note_stop()
            finally:
                watching.cancel(reason="the writer ends")
                self.writer.close()
                drain.deadline = until()

    async def check(self) -> None:
        """Check a large file while the daemon runs, and name rows that are odd.

        Raises:
            StartError: It is damaged.
        """
        try:
            await in_own_thread(
                "database check",
                partial(check_large, self._path),
                abandon_on_cancel=True,
            )
            odd = await in_own_thread(
                "row check", self.reader.oddities, abandon_on_cancel=True
            )
        except (sqlite3.DatabaseError, NoThreadError) as exc:
            log.warning("the database could not be checked: %s", exc)
            return
        for line in odd:
            log.warning("the database: %s", line)

    async def ask(self, question: Callable[[], T]) -> T:
        """Have a thread read rows, over the reader's connections.

        Raises:
            sqlite3.Error: They cannot be read, or not in time.
        """
        try:
            with trio.fail_after(_READ_SECONDS):
                return await self._reading.run(question, abandon_on_cancel=True)
        except trio.TooSlowError:
            raise sqlite3.OperationalError(
                f"no answer within {_READ_SECONDS:g} s"
            ) from None
        except NoThreadError as exc:
            raise sqlite3.OperationalError(str(exc)) from None

    async def count_open(self) -> int | None:
        """Count the open rows, in a thread; None where that cannot be done."""
        try:
            return await self.ask(self.reader.count_open)
        except sqlite3.Error as exc:
            log.warning("status: cannot count the open rows: %s", exc)
            return None

    def tallied(self, symbol: str, mode: Mode) -> Recently | None:
        """Return what is known of recent orders without the file, from any thread."""
        return self._store.tallied(symbol, mode)

    def log_signals(self, decisions: Sequence[Decision]) -> None:
        """Have decisions about signals written behind the orders, or lose them."""
        if self.healthy:
            with suppress(trio.ClosedResourceError):  # the writer has ended
                self.writer.probe(lambda store: store.signal_log.add(decisions))

    def begin_win_window(self) -> None:
        """Have the win rate count no row that was closed before now."""
        now = self.clock.now()
        self.writer.probe(lambda store: store.begin_win_window(now))

    def status(self) -> WriterStatus:
        """Return what was written and what waits."""
        return self.writer.status()._replace(healthy=self.healthy)

    def _note_stop(self) -> None:
        """Have the last change say that the file has every order's row, if it has."""
        if self.complete and self._notes_stop and self.damage is None:
            modes, now = self.complete, self.clock.now()
            self.writer.probe(lambda store: store.stop_note.write(modes, now))

    def _changed_at(self) -> float:
        """Return when the file was changed, or what is known of it; a copy is newer."""
        return self._path.stat().st_ctime

    async def _write(self, drain: trio.CancelScope) -> None:
        with drain:
            await self.writer.run()

    async def _watch(self, scope: trio.CancelScope) -> None:
        """Have the writer notice within a second what was done to its files."""
        with scope:
            while True:
                self._store.watch.look(at_leisure=True)
                if self._store.watch.damage is not None and not self.writer.pending:
                    self.writer.probe()
                self._keep_lock()
                await trio.sleep(_LOOK_SECONDS)

    def _keep_lock(self) -> None:
        rival = None if self._lock is None else self._lock.keep()
        if rival != self._rival:
            self._rival = rival
            if rival is None:
                log.warning("the lock of the database is held again")
            else:
                log.error("%s: no order leaves until that has ended", rival)

    def _checkpoint(self) -> None:
        # It goes by the names, and would copy a log into what is not its database.
        if self.look() is None:
            checkpoint(self._path)
            self._store.watch.look(at_leisure=True)
