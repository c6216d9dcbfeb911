"""The server of pages alone: what it answers, and what no client can do to it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio

from snexec.errors import StartError
from snexec.ops.pages import Page, PageServer, open_page_listeners
from tests.ops.scraping import fetch


@pytest.fixture
async def port(nursery: trio.Nursery) -> AsyncIterator[int]:
    """Give the port of a server with one page."""

    async def page(accept: str) -> Page:
        await trio.lowlevel.checkpoint()
        return Page(body=accept.encode() or b"hello")

    listeners = await open_page_listeners("127.0.0.1", 0, key="metrics.listen")
    nursery.start_soon(PageServer({"/page": page}).run, listeners)
    yield listeners[0].socket.getsockname()[1]
    nursery.cancel_scope.cancel()


async def test_pages_are_found_by_their_path(port: int) -> None:
    assert await fetch(port, "/page") == (200, await head_of(port, "/page"), "hello")
    assert (await fetch(port, "/page?x=1"))[0] == 200
    assert (await fetch(port, "/page", head="Accept: text/html\r\n"))[2] == "text/html"
    status, _, body = await fetch(port, "/other")
    assert (status, body) == (404, "here are /page\n")


async def head_of(port: int, path: str) -> str:
    return (await fetch(port, path))[1]


async def raw(port: int, data: bytes) -> bytes:
    with trio.fail_after(15):
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            try:
                await stream.send_all(data)
                return b"".join([chunk async for chunk in stream])
            except trio.BrokenResourceError:
                return b""


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"POST /page HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", b"405"),
        (b"GET /page HTTP/1.1\r\n\r\n", b"400"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /page HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", b"431"),
        (b"GET /page HTTP/1.0\r\n\r\n", b"200"),
    ],
)
async def test_whatever_is_asked_is_answered_and_the_server_lives_on(
    port: int, data: bytes, status: bytes
) -> None:
    assert (await raw(port, data)).startswith(b"HTTP/1.1 " + status)
    assert (await fetch(port, "/page"))[0] == 200


async def test_a_head_request_gets_no_body(port: int) -> None:
    answer = await raw(port, b"HEAD /page HTTP/1.1\r\nHost: x\r\n\r\n")

    assert answer.endswith(b"\r\n\r\n")
    assert b"content-length: 5" in answer


async def test_clients_that_say_nothing_are_bounded_and_do_not_disturb(
    port: int,
) -> None:
    held = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(20)]
    await trio.sleep(0.1)
    with trio.fail_after(2):
        assert await held[-1].receive_some() == b"", "one too many is closed at once"
    for stream in held[:8]:
        await stream.aclose()
    await trio.sleep(0.1)
    assert (await fetch(port, "/page"))[0] == 200
    for stream in held[8:]:
        await stream.aclose()


async def test_a_client_that_says_nothing_is_closed_in_time(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snexec.ops.pages._SECONDS", 0.2)
    assert await raw(port, b"GET /page HTTP/1.1\r\n") == b""


async def test_an_address_that_cannot_be_listened_at_refuses_the_start() -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]

    with pytest.raises(StartError) as caught:
        await open_page_listeners("127.0.0.1", port, key="metrics.listen")
    assert str(caught.value) == (
        f"metrics.listen: cannot listen at 127.0.0.1 port {port}:"
        " Address already in use"
    )
    with pytest.raises(StartError, match=r"metrics.listen: cannot listen at 192.0.2.1"):
        await open_page_listeners("192.0.2.1", 0, key="metrics.listen")
    await listener.aclose()
