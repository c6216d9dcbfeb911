"""Accepts connections, a bounded number at a bounded pace (SPEC 14)."""

from __future__ import annotations

import errno
import logging
from functools import partial
from typing import TYPE_CHECKING, cast

import trio
from hypercorn.trio.worker_context import WorkerContext

from snexec.web.connection import Connection
from snexec.web.headers import SafeConfig
from snexec.web.pace import Pace

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from hypercorn.typing import ASGIFramework
    from starlette.types import ASGIApp

    from snexec.web.connection import Stream

log = logging.getLogger("Page")

MOST_CONNECTIONS = 64  # 16 followers, what else their browsers ask, and scrapers
_MOST_HEAD_BYTES = 8 * 1024
_NO_FILES_SECONDS = 1.0
_SEND_BYTES = 64 * 1024
_NO_FILES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Server:
    """Serves an app; slow, rude or too many clients disturb nothing.

    Args:
        app: What answers.
        tls: Makes connections private, where it is set.
    """

    def __init__(self, app: ASGIApp, *, tls: ssl.SSLContext | None = None) -> None:
        self._app = cast("ASGIFramework", app)
        self._tls = tls
        self._config = SafeConfig()
        self._config.errorlog = log
        self._config.include_server_header = False
        self._config.h11_max_incomplete_size = _MOST_HEAD_BYTES
        self._context = WorkerContext(None)
        self._connections: dict[Connection, None] = {}  # the oldest first
        self._requests = Pace(burst=200, per_second=100)
        self._accepts = Pace(burst=50, per_second=100)

    async def run(self, listeners: Sequence[trio.SocketListener]) -> None:
        """Serve until cancelled.

        Raises:
            OSError: Nothing can be accepted any more.
        """
        async with trio.open_nursery() as nursery:
            for listener in listeners:
                nursery.start_soon(self._accept, listener, nursery, name="page accepts")

    async def _accept(
        self, listener: trio.SocketListener, nursery: trio.Nursery
    ) -> None:
        while True:
            try:
                stream = await listener.accept()
            except OSError as exc:
                if exc.errno not in _NO_FILES:
                    raise
                log.warning("a browser cannot be connected now: %s", exc.strerror)
                await trio.sleep(_NO_FILES_SECONDS)
                continue
            # What a client does not read waits here, and not in the kernel.
            stream.setsockopt(
                trio.socket.SOL_SOCKET, trio.socket.SO_SNDBUF, _SEND_BYTES
            )
            if self._make_room():
                nursery.start_soon(partial(self._serve, stream), name="page client")
            else:
                await trio.aclose_forcefully(stream)
            await self._accepts.turn()

    def _make_room(self) -> bool:
        """End the oldest one without a cookie, if there are too many; or take no more."""
        if len(self._connections) < MOST_CONNECTIONS:
            return True
        oldest = next((each for each in self._connections if not each.is_trusted), None)
        if oldest is None:
            return False
        del self._connections[oldest]
        oldest.end()
        return True

    async def _serve(self, accepted: trio.SocketStream) -> None:
        stream: Stream = accepted
        if self._tls is not None:
            stream = trio.SSLStream(
                accepted, self._tls, server_side=True, https_compatible=True
            )
        connection = Connection(stream, self._config, self._context, self._requests)
        self._connections[connection] = None
        try:
            await connection.serve(self._app)
        except* (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            log.debug("a browser went away")
        except* Exception:
            # A page that cannot be made is no reason to stop trading.
            log.exception("a connection of the page failed; the daemon goes on")
        finally:
            self._connections.pop(connection, None)
