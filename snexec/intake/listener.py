"""The Unix socket's path: bound with mode 0600, or refused (SPEC 6)."""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from snexec.errors import StartError
from snexec.locks import lock_file

if TYPE_CHECKING:
    from collections.abc import Iterator

_BACKLOG = 1024  # feeders that connect at once; the kernel may cap it


@contextmanager
def open_listener(path: Path) -> Iterator[trio.SocketListener]:
    """Listen at a path with mode 0600; replace a dead socket, never a live one.

    Raises:
        StartError: The path is in use by another daemon, is not a socket, or cannot be
            bound.
    """
    with lock_file(path, owner="intake.socket"):
        _clear(path)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            old_mask = os.umask(0o177)
            try:
                listening.bind(str(path))
            except OSError as exc:
                raise StartError(
                    f"intake.socket: cannot listen at {path}: {exc.strerror}"
                ) from None
            finally:
                os.umask(old_mask)
            ours = path.stat().st_ino
            listening.listen(_BACKLOG)
            try:
                yield trio.SocketListener(trio.socket.from_stdlib_socket(listening))
            finally:
                if path.exists() and path.stat().st_ino == ours:
                    path.unlink()
        finally:
            listening.close()


def _clear(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as exc:
        raise StartError(f"intake.socket: {path}: {exc.strerror}") from None
    if not stat.S_ISSOCK(mode):
        raise StartError(
            f"intake.socket: {path} exists and is no socket: move it away or name"
            " another path"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except OSError as exc:
            if exc.errno != errno.ECONNREFUSED:
                raise StartError(
                    f"intake.socket: cannot tell whether {path} is in use:"
                    f" {exc.strerror or exc}"
                ) from None
        else:
            raise StartError(f"intake.socket: {path} is in use by another daemon")
    path.unlink(missing_ok=True)
