"""Reads rows for the page, in a thread of its own, and never for long."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from snexec.threads import Threads

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from snexec.ledger import Ledger

_MOST_SECONDS = 3.0
_STEPS = 20_000  # of SQLite's machine, some 1 ms, between two looks at the time

T = TypeVar("T")


class Rows:
    """Asks the database, over a connection that only reads.

    Args:
        ledger: Opens it.

    Attributes:
        threads: Where it is asked; to be entered while it is.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.threads = Threads("page", 1)

    async def ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """Return what a question over the rows finds.

        Raises:
            sqlite3.Error: They cannot be read, or not in some seconds.
            NoThreadError: There is no thread for it.
        """

        def read() -> T:
            late = time.monotonic() + _MOST_SECONDS
            with self._ledger.reader.connection() as connection:
                connection.set_progress_handler(lambda: time.monotonic() > late, _STEPS)
                return question(connection)

        return await self.threads.run(read, abandon_on_cancel=True)
