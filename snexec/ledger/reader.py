"""Reads rows over connections of its own, beside the writer's."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from snexec.ledger.file import connect
from snexec.ledger.oddities import describe_oddities
from snexec.ledger.open_rows import read_open_rows
from snexec.ledger.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from snexec.clock import Clock
    from snexec.ledger.open_rows import OpenRow

log = logging.getLogger("Daemon")


class Reader:
    """Opens a connection for each question: the writer's may be waiting for a lock.

    For use in threads: a question may take as long as another program holds a lock.

    Args:
        path: The file.
        clock: Tells how old rows are.
        damage: Returns what was done to the files, which are not opened then.
    """

    def __init__(
        self,
        path: Path,
        clock: Clock,
        damage: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._path = path
        self._clock = clock
        self._damage = damage

    @contextmanager
    def open(self) -> Iterator[Store]:
        """Open the rows for reading.

        Raises:
            sqlite3.Error: They cannot be opened.
        """
        with self.connection() as connection:
            yield Store(connection, clock=self._clock)

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """Open a connection that only reads.

        Raises:
            sqlite3.Error: It cannot be opened.
        """
        with closing(self._connect()) as connection:
            yield connection

    def oddities(self) -> list[str]:
        """Return a line for each row that holds what cannot be read.

        Raises:
            sqlite3.Error: The rows cannot be read.
        """
        with closing(self._connect()) as connection:
            return describe_oddities(connection)

    def open_rows(self) -> list[OpenRow]:
        """Return the open rows, other programs' too, oldest first.

        Raises:
            sqlite3.Error: They cannot be read.
        """
        with closing(self._connect()) as connection:
            return read_open_rows(connection)

    def count_open(self) -> int | None:
        """Count all open rows, other programs' too; None where that cannot be done."""
        try:
            with self.open() as store:
                return store.count_open()
        except sqlite3.Error as exc:
            log.warning("status: cannot count the open rows: %s", exc)
            return None

    def _connect(self) -> sqlite3.Connection:
        if (damage := self._damage()) is not None:
            raise sqlite3.OperationalError(damage)
        return connect(self._path, read_only=True)
