"""Look-ups of host names: a name that hangs holds up no other, and nothing else."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
import trio

from snexec.names import HostNames

if TYPE_CHECKING:
    from collections.abc import Iterator

ANSWER = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))]


class Resolver:
    """The system's resolver, which hangs at some names.

    Attributes:
        asked: The names, as they came.
        hung: How many threads hang.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.may_answer = threading.Event()

    def getaddrinfo(self, host: bytes, *_more: Any, flags: int = 0) -> Any:  # noqa: ANN401
        del flags
        name = host.decode()
        self.asked.append(name)
        if "hung" in name:
            self.may_answer.wait(10)
        return ANSWER


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    resolver = Resolver()
    original = socket.getaddrinfo

    def getaddrinfo(host: Any, *more: Any) -> Any:  # noqa: ANN401
        if more[-1] & socket.AI_NUMERICHOST:
            return original(host, *more)
        return resolver.getaddrinfo(host, *more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield resolver
    resolver.may_answer.set()


async def look_up(name: str) -> Any:  # noqa: ANN401
    return await trio.socket.getaddrinfo(name, 80)


async def test_a_name_is_looked_up_in_a_thread_of_its_host(resolver: Resolver) -> None:
    with HostNames() as names:
        assert await look_up("broker.test") == ANSWER
        assert await look_up("BROKER.test") == ANSWER
    assert [name.lower() for name in resolver.asked] == ["broker.test"] * 2
    assert list(names._threads) == ["broker.test"]


async def test_an_address_needs_no_thread(resolver: Resolver) -> None:
    with HostNames() as names:
        await look_up("127.0.0.1")
    assert resolver.asked == []
    assert names._threads == {}


async def test_a_name_that_hangs_takes_two_threads_and_holds_up_no_other(
    resolver: Resolver,
) -> None:
    with HostNames(), trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(look_up, "hung.test")
            for _ in range(10):
                assert await look_up("broker.test") == ANSWER
            nursery.cancel_scope.cancel()
        for _ in range(10):
            with trio.move_on_after(0.001) as given_up:
                await look_up("hung.test")
            assert given_up.cancelled_caught
        assert resolver.asked.count("hung.test") == 2
        # What hangs ends some time, and its threads are free again.
        resolver.may_answer.set()
        assert await look_up("hung.test") == ANSWER


async def test_hung_names_leave_trios_own_threads_alone(resolver: Resolver) -> None:
    with HostNames(), trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(look_up, f"hung-{number}.test")
            await trio.to_thread.run_sync(int)
            assert trio.to_thread.current_default_thread_limiter().borrowed_tokens == 0
            nursery.cancel_scope.cancel()
    assert len(resolver.asked) <= 16, "eight hosts, two threads each"


async def test_a_name_that_cannot_be_asked_for_is_no_connection(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with HostNames():
        monkeypatch.setattr(threading.Thread, "start", no_start)
        with pytest.raises(OSError, match="can't start new thread"):
            await trio.open_tcp_stream("broker.test", 80)
    assert resolver.asked == []


async def test_names_of_addresses_are_looked_up_too() -> None:
    flags = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    with HostNames():
        found = await trio.socket.getnameinfo(("127.0.0.1", 80), flags)
    assert found == ("127.0.0.1", "80")


async def test_trios_own_way_is_back_in_the_end(resolver: Resolver) -> None:
    with HostNames() as names:
        pass
    await look_up("broker.test")
    assert names._threads == {}
    assert resolver.asked == ["broker.test"]
