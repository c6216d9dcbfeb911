"""One WebSocket connection, opened and closed as a whole; only here is trio-websocket."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import SplitResult, urlsplit

import trio
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    HandshakeError,
    WebSocketConnection,
    wrap_client_stream,
)

from snexec.errors import (
    StreamClosedError,
    StreamError,
    StreamRejectedError,
    leaves,
    reasons,
)
from snexec.stream.timeouts import limit
from snexec.stream.whole_frames import WholeFrames

CLOSE_SECONDS = 1.0  # for both sides to say goodbye
_GOODBYE_SECONDS = 0.1  # for our own goodbye, when the daemon stops
_READ_BYTES = 64 * 1024
_CONNECT_SECONDS = 10.0
# How many frames may wait while a handler waits for the database. When that many do,
# pongs are not seen either, and the connection is taken for dead and replaced.
_FRAMES_WAITING = 2000
_NO_CONNECTION = (OSError, trio.BrokenResourceError, trio.TooSlowError, HandshakeError)
_FRAME_BYTES = 32 * 1024


class Socket:
    """An open connection, whose errors are ours.

    Its methods raise StreamClosedError once it is closed.
    """

    def __init__(self, connection: WebSocketConnection, frames: WholeFrames) -> None:
        self._connection = connection
        self._frames = frames

    async def get_message(self) -> str | bytes:
        """Return the next text or binary message; a text may come as its bytes."""
        return await self._frames.get()

    async def hand_on(self, take: Callable[[str | bytes], bool]) -> str | bytes:
        """Hand on messages in the step in which each is received, until one is left.

        Args:
            take: Must not wait; returns whether it took the message. What it raises, this
                does, and nothing more is taken.

        Returns:
            The next message that was not taken, or came while this was not waiting.
        """
        return await self._frames.get(take)

    async def send_message(self, text: str) -> None:
        """Send a text message."""
        try:
            await self._connection.send_message(text)
        except ConnectionClosed as exc:
            raise _closed(exc) from None

    async def ping(self) -> None:
        """Send a ping, and wait for the pong."""
        try:
            await self._connection.ping()
        except ConnectionClosed as exc:
            raise _closed(exc) from None

    async def aclose(self) -> None:
        """Close it, and give the other side a moment to say goodbye."""
        with trio.move_on_after(CLOSE_SECONDS):
            await self._connection.aclose()


@asynccontextmanager
async def open_connection(
    address: str, tls: Callable[[], ssl.SSLContext], frame_bytes: int = _FRAME_BYTES
) -> AsyncIterator[Socket]:
    """Open a connection, which is closed completely when the block ends.

    A block that ends by itself leaves time for the closing handshake; after a cancelled
    one we only say goodbye.

    Args:
        address: A ws:// or wss:// URL.
        tls: Makes the context that verifies a wss:// host.
        frame_bytes: The longest frame; a longer one ends the connection.

    Raises:
        TooSlowError: No connection, or no answer to the handshake, in time.
        OSError: No connection.
        BrokenResourceError: The host's certificate is not trusted.
        StreamRejectedError: The handshake was answered with a status other than 101.
        StreamError: The handshake failed, or its answer is none.
        BaseExceptionGroup: What the block itself raises; the above may be in one too.
    """
    try:
        async with _open(address, tls, frame_bytes) as socket:
            yield socket
    except* ConnectionRejected as group:
        raise StreamRejectedError(next(leaves(group)).status_code) from None
    except* HandshakeError as group:
        raise StreamError(reasons(group)) from None


@asynccontextmanager
async def _open(
    address: str, tls: Callable[[], ssl.SSLContext], frame_bytes: int
) -> AsyncIterator[Socket]:
    url = urlsplit(address)
    frames = WholeFrames(frame_bytes, _FRAMES_WAITING)
    with limit(_CONNECT_SECONDS, "no connection"):
        transport = _Transport(await _dial(url, tls), frames)
    opened = False
    try:
        async with trio.open_nursery() as nursery:
            with (
                limit(_CONNECT_SECONDS, "no answer to the handshake"),
                transport.handshake,
            ):
                connection = await wrap_client_stream(
                    nursery,
                    transport,  # type: ignore[arg-type]  # any stream does
                    url.netloc,
                    url.path,
                    message_queue_size=_FRAMES_WAITING,
                    max_message_size=frame_bytes,
                    receive_buffer_size=_READ_BYTES,
                )
            if transport.handshake.cancelled_caught:
                raise OSError("closed during the handshake")  # noqa: TRY301 - as below
            nursery.start_soon(_take_the_rest, connection, frames)
            goodbye_seconds = _GOODBYE_SECONDS
            opened = True
            try:
                yield Socket(connection, frames)
                goodbye_seconds = CLOSE_SECONDS
            finally:
                # Alpaca keeps one slot per account.
                with trio.move_on_after(goodbye_seconds, shield=True):
                    await connection.aclose()
            nursery.cancel_scope.cancel(reason="the connection is done with")
    except* Exception as group:
        nonsense = group.split(_NO_CONNECTION)[1]
        if opened or nonsense is None:
            raise
        # The libraries fail in many ways on what is no handshake, and then fail again.
        words = "; ".join(_root_words(exc) for exc in leaves(nonsense))
        raise StreamError(
            f"what answers is no trading stream ({words}): check the URL, and what"
            " stands in between"
        ) from None
    finally:
        # trio-websocket leaves the transport open where the server closed first.
        await trio.aclose_forcefully(transport)


async def _take_the_rest(connection: WebSocketConnection, frames: WholeFrames) -> None:
    """Take the messages that did not come in whole frames, until the connection ends."""
    try:
        while True:
            frames.add(await connection.get_message())
    except ConnectionClosed as exc:
        frames.end(_closed(exc))


async def _dial(url: SplitResult, tls: Callable[[], ssl.SSLContext]) -> trio.abc.Stream:
    assert url.hostname is not None  # noqa: S101 - the settings are validated
    secure = url.scheme == "wss"
    stream = await trio.open_tcp_stream(
        url.hostname, url.port or (443 if secure else 80)
    )
    if not secure:
        return stream
    secured = trio.SSLStream(
        stream, tls(), server_hostname=url.hostname, https_compatible=True
    )
    try:
        await secured.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(secured)
        raise
    return secured


class _Transport(trio.abc.Stream):
    """A stream whose end also ends the handshake, which would wait forever.

    Args:
        stream: The connection.
        frames: Takes messages; what is left is received.
    """

    def __init__(self, stream: trio.abc.Stream, frames: WholeFrames) -> None:
        self._stream = stream
        self._frames = frames
        self.handshake = trio.CancelScope()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        left = b""
        while not left:
            await self._frames.wait_room()
            data: bytes | bytearray = b""
            try:
                data = await self._stream.receive_some(max_bytes)
            finally:
                if not data:
                    self.handshake.cancel(reason="the connection has ended")
            if not data:
                break
            left = self._frames.take(bytes(data))
        return left

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        try:
            await self._stream.send_all(data)
        except trio.BrokenResourceError:
            self.handshake.cancel(reason="the connection has ended")
            raise

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


def _root_words(exc: BaseException) -> str:
    """Return what the error said that the others came from."""
    while exc.__context__ is not None:
        exc = exc.__context__
    return str(exc) or type(exc).__name__


def _closed(exc: ConnectionClosed) -> StreamClosedError:
    reason = exc.reason
    if reason is None:
        return StreamClosedError("by us")
    if isinstance(reason, int):
        return StreamClosedError(str(reason))
    words = f"{reason.code} {reason.name} {reason.reason or ''}"
    return StreamClosedError(words.rstrip())
