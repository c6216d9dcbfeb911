"""A socket to the broker: opened whole, or closed and given up."""

from __future__ import annotations

import gc
import socket
import ssl
import struct
import warnings
from typing import TYPE_CHECKING

import pytest
import trio

from snexec.broker.dial import connect

if TYPE_CHECKING:
    from tests.conftest import Authority

LINGER_NONE = struct.pack("ii", 1, 0)  # to reset when it is closed


async def test_a_connection_that_is_reset_before_tls_begins_is_closed(
    nursery: trio.Nursery, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def handle(stream: trio.SocketStream) -> None:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NONE)
        stream.socket.close()

    open_tcp_stream = trio.open_tcp_stream

    async def open_and_wait(host: str, port: int) -> trio.SocketStream:
        stream = await open_tcp_stream(host, port)
        await trio.lowlevel.wait_readable(stream.socket)
        return stream

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, handle, [listener])
    context = ssl.create_default_context(cafile=authority.bundle)
    monkeypatch.setattr(trio, "open_tcp_stream", open_and_wait)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with trio.fail_after(30), pytest.raises(OSError, match=r"not connected|reset"):
            await connect("127.0.0.1", listener.socket.getsockname()[1], context)
        gc.collect()
    assert [str(warning.message) for warning in caught] == []
