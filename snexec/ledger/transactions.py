"""Transactions of the store's connection, as durable as the files they are in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snexec.ledger.counting import Counting
from snexec.ledger.damage import FilesLostError
from snexec.ledger.mending import Mender, leave_open
from snexec.ledger.watch import FileWatch

if TYPE_CHECKING:
    import sqlite3


class Transactions:
    """Belong to the writer, which batches changes.

    Attributes:
        watch: Looks at the files after each commit, once it has begun.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._counting = Counting(connection)
        _number, _name, path = connection.execute("PRAGMA database_list").fetchone()
        self.watch = FileWatch(path)
        self._mender = Mender(self.watch, self._use)
        self._patience_ms = 0

    def wait_for_locks(self, seconds: float) -> None:
        """Wait this long for other programs' locks from now on."""
        self._patience_ms = int(seconds * 1000)
        self._db.execute(f"PRAGMA busy_timeout = {self._patience_ms}")

    def begin(self) -> None:
        """Start a transaction that may write.

        Raises:
            sqlite3.OperationalError: Nothing can be written now.
        """
        if self.watch.damage is not None:
            raise FilesLostError(self.watch.damage)
        self._counting.began()
        self._db.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Make the transaction durable, and look whether it is where others find it."""
        self._db.execute("COMMIT")
        self._counting.committed()
        self.watch.look_quickly()

    def rollback(self) -> None:
        """Undo the transaction, if one is open."""
        self._counting.rolled_back()
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def savepoint(self) -> None:
        """Mark a place within the transaction."""
        self._db.execute("SAVEPOINT change")
        self._counting.marked()

    def release(self) -> None:
        """Forget the mark."""
        self._db.execute("RELEASE change")

    def undo_to_savepoint(self) -> None:
        """Undo what came after the mark, and forget it."""
        self._counting.undone_to_mark()
        self._db.execute("ROLLBACK TO change")
        self._db.execute("RELEASE change")

    def mend(self) -> None:
        """Make good what was done to the files, in a thread: it may take a while.

        Raises:
            sqlite3.Error: Nothing can be written now.
        """
        if self.watch.damage is None:
            return
        self._mender.mend(self._db)

    def _use(self, connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA busy_timeout = {self._patience_ms}")
        self._db = connection
        self._counting.read_from(connection)

    def close(self) -> None:
        """End the connection; where the files were touched, so that it stays as it is."""
        if self.watch.look() is not None:
            leave_open(self._db)
            return
        self.watch.close()
        self._db.close()
