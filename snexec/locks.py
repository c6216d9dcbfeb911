"""One process for each path, by a lock file beside it."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from snexec.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def lock_file(path: Path, *, owner: str) -> Iterator[None]:
    """Hold an exclusive lock beside a file for as long as the block lasts.

    The lock file stays behind: were it removed, two processes could each hold one.

    Raises:
        StartError: Another process holds it, or it cannot be made.
    """
    beside = Path(f"{path.resolve()}.lock")
    try:
        fd = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise StartError(f"{owner}: cannot make {beside}: {exc.strerror}") from exc
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StartError(
                f"{owner}: {path} is in use by another snexec daemon"
            ) from None
        yield
    finally:
        os.close(fd)
