"""How the last run on a file ended: whether the file has every order's row (SPEC 11).

After a stop in good order it has. After a kill it may not, nor where it is a backup or a
copy: what was ordered since is at the broker, and no row holds it.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from snexec.clock import timestamp
from snexec.model import ACCOUNTS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from snexec.model import AccountName

_READ = "SELECT value FROM SnexecMeta WHERE key = 'stopped'"
_NOTE = "INSERT OR REPLACE INTO SnexecMeta VALUES ('stopped', ?)"
_FORGET = "DELETE FROM SnexecMeta WHERE key = 'stopped'"
_CLOSING_SECONDS = 3.0  # a slow disk copies the write-ahead log into the file


class StopNote:
    """The note that a stop leaves as its last change, and a start takes away.

    A copy carries it along, but not the time at which the file was last changed.

    Attributes:
        must_go: Whether the next commit is to take it away.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self.must_go = False

    def read_from(self, connection: sqlite3.Connection) -> None:
        """Use another connection to the same rows from now on."""
        self._db = connection

    def read(self, *, changed_at: float) -> set[AccountName]:
        """Return the modes whose every order has its row, by the last stop.

        Args:
            changed_at: When the file or what is known of it was last changed, in
                seconds since 1970.
        """
        found = self._db.execute(_READ).fetchone()
        at, _, modes = str(found[0]).partition(" ") if found else ("", "", "")
        try:
            noted = datetime.fromisoformat(at).timestamp()
        except ValueError:
            return set()
        if abs(changed_at - noted) > _CLOSING_SECONDS:
            return set()
        return {mode for mode in ACCOUNTS if mode in modes.split()}

    def write(self, modes: Iterable[AccountName], at: datetime) -> None:
        """Note that every order of these modes has its row."""
        note_stop(self._db, modes, now=timestamp(at))

    def forget(self) -> None:
        """Take the note away: there will be orders that a copy does not know."""
        self._db.execute(_FORGET)


def note_stop(
    connection: sqlite3.Connection, modes: Iterable[AccountName], *, now: str
) -> None:
    """Leave the note; a new file has it too, as there is no order yet."""
    connection.execute(_NOTE, [" ".join([now, *sorted(modes)])])
