"""One process for each file, by a lock beside it, and for a database by one on itself."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import struct
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from snexec.errors import StartError
from snexec.permissions import make_private

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger("Daemon")

# SQLite's own, of whoever has a database in WAL mode open.
_SHARED_FIRST, _SHARED_BYTES = 0x40000002, 510
# Far from the bytes that SQLite locks, which begin at 1 GiB, and beyond any content.
_LOCKED_BYTE = 0x534E45584543


class Lock:
    """An exclusive lock beside a file.

    Args:
        path: The file; a link's lock is beside what it names.
        owner: The key of the configuration that names the file, for errors.
    """

    def __init__(self, path: Path, *, owner: str) -> None:
        self._path = path
        self._owner = owner
        self._beside = f"{path.resolve()}.lock"
        make_private([Path(self._beside)])
        self._fd = self._take()

    def keep(self) -> str | None:
        """Hold it again where its file was removed or replaced; call it now and then.

        Returns:
            Why it cannot be held, if another process has it now.
        """
        try:
            found = os.stat(self._beside)  # noqa: PTH116 - a third of pathlib's time
            ours = os.fstat(self._fd)
            if (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino):
                return None
        except OSError:
            pass
        try:
            fd = self._take()
        except StartError as exc:
            is_taken = not isinstance(exc.__cause__, OSError)
            return str(exc) if is_taken else None  # the folder is gone, perhaps
        os.close(self._fd)
        self._fd = fd
        log.warning(
            "%s was removed or replaced while in use: it is made again", self._beside
        )
        return None

    def release(self) -> None:
        """Let others have it. Its file stays: two processes could each hold one."""
        os.close(self._fd)

    def _take(self) -> int:
        """Open and lock the file.

        Raises:
            StartError: Another process holds it, or, with a cause, it cannot be made.
        """
        try:
            fd = os.open(self._beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise StartError(
                f"{self._owner}: cannot make {self._beside}: {exc.strerror}"
            ) from exc
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise StartError(
                f"{self._owner}: {self._path} is in use by another snexec daemon"
            ) from None
        return fd


@contextmanager
def lock_file(path: Path, *, owner: str) -> Iterator[Lock]:
    """Hold an exclusive lock beside a file for as long as the block lasts.

    Raises:
        StartError: Another process holds it, or it cannot be made.
    """
    lock = Lock(path, owner=owner)
    try:
        yield lock
    finally:
        lock.release()


@contextmanager
def lock_database(path: Path) -> Iterator[Lock]:
    """Hold the lock beside a database, and one on the file itself, whatever its name.

    A connection must be opened and closed within the block: as the file of the lock is
    closed, the system drops all locks that SQLite has on it in this process.

    Raises:
        StartError: Another process holds one of them, it cannot be made, or a folder, a
            device or a pipe is in the database's place.
    """
    if path.exists() and not path.is_file():
        raise StartError(f"database: {path} is no file: name one, or a new one")
    with lock_file(path, owner="database") as lock, _lock_itself(path):
        yield lock


@contextmanager
def _lock_itself(path: Path) -> Iterator[None]:
    # Of an open file, unlike SQLite's own, which one `close` anywhere in the process
    # ends. macOS has none, and `flock` there would lock SQLite out.
    set_lock = getattr(fcntl, "F_OFD_SETLK", None)
    if set_lock is None:
        yield
        return
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        yield  # SQLite says what is wrong
        return
    try:
        try:
            fcntl.fcntl(fd, set_lock, _exclusive(_LOCKED_BYTE, 1))
        except OSError as exc:
            # Some file systems have no such locks.
            if exc.errno in {errno.EACCES, errno.EAGAIN}:
                raise StartError(
                    f"database: another snexec runs on {path}, through another name of"
                    " the file (a hard link, a mount): stop that one, or name another"
                    " file"
                ) from None
        yield
    finally:
        os.close(fd)


def is_shared(database_fd: int) -> bool:
    """Return whether another process has a database open; False where none can tell."""
    if not hasattr(fcntl, "F_OFD_SETLK"):
        return False  # and the structure is another one, too
    try:
        found = fcntl.fcntl(
            database_fd, fcntl.F_GETLK, _exclusive(_SHARED_FIRST, _SHARED_BYTES)
        )
    except OSError:
        return False
    return bool(struct.unpack_from("h", found)[0] != fcntl.F_UNLCK)


def _exclusive(start: int, count: int) -> bytes:
    """Return Linux's description of an exclusive lock."""
    return struct.pack("hhqqi0q", fcntl.F_WRLCK, os.SEEK_SET, start, count, 0)
