"""One client's connection: HTTP/1.1 by Hypercorn's protocol, and a bound on all of it.

Hypercorn's own server for a connection has no bound on how long a body or an answer may
take, shields what it sends, and speaks HTTP/2 to whoever asks for it.
"""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING

import trio
from h11 import Data, EndOfMessage, LocalProtocolError, Response
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.task_group import TaskGroup
from hypercorn.typing import ConnectionState
from hypercorn.utils import parse_socket_addr

from snexec.web.answers import TEXT

if TYPE_CHECKING:
    from h11 import InformationalResponse
    from hypercorn.config import Config
    from hypercorn.trio.worker_context import WorkerContext
    from hypercorn.typing import ASGIFramework

    from snexec.web.pace import Pace

HEAD_SECONDS = 10.0  # TLS's handshake, waiting, and a request's head, all together
REQUEST_SECONDS = 15.0  # a request's body and its whole answer
_SEND_SECONDS = 10.0  # for one piece of an answer, of at most some 100 kB
_LINGER_SECONDS = 1.0  # so that the answer is read before the connection ends
_READ_BYTES = 16 * 1024

Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]


class Connection:
    """Serves a client until it or a time is up.

    Args:
        stream: To the client.
        config: Hypercorn's.
        context: Hypercorn's.
        pace: How often any client may ask.

    Attributes:
        is_trusted: Whether a request showed the page's cookie: it is not ended to make
            room for others.
    """

    def __init__(
        self, stream: Stream, config: Config, context: WorkerContext, pace: Pace
    ) -> None:
        self.is_trusted = False
        self._stream = stream
        self._config = config
        self._context = context
        self._pace = pace
        self._scope = trio.CancelScope()
        self._sending = trio.Lock()
        self._is_over = False

    def allow(self, seconds: float = math.inf) -> None:
        """Let this request's answer take so long; each piece of it is bounded still."""
        self._scope.deadline = trio.current_time() + seconds

    def end(self) -> None:
        """End it at once."""
        self._scope.cancel(reason="there is no room for it any more")

    async def serve(self, app: ASGIFramework) -> None:
        """Serve one request after the other."""
        try:
            with self._scope:
                self.allow(HEAD_SECONDS)
                await self._serve(app)
        finally:
            await trio.aclose_forcefully(self._stream)

    async def _serve(self, app: ASGIFramework) -> None:
        stream = self._stream
        if isinstance(stream, trio.SSLStream):
            await stream.do_handshake()
            socket = stream.transport_stream.socket
        else:
            socket = stream.socket
        async with TaskGroup() as tasks:
            protocol = _Protocol(
                *(ASGIWrapper(app), self._config, self._context, tasks),
                ConnectionState({"connection": self}),
                isinstance(stream, trio.SSLStream),
                parse_socket_addr(socket.family, socket.getpeername()),
                parse_socket_addr(socket.family, socket.getsockname()),
                self._send,
            )
            while data := await stream.receive_some(_READ_BYTES):
                if not self._is_over:
                    await protocol.handle(RawData(bytes(data)))
            await protocol.handle(Closed())

    async def _send(self, event: Event) -> None:
        if isinstance(event, RawData):
            await self._send_data(event.data)
        elif isinstance(event, Closed):
            await self._say_end()
        elif isinstance(event, Updated) and event.idle:
            self.allow(HEAD_SECONDS)
        elif isinstance(event, Updated):
            await self._pace.turn()
            self.allow(REQUEST_SECONDS)

    async def _send_data(self, data: bytes) -> None:
        try:
            async with self._sending:
                with trio.move_on_after(_SEND_SECONDS) as patience:
                    await self._stream.send_all(data)
        except trio.ClosedResourceError:
            return  # its end was said while this was made
        except trio.BrokenResourceError:
            # Here and not in what answers: that a browser goes is no failure of it.
            self._scope.cancel(reason="it has gone")
            return
        if patience.cancelled_caught:
            self._scope.cancel(reason="it does not read what it is sent")

    async def _say_end(self) -> None:
        """Answer nothing more; wait a moment for the client to have read it all."""
        self._is_over = True
        self.allow(_LINGER_SECONDS)
        if isinstance(self._stream, trio.SSLStream):
            self._scope.cancel(reason="it is over")
        else:
            async with self._sending:
                with contextlib.suppress(trio.BrokenResourceError):
                    await self._stream.send_eof()


_TOO_LONG = 431


class _Protocol(H11Protocol):
    """HTTP/1.1 only: an upgrade to HTTP/2 has bounds of its own, and is not offered."""

    async def _check_protocol(self, event: object) -> None:  # noqa: ARG002
        await trio.lowlevel.checkpoint()

    async def _send_h11_event(
        self, event: Data | EndOfMessage | InformationalResponse | Response
    ) -> None:
        try:
            await super()._send_h11_event(event)
        except LocalProtocolError:
            # Hypercorn answers 500 for what was cut off, though its head was begun.
            if trio.current_effective_deadline() > -math.inf:
                raise

    async def _send_error_response(self, status_code: int) -> None:
        most = self.config.h11_max_incomplete_size
        too_long = f"the request's head is longer than {most} bytes\n".encode()
        said = too_long if status_code == _TOO_LONG else b"this is no request\n"
        headers = [
            (b"content-type", TEXT.encode()),
            (b"content-length", str(len(said)).encode()),
            (b"connection", b"close"),
            *self.config.response_headers("h11"),
        ]
        await self._send_h11_event(Response(status_code=status_code, headers=headers))
        await self._send_h11_event(Data(data=said))
        await self._send_h11_event(EndOfMessage())
