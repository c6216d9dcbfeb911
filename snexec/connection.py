"""One WebSocket connection, opened and closed whole; trio-websocket stays in here."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlsplit

import trio
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    HandshakeError,
    WebSocketConnection,
    wrap_client_stream,
)

from snexec.errors import first_words

__all__ = [
    "ConnectionClosed",
    "ConnectionRejected",
    "HandshakeError",
    "WebSocketConnection",
    "close_reason",
    "leaves",
    "limit",
    "open_connection",
    "reasons",
]

CLOSE_SECONDS = 1.0  # for both sides to say goodbye
_GOODBYE_SECONDS = 0.1  # for us to say it, when the daemon stops
_READ_BYTES = 16 * 1024
_CONNECT_SECONDS = 10.0
# Frames wait here while a handler waits for the database; when it is full, pongs are
# not seen either, and the connection is taken for dead and replaced.
_FRAMES_WAITING = 2000

E = TypeVar("E", bound=BaseException)


@asynccontextmanager
async def open_connection(
    address: str, tls: Callable[[], ssl.SSLContext]
) -> AsyncIterator[WebSocketConnection]:
    """Open a connection that is closed, all of it, when the block is left.

    A block that ends by itself leaves time for the closing handshake; a cancelled one
    only says goodbye.

    Args:
        address: A ws:// or wss:// URL.
        tls: Makes the context that verifies a wss:// host.

    Raises:
        TooSlowError: No connection, or no answer to the handshake, in time.
        OSError: No connection.
        BrokenResourceError: The host's certificate is not trusted.
        BaseExceptionGroup: The handshake was refused (ConnectionRejected), or what the
            block itself raises.
    """
    url = urlsplit(address)
    with limit(_CONNECT_SECONDS, "no connection"):
        transport = _Transport(await _dial(url, tls))
    try:
        async with trio.open_nursery() as nursery:
            with (
                limit(_CONNECT_SECONDS, "no answer to the handshake"),
                transport.handshake,
            ):
                socket = await wrap_client_stream(
                    nursery,
                    transport,  # type: ignore[arg-type]  # any stream does
                    url.netloc,
                    url.path,
                    message_queue_size=_FRAMES_WAITING,
                    receive_buffer_size=_READ_BYTES,
                )
            if transport.handshake.cancelled_caught:
                raise OSError("closed during the handshake")
            goodbye_seconds = _GOODBYE_SECONDS
            try:
                yield socket
                goodbye_seconds = CLOSE_SECONDS
            finally:
                # Alpaca keeps one slot per account.
                with trio.move_on_after(goodbye_seconds, shield=True):
                    await socket.aclose()
            nursery.cancel_scope.cancel(reason="the connection is done with")
    finally:
        # trio-websocket leaves the transport open where the server closed first.
        await trio.aclose_forcefully(transport)


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
    """A stream whose end also ends the handshake, which would wait for ever."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self.handshake = trio.CancelScope()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        data: bytes | bytearray = b""
        try:
            data = await self._stream.receive_some(max_bytes)
        finally:
            if not data:
                self.handshake.cancel(reason="the connection has ended")
        return bytes(data)

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


@contextmanager
def limit(seconds: float, problem: str) -> Iterator[None]:
    """Bound a wait, and say in the error what was waited for."""
    with trio.move_on_after(seconds) as scope:
        yield
    if scope.cancelled_caught:
        raise trio.TooSlowError(f"{problem} within {seconds:g} s")


def leaves(group: BaseExceptionGroup[E]) -> Iterator[E]:
    """Yield the errors of a group, however deep they lie."""
    for exc in group.exceptions:
        if isinstance(exc, BaseExceptionGroup):
            yield from leaves(exc)
        else:
            yield exc


def reasons(group: BaseExceptionGroup[Any]) -> str:
    """Say why a connection ended, by the errors that ended it."""
    return "; ".join(close_reason(exc) for exc in leaves(group))


def close_reason(exc: BaseException) -> str:
    """Say why a connection ended, by one error."""
    if not isinstance(exc, ConnectionClosed):
        return first_words(exc) or type(exc).__name__
    reason = exc.reason
    if reason is None:
        return "by us"
    if isinstance(reason, int):
        return str(reason)
    return f"{reason.code} {reason.name} {reason.reason or ''}".rstrip()
