"""The page's key: a file beside the database, from which cookie and token come (SPEC 14)."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import hmac
import os
import re
import secrets
import stat
import tempfile
from pathlib import Path
from typing import NamedTuple

from snexec.permissions import make_private
from snexec.small_files import read_small_file

_MOST_BYTES = 1024
_KEY = re.compile(r"[A-Za-z0-9_-]{43}")  # 32 bytes in base 64


class PageKey(NamedTuple):
    """What opens the page, for as long as its file is there.

    Attributes:
        text: As it stands in the page's address.
        is_new: Whether its file was just made.
    """

    text: str
    is_new: bool = False

    @property
    def cookie(self) -> str:
        """What a browser shows that has shown the key; the key cannot be had from it."""
        return self._derived("cookie")

    @property
    def token(self) -> str:
        """What the page's own actions carry; the same over restarts."""
        return self._derived("token")

    def _derived(self, purpose: str) -> str:
        found = hmac.new(self.text.encode(), purpose.encode(), hashlib.sha256)
        return found.hexdigest()


def key_path(database: Path) -> Path:
    """Return where the key of a database's page is kept."""
    path = database.resolve()
    return path.with_name(f"{path.name}.page-key")


def read_key(path: Path) -> PageKey | None:
    """Read the key; None where there is none.

    Raises:
        OSError: It cannot be read, is another user's, or is no key.
    """
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "is not a regular file")
        if found.st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "is another user's")
        content = read_small_file(path, max_bytes=_MOST_BYTES).content
    except FileNotFoundError:
        return None
    text = content.decode("ascii", "replace").strip()
    if not text:
        return None  # cut off as it was made, so nobody has used it
    if not _KEY.fullmatch(text):
        raise OSError(errno.EINVAL, "holds no key of the page: remove it")
    return PageKey(text)


def take_key(path: Path) -> PageKey:
    """Read the key, or make one; the file is its owner's alone from then on.

    Raises:
        OSError: It can neither be read nor made.
    """
    make_private([path])
    key = read_key(path)
    if key is not None:
        return key
    key = PageKey(secrets.token_urlsafe(32), is_new=True)
    # Beside it and then renamed, so that it is whole or not there; mkstemp's are 0600.
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{key.text}\n")
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
    return key
