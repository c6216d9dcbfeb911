"""Read a small file of other people's hands, without being held up by what it is.

Whoever may write a folder may put a pipe, a device or a gigabyte in a file's place:
reading one waits for ever, or ends the process.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Non-blocking, as what was a file a moment ago may be a pipe when it is opened.
_HOW = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class SmallFile(NamedTuple):
    """What a file held.

    Attributes:
        steady: Whether it stayed the same file, as it was, while it was read.
    """

    content: bytes
    steady: bool


def read_small_file(path: Path, *, max_bytes: int) -> SmallFile:
    """Read a regular file of at most so many bytes.

    Raises:
        OSError: It cannot be read, is no regular file, or is larger.
    """
    with _opened(path) as descriptor:
        before = os.fstat(descriptor)
        content = _read(descriptor, max_bytes + 1)
    if len(content) > max_bytes:
        raise OSError(errno.EFBIG, f"is larger than {max_bytes} bytes")
    try:
        after = path.stat()
    except FileNotFoundError:
        return SmallFile(content, steady=False)
    steady = _version(before) == _version(after) and len(content) == after.st_size
    return SmallFile(content, steady=steady)


def read_beginning(path: Path, *, max_bytes: int) -> bytes:
    """Read a regular file's first bytes, and leave the rest.

    Raises:
        OSError: It cannot be read, or is no regular file.
    """
    with _opened(path) as descriptor:
        return _read(descriptor, max_bytes)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    _refuse_irregular(path.stat())  # opening a device may do something already
    descriptor = os.open(path, _HOW)
    try:
        _refuse_irregular(os.fstat(descriptor))
        yield descriptor
    finally:
        os.close(descriptor)


def _read(descriptor: int, max_bytes: int) -> bytes:
    content = bytearray()
    while data := os.read(descriptor, max_bytes - len(content)):
        content += data
    return bytes(content)


def _refuse_irregular(found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "is not a regular file")


def _version(found: os.stat_result) -> tuple[int, ...]:
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
