"""The Unix socket's path: bound with mode 0600, kept, or refused (SPEC 6, 11)."""

from __future__ import annotations

import errno
import logging
import math
import os
import socket
import stat
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Self

import trio

from snexec.access import SocketAccess
from snexec.errors import StartError
from snexec.locks import lock_file

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from snexec.locks import Lock

log = logging.getLogger("Intake")

_BACKLOG = 1024  # feeders that connect at once; the kernel may cap it
_LOOK_SECONDS = 1.0
_REMIND_SECONDS = 60.0
_PROBE_SECONDS = 1.0
_PRIVATE = SocketAccess()


class UnixListener:
    """Listens at a path, and binds it again where its file was removed or replaced.

    Args:
        path: Where to listen; nothing is there.
        lock: Held beside it.
        access: Who may connect.
    """

    def __init__(self, path: Path, lock: Lock, access: SocketAccess) -> None:
        self._path = path
        self._access = access
        self._lock = lock
        self._problem = ""
        self._said_at = -math.inf
        self._socket, self._identity = _bind(path, access)

    async def serve(
        self,
        handler: Callable[[trio.SocketStream], Awaitable[object]],
        open_door: Callable[
            [trio.SocketListener], trio.abc.Listener[trio.SocketStream]
        ],
    ) -> None:
        """Give each client to a handler, until cancelled.

        Args:
            handler: Serves one client.
            open_door: Accepts clients where this listens now.
        """
        async with trio.open_nursery() as clients:  # they outlive the socket's file
            accepting = self._accept(clients, handler, open_door)
            while True:
                await trio.sleep(_LOOK_SECONDS)
                problem = self._lock.keep() or ""
                if not problem and not self._is_there():
                    problem = await self._bind_again()
                    if not problem:
                        # Those that wait at the old one are still let in.
                        accepting.deadline = trio.current_time() + _LOOK_SECONDS
                        accepting = self._accept(clients, handler, open_door)
                self._say(problem)

    def refuse(self) -> None:
        """Let no client in any more; those that wait are refused."""
        self._socket.close()

    def close(self) -> None:
        """Stop listening, and remove the file if it still is this one's."""
        if self._is_there():
            with suppress(OSError):  # the next start replaces it
                self._path.unlink()
        self._socket.close()

    def _accept(
        self,
        clients: trio.Nursery,
        handler: Callable[[trio.SocketStream], Awaitable[object]],
        open_door: Callable[
            [trio.SocketListener], trio.abc.Listener[trio.SocketStream]
        ],
    ) -> trio.CancelScope:
        scope = trio.CancelScope()

        async def accept() -> None:
            # Whoever serves here next listens on: only this one's end is closed.
            listening = trio.socket.from_stdlib_socket(self._socket.dup())
            listener = open_door(trio.SocketListener(listening))
            with scope:
                await trio.serve_listeners(handler, [listener], handler_nursery=clients)

        clients.start_soon(accept, name="clients of the socket")
        return scope

    def _is_there(self) -> bool:
        try:
            found = os.lstat(self._path)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._identity

    async def _bind_again(self) -> str:
        """Listen at the path anew; return why not, or nothing."""
        try:
            if _is_socket(self._path):
                await self._probe()
            bound = _bind(self._path, self._access)
        except StartError as exc:
            return str(exc)
        self._socket.close()
        self._socket, self._identity = bound
        log.warning(
            "%s was removed or replaced while in use: it is made again, and clients"
            " that are connected go on",
            self._path,
        )
        return ""

    async def _probe(self) -> None:
        """Remove a dead socket.

        Raises:
            StartError: It lives, or that cannot be told.
        """
        error: OSError | None = None
        with trio.move_on_after(_PROBE_SECONDS) as patience:
            try:
                await (await trio.open_unix_socket(str(self._path))).aclose()
            except OSError as exc:
                error = exc
        if patience.cancelled_caught:
            error = TimeoutError("no answer")
        _remove_dead(self._path, error)

    def _say(self, problem: str) -> None:
        """Log that no new client comes in any more, at first and now and then."""
        now = trio.current_time()
        if problem and (
            problem != self._problem or now - self._said_at >= _REMIND_SECONDS
        ):
            self._said_at = now
            log.error("%s; no new client reaches this daemon until that ends", problem)
        self._problem = problem


class Entrance:
    """Opens one listener at its first use, which is there until the block is left.

    A daemon that stands by follows one that was active, in the same process: clients that
    come in between wait for it.

    Args:
        path: Where to listen.
        access: Who else may connect.
    """

    def __init__(self, path: Path, access: SocketAccess) -> None:
        self._path = path
        self._access = access
        self._stack = ExitStack()
        self._listener: UnixListener | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def listener(self) -> UnixListener:
        """Return it.

        Raises:
            StartError: As ``open_listener`` does.
        """
        if self._listener is None:
            opening = open_listener(self._path, self._access)
            self._listener = self._stack.enter_context(opening)
        return self._listener


@contextmanager
def open_listener(
    path: Path, access: SocketAccess = _PRIVATE
) -> Iterator[UnixListener]:
    """Listen at a path with mode 0600; replace a dead socket, never a live one.

    Args:
        path: Where to listen.
        access: Who else may connect.

    Raises:
        StartError: The path is in use by another daemon, is not a socket, or cannot be
            bound.
    """
    with lock_file(path, owner="intake.socket") as lock:
        if _is_socket(path):
            _probe_now(path)
        listening = UnixListener(path, lock, access)
        try:
            yield listening
        finally:
            listening.close()


def _bind(path: Path, access: SocketAccess) -> tuple[socket.socket, tuple[int, int]]:
    """Bind and listen, and return the identity of the file too."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    old_mask = os.umask(0o177)
    try:
        listening.bind(str(path))
        found = os.lstat(path)
    except OSError as exc:
        listening.close()
        raise StartError(
            f"intake.socket: cannot listen at {path}: {exc.strerror or exc}"
        ) from None
    finally:
        os.umask(old_mask)
    try:
        access.give(path)
    except StartError:
        listening.close()
        path.unlink(missing_ok=True)
        raise
    listening.listen(_BACKLOG)
    return listening, (found.st_dev, found.st_ino)


def _is_socket(path: Path) -> bool:
    """Return whether a socket is there, or nothing.

    Raises:
        StartError: Something else is.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    except OSError as exc:
        raise StartError(f"intake.socket: {path}: {exc.strerror}") from None
    if not stat.S_ISSOCK(mode):
        raise StartError(
            f"intake.socket: {path} exists and is no socket: move it away or name"
            " another path"
        )
    return True


def _probe_now(path: Path) -> None:
    """Remove a dead socket, before the event loop has anything to do.

    Raises:
        StartError: It lives, or that cannot be told.
    """
    error: OSError | None = None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_SECONDS)
        try:
            probe.connect(str(path))
        except OSError as exc:
            error = exc
    _remove_dead(path, error)


def _remove_dead(path: Path, error: OSError | None) -> None:
    if error is None:
        raise StartError(f"intake.socket: {path} is in use by another daemon")
    if error.errno not in {errno.ECONNREFUSED, errno.ENOENT}:
        raise StartError(
            f"intake.socket: cannot tell whether {path} is in use:"
            f" {error.strerror or error}"
        )
    try:
        path.unlink(missing_ok=True)
    except OSError as exc:
        raise StartError(
            f"intake.socket: {path} is dead and cannot be removed: {exc.strerror}"
        ) from None
