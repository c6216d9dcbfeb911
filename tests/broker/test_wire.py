"""One connection: what came back, in whatever pieces it came."""

from __future__ import annotations

import socket
import ssl
import struct
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import h11
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from snexec.broker.pool import Pool
from snexec.broker.request import Request
from snexec.broker.wire import Connection
from tests.broker.listening import Listening

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from tests.conftest import Authority

    # What a server does once it was asked; whether it goes on.
    Script = Callable[[trio.abc.Stream], Awaitable[bool]]

REQUEST = b"POST /v2/orders HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"
LINGER_NONE = struct.pack("ii", 1, 0)  # to reset when it is closed
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-A: 1\r\n\r\nabc"


class Pair:
    """A connection whose other end the test holds."""

    def __init__(self, nursery: trio.Nursery) -> None:
        ours, self.theirs = socket.socketpair()
        ours.setblocking(False)
        self.theirs.settimeout(5.0)
        self.pool = Pool("http://127.0.0.1:1", tls=None, dial_seconds=1.0)
        self.pool._nursery = nursery
        self.connection = Connection(ours, self.pool, self.pool._readers)
        self.pool._connections.add(self.connection)
        nursery.start_soon(self.pool._readers.run)

    def send(self, data: bytes = REQUEST, listener: Listening | None = None) -> Request:
        request = Request(data, listener)
        assert self.connection.send(request)
        return request

    async def answered(self, *parts: bytes, close: bool = False) -> Request:
        """Send a request, answer it, and wait until the answer is read."""
        request = self.send()
        assert self.theirs.recv(65536) == REQUEST
        for part in parts:
            self.theirs.sendall(part)
            await wait_all_tasks_blocked()
        if close:
            self.theirs.close()
        await wait_all_tasks_blocked()
        return request

    def close(self) -> None:
        self.connection.close("the test ends")
        self.pool._readers.close()
        self.theirs.close()

    @property
    def is_idle(self) -> bool:
        return self.connection in self.pool._idle


@pytest.fixture
def pair(nursery: trio.Nursery) -> Iterator[Pair]:
    """Give a connection; the test's end closes both of its ends."""
    pair = Pair(nursery)
    yield pair
    pair.close()


def body_of(request: Request) -> bytes | None:
    """Return the whole answer's body, None where there is no whole answer."""
    if request.problem is not None or request.reply is None:
        return None
    return request.reply.body if request.reply.complete else None


@pytest.mark.parametrize(
    ("answer", "body", "reusable"),
    [
        (WHOLE, b"abc", True),
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\n\r\n" + WHOLE,
            b"abc",
            True,
        ),
        (b"HTTP/1.1 204 No\r\n\r\n", b"", True),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"2\r\nab\r\n1;x=y\r\nc\r\n0\r\nTrailer: t\r\n\r\n",
            b"abc",
            True,
        ),
        (WHOLE.replace(b"X-A: 1", b"Connection: close"), b"abc", False),
        (WHOLE.replace(b"HTTP/1.1", b"HTTP/1.0"), b"abc", False),
        (WHOLE + WHOLE, b"abc", False),
    ],
    ids=["length", "interim", "204", "chunked", "close", "old", "two answers"],
)
@pytest.mark.parametrize("bytewise", [False, True])
async def test_a_whole_answer_is_read_in_any_pieces(
    pair: Pair, answer: bytes, body: bytes, reusable: bool, bytewise: bool
) -> None:
    if bytewise and answer == WHOLE + WHOLE:
        answer = WHOLE  # the second would come unasked, which has a test of its own
        reusable = True
    pieces = [answer[n : n + 1] for n in range(len(answer))] if bytewise else [answer]
    request = await pair.answered(*pieces)
    assert body_of(request) == body
    assert pair.is_idle == reusable


async def test_an_answer_without_a_length_ends_with_the_connection(pair: Pair) -> None:
    request = await pair.answered(b"HTTP/1.1 200 OK\r\n\r\nabc", close=True)
    assert body_of(request) == b"abc"
    assert not pair.is_idle


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 20",
        WHOLE[:-1],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
        b"\x16\x03\x01 not HTTP\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ],
)
async def test_an_answer_that_is_cut_off_or_no_http_is_a_problem(
    pair: Pair, answer: bytes
) -> None:
    request = await pair.answered(answer, close=True)
    assert request.done.is_set()
    assert request.problem is not None
    assert request.sent
    assert not pair.is_idle


async def test_a_status_is_known_even_where_the_body_breaks_off(pair: Pair) -> None:
    request = await pair.answered(
        b"HTTP/1.1 403 No\r\nContent-Length: 99\r\n\r\n{", close=True
    )
    assert request.reply is not None
    assert (request.reply.status, request.reply.complete) == (403, False)
    assert request.problem is not None


@pytest.mark.parametrize("what", ["body", "head"])
async def test_an_answer_without_end_is_not_kept(pair: Pair, what: str) -> None:
    request = pair.send()
    head = b"HTTP/1.1 200 OK\r\n" + (b"X: " if what == "head" else b"\r\n")
    with trio.fail_after(30):
        pair.theirs.setblocking(False)
        sent = head
        while not request.done.is_set():
            try:
                pair.theirs.send(sent)
            except BlockingIOError:
                await trio.lowlevel.wait_writable(pair.theirs)
            except OSError:
                break
            sent = b"x" * 65536
            await wait_all_tasks_blocked()
    assert request.problem is not None
    assert not pair.is_idle


async def test_what_nobody_asked_for_closes_an_idle_connection(pair: Pair) -> None:
    assert body_of(await pair.answered(WHOLE)) == b"abc"
    pair.theirs.sendall(WHOLE)
    later = Request(REQUEST, listener=None)
    assert not pair.connection.send(later), "it must not take that for its answer"
    assert not later.sent
    await wait_all_tasks_blocked()
    assert not pair.is_idle


# An answer that does not say which order it is about

REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n{}"


async def refused(pair: Pair, answer: bytes = REFUSAL) -> Request:
    """Send a request, and have it refused without a name."""
    request = pair.send(listener=Listening(names=False))
    assert pair.theirs.recv(65536) == REQUEST
    pair.theirs.sendall(answer)
    await wait_all_tasks_blocked()
    assert request.reply is not None
    assert (request.reply.status, request.problem) == (403, None)
    return request


async def test_no_request_follows_an_answer_without_a_name(pair: Pair) -> None:
    await refused(pair)
    assert not pair.is_idle, "what came twice would be the next order's answer"


async def test_the_same_answer_again_makes_the_first_doubtful(pair: Pair) -> None:
    request = await refused(pair)
    doubts: list[str] = []
    request.doubted = lambda: doubts.append("doubted")
    assert not request.is_doubtful
    pair.theirs.sendall(REFUSAL)
    await wait_all_tasks_blocked()
    assert (request.is_doubtful, doubts) == (True, ["doubted"])
    assert pair.theirs.recv(1) == b"", "and closes the connection"


@pytest.mark.parametrize(
    "answer",
    [
        REFUSAL + REFUSAL,
        REFUSAL + b"x",
        REFUSAL + b"HTTP/1.1 100 Continue\r\n\r\n",
        REFUSAL.replace(b"Content", b"Connection: close\r\nContent") + REFUSAL,
        REFUSAL + b"x" * 60_000,
    ],
    ids=["twice", "a byte", "an interim one", "after its close", "much"],
)
async def test_what_comes_with_an_answer_makes_it_doubtful_before_it_is_known(
    pair: Pair, answer: bytes
) -> None:
    request = await refused(pair, answer)
    assert request.is_doubtful
    assert pair.theirs.recv(1) == b""


async def test_an_answer_whose_connection_just_closes_is_not_doubtful(
    pair: Pair,
) -> None:
    request = await refused(pair)
    pair.theirs.close()
    await wait_all_tasks_blocked()
    assert not request.is_doubtful
    assert request.is_over
    assert not pair.pool._connections
    assert not pair.pool._retired


async def test_what_follows_is_listened_for_until_the_request_is_abandoned(
    pair: Pair,
) -> None:
    request = await refused(pair)
    was_over = request.is_over
    request.abandon("its time is over")
    assert (was_over, request.is_over) == (False, True)
    assert request.problem is None, "the answer stays what it was"
    assert pair.theirs.recv(1) == b""
    assert not pair.pool._retired


async def test_an_answer_with_a_name_is_followed_by_other_requests(pair: Pair) -> None:
    request = pair.send(listener=Listening())
    pair.theirs.recv(65536)
    pair.theirs.sendall(WHOLE)
    await wait_all_tasks_blocked()
    assert request.is_over
    assert pair.is_idle


async def test_a_close_is_noticed_before_an_order_is_written(pair: Pair) -> None:
    assert body_of(await pair.answered(WHOLE)) == b"abc"
    pair.theirs.close()
    later = Request(REQUEST, listener=None)
    assert not pair.connection.send(later)
    assert (later.sent, later.done.is_set()) == (False, False), "another one takes it"


async def test_a_request_that_the_kernel_does_not_take_at_once_is_finished(
    pair: Pair,
) -> None:
    large = REQUEST + b"x" * 4_000_000
    request = pair.send(large)
    assert request.sent, "some of it has left"
    got = bytearray()
    pair.theirs.setblocking(False)
    with trio.fail_after(30):
        while len(got) < len(large):
            await trio.lowlevel.wait_readable(pair.theirs)
            got += pair.theirs.recv(1 << 20)
        assert bytes(got) == large
        pair.theirs.sendall(WHOLE)
        await request.done.wait()
    assert body_of(request) == b"abc"
    assert pair.is_idle


async def test_a_request_that_was_half_sent_may_have_left(pair: Pair) -> None:
    request = pair.send(REQUEST + b"x" * 4_000_000)
    assert pair.theirs.recv(10) == REQUEST[:10]
    pair.theirs.close()
    with trio.fail_after(30):
        await request.done.wait()
    assert (request.sent, request.reply) == (True, None)
    assert request.problem


async def test_an_answer_before_the_request_is_sent_ends_the_connection(
    pair: Pair,
) -> None:
    request = pair.send(REQUEST + b"x" * 4_000_000)
    pair.theirs.sendall(b"HTTP/1.1 413 Large\r\nContent-Length: 0\r\n\r\n")
    with trio.fail_after(30):
        await request.done.wait()
    assert request.reply is not None
    assert request.reply.status == 413
    await wait_all_tasks_blocked()
    assert not pair.is_idle


async def test_a_request_that_is_given_up_takes_its_connection_along(
    pair: Pair,
) -> None:
    request = pair.send()
    request.abandon("too slow")
    assert request.done.is_set()
    assert (request.sent, request.problem) == (True, "too slow")
    pair.theirs.recv(65536)
    assert pair.theirs.recv(1) == b""
    request.abandon("again")
    assert request.problem == "too slow"


class Server:
    """A server on the loopback that does what a test's script says, in turn.

    Attributes:
        scripts: What it does with the connections, one each; the last for all others.
        requests: What it was asked, each with the number of its connection.
    """

    def __init__(self, *scripts: Script) -> None:
        self.scripts = scripts
        self.requests: list[tuple[int, bytes]] = []
        self.connections = 0

    async def handle(self, stream: trio.abc.Stream) -> None:
        number = self.connections
        self.connections += 1
        script = self.scripts[min(number, len(self.scripts) - 1)]
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async with stream:
                while data := await stream.receive_some(65536):
                    self.requests.append((number, bytes(data)))
                    if not await script(stream):
                        return


async def answer_whole(stream: trio.abc.Stream) -> bool:
    await stream.send_all(WHOLE)
    return True


async def answer_bytewise(stream: trio.abc.Stream) -> bool:
    for at in range(len(WHOLE)):
        await stream.send_all(WHOLE[at : at + 1])
    return True


async def answer_twice(stream: trio.abc.Stream) -> bool:
    await stream.send_all(WHOLE)
    await stream.send_all(WHOLE.replace(b"abc", b"bad"))
    return True


async def answer_and_close(stream: trio.abc.Stream) -> bool:
    await stream.send_all(WHOLE)
    return False


async def reset(stream: trio.abc.Stream) -> bool:
    inner = stream.transport_stream if isinstance(stream, trio.SSLStream) else stream
    assert isinstance(inner, trio.SocketStream)
    inner.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NONE)
    inner.socket.close()
    return False


async def answer_and_reset(stream: trio.abc.Stream) -> bool:
    await stream.send_all(WHOLE)
    await wait_all_tasks_blocked(0.01)  # a reset drops what is not read yet
    return await reset(stream)


@pytest.fixture(params=["plain", "tls"])
def tls(request: pytest.FixtureRequest) -> bool:
    """Return whether the test's server speaks TLS; it must work either way."""
    return bool(request.param == "tls")


async def _serve(
    nursery: trio.Nursery, server: Server, authority: Authority, *, tls: bool
) -> Pool:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    context = None
    if tls:
        context = ssl.create_default_context(cafile=authority.bundle)
        wrapped = [
            trio.SSLListener(listener, authority.server, https_compatible=True)
            for listener in listeners
        ]
        nursery.start_soon(trio.serve_listeners, server.handle, wrapped)
    else:
        nursery.start_soon(trio.serve_listeners, server.handle, listeners)
    pool = Pool(
        f"http{'s' if tls else ''}://127.0.0.1:{port}", tls=context, dial_seconds=5.0
    )
    nursery.start_soon(pool.run)
    return pool


async def _outcome(pool: Pool, data: bytes = REQUEST) -> Request:
    request = pool.submit(data)
    with trio.fail_after(30):
        await request.done.wait()
    return request


@pytest.mark.parametrize("script", [answer_whole, answer_bytewise])
async def test_one_connection_carries_one_order_after_the_other(
    nursery: trio.Nursery, authority: Authority, tls: bool, script: Script
) -> None:
    server = Server(script)
    pool = await _serve(nursery, server, authority, tls=tls)
    for _ in range(5):
        assert body_of(await _outcome(pool)) == b"abc"
    assert server.requests == [(0, REQUEST)] * 5


@pytest.mark.parametrize("script", [answer_twice, answer_and_close, answer_and_reset])
async def test_after_an_answer_that_ends_the_connection_the_next_leaves_on_another(
    nursery: trio.Nursery, authority: Authority, tls: bool, script: Script
) -> None:
    server = Server(script, answer_whole)
    pool = await _serve(nursery, server, authority, tls=tls)
    assert body_of(await _outcome(pool)) == b"abc"
    await wait_all_tasks_blocked(0.02)
    later = await _outcome(pool)
    assert body_of(later) == b"abc", "the second answer is no one's"
    assert server.requests == [(0, REQUEST), (1, REQUEST)], "each once"


@pytest.mark.parametrize("apart", [False, True])
async def test_a_refusal_that_comes_twice_is_doubtful_over_any_connection(
    nursery: trio.Nursery, authority: Authority, tls: bool, apart: bool
) -> None:
    async def refuse_twice(stream: trio.abc.Stream) -> bool:
        await stream.send_all(REFUSAL if apart else REFUSAL * 2)
        if apart:
            await stream.send_all(REFUSAL)
        return True

    server = Server(refuse_twice, answer_whole)
    pool = await _serve(nursery, server, authority, tls=tls)
    request = pool.submit(REQUEST, Listening(names=False))
    with trio.fail_after(30):
        await request.done.wait()
        await wait_all_tasks_blocked(0.02)
    assert request.is_doubtful
    assert request.is_over
    assert body_of(await _outcome(pool)) == b"abc", "and the next is answered"
    assert server.requests == [(0, REQUEST), (1, REQUEST)]


async def test_a_reset_without_an_answer_leaves_the_outcome_unknown(
    nursery: trio.Nursery, authority: Authority, tls: bool
) -> None:
    server = Server(reset, answer_whole)
    pool = await _serve(nursery, server, authority, tls=tls)
    request = await _outcome(pool)
    assert (request.sent, request.reply) == (True, None)
    assert request.problem
    await wait_all_tasks_blocked(0.02)
    assert server.requests == [(0, REQUEST)], "it is not sent again"


async def test_a_large_order_is_finished_over_any_connection(
    nursery: trio.Nursery, authority: Authority, tls: bool
) -> None:
    large = REQUEST + b"x" * 4_000_000

    async def answer_when_whole(stream: trio.abc.Stream) -> bool:
        if sum(len(data) for _, data in server.requests) == len(large):
            await stream.send_all(WHOLE)
        return True

    server = Server(answer_when_whole)
    pool = await _serve(nursery, server, authority, tls=tls)
    assert body_of(await _outcome(pool, large)) == b"abc"
    assert b"".join(data for _, data in server.requests) == large


async def test_orders_leave_over_no_connection_to_a_stranger(
    nursery: trio.Nursery, authority: Authority
) -> None:
    server = Server(answer_whole)
    stranger = replace(authority, server=authority.other)
    pool = await _serve(nursery, server, stranger, tls=True)
    request = await _outcome(pool)
    assert not request.sent
    assert "certificate" in (request.problem or "").lower()
    assert server.requests == []


async def test_requests_do_not_wait_to_be_sent_together(
    nursery: trio.Nursery, authority: Authority, tls: bool
) -> None:
    pool = await _serve(nursery, Server(answer_whole), authority, tls=tls)
    await _outcome(pool)
    (connection,) = pool._connections
    assert connection._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert connection._socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


async def test_a_pool_that_is_cancelled_ends_the_order_and_the_connection(
    authority: Authority, tls: bool
) -> None:
    async def answer_nothing(stream: trio.abc.Stream) -> bool:
        del stream
        asked.set()
        return True

    asked = trio.Event()
    server = Server(answer_nothing)
    async with trio.open_nursery() as nursery:
        pool = await _serve(nursery, server, authority, tls=tls)
        request = pool.submit(REQUEST)
        with trio.fail_after(30):
            await asked.wait()
        nursery.cancel_scope.cancel()
    assert (request.sent, request.problem) == (True, "the daemon stops")
    assert pool._connections == set()


@pytest.mark.parametrize(
    ("extra", "whole"), [(0, True), (1, False)], ids=["1 MiB", "one byte more"]
)
async def test_a_body_of_one_mebibyte_is_the_longest(
    pair: Pair, extra: int, whole: bool
) -> None:
    length = 1024 * 1024 + extra
    request = pair.send()
    pair.theirs.setblocking(False)
    left = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length + b"x" * length
    with trio.fail_after(30):
        while left and not request.done.is_set():
            await trio.lowlevel.wait_writable(pair.theirs)
            left = left[pair.theirs.send(left) :]
        await request.done.wait()
    assert (body_of(request) is not None) == whole
    assert pair.is_idle == whole


@pytest.mark.parametrize(("status", "whole"), [(b"200 OK", True), (b"400 No", False)])
async def test_where_more_is_expected_a_200_may_be_longer(
    pair: Pair, status: bytes, *, whole: bool
) -> None:
    length = 3 * 1024 * 1024
    request = Request(REQUEST, None, most_bytes=4 * 1024 * 1024)
    assert pair.connection.send(request)
    pair.theirs.setblocking(False)
    head = b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (status, length)
    left = memoryview(head + bytes(length))
    with trio.fail_after(30), suppress(BrokenPipeError):
        while left and not request.done.is_set():
            await trio.lowlevel.wait_writable(pair.theirs)
            left = left[pair.theirs.send(left) :]
        await request.done.wait()
    assert body_of(request) == (bytes(length) if whole else None)


class Torrent:
    """A socket that has more to read whenever it is asked.

    Attributes:
        left: How much comes before it has nothing.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.left = 0
        self._sock = sock

    def recv(self, most: int) -> bytes:
        if not self.left:
            raise BlockingIOError
        length = min(most, self.left)
        self.left -= length
        return bytes(length)

    def __getattr__(self, name: str) -> object:
        return getattr(self._sock, name)


async def test_a_long_answer_leaves_others_their_turn(pair: Pair) -> None:
    length = 1024 * 1024
    request = await pair.answered(
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length
    )
    pair.connection._socket = torrent = Torrent(pair.connection._socket)  # type: ignore[assignment]
    torrent.left = length
    calls = 0
    while torrent.left:
        pair.connection._receive()
        calls += 1
    assert calls == 4, "256 KiB at a time"
    assert body_of(request) == bytes(length)


NAMES = st.text("abcXYZ-", min_size=1, max_size=8).filter(lambda n: n.strip("-"))
HEADERS = st.dictionaries(
    NAMES.map(lambda name: f"X-{name}".lower()),
    st.text("abc 123,;=\t", max_size=12),
    max_size=4,
)
STATUSES = [200, 201, 204, 304, 400, 403, 404, 422, 429, 500, 504]


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """Draw a valid answer; some end where the connection does."""
    status = draw(st.sampled_from(STATUSES))
    body = b"" if status in {204, 304} else draw(st.binary(max_size=200))
    version = draw(st.sampled_from(["1.1", "1.1", "1.0"]))
    lines = [f"HTTP/{version} {status} Reason".encode()]
    lines += [f"{name}: {value}".encode() for name, value in draw(HEADERS).items()]
    told = draw(st.sampled_from([None, None, b"close", b"keep-alive", b"Close, x"]))
    if told is not None:
        lines.append(b"Connection: " + told)
    framing = draw(st.sampled_from(["length", "chunks", "close"]))
    if framing == "length":
        lines.append(b"Content-Length: %d" % len(body))
    elif framing == "chunks" and body:
        lines.append(b"Transfer-Encoding: chunked")
        pieces = _cut(body, draw(st.lists(st.integers(1, 50), max_size=5)))
        extension = draw(st.sampled_from([b"", b";a", b';a="b"']))
        body = b"".join(
            b"%x%s\r\n%s\r\n" % (len(piece), extension, piece) for piece in pieces
        )
        trailer = draw(st.sampled_from([b"", b"X-a: trailer\r\n"]))
        body += b"0\r\n" + trailer + b"\r\n"
    early = draw(st.lists(st.sampled_from([100, 102, 103]), max_size=2))
    before = b"".join(b"HTTP/1.1 %d Wait\r\nX-a: 0\r\n\r\n" % code for code in early)
    return before + b"\r\n".join([*lines, b"", b""]) + body


CUTS = st.lists(st.integers(1, 300), max_size=6)
# What a whole answer says, and whether the connection may be used again.
Read = tuple[int, dict[str, str], bytes, bool]


@given(answer=answers(), cuts=CUTS, close=st.booleans())
def test_answers_are_read_as_h11_reads_them(
    answer: bytes, cuts: list[int], close: bool
) -> None:
    found = _read(_cut(answer, cuts), close=close)
    expected = _read_with_h11(answer, close=close)
    if b"HTTP/1.0" in answer and b"keep-alive" in answer and found and not close:
        found = (*found[:3], False)  # h11 never uses such a connection again
    assert found == expected


@given(
    answer=answers(),
    edits=st.lists(
        st.tuples(
            st.integers(0, 400),
            st.integers(0, 5),
            st.binary(max_size=2)
            | st.sampled_from([b"\r\n", b"\r\n\r\n", b"0", b" ", b":", WHOLE])
            | st.sampled_from([b"Content-Length: 3\r\n", b"Connection: close\r\n"])
            | st.just(b"Transfer-Encoding: chunked\r\n"),
        ),
        min_size=1,
        max_size=3,
    ),
    cuts=CUTS,
    close=st.booleans(),
)
def test_a_broken_answer_is_never_taken_for_another(
    answer: bytes, edits: list[tuple[int, int, bytes]], cuts: list[int], close: bool
) -> None:
    for at, length, new in edits:
        answer = answer[:at] + new + answer[at + length :]
    found = _read([answer], close=close)
    in_pieces = _read(_cut(answer, cuts), close=close)
    # Cut elsewhere, what follows the answer may come unasked, an empty line too.
    assert (in_pieces and in_pieces[:3]) == (found and found[:3])
    with suppress(h11.RemoteProtocolError):
        expected = _read_with_h11(answer, close=close)
        if found and expected:
            assert found[:3] == expected[:3]
            assert found[3] <= expected[3] or b"HTTP/1.0" in answer


def _cut(data: bytes, lengths: list[int]) -> list[bytes]:
    pieces = []
    for length in lengths:
        pieces.append(data[:length])
        data = data[length:]
    return [piece for piece in [*pieces, data] if piece]


def _read(pieces: list[bytes], *, close: bool) -> Read | None:
    """Have a connection read an answer; None where it does not call it whole."""

    async def read() -> tuple[Request, bool]:
        async with trio.open_nursery() as nursery:
            pair = Pair(nursery)
            request = pair.send()
            with suppress(OSError):  # it has seen enough
                for piece in pieces:
                    pair.theirs.sendall(piece)
                    await wait_all_tasks_blocked()
            if close:
                pair.theirs.shutdown(socket.SHUT_WR)
                await wait_all_tasks_blocked()
            kept = pair.is_idle
            nursery.cancel_scope.cancel()
        pair.close()
        return request, kept

    request, kept = trio.run(read)
    body = body_of(request)
    if body is None or request.reply is None:
        return None
    return request.reply.status, dict(request.reply.headers), body, kept


def _read_with_h11(data: bytes, *, close: bool) -> Read | None:
    parser = h11.Connection(h11.CLIENT)
    parser.send(h11.Request(method="GET", target="/", headers=[("Host", "h")]))
    parser.send(h11.EndOfMessage())
    parser.receive_data(data)
    if close:
        parser.receive_data(b"")
    head: h11.Response | None = None
    body = b""
    while not isinstance(event := parser.next_event(), h11.EndOfMessage):
        if isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif not isinstance(event, h11.InformationalResponse):
            return None
    assert head is not None
    found = {name.decode(): value.decode("latin-1") for name, value in head.headers}
    if "transfer-encoding" in found:
        found["transfer-encoding"] = found["transfer-encoding"].lower()
    kept = parser.their_state is h11.DONE and not close
    return head.status_code, found, body, kept
