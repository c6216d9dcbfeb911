"""Who else may read and write the files that snexec keeps (SPEC 11)."""

from __future__ import annotations

import logging
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

log = logging.getLogger("Daemon")

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def files_of(database: Path) -> Iterator[Path]:
    """Yield the files that a database is kept in, and its lock."""
    path = database.resolve()
    for ending in ("", "-wal", "-shm", ".lock"):
        yield path.with_name(path.name + ending)


def lies_open(path: Path) -> bool:
    """Return whether others than its owner may do anything with a file."""
    try:
        return bool(path.stat().st_mode & _OTHERS)
    except OSError:
        return False


def folder_lies_open(folder: Path) -> bool:
    """Return whether others than its owner may remove or replace what is in a folder."""
    try:
        mode = folder.stat().st_mode
    except OSError:
        return False
    return bool(mode & _WRITABLE_BY_OTHERS) and not mode & stat.S_ISVTX


def make_private(paths: Iterable[Path]) -> None:
    """Leave files of ours to their owner alone, and say which ones were not.

    It opens none: SQLite's locks on a file end where the process closes it. A folder, a
    device or a pipe of that name is none of ours.
    """
    for path in paths:
        if not lies_open(path):
            continue
        try:
            found = path.stat()
            if found.st_uid != os.geteuid() or not stat.S_ISREG(found.st_mode):
                continue  # `check` tells of it
            path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)
        except OSError as exc:
            log.warning("%s lies open to others: %s", path, exc.strerror)
            continue
        log.warning(
            "%s lay open to others (mode %04o): it is its owner's alone now",
            path,
            stat.S_IMODE(found.st_mode),
        )


def warn_open_folders(folders: Iterable[Path]) -> None:
    """Log a warning for each folder in which others may replace files of ours."""
    for folder in sorted({folder.resolve() for folder in folders}):
        if folder_lies_open(folder):
            log.warning(
                "%s can be written by others, who may remove or replace what is in it:"
                " chmod go-w %s",
                folder,
                folder,
            )
