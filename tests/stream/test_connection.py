from __future__ import annotations

import base64
import hashlib
import ssl
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing
from trio_websocket import (
    ConnectionClosed,
    WebSocketRequest,
    serve_websocket,
)

from snexec.bench.websocket import CLOSE, PING, PONG, frame, take_frame
from snexec.errors import StreamClosedError, StreamError, StreamRejectedError
from snexec.stream.connection import open_connection
from tests.input_helpers import serve_once


def no_tls() -> ssl.SSLContext:
    raise AssertionError("a ws:// host needs no certificate")


async def test_a_handshake_that_is_cut_is_noticed_at_once(
    nursery: trio.Nursery,
) -> None:
    host = await serve_once(nursery, b"HTTP/1.1 101 Switching")
    with trio.fail_after(30):
        with pytest.RaisesGroup(pytest.RaisesExc(OSError, match="handshake")):
            async with open_connection(f"ws://{host}/stream", no_tls):
                raise AssertionError("there is no connection")


async def test_a_refused_handshake_tells_its_status(nursery: trio.Nursery) -> None:
    host = await serve_once(
        nursery, b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n"
    )
    with trio.fail_after(30), pytest.raises(StreamRejectedError) as refused:
        async with open_connection(f"ws://{host}/stream", no_tls):
            raise AssertionError("there is no connection")
    assert refused.value.status_code == 429


SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\n"
UPGRADE = b"Upgrade: websocket\r\nConnection: Upgrade\r\n"


def key_of(head: bytes) -> bytes:
    """Return what a handshake must be answered with."""
    key = head.lower().partition(b"sec-websocket-key: ")[2].partition(b"\r\n")[0]
    key = head[head.lower().index(key) :][: len(key)]
    digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()  # noqa: S324
    return b"Sec-WebSocket-Accept: %s\r\n" % base64.b64encode(digest)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda _: SWITCHING + UPGRADE + b"\r\n", "Bad accept token"),
        (
            lambda _: SWITCHING + UPGRADE + b"Sec-WebSocket-Accept: AAAA\r\n\r\n",
            "Bad accept token",
        ),
        (lambda head: SWITCHING + key_of(head) + b"\r\n", "Missing header"),
        (
            lambda head: (
                SWITCHING
                + UPGRADE
                + key_of(head)
                + b"Sec-WebSocket-Protocol: x\r\n\r\n"
            ),
            "unrecognized subprotocol",
        ),
        (
            lambda head: (
                SWITCHING
                + UPGRADE
                + key_of(head)
                + b"Sec-WebSocket-Extensions: \xff\r\n\r\n"
            ),
            "can't decode byte 0xff",
        ),
        (lambda _: b"\x16\x03\x01 not HTTP\r\n\r\n", "illegal status line"),
        (lambda _: b"\0\0\x12\x04\0\0\0\0\0", "illegal"),
        (lambda _: SWITCHING + b"X: " + b"y" * 300_000, "too long"),
        (lambda _: SWITCHING + b"X: y\r\n" * 50_000, "too long"),
    ],
    ids=[
        "no key",
        "wrong key",
        "no upgrade",
        "unknown protocol",
        "no ASCII",
        "no HTTP",
        "HTTP/2",
        "a header without end",
        "headers without end",
    ],
)
async def test_what_is_no_handshake_is_our_error_in_few_words(
    nursery: trio.Nursery, answer: Callable[[bytes], bytes], told: str
) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        try:
            await stream.send_all(answer(await stream.receive_some()))
            await trio.sleep_forever()
        except trio.BrokenResourceError:
            pass  # it has read enough

    listener, *_ = await nursery.start(trio.serve_tcp, serve, 0)
    port = listener.socket.getsockname()[1]
    with (
        trio.fail_after(30),
        pytest.RaisesGroup(
            pytest.RaisesExc(StreamError, match=told),
            flatten_subgroups=True,
            allow_unwrapped=True,
        ),
    ):
        async with open_connection(f"ws://127.0.0.1:{port}/stream", no_tls):
            raise AssertionError("there is no connection")
    nursery.cancel_scope.cancel()


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
    with trio.fail_after(30):
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
        with trio.fail_after(30), pytest.raises(StreamClosedError) as closed:
            await socket.get_message()
        for use in (socket.ping(), socket.send_message("late")):
            with trio.fail_after(30), pytest.raises(StreamClosedError):
                await use
    assert str(closed.value) == told
    nursery.cancel_scope.cancel()


async def test_a_frame_that_is_far_too_long_ends_the_connection(
    nursery: trio.Nursery,
) -> None:
    async def handler(request: WebSocketRequest) -> None:
        socket = await request.accept()
        await socket.send_message("x" * 32_768)
        await socket.send_message("x" * 32_769)

    server = await nursery.start(serve_websocket, handler, "127.0.0.1", 0, None)
    async with open_connection(f"ws://127.0.0.1:{server.port}/s", no_tls) as socket:
        with trio.fail_after(30):
            assert len(await socket.get_message()) == 32_768
            with pytest.raises(StreamClosedError):
                await socket.get_message()
    nursery.cancel_scope.cancel()


async def serve_raw(
    nursery: trio.Nursery, speak: Callable[[trio.SocketStream, bytes], Awaitable[None]]
) -> str:
    """Serve what a library would not send; the speaker gets a good handshake's answer."""

    async def serve(stream: trio.SocketStream) -> None:
        head = await stream.receive_some()
        answer = SWITCHING + UPGRADE + key_of(bytes(head)) + b"\r\n"
        await speak(stream, answer)
        await trio.sleep_forever()

    listener, *_ = await nursery.start(trio.serve_tcp, serve, 0)
    return f"ws://127.0.0.1:{listener.socket.getsockname()[1]}/s"


async def test_messages_keep_their_order_whether_they_come_whole_or_in_parts(
    nursery: trio.Nursery,
) -> None:
    parts = bytes([0x01, 1]) + b"2" + bytes([0x80, 1]) + b"3"

    async def speak(stream: trio.SocketStream, answer: bytes) -> None:
        await stream.send_all(answer + frame(b"1") + parts + frame(b"4"))
        await stream.send_all(frame(b"5") + frame(b"", CLOSE))

    url = await serve_raw(nursery, speak)
    async with open_connection(url, no_tls) as socket:
        with trio.fail_after(30):
            messages = [await socket.get_message() for _ in range(4)]
            with pytest.raises(StreamClosedError):
                await socket.get_message()
    assert messages == [b"1", "23", b"4", b"5"]
    nursery.cancel_scope.cancel()


async def test_what_a_taker_raises_is_raised_in_the_block_and_the_reader_goes_on(
    nursery: trio.Nursery,
) -> None:
    raised, ponged = trio.Event(), trio.Event()

    async def speak(stream: trio.SocketStream, answer: bytes) -> None:
        await stream.send_all(answer)
        while not raised.is_set():  # until one comes while it is waited for
            await stream.send_all(frame(b"1"))
            await trio.testing.wait_all_tasks_blocked()
        await stream.send_all(frame(b"here?", PING))
        data = bytearray()
        while (found := take_frame(data)) is None:
            data += await stream.receive_some()
        assert found == (PONG, b"here?")
        ponged.set()

    def fall(_message: str | bytes) -> bool:
        raise ZeroDivisionError

    url = await serve_raw(nursery, speak)
    async with open_connection(url, no_tls) as socket:
        with trio.fail_after(30):
            with pytest.raises(ZeroDivisionError):  # noqa: PT012 - one may come before
                while True:
                    await socket.hand_on(fall)
            raised.set()
            await ponged.wait()
    nursery.cancel_scope.cancel()


async def test_a_ping_amid_messages_is_answered(nursery: trio.Nursery) -> None:
    answered = trio.Event()

    async def speak(stream: trio.SocketStream, answer: bytes) -> None:
        await stream.send_all(
            answer + frame(b"1") + frame(b"here?", PING) + frame(b"2")
        )
        data = bytearray()
        while (found := take_frame(data)) is None:
            data += await stream.receive_some()
        assert found == (PONG, b"here?")
        answered.set()

    url = await serve_raw(nursery, speak)
    async with open_connection(url, no_tls) as socket:
        with trio.fail_after(30):
            assert [await socket.get_message() for _ in range(2)] == [b"1", b"2"]
            await answered.wait()
    nursery.cancel_scope.cancel()
