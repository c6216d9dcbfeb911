"""Loopback connections: each is served by Hypercorn and can be broken on purpose."""

import logging
import socket
import struct
from collections.abc import Sequence
from typing import cast

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ASGIFramework, ConnectionState
from starlette.requests import HTTPConnection

logger = logging.getLogger(__name__)

# As long as nginx, which stands in front of Alpaca.
_KEEP_ALIVE_SEC = 75.0
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Connection:
    """A TCP connection with the faults of real ones; to Hypercorn, a stream."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.socket = stream.socket
        self._stream = stream
        self._frozen = False

    async def send_all(self, data: bytes) -> None:
        """Send bytes, or drop them once frozen."""
        if self._frozen:
            await trio.lowlevel.checkpoint()
            return
        try:
            await self._stream.send_all(data)
        except trio.BusyResourceError:
            # Hypercorn sends one thing at a time, but does not wait its turn to send the
            # end; a send that meets it is as late as one that comes after it.
            raise trio.ClosedResourceError("the end is being said") from None

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive bytes; once frozen, only the end of the connection is noticed."""
        data = bytes(await self._stream.receive_some(max_bytes))
        while self._frozen and data:
            data = bytes(await self._stream.receive_some(max_bytes))
        return data

    async def send_eof(self) -> None:
        """Send the end: no more bytes follow."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()

    def close(self) -> None:
        """Close the connection at once, in the orderly way of TCP."""
        self.socket.close()

    def reset(self) -> None:
        """Close the connection at once, so that the peer gets a TCP reset."""
        if self.socket.fileno() != -1:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.socket.close()

    def freeze(self) -> None:
        """Swallow all traffic from now on; the connection stays open."""
        self._frozen = True


def connection_of(request: HTTPConnection) -> Connection:
    """Return the connection that a request or WebSocket came on."""
    connection: Connection = request.state.connection
    return connection


async def serve(app: object, listeners: Sequence[trio.SocketListener]) -> None:
    """Serve an ASGI app until cancelled.

    Hypercorn's own `serve` hides its sockets, and resets and silence need them; so its
    server for one connection is used, with a socket that is kept here.
    """
    config = Config()
    config.errorlog = logger
    config.include_server_header = False
    config.keep_alive_timeout = _KEEP_ALIVE_SEC
    context = WorkerContext(None)
    wrapped = ASGIWrapper(cast(ASGIFramework, app))
    connections: set[Connection] = set()

    async def handle(stream: trio.SocketStream) -> None:
        connection = Connection(stream)
        connections.add(connection)
        state = ConnectionState({"connection": connection})
        duck = cast("trio.SSLStream[trio.SocketStream]", connection)
        try:
            await TCPServer(wrapped, config, context, state, duck).run()
        except* Exception:
            logger.exception("A connection failed")
        finally:
            connections.discard(connection)
            connection.close()

    async with trio.open_nursery() as nursery:
        try:
            await trio.serve_listeners(handle, list(listeners), handler_nursery=nursery)
        finally:
            # Hypercorn shields its sends: a client that does not read would delay the end.
            for connection in connections:
                connection.close()
