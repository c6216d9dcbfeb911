"""Many connections: none of them keeps out who has the cookie, or takes the orders' time."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
import trio

from snexec.web.server import MOST_CONNECTIONS
from tests.web.site import head

if TYPE_CHECKING:
    from tests.web.site import Site


async def is_closed(stream: trio.SocketStream) -> bool:
    with trio.move_on_after(0.05):
        try:
            return await stream.receive_some() == b""
        except trio.BrokenResourceError:
            return True
    return False


async def answered(stream: trio.SocketStream, asked: bytes) -> bool:
    """Ask for a snapshot, and return whether all of it comes."""
    got = b""
    await stream.send_all(asked)
    with trio.move_on_after(5):
        while b'"exits":' not in got and (data := await stream.receive_some()):
            got += data
    return got.startswith(b"HTTP/1.1 200 ") and b'"exits":' in got


async def test_of_a_thousand_connections_few_are_held_and_the_operator_gets_in(
    site: Site,
) -> None:
    late: list[float] = []

    async def tick() -> None:
        while True:
            before = trio.current_time()
            await trio.sleep(0.01)
            late.append(trio.current_time() - before - 0.01)

    async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
        nursery.start_soon(tick)
        streams = []
        with trio.fail_after(60):
            for _ in range(1000):
                stream = await trio.open_tcp_stream("127.0.0.1", site.port)
                streams.append(await stack.enter_async_context(stream))
        assert (await site.get("/api/snapshot")).status_code == 200
        held = [stream for stream in streams if not await is_closed(stream)]
        assert len(held) <= MOST_CONNECTIONS
        nursery.cancel_scope.cancel()
    late.sort()
    assert late[len(late) // 2] < 0.02, "half of all turns of the loop came in time"


async def test_room_is_made_by_who_has_shown_no_cookie(site: Site) -> None:
    asked = head("GET", "/api/snapshot", site.port, f"Cookie: {site.cookie}")
    async with AsyncExitStack() as stack:
        trusted = await trio.open_tcp_stream("127.0.0.1", site.port)
        await stack.enter_async_context(trusted)
        assert await answered(trusted, asked)
        for _ in range(MOST_CONNECTIONS + 10):
            stream = await trio.open_tcp_stream("127.0.0.1", site.port)
            await stack.enter_async_context(stream)
        await trio.sleep(0.5)
        assert await answered(trusted, asked)


async def test_where_all_have_the_cookie_one_more_is_closed_at_once(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snexec.web.server.MOST_CONNECTIONS", 3)
    asked = head("GET", "/api/snapshot", site.port, f"Cookie: {site.cookie}")
    async with AsyncExitStack() as stack:
        for _ in range(3):
            stream = await trio.open_tcp_stream("127.0.0.1", site.port)
            await stack.enter_async_context(stream)
            assert await answered(stream, asked)
        more = await trio.open_tcp_stream("127.0.0.1", site.port)
        await stack.enter_async_context(more)
        await trio.sleep(0.1)
        assert await is_closed(more)
