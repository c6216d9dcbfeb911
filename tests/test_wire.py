"""One connection: what came back, whatever the pieces it came in."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import h11
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from snexec.pool import Pool
from snexec.wire import Connection, Exchange

if TYPE_CHECKING:
    from collections.abc import Iterator

REQUEST = b"POST /v2/orders HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-A: 1\r\n\r\nabc"


class Pair:
    """A connection whose other end the test holds."""

    def __init__(self, nursery: trio.Nursery) -> None:
        ours, self.theirs = socket.socketpair()
        ours.setblocking(False)
        self.pool = Pool("http://127.0.0.1:1", tls=None, dial_seconds=1.0)
        self.pool._nursery = nursery
        self.connection = Connection(ours, self.pool)
        self.pool._connections.add(self.connection)
        nursery.start_soon(self.connection.run)

    def send(self, request: bytes = REQUEST) -> Exchange:
        exchange = Exchange(request)
        assert self.connection.send(exchange)
        return exchange

    async def answered(self, *parts: bytes, close: bool = False) -> Exchange:
        """Send a request, answer it, and wait until the answer is read."""
        exchange = self.send()
        assert self.theirs.recv(65536) == REQUEST
        for part in parts:
            self.theirs.sendall(part)
            await wait_all_tasks_blocked()
        if close:
            self.theirs.close()
        await wait_all_tasks_blocked()
        return exchange

    @property
    def is_idle(self) -> bool:
        return self.connection in self.pool._idle


@pytest.fixture
def pair(nursery: trio.Nursery) -> Iterator[Pair]:
    """Give a connection; the test's end closes both of its ends."""
    pair = Pair(nursery)
    yield pair
    pair.theirs.close()


def body_of(exchange: Exchange) -> bytes | None:
    """Return the whole answer's body, None where there is no whole answer."""
    if exchange.problem is not None or exchange.reply is None:
        return None
    return exchange.reply.body if exchange.reply.complete else None


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
    exchange = await pair.answered(*pieces)
    assert body_of(exchange) == body
    assert pair.is_idle == reusable


async def test_an_answer_without_a_length_ends_with_the_connection(pair: Pair) -> None:
    exchange = await pair.answered(b"HTTP/1.1 200 OK\r\n\r\nabc", close=True)
    assert body_of(exchange) == b"abc"
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
    exchange = await pair.answered(answer, close=True)
    assert exchange.done.is_set()
    assert exchange.problem is not None
    assert exchange.sent
    assert not pair.is_idle


async def test_a_status_is_known_even_where_the_body_breaks_off(pair: Pair) -> None:
    exchange = await pair.answered(
        b"HTTP/1.1 403 No\r\nContent-Length: 99\r\n\r\n{", close=True
    )
    assert exchange.reply is not None
    assert (exchange.reply.status, exchange.reply.complete) == (403, False)
    assert exchange.problem is not None


@pytest.mark.parametrize("what", ["body", "head"])
async def test_an_answer_without_end_is_not_kept(pair: Pair, what: str) -> None:
    exchange = pair.send()
    head = b"HTTP/1.1 200 OK\r\n" + (b"X: " if what == "head" else b"\r\n")
    with trio.fail_after(5):
        pair.theirs.setblocking(False)
        sent = head
        while not exchange.done.is_set():
            try:
                pair.theirs.send(sent)
            except BlockingIOError:
                await trio.lowlevel.wait_writable(pair.theirs)
            except OSError:
                break
            sent = b"x" * 65536
            await wait_all_tasks_blocked()
    assert exchange.problem is not None
    assert not pair.is_idle


async def test_what_nobody_asked_for_closes_an_idle_connection(pair: Pair) -> None:
    assert body_of(await pair.answered(WHOLE)) == b"abc"
    pair.theirs.sendall(WHOLE)
    later = Exchange(REQUEST)
    assert not pair.connection.send(later), "it must not take that for its answer"
    assert not later.sent
    await wait_all_tasks_blocked()
    assert not pair.is_idle


async def test_a_close_is_noticed_before_an_order_is_written(pair: Pair) -> None:
    assert body_of(await pair.answered(WHOLE)) == b"abc"
    pair.theirs.close()
    later = Exchange(REQUEST)
    assert not pair.connection.send(later)
    assert (later.sent, later.done.is_set()) == (False, False), "another one takes it"


async def test_a_request_that_the_kernel_does_not_take_at_once_is_finished(
    pair: Pair,
) -> None:
    large = REQUEST + b"x" * 4_000_000
    exchange = pair.send(large)
    got = bytearray()
    pair.theirs.setblocking(False)
    with trio.fail_after(5):
        while len(got) < len(large):
            await trio.lowlevel.wait_readable(pair.theirs)
            got += pair.theirs.recv(1 << 20)
        assert bytes(got) == large
        pair.theirs.sendall(WHOLE)
        await exchange.done.wait()
    assert body_of(exchange) == b"abc"
    assert pair.is_idle


async def test_an_answer_before_the_request_is_sent_ends_the_connection(
    pair: Pair,
) -> None:
    exchange = pair.send(REQUEST + b"x" * 4_000_000)
    pair.theirs.sendall(b"HTTP/1.1 413 Large\r\nContent-Length: 0\r\n\r\n")
    with trio.fail_after(5):
        await exchange.done.wait()
    assert exchange.reply is not None
    assert exchange.reply.status == 413
    await wait_all_tasks_blocked()
    assert not pair.is_idle


async def test_a_request_that_is_given_up_takes_its_connection_along(
    pair: Pair,
) -> None:
    exchange = pair.send()
    exchange.abandon("too slow")
    assert exchange.done.is_set()
    assert (exchange.sent, exchange.problem) == (True, "too slow")
    pair.theirs.recv(65536)
    assert pair.theirs.recv(1) == b""
    exchange.abandon("again")
    assert exchange.problem == "too slow"


NAMES = st.text("abcXYZ-", min_size=1, max_size=8).filter(lambda n: n.strip("-"))
HEADERS = st.dictionaries(
    NAMES.map(lambda name: f"X-{name}".lower()),
    st.text("abc 123,;=", max_size=12).map(str.strip),
    max_size=4,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    status=st.sampled_from([200, 201, 400, 403, 404, 422, 429, 500, 504]),
    headers=HEADERS,
    body=st.binary(max_size=200),
    chunks=st.none() | st.lists(st.integers(1, 50), min_size=1, max_size=5),
    cuts=st.lists(st.integers(1, 300), max_size=6),
)
def test_answers_are_read_as_h11_reads_them(
    status: int,
    headers: dict[str, str],
    body: bytes,
    chunks: list[int] | None,
    cuts: list[int],
) -> None:
    lines = [f"HTTP/1.1 {status} Reason".encode()]
    lines += [f"{name}: {value}".encode() for name, value in headers.items()]
    if chunks is None:
        lines.append(b"Content-Length: %d" % len(body))
        framed = body
    else:
        lines.append(b"Transfer-Encoding: chunked")
        framed = b"".join(
            b"%x\r\n%s\r\n" % (len(part), part) for part in _cut(body, chunks) if part
        )
        framed += b"0\r\n\r\n"
    data = b"\r\n".join([*lines, b"", b""]) + framed

    async def read() -> Exchange:
        async with trio.open_nursery() as nursery:
            pair = Pair(nursery)
            exchange = await pair.answered(*_cut(data, cuts))
            nursery.cancel_scope.cancel()
        pair.theirs.close()
        return exchange

    exchange = trio.run(read)
    expected = _read_with_h11(data)
    assert exchange.reply is not None
    assert exchange.reply.complete
    assert (exchange.reply.status, exchange.reply.body) == (expected[0], expected[2])
    assert {n: exchange.reply.headers[n] for n in headers} == {
        n: expected[1][n] for n in headers
    }


def _cut(data: bytes, lengths: list[int]) -> list[bytes]:
    pieces = []
    for length in lengths:
        pieces.append(data[:length])
        data = data[length:]
    return [piece for piece in [*pieces, data] if piece]


def _read_with_h11(data: bytes) -> tuple[int, dict[str, str], bytes]:
    parser = h11.Connection(h11.CLIENT)
    parser.send(h11.Request(method="GET", target="/", headers=[("Host", "h")]))
    parser.send(h11.EndOfMessage())
    parser.receive_data(data)
    head = parser.next_event()
    assert isinstance(head, h11.Response)
    body = b""
    while isinstance(event := parser.next_event(), h11.Data):
        body += bytes(event.data)
    assert isinstance(event, h11.EndOfMessage)
    found = {name.decode(): value.decode() for name, value in head.headers}
    return head.status_code, found, body
