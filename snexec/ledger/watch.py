"""Watches the files that rows are kept in: SQLite itself notices nothing (SPEC 11).

It goes on in a file that has no name any more, and what is written there is gone with
the process. So the names are compared with what was opened, and contents with what
SQLite last said of them:

- the index (``-shm``) counts the log's frames and holds the checksum of the last one,
  which covers all before it: another's commit or checkpoint changes both together;
- only a checkpoint writes to the database, and leaves a trace in the index.

SQLite's own descriptors are read. Were another one of its files closed, all locks that
SQLite has on it would be gone.
"""

from __future__ import annotations

import contextlib
import os
import struct
import threading
import zlib
from typing import TYPE_CHECKING, NamedTuple

from snexec.ledger.damage import cut, gone, index_cut, log_gone, written_over
from snexec.locks import is_shared

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snexec.ledger.damage import Damage

_INDEX_BYTES = 136  # two copies of its header, and what is said of checkpoints
_LOG_HEAD_BYTES = 32
_FRAME_HEAD_BYTES = 24
_SUM_BYTES = 256 * 1024  # of the database's beginning; with its size that tells
_BLOCK_BYTES = 512  # as POSIX counts, whatever the file system
_TRIES = 3  # another program may commit between two reads

_INDEX = struct.Struct("=14xHIIII8s56xI28xI4x")
_FRAME = struct.Struct(">8x8sII")

Identity = tuple[int, int]  # device and inode


class _Index(NamedTuple):
    """What the log's index says.

    Attributes:
        page_bytes: Of each frame.
        frames: In the log, as of the last commit.
        pages: In the database.
        checksum: The last frame's, in two halves.
        salts: Of this generation of the log.
        copied: Frames that a checkpoint has put into the database.
        to_copy: Frames that it set out to.
    """

    page_bytes: int
    frames: int
    pages: int
    checksum: int
    checksum_too: int
    salts: bytes
    copied: int
    to_copy: int

    @property
    def checkpoint(self) -> tuple[bytes, int, int]:
        """What no checkpoint leaves as it was."""
        return self.salts, self.copied, self.to_copy


class _Content(NamedTuple):
    """The database's content, as far as a look can tell."""

    size: int
    checksum: int


class FileWatch:
    """The database, its log and the log's index, as a connection has opened them.

    Safe to use from any thread.

    Args:
        path: The database, as SQLite calls it: no path where it is in memory.

    Attributes:
        path: The database.
        damage: What the last look found, None if all was well.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._names = path, f"{path}-wal", f"{path}-shm"
        self._opened: tuple[Identity | None, ...] = ()
        self._files: tuple[int, int, int] | None = None
        self._log = -1
        self._written_at = 0
        self._index: _Index | None = None  # of the last look at the log
        self._seen: _Index | None = None  # before the last look at the database
        self._content: _Content | None = None  # as far as it was read
        self._lasting: Damage | None = None
        self._lock = threading.RLock()
        self.damage: Damage | None = None

    def begin(self) -> None:
        """Take the files as they are now for those that the connection has opened."""
        if not os.path.isabs(self.path):  # noqa: PTH117
            return  # in memory
        with self._lock:
            self.close()
            self._opened = tuple(map(_identity, self._names))
            held: dict[Identity | None, int] = dict(_descriptors())
            database, log, index = (held.get(each) for each in self._opened)
            if database is not None and log is not None and index is not None:
                # One of our own, as the connection may be closed; SQLite locks no log.
                self._log = os.open(self._names[1], os.O_RDONLY | os.O_CLOEXEC)
                self._files = database, self._log, index
                self._index = self._seen = self._read_index()
                self._written_at = os.stat(self._names[0]).st_mtime_ns  # noqa: PTH116
                self._content = self._read_content()
            self._lasting = None
            if database is not None and (log is None) != (index is None):
                # Of an index, all connections of a process share one that is open.
                self._lasting = log_gone(
                    self._names[1 if log is None else 2], has_taker=True
                )
            self.look()

    def close(self) -> None:
        """Stop watching; the connection may be closed now."""
        with self._lock:
            if self._log >= 0:
                os.close(self._log)
            self._log, self._files, self._opened = -1, None, ()

    def look(self, *, at_leisure: bool = False) -> Damage | None:
        """Return what is wrong, after some microseconds; None if all is well.

        Args:
            at_leisure: Whether to read what a checkpoint wrote, if one did: a part of a
                millisecond, which no order waits for.
        """
        with self._lock:
            if self._opened:
                self.damage = self._lasting or self._look_at_log() or self._look()
                if at_leisure and self._content is None:
                    self._content = self._read_content()
        return self.damage

    def is_shared(self) -> bool:
        """Return whether another process has the database open."""
        return self._files is not None and is_shared(self._files[0])

    def look_quickly(self) -> None:
        """Look whether what was just committed is where others find it.

        For an order's way: two calls in place of ten. What these do not tell, as a log
        that was moved away with its rows, the next full look does.
        """
        if not self._opened:
            return
        if self._log >= 0 and self.damage is None:
            try:
                found = os.stat(self._names[0])  # noqa: PTH116 - a third of pathlib's time
            except OSError:
                found = None
            log = os.fstat(self._log)
            if (
                found is not None
                and found.st_mtime_ns == self._written_at
                and (found.st_dev, found.st_ino) == self._opened[0]
                and log.st_nlink
                # A write after the end of a log that was cut leaves a hole.
                and log.st_size <= log.st_blocks * _BLOCK_BYTES
            ):
                return
        self.look()

    def _look(self) -> Damage | None:
        """Compare the names with what was opened, and the database with what it was."""
        names, opened, index = self._names, self._opened, self._index
        try:
            found = os.stat(names[0])  # noqa: PTH116 - a third of pathlib's time
        except OSError:
            found = None
        if found is None or (found.st_dev, found.st_ino) != opened[0]:
            return gone(names[0])
        if found.st_mtime_ns != self._written_at:
            index = self._read_index()
            if index is None:
                return self._lasting  # the next look may be luckier
            if self._is_written_over(index):
                self._lasting = written_over(names[0])
                return self._lasting
            self._written_at = found.st_mtime_ns
        self._seen = index
        if _identity(names[1]) != opened[1]:
            return self._log_gone(names[1])
        if _identity(names[2]) != opened[2]:
            return self._log_gone(names[2])
        return None

    def _is_written_over(self, index: _Index) -> bool:
        """Return whether somebody else than SQLite has written to the database."""
        if (
            self._seen is None
            or index.checkpoint != self._seen.checkpoint
            or index.copied != index.to_copy
        ):
            self._content = None  # a checkpoint wrote it, or writes it now
            return False
        return (
            self._content is not None
            and self._read_content() != self._content
            and self._read_index() == index  # or a checkpoint has begun since
        )

    def _look_at_log(self) -> Damage | None:
        """Compare the log with what its index says."""
        index = self._read_index()
        for _ in range(_TRIES):
            if index is None:
                return self._lasting
            if self._holds_frames(index):
                self._index = index
                return None
            again = self._read_index()
            if again == index:
                self._lasting = cut(self._names[1])
                return self._lasting
            index = again
        return None  # others commit all the time; the next look may be luckier

    def _holds_frames(self, index: _Index) -> bool:
        """Return whether the last frame is there, and the one that was last before.

        What was written since a log was cut hides the cut, but for that one.
        """
        found = [index] if index.frames else []
        before = self._index
        if before is not None and before.salts == index.salts and before.frames:
            found.append(before)
        return all(
            self._frame_head(each, each.frames)
            == (each.salts, each.checksum, each.checksum_too)
            for each in found
        )

    def _frame_head(self, index: _Index, number: int) -> tuple[bytes, int, int]:
        page_bytes = index.page_bytes
        if page_bytes == 1:
            page_bytes = 65536  # which is too large for its field
        place = _LOG_HEAD_BYTES + (number - 1) * (_FRAME_HEAD_BYTES + page_bytes)
        try:
            head = os.pread(self._log, _FRAME_HEAD_BYTES, place)
        except OSError:
            head = b""  # what cannot be read is not there
        return _FRAME.unpack(head.ljust(_FRAME_HEAD_BYTES, b"\0"))

    def _log_gone(self, name: str) -> Damage:
        return log_gone(name, has_taker=self._is_alone())

    def _is_alone(self) -> bool:
        """Return whether the connection alone holds all rows, and nobody wrote since.

        Another program that opens the database now makes a log and an index anew.
        """
        if self._files is None:
            return False
        log, index = self._names[1:]
        state = self._read_index()
        with contextlib.suppress(FileNotFoundError):
            status = os.stat(log)  # noqa: PTH116
            is_ours = (status.st_dev, status.st_ino) == self._opened[1]
            if status.st_size and not is_ours:
                return False
        return (
            _identity(index) in {None, self._opened[2]}
            and state is not None
            and all(
                self._frame_head(state, number)[0] == state.salts
                for number in range(1, state.frames + 1)
            )
        )

    def _read_index(self) -> _Index | None:
        """Read what the index says; None where that cannot be told just now."""
        if self._files is None:
            return None
        try:
            raw = os.pread(self._files[2], _INDEX_BYTES, 0)
        except OSError:
            return None
        if len(raw) < _INDEX_BYTES:
            self._lasting = self._lasting or index_cut(self._names[2])
            return None
        if raw[:48] != raw[48:96] or not raw[12]:
            return None  # somebody writes just now
        return _Index._make(_INDEX.unpack(raw))

    def _read_content(self) -> _Content:
        assert self._files is not None  # noqa: S101 - its callers have asked
        database = self._files[0]
        try:
            beginning = os.pread(database, _SUM_BYTES, 0)
            return _Content(os.fstat(database).st_size, zlib.crc32(beginning))
        except OSError:
            return _Content(-1, 0)


def _identity(path: str) -> Identity | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - a third of pathlib's time
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _descriptors() -> Iterator[tuple[Identity, int]]:
    """Yield what this process has open; nothing where the system does not tell."""
    with contextlib.suppress(OSError):
        # The lowest comes last: it was opened first, and stays longest.
        for number in sorted(map(int, os.listdir("/dev/fd")), reverse=True):  # noqa: PTH208
            with contextlib.suppress(OSError):
                found = os.fstat(number)
                yield (found.st_dev, found.st_ino), number
