"""Warm connections: in order, once, and never a storm."""

from __future__ import annotations

import collections
import contextlib
import gc
import random
import socket
import ssl
import struct
import warnings
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from snexec.broker import pool as pool_module
from snexec.broker import wire as wire_module
from snexec.broker.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snexec.broker.request import Reply, Request
    from tests.conftest import Authority

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Network:
    """What dialing gives, made of socket pairs whose other ends the test holds.

    Attributes:
        refuses: Whether nothing answers.
        closes: Whether what is opened is closed at once.
        seconds: How long a connection takes to open.
        dials: When each was dialed, on Trio's clock.
    """

    def __init__(self) -> None:
        self.refuses = False
        self.closes = False
        self.seconds = 0.0
        self.dials: list[float] = []
        self.ends: list[socket.socket] = []

    async def connect(
        self, _host: str, _port: int, _tls: ssl.SSLContext | None
    ) -> socket.socket:
        self.dials.append(trio.current_time())
        await trio.sleep(self.seconds)
        if self.refuses:
            raise ConnectionRefusedError("connection refused")
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        self.ends.append(theirs)
        if self.closes:
            theirs.close()
        return ours

    def received(self) -> list[bytes]:
        """Take what has arrived, connection by connection."""
        found = []
        for end in self.ends:
            try:
                found.append(end.recv(65536))
            except (BlockingIOError, OSError):
                found.append(b"")
        return found


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    """Give what answers the pool's dialing."""
    network = Network()
    monkeypatch.setattr(pool_module, "connect", network.connect)
    yield network
    for end in network.ends:
        end.close()


@pytest.fixture
async def pool(network: Network, nursery: trio.Nursery) -> Pool:
    """Give a pool that runs, with no warm connections yet."""
    del network
    pool = Pool("http://127.0.0.1:1", tls=None, dial_seconds=5.0)
    nursery.start_soon(pool.run)
    await wait_all_tasks_blocked()
    return pool


class Listening:
    """Notes what it hears of a request, and what it is asked."""

    def __init__(self, *, withheld: bool = False, names: bool = True) -> None:
        self.heard: list[str] = []
        self._withheld = withheld
        self._names = names

    def left(self) -> None:
        self.heard.append("left")

    def is_withheld(self) -> bool:
        self.heard.append("is it withheld?")
        return self._withheld

    def is_named_in(self, _reply: Reply) -> bool:
        return self._names

    def ended(self, request: Request) -> None:
        assert request.done.is_set()
        self.heard.append("ended")


def numbered(number: int) -> bytes:
    """Make a request that carries its place in the order."""
    return b"%04d" % number


async def test_a_request_leaves_in_the_very_call_that_hands_it_over(
    pool: Pool, network: Network
) -> None:
    pool.keep_warm(3)
    await wait_all_tasks_blocked()
    requests = [pool.submit(numbered(n)) for n in range(3)]
    assert all(request.sent for request in requests)
    assert sorted(network.received()) == [numbered(n) for n in range(3)]


async def test_a_connection_that_the_kernel_does_not_watch_is_as_one_that_is_refused(
    pool: Pool, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_what: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pool._readers, "add", fail)
        request = pool.submit(numbered(0))
        with trio.fail_after(5):
            await request.done.wait()
    assert not request.sent
    assert "No space left" in (request.problem or "")
    assert network.ends[0].recv(1) == b"", "it is closed"
    later = pool.submit(numbered(1))
    await wait_all_tasks_blocked()
    assert later.sent


async def test_requests_leave_in_the_order_of_the_calls_whatever_they_wait_for(
    pool: Pool, network: Network
) -> None:
    network.seconds = 0.001
    requests = [pool.submit(numbered(n)) for n in range(60)]
    left: list[int] = []
    with trio.fail_after(5):
        while len(left) < 60:
            await wait_all_tasks_blocked(0.002)
            got = [(end, data) for end, data in _arrived(network) if data]
            left += sorted(int(data) for _end, data in got)
            random.shuffle(got)
            for end, _data in got[: len(got) // 2 + 1]:
                end.send(ANSWER)
    # Connections open side by side, so nobody can order the requests of one moment.
    assert left == list(range(60))
    assert all(request.sent for request in requests)


def _arrived(network: Network) -> list[tuple[socket.socket, bytes]]:
    return list(zip(network.ends, network.received(), strict=True))


async def test_few_connections_serve_many_requests_first_come_first_served(
    pool: Pool, network: Network
) -> None:
    pool.keep_warm(1)
    await wait_all_tasks_blocked()
    network.seconds = 60.0  # no other one opens in time
    first, second, third = (pool.submit(numbered(n)) for n in range(3))
    for number, request in enumerate((first, second, third)):
        assert network.received()[0] == numbered(number)
        assert request.sent
        network.ends[0].send(ANSWER)
        await request.done.wait()
        await wait_all_tasks_blocked()
    assert third.reply is not None


async def test_warm_connections_are_open_before_any_order_and_replaced(
    pool: Pool, network: Network
) -> None:
    pool.keep_warm(10)
    await wait_all_tasks_blocked()
    assert len(network.dials) == len(pool._idle) == 10
    await _grow_old(pool)
    network.ends[3].close()
    with trio.fail_after(5):
        while len(network.dials) < 11:  # noqa: ASYNC110 - a socket sets no event
            await trio.sleep(0.01)
    await wait_all_tasks_blocked()
    assert len(pool._idle) == 10


async def test_no_more_is_replaced_once_none_shall_be_warm(
    pool: Pool, network: Network
) -> None:
    pool.keep_warm(3)
    await wait_all_tasks_blocked()
    pool.keep_warm(0)
    for end in network.ends:
        end.close()
    await wait_all_tasks_blocked(0.02)
    assert len(network.dials) == 3
    assert pool._idle == []


async def _grow_old(pool: Pool) -> None:
    for connection in pool._connections:
        connection._opened_at -= 60.0
    await wait_all_tasks_blocked()


@pytest.mark.jumping_time
async def test_a_server_that_closes_every_connection_is_dialed_ever_less(
    network: Network, nursery: trio.Nursery
) -> None:
    network.refuses = True
    pool = Pool("http://127.0.0.1:1", tls=None, dial_seconds=5.0)
    nursery.start_soon(pool.run)
    pool.keep_warm(64)
    await trio.sleep(3600)
    assert 30 < len(network.dials) < 100
    network.refuses = False
    await trio.sleep(120)
    assert len(pool._idle) == 64


async def test_a_connection_that_only_listens_is_replaced_and_closed_at_the_end(
    pool: Pool, network: Network
) -> None:
    pool.keep_warm(1)
    await wait_all_tasks_blocked()
    request = pool.submit(numbered(0), Listening(names=False))
    network.ends[0].send(ANSWER)
    await wait_all_tasks_blocked()
    assert request.done.is_set()
    assert (len(pool._retired), len(pool._idle), len(network.ends)) == (1, 1, 2)
    later = pool.submit(numbered(1))
    assert later.sent
    assert network.received() == [numbered(0), numbered(1)]


async def test_a_broker_that_refuses_thousands_has_a_few_connections_listened_to(
    pool: Pool, network: Network
) -> None:
    requests = []
    for number in range(100):
        requests.append(pool.submit(numbered(number), Listening(names=False)))
        await wait_all_tasks_blocked()
        network.ends[number].send(ANSWER)
        await wait_all_tasks_blocked()
    assert all(request.problem is None for request in requests)
    assert [request.is_over for request in requests] == [True] * 36 + [False] * 64
    assert len(pool._retired) == 64


@pytest.mark.jumping_time
async def test_the_first_order_after_an_outage_has_the_warm_ones_come_back(
    pool: Pool, network: Network
) -> None:
    network.refuses = True
    pool.keep_warm(8)
    await trio.sleep(600)
    dials = len(network.dials)
    while len(network.dials) == dials:  # noqa: ASYNC110 - a dial sets no event
        await trio.sleep(0.5)
    network.refuses = False  # the next try in the background is a minute away
    order = pool.submit(numbered(0))
    await trio.sleep(1)
    assert order.sent
    assert len(pool._connections) == 8


@pytest.mark.jumping_time
async def test_an_order_does_not_share_the_fate_of_a_connection_that_opens_for_long(
    pool: Pool, network: Network
) -> None:
    network.seconds = 60.0  # the first packet of each was lost
    pool.keep_warm(3)
    await trio.sleep(4.9)
    network.seconds = 0.05
    order = pool.submit(numbered(0))
    await trio.sleep(0.06)
    assert order.sent, "its own connection opened meanwhile"


@pytest.mark.jumping_time
async def test_an_order_does_not_wait_for_what_another_no_longer_needs(
    pool: Pool, network: Network
) -> None:
    pool.keep_warm(1)
    await wait_all_tasks_blocked()
    first = pool.submit(numbered(0))
    network.seconds = 60.0
    second = pool.submit(numbered(1))
    await wait_all_tasks_blocked()
    network.ends[0].send(ANSWER)
    await first.done.wait()
    assert second.sent
    network.seconds = 0.05
    third = pool.submit(numbered(2))
    await trio.sleep(0.06)
    assert third.sent


@pytest.mark.jumping_time
async def test_a_long_outage_with_thousands_of_orders_ends_like_a_short_one(
    network: Network, nursery: trio.Nursery
) -> None:
    network.refuses = True
    pool = Pool("http://127.0.0.1:1", tls=None, dial_seconds=5.0)
    nursery.start_soon(pool.run)
    pool.keep_warm(2)
    for number in range(2000):
        await pool.submit(numbered(number)).done.wait()
    await trio.sleep(600)
    network.refuses = False
    await trio.sleep(120)
    assert len(pool._idle) == 2


@pytest.mark.parametrize("how", ["refuses", "closes"])
async def test_an_order_at_a_dead_server_is_told_at_once_that_nothing_left(
    pool: Pool, network: Network, how: str
) -> None:
    setattr(network, how, True)
    requests = [pool.submit(numbered(n)) for n in range(5)]
    with trio.fail_after(2):
        for request in requests:
            await request.done.wait()
    assert not any(request.sent for request in requests)
    assert all(request.problem for request in requests)
    await wait_all_tasks_blocked(0.02)
    assert len(network.dials) <= 10, "no storm"


async def test_an_order_whose_dialing_fails_leaves_on_what_becomes_free(
    pool: Pool, network: Network
) -> None:
    pool.keep_warm(1)
    await wait_all_tasks_blocked()
    network.refuses = True
    first, second = pool.submit(numbered(0)), pool.submit(numbered(1))
    await wait_all_tasks_blocked()
    assert not second.done.is_set(), "another connection may take it"
    assert network.received() == [numbered(0)]
    network.ends[0].send(ANSWER)
    await first.done.wait()
    assert second.sent
    assert network.received() == [numbered(1)]


async def test_an_order_whose_dialing_fails_outlives_what_it_waits_for(
    pool: Pool, network: Network
) -> None:
    pool.keep_warm(1)
    await wait_all_tasks_blocked()
    network.refuses = True
    first, second = pool.submit(numbered(0)), pool.submit(numbered(1))
    await wait_all_tasks_blocked()
    network.refuses = False
    network.ends[0].close()
    await wait_all_tasks_blocked()
    assert (first.sent, first.done.is_set()) == (True, True), "its fate is unknown"
    assert second.sent, "over a new one"
    assert network.received()[-1] == numbered(1)


@pytest.mark.jumping_time
async def test_an_order_is_not_given_up_while_its_own_connection_opens(
    pool: Pool, network: Network
) -> None:
    network.seconds, network.refuses = 1.0, True
    pool.keep_warm(1)
    await trio.sleep(0.5)
    network.seconds = 2.0
    order = pool.submit(numbered(0))
    await trio.sleep(1)
    assert not order.done.is_set(), "another one failed"
    network.refuses = False
    await trio.sleep(2)
    assert order.sent


async def test_the_connection_used_last_is_used_next(
    pool: Pool, network: Network
) -> None:
    pool.keep_warm(4)
    await wait_all_tasks_blocked()
    used = set()
    for number in range(6):
        request = pool.submit(numbered(number))
        (index,) = (at for at, data in enumerate(network.received()) if data)
        used.add(index)
        network.ends[index].send(ANSWER)
        await request.done.wait()
    assert len(used) == 1, "the others may grow old, and are replaced"


@pytest.mark.jumping_time
async def test_a_connection_that_a_young_order_used_up_is_replaced_without_a_pause(
    pool: Pool, network: Network
) -> None:
    pool.keep_warm(2)
    await wait_all_tasks_blocked()
    order = pool.submit(numbered(0))
    (end,) = (end for end, data in _arrived(network) if data)
    end.send(ANSWER.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    with trio.fail_after(0.1):
        await order.done.wait()
    await trio.sleep(0.6)
    assert len(pool._idle) == 2


async def test_a_request_that_was_given_up_while_it_waited_never_leaves(
    pool: Pool, network: Network
) -> None:
    network.seconds = 0.01
    given_up, wanted = pool.submit(numbered(0)), pool.submit(numbered(1))
    given_up.abandon("too slow")
    await wait_all_tasks_blocked(0.03)
    assert not given_up.sent
    assert wanted.sent
    assert b"".join(network.received()) == numbered(1)


async def test_a_request_that_waited_is_withheld_in_the_moment_it_would_leave(
    pool: Pool, network: Network
) -> None:
    network.seconds = 0.01
    halted, fresh = Listening(withheld=True), Listening()
    withheld = pool.submit(numbered(0), halted)
    wanted = pool.submit(numbered(1), fresh)
    assert (halted.heard, fresh.heard) == ([], [])
    await wait_all_tasks_blocked(0.03)
    assert halted.heard == ["is it withheld?", "ended"]
    assert fresh.heard == ["is it withheld?", "left"]
    assert withheld.done.is_set()
    assert (withheld.sent, withheld.problem) == (False, "it is withheld")
    assert wanted.sent
    assert b"".join(network.received()) == numbered(1)


async def test_a_request_that_need_not_wait_is_not_asked_whether_it_is_withheld(
    pool: Pool, network: Network
) -> None:
    pool.keep_warm(1)
    await wait_all_tasks_blocked()
    listener = Listening(withheld=True)
    request = pool.submit(numbered(0), listener)
    assert (request.sent, listener.heard) == (True, ["left"])
    network.ends[0].send(ANSWER)
    await request.done.wait()
    assert listener.heard == ["left", "ended"]


async def test_nothing_is_ever_written_twice(pool: Pool, network: Network) -> None:
    chance = random.Random(7)  # noqa: S311 - a story, drawn once
    pool.keep_warm(4)
    await wait_all_tasks_blocked()
    requests: list[Request] = []
    seen: list[bytes] = []
    for number in range(200):
        requests.append(pool.submit(numbered(number)))
        if chance.random() < 0.5:
            await wait_all_tasks_blocked()
        for end in network.ends:
            if end.fileno() == -1:
                continue
            try:
                data = end.recv(65536)
            except (BlockingIOError, OSError):
                data = b""
            if data:
                seen.append(data)
            match chance.randrange(4):
                case 0:
                    end.close()
                case _ if data:
                    end.send(ANSWER)
                case _:
                    pass
    pool.keep_warm(0)
    await wait_all_tasks_blocked(0.02)
    seen += [data for data in network.received() if data]
    text = b"".join(seen)
    found = [text[at : at + 4] for at in range(0, len(text), 4)]
    assert len(found) == len(set(found)), "twice"
    unsent = {r.data for r in requests if not r.sent}
    assert unsent.isdisjoint(found), "what was seen is known to have left"


class Story:
    """A server on the loopback that draws what it does, moment by moment.

    Attributes:
        seen: How often it has seen each request whole.
    """

    def __init__(self, seed: int, tls: ssl.SSLContext | None) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - a story
        self._tls = tls
        self.seen: collections.Counter[bytes] = collections.Counter()

    def _draw(self, *what: str) -> str:
        return self._chance.choice(what)

    async def handle(self, stream: trio.SocketStream) -> None:
        secured = stream if self._tls is None else self._secured(stream, self._tls)
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            try:
                if self._draw("goes on", "goes on", "goes on", "hangs up") == "goes on":
                    while await self._answer_one(secured):
                        pass
            finally:
                if self._draw("close", "reset") == "reset":
                    linger = struct.pack("ii", 1, 0)
                    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                await trio.aclose_forcefully(stream)

    def _secured(
        self, stream: trio.SocketStream, context: ssl.SSLContext
    ) -> trio.SSLStream[trio.SocketStream]:
        return trio.SSLStream(stream, context, server_side=True, https_compatible=True)

    async def _answer_one(self, stream: trio.abc.Stream) -> bool:
        with trio.move_on_after(self._chance.choice([0.02, 9.0])) as patience:
            request = await stream.receive_some(4)
        if patience.cancelled_caught or not request:
            return False
        while len(request) < 4:
            request += await stream.receive_some(4 - len(request))
        self.seen[bytes(request)] += 1
        await trio.sleep(self._chance.choice([0.0, 0.0, 0.001, 0.1]))
        close = self._draw("", "", "", "Connection: close\r\n").encode()
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n%s\r\n%s" % (close, request)
        at = self._chance.randrange(len(answer))
        await stream.send_all(answer[:at])
        if self._draw(*["goes on"] * 9, "hangs up") == "hangs up":
            return False
        await stream.send_all(answer[at:])
        return self._draw(*["goes on"] * 9, "hangs up") == "goes on"


@pytest.mark.parametrize("kind", ["plain", "tls"])
@pytest.mark.parametrize("seed", range(4))
async def test_whatever_the_server_does_each_order_leaves_once_and_that_is_known(
    authority: Authority, kind: str, seed: int
) -> None:
    ours = theirs = None
    if kind == "tls":
        ours = ssl.create_default_context(cafile=authority.bundle)
        theirs = authority.server
    story = Story(seed, theirs)
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    pool = Pool(f"http://127.0.0.1:{port}", tls=ours, dial_seconds=2.0)
    requests: list[Request] = []

    async def order(number: int) -> None:
        request = pool.submit(numbered(number))
        requests.append(request)
        with trio.move_on_after(0.05 if number % 5 == 0 else 5.0):
            await request.done.wait()
        request.abandon("too slow")
        if request.problem is None:
            assert request.reply is not None
            assert request.reply.body == numbered(number), "its own answer"

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, story.handle, [listener])
        nursery.start_soon(pool.run)
        pool.keep_warm(seed)
        async with trio.open_nursery() as orders:
            for number in range(60):
                orders.start_soon(order, number)
                await trio.sleep(0.002 if number % 3 == 0 else 0)
        nursery.cancel_scope.cancel()
    assert all(request.done.is_set() for request in requests)
    assert any(request.problem is None for request in requests)
    assert set(story.seen.values()) == {1}, "none twice"
    unsent = {request.data for request in requests if not request.sent}
    assert unsent.isdisjoint(story.seen), "what was seen is known to have left"
    assert not pool._connections
    assert not pool._waiting


async def test_what_waits_or_is_under_way_ends_with_the_pool(network: Network) -> None:
    pool = Pool("http://127.0.0.1:1", tls=None, dial_seconds=5.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pool.run)
        pool.keep_warm(1)
        await wait_all_tasks_blocked()
        network.seconds = 60.0
        under_way, waiting = pool.submit(b"a"), pool.submit(b"b")
        nursery.cancel_scope.cancel()
    assert under_way.done.is_set()
    assert waiting.done.is_set()
    assert (under_way.sent, waiting.sent) == (True, False)
    assert network.ends[0].recv(10) == b"a"
    assert network.ends[0].recv(10) == b"", "it is closed"


@pytest.mark.jumping_time
async def test_no_server_that_closes_what_opens_is_stormed_for_an_order_that_waits(
    pool: Pool, network: Network
) -> None:
    pool.keep_warm(1)
    await wait_all_tasks_blocked()
    first = pool.submit(numbered(0))
    network.closes = True
    second = pool.submit(numbered(1))
    for _ in range(300):  # in a storm, the tasks would never all be blocked
        await trio.lowlevel.checkpoint()
    dials = len(network.dials)
    network.closes = False
    assert dials <= 3
    network.ends[0].send(ANSWER)
    with trio.fail_after(1):
        await first.done.wait()
    await wait_all_tasks_blocked()
    assert second.sent, "the connection that was busy takes it"


@pytest.mark.parametrize("connections", [1, 3])
async def test_an_order_outlives_warm_connections_that_closed_as_they_opened(
    pool: Pool, network: Network, connections: int
) -> None:
    pool.keep_warm(connections)
    await wait_all_tasks_blocked()
    for end in network.ends:
        end.close()
    order = pool.submit(numbered(0))
    await wait_all_tasks_blocked()
    assert order.sent, "the server takes connections again"
    assert b"".join(network.received()) == numbered(0)


@pytest.mark.jumping_time
async def test_none_is_dialed_after_a_pause_once_none_shall_be_warm(
    pool: Pool, network: Network
) -> None:
    network.refuses = True
    pool.keep_warm(3)
    await trio.sleep(0.5)
    dials = len(network.dials)
    pool.keep_warm(0)
    network.refuses = False
    await trio.sleep(600)
    assert len(network.dials) == dials
    assert pool._idle == []


@pytest.mark.jumping_time
@pytest.mark.parametrize("alive_seconds", [0.0, 0.05, 2.0])
async def test_replacing_what_a_server_keeps_closing_is_paced(
    pool: Pool, network: Network, nursery: trio.Nursery, alive_seconds: float
) -> None:
    async def close_each_in_turn() -> None:
        closed = 0
        while True:
            await trio.sleep(alive_seconds)
            for end in network.ends[closed:]:
                end.close()
            closed = len(network.ends)

    if alive_seconds:
        nursery.start_soon(close_each_in_turn)
    else:
        network.closes = True
    pool.keep_warm(8)
    await trio.sleep(10)
    at_first = len(network.dials)
    await trio.sleep(100)
    assert 1 <= len(network.dials) - at_first <= 300, "not more than a few a second"
    nursery.cancel_scope.cancel()


@pytest.mark.jumping_time
async def test_a_connection_that_does_not_open_in_time_is_told(
    pool: Pool, network: Network
) -> None:
    network.seconds = 60.0
    order = pool.submit(numbered(0))
    with trio.fail_after(30):
        await order.done.wait()
    assert trio.current_time() == 5
    assert (order.sent, order.problem) == (False, "no connection within 5 s")


async def test_nothing_leaves_a_pool_that_has_ended(network: Network) -> None:
    pool = Pool("http://127.0.0.1:1", tls=None, dial_seconds=5.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pool.run)
        pool.keep_warm(2)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    late = pool.submit(numbered(0))
    late.abandon("too slow")
    assert (late.sent, late.problem) == (False, "too slow")
    assert network.received() == [b"", b""]


async def test_no_socket_is_left_to_the_garbage_collector(network: Network) -> None:
    pool = Pool("http://127.0.0.1:1", tls=None, dial_seconds=5.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pool.run)
        pool.keep_warm(5)
        await wait_all_tasks_blocked()
        pool.submit(numbered(0))
        network.ends[0].close()
        pool.submit(numbered(1)).abandon("too slow")
        await wait_all_tasks_blocked()
        network.seconds = 0.001
        pool.submit(numbered(2))
        nursery.cancel_scope.cancel()
    assert pool._connections == set()
    assert pool._idle == []
    assert pool._readers._selector.get_map() is None, "it is closed"
    ends = network.ends
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del pool
        gc.collect()
    assert [w for w in caught if w.category is ResourceWarning] == []
    assert all(end.fileno() == -1 or _hung_up(end) for end in ends)


def _hung_up(end: socket.socket) -> bool:
    with contextlib.suppress(OSError):
        while end.recv(65536):
            pass
        return True
    return False


@pytest.mark.parametrize(
    ("url", "port"), [("http://127.0.0.1", 80), ("http://127.0.0.1:8", 8)]
)
def test_the_port_is_the_schemes_own_where_none_is_named(url: str, port: int) -> None:
    assert Pool(url, tls=None, dial_seconds=1.0)._port == port


@pytest.mark.jumping_time
async def test_orders_that_wait_beside_busy_connections_dial_once_each(
    pool: Pool, network: Network
) -> None:
    for number in range(64):
        pool.submit(numbered(number))
    await wait_all_tasks_blocked()
    assert len(network.dials) == 64
    network.refuses = True
    for number in range(64, 128):
        pool.submit(numbered(number))
        await wait_all_tasks_blocked()
    assert len(network.dials) <= 128


@pytest.mark.jumping_time
async def test_a_flood_at_a_quick_server_is_not_dialed_for_one_by_one(
    pool: Pool, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "_ENOUGH_SECONDS", 60.0)  # all this is quick
    network.seconds = 0.01
    requests = [pool.submit(numbered(n)) for n in range(300)]
    with trio.fail_after(10):
        while not all(request.sent for request in requests):
            await trio.sleep(0.01)
            for end, data in _arrived(network):
                if data:
                    end.send(ANSWER)
    assert len(network.dials) == 64


async def test_a_flood_at_a_slow_server_has_a_connection_for_each_soon(
    pool: Pool, network: Network
) -> None:
    requests = [pool.submit(numbered(n)) for n in range(300)]
    with trio.fail_after(10):
        while not all(request.sent for request in requests):  # noqa: ASYNC110
            await trio.sleep(0.01)  # nothing is answered
    assert len(network.dials) == 300


async def test_a_flood_at_a_dead_server_is_told_as_soon_as_a_lone_order(
    pool: Pool, network: Network
) -> None:
    network.refuses = True
    requests = [pool.submit(numbered(n)) for n in range(300)]
    with trio.fail_after(5):
        for request in requests:
            await request.done.wait()
    assert not any(request.sent for request in requests)


@pytest.mark.jumping_time
async def test_connections_are_warm_again_soon_after_a_short_outage(
    pool: Pool, network: Network
) -> None:
    network.refuses = True
    pool.keep_warm(8)
    await trio.sleep(3)
    network.refuses = False
    await trio.sleep(5)
    assert len(pool._idle) == 8


async def test_after_a_gap_idle_connections_are_replaced_and_no_order_is_cut_off(
    pool: Pool, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire_module, "_YOUNG_SECONDS", 0.0)  # they are as old as a gap
    pool.keep_warm(3)
    await wait_all_tasks_blocked()
    before = pool.submit(numbered(0))

    pool.renew()
    await wait_all_tasks_blocked()

    assert [len(network.dials), network.received()[:3].count(numbered(0))] == [5, 1]
    after = pool.submit(numbered(1))
    assert network.received()[3:].count(numbered(1)) == 1, "on one opened since"
    for end in network.ends:
        with contextlib.suppress(OSError):
            end.send(ANSWER)
    await before.done.wait()
    await after.done.wait()
    assert before.reply is not None
    assert after.reply is not None
