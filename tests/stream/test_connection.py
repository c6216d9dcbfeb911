from __future__ import annotations

import ssl

import pytest
import trio
from trio_websocket import (
    ConnectionClosed,
    WebSocketRequest,
    serve_websocket,
)

from snexec.errors import StreamClosedError, StreamRejectedError
from snexec.stream.connection import open_connection
from tests.input_helpers import serve_once


def no_tls() -> ssl.SSLContext:
    raise AssertionError("a ws:// host needs no certificate")


async def test_a_handshake_that_is_cut_is_noticed_at_once(
    nursery: trio.Nursery,
) -> None:
    host = await serve_once(nursery, b"HTTP/1.1 101 Switching")
    with trio.fail_after(2):
        with pytest.RaisesGroup(pytest.RaisesExc(OSError, match="handshake")):
            async with open_connection(f"ws://{host}/stream", no_tls):
                raise AssertionError("there is no connection")


async def test_a_refused_handshake_tells_its_status(nursery: trio.Nursery) -> None:
    host = await serve_once(
        nursery, b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n"
    )
    with trio.fail_after(2), pytest.raises(StreamRejectedError) as refused:
        async with open_connection(f"ws://{host}/stream", no_tls):
            raise AssertionError("there is no connection")
    assert refused.value.status_code == 429


@pytest.mark.parametrize("cancelled", [True, False])
async def test_the_other_side_is_told_goodbye_however_the_block_ends(
    nursery: trio.Nursery, cancelled: bool
) -> None:
    closed: list[str] = []
    done = trio.Event()

    async def handler(request: WebSocketRequest) -> None:
        socket = await request.accept()
        try:
            await socket.get_message()
        except ConnectionClosed as exc:
            closed.append(repr(exc.reason))
            done.set()

    server = await nursery.start(serve_websocket, handler, "127.0.0.1", 0, None)
    with trio.fail_after(2):
        with trio.CancelScope() as scope:
            async with open_connection(f"ws://127.0.0.1:{server.port}/s", no_tls):
                if cancelled:
                    scope.cancel()
                    await trio.sleep_forever()
        await done.wait()

    assert scope.cancelled_caught is cancelled
    [reason] = closed
    assert "NORMAL_CLOSURE" in reason
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("code", "words", "told"),
    [(1000, None, "1000 NORMAL_CLOSURE"), (4001, "bye", "4001 PRIVATE_RESERVED bye")],
)
async def test_a_close_is_our_error_and_says_why(
    nursery: trio.Nursery, code: int, words: str | None, told: str
) -> None:
    async def handler(request: WebSocketRequest) -> None:
        socket = await request.accept()
        await socket.aclose(code=code, reason=words)

    server = await nursery.start(serve_websocket, handler, "127.0.0.1", 0, None)
    async with open_connection(f"ws://127.0.0.1:{server.port}/s", no_tls) as socket:
        with trio.fail_after(2), pytest.raises(StreamClosedError) as closed:
            await socket.get_message()
        for use in (socket.ping(), socket.send_message("late")):
            with trio.fail_after(2), pytest.raises(StreamClosedError):
                await use
    assert str(closed.value) == told
    nursery.cancel_scope.cancel()
