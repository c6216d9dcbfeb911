"""What can be saved when a file that rows are kept in was touched (SPEC 11).

Every row that was committed is still in hand where a name alone is gone. It is given a
place before anything else, as a kill would take it.
"""

from __future__ import annotations

import ctypes
import logging
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from snexec.errors import StartError
from snexec.ledger.damage import Damage, FilesLostError, Loss
from snexec.ledger.file import connect, refuse_damaged, tune

if TYPE_CHECKING:
    from collections.abc import Callable

    from snexec.ledger.watch import FileWatch

log = logging.getLogger("Writer")


class Mender:
    """Saves what a connection holds, once for each damage; call it in a thread.

    Args:
        watch: Knows what is wrong.
        use: Called with the connection to go on with.
    """

    def __init__(
        self, watch: FileWatch, use: Callable[[sqlite3.Connection], None]
    ) -> None:
        self._watch = watch
        self._use = use
        self._saved = False
        self._between: sqlite3.Connection | None = None  # of no file

    def mend(self, connection: sqlite3.Connection) -> None:
        """Make good what can be.

        Raises:
            FilesLostError: Nothing may be written.
            sqlite3.Error: It cannot be made good now.
        """
        damage = self._watch.look()
        if damage is None:
            self._saved = False
            return
        if damage.loss is Loss.NAME_OF_LOG and self._between is None:
            _write_log_back(connection, damage)
            if self._watch.is_shared():
                # That one has the old files open too, and would go on in them.
                raise FilesLostError(damage)
            self._watch.close()
            # Nothing can be written to this one by mistake, should the next step fail.
            self._between = _in_memory()
            self._use(self._between)
            connection.close()
        if self._between is not None:
            self._open_anew(damage)
            self._between.close()
            self._between = None
            return
        if not self._saved:
            self._saved = True
            self._save(connection, damage)
        raise FilesLostError(damage)

    def _open_anew(self, damage: Damage) -> None:
        connection = connect(Path(self._watch.path), create=False)
        try:
            tune(connection)
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            self._watch.begin()
            if (still := self._watch.damage) is not None:
                raise FilesLostError(still)
        except (sqlite3.Error, OSError) as exc:
            self._watch.close()
            connection.close()
            if isinstance(exc, sqlite3.Error):
                raise
            raise FilesLostError(damage) from exc  # gone again in this very moment
        self._use(connection)
        log.warning(
            "%s while in use: every row is in %s itself now, and trading goes on; keep"
            " other programs from doing that",
            damage.what,
            self._watch.path,
        )

    def _save(self, connection: sqlite3.Connection, damage: Damage) -> None:
        """Save what is in hand and would be gone with this process."""
        path, suffix = self._watch.path, time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        try:
            if damage.loss in {Loss.NAME, Loss.OTHERS_LOG, Loss.LOG}:
                copy = Path(f"{path}.{suffix}")
                copy.touch(0o600, exist_ok=False)
                try:
                    # Of a log that was cut, what memory still holds may be enough.
                    connection.execute("VACUUM INTO ?", [str(copy)])
                    with closing(connect(copy, read_only=True)) as saved:
                        refuse_damaged(saved, copy)
                except (sqlite3.Error, StartError):
                    copy.unlink()
                    raise
                log.error(
                    "%s: every row that was in it up to now is in %s; to go on with"
                    " that, stop, put it in the place of %s, and start",
                    damage.what,
                    copy,
                    path,
                )
            if damage.loss in {Loss.NAME, Loss.CONTENT} and Path(path).exists():
                # It does not fit what is there now, and would be copied into it.
                aside = f"{path}-wal.{suffix}"
                Path(f"{path}-shm").unlink(missing_ok=True)
                with suppress(FileNotFoundError):
                    # A program that reads the file while it is copied removes the log.
                    Path(f"{path}-wal").rename(aside)
                    log.error(
                        "%s: the log of what was there before is put aside as %s",
                        damage.what,
                        aside,
                    )
        except (OSError, sqlite3.Error, StartError) as exc:
            log.error(  # noqa: TRY400 - the reason says it all
                "%s, and what is in hand cannot be saved: %s", damage.what, exc
            )


def _write_log_back(connection: sqlite3.Connection, damage: Damage) -> None:
    busy, _frames, _copied = connection.execute(
        "PRAGMA wal_checkpoint(TRUNCATE)"
    ).fetchone()
    if busy:
        raise FilesLostError(damage)


def _in_memory() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)


def leave_open(connection: sqlite3.Connection) -> None:
    """Have a connection never closed, as SQLite would write to the files once more."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
