"""A copy of the rows while the daemon runs: whole, or not at all (SPEC 2, 15)."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from snexec.cli.kept_settings import settings_to_ask_with
from snexec.cli.trades_query import open_to_read
from snexec.errors import CommandError
from snexec.model import counted
from snexec.permissions import files_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_PAGES_AT_ONCE = 4096  # between them others may write
_PAUSE_SECONDS = 0.01
_HEAD_BYTES = 20  # of SQLite's file format
_MAGIC = b"SQLite format 3\0"
_VERSIONS = slice(18, 20)
_WITHOUT_LOG = b"\1\1"


def run_backup(config: Path, target: Path) -> None:
    """Copy the database to a file, over an older copy.

    Raises:
        ConfigError: The configuration cannot be used.
        CommandError: There is no database, or the copy cannot be made; what was there
            before is there still.
    """
    settings = settings_to_ask_with(config, rows_do=True)
    database = Path(settings.database)
    if not database.exists():
        raise CommandError(f"there is no database {database}: nothing to copy")
    _refuse_itself(database, target)
    try:
        rows = _copy(database, target)
    except sqlite3.Error as exc:
        raise CommandError(f"{target} is not written: {database}: {exc}") from None
    except OSError as exc:
        why = exc.strerror or exc
        raise CommandError(f"{target} is not written: {why}") from None
    size = target.stat().st_size
    click.echo(
        f"{target}: {counted(rows, 'row')} of {database}, {size:,} bytes, checked"
    )


def _refuse_itself(database: Path, target: Path) -> None:
    """Refuse to write over a file in which the daemon keeps rows.

    Raises:
        CommandError: It is one of them, by whatever name.
    """
    if target.is_dir():
        raise CommandError(f"{target} is a folder: name a file")
    for path in files_of(database):
        same = target.resolve() == path
        if target.exists() and path.exists():
            same = same or target.samefile(path)
        if same:
            raise CommandError(f"{target} is the database itself: name another file")
    if target.exists():
        _refuse_others(target)


def _refuse_others(target: Path) -> None:
    """Refuse to write over what no backup has made.

    Raises:
        CommandError: It is a socket or a device, or holds something else; a database
            that is in use has a log, and a backup has none.
    """
    if not target.is_file():
        raise CommandError(f"{target} is no file that could be written over")
    try:
        with target.open("rb") as older:
            head = older.read(_HEAD_BYTES)
    except OSError as exc:
        raise CommandError(f"{target} cannot be read: {exc.strerror}") from None
    if head and not (head.startswith(_MAGIC) and head[_VERSIONS] == _WITHOUT_LOG):
        raise CommandError(f"{target} is there and no backup: name another file")


def _copy(database: Path, target: Path) -> int:
    """Copy to a draft beside the target, check it, and put it in its place.

    Raises:
        OSError: The folder cannot be written.
        sqlite3.Error: The database cannot be read, or the copy is not sound.
    """
    real = target.resolve()  # a link stays, and what it names changes
    with _draft(real) as draft:
        with (
            closing(open_to_read(database)) as source,
            closing(sqlite3.connect(draft, isolation_level=None)) as copy,
        ):
            source.backup(copy, pages=_PAGES_AT_ONCE, sleep=_PAUSE_SECONDS)
            # A copy is one file, which no log belongs to.
            copy.execute("PRAGMA journal_mode = DELETE")
            found = copy.execute("PRAGMA quick_check").fetchone()[0]
            if found != "ok":
                raise sqlite3.DatabaseError(f"damaged: {found}")
            rows = _count(copy)
        descriptor = os.open(draft, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        draft.replace(real)
    folder = os.open(real.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return rows


@contextmanager
def _draft(real: Path) -> Iterator[Path]:
    """Give a new file beside another, mode 0600, and remove it unless it was moved."""
    descriptor, name = tempfile.mkstemp(dir=real.parent, prefix=f".{real.name}.")
    os.close(descriptor)
    draft = Path(name)
    try:
        yield draft
    finally:
        for ending in ("", "-journal", "-wal", "-shm"):
            Path(f"{name}{ending}").unlink(missing_ok=True)


def _count(copy: sqlite3.Connection) -> int:
    known = "SELECT count(*) FROM sqlite_master WHERE name = 'BotTrade'"
    if not copy.execute(known).fetchone()[0]:
        return 0
    return int(copy.execute("SELECT count(*) FROM BotTrade").fetchone()[0])
