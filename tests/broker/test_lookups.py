"""Questions: each as the first one, over a connection that ends with its answer."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from snexec.broker import lookups as lookups_module
from snexec.broker.lookups import LookUps
from snexec.broker.readers import Readers
from snexec.broker.tls import tls_context
from snexec.errors import BrokerError, NotSentError, UnknownOutcomeError

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable

    from snexec.broker.client import AlpacaClient
    from tests.conftest import Authority

MOST_HEAD_BYTES = 8192  # as many a proxy has it


class Balancer:
    """Gives every client new cookies, and refuses a head that is too long."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []

    async def serve(self, stream: trio.SocketStream) -> None:
        data = b""
        async for chunk in stream:
            data += chunk
            while b"\r\n\r\n" in data:
                head, _, data = data.partition(b"\r\n\r\n")
                self.heads.append(head)
                await stream.send_all(self.answer(head))

    def answer(self, head: bytes) -> bytes:
        if len(head) > MOST_HEAD_BYTES:
            return b"HTTP/1.1 431 Too Large\r\nContent-Length: 0\r\n\r\n"
        number = len(self.heads)
        return (
            b"HTTP/1.1 200 OK\r\nSet-Cookie: lb%d=%s; Path=/\r\n"
            b"Content-Length: 2\r\n\r\n{}" % (number, b"x" * 1000)
        )


def look_ups_at(
    listener: trio.SocketListener,
    *,
    seconds: float = 5.0,
    tls: ssl.SSLContext | None = None,
) -> LookUps:
    port = listener.socket.getsockname()[1]
    return LookUps(
        f"http{'s' if tls else ''}://127.0.0.1:{port}",
        headers={"APCA-API-KEY-ID": "key"},
        timeout_seconds=seconds,
        tls=tls,
    )


class Scripted:
    """Answers a question with bytes, and then closes, or waits for the other side to.

    Attributes:
        asked: What it was sent.
        arrived: Set once that is a whole question.
        answered: Set once its answer has left.
        left: Set once the other side has closed.
    """

    def __init__(self, answer: bytes, *, closes: bool = False) -> None:
        self.asked = b""
        self.arrived = trio.Event()
        self.answered = trio.Event()
        self.left = trio.Event()
        self._answer = answer
        self._closes = closes

    async def serve(self, stream: trio.abc.Stream) -> None:
        with suppress(trio.BrokenResourceError):
            while b"\r\n\r\n" not in self.asked:
                self.asked += await stream.receive_some()
            self.arrived.set()
            await stream.send_all(self._answer)
            self.answered.set()
            if not self._closes:
                await stream.receive_some()
        self.left.set()


async def test_an_answer_that_comes_twice_is_not_the_next_questions(
    nursery: trio.Nursery,
) -> None:
    missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}"

    async def serve(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            async for chunk in stream:
                found = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
                await stream.send_all(2 * missing if b"/gone" in chunk else found)

    listener, *_ = await nursery.start(trio.serve_tcp, serve, 0)
    look_ups = look_ups_at(listener)
    statuses = []
    for path in ("/gone", "/there", "/gone", "/there"):
        reply, _problem, _sent = await look_ups.ask("GET", path)
        assert reply is not None
        statuses.append(reply.status)
    assert statuses == [404, 200, 404, 200]
    nursery.cancel_scope.cancel()


async def test_a_load_balancers_cookies_do_not_grow_the_head(
    nursery: trio.Nursery,
) -> None:
    balancer = Balancer()
    listener, *_ = await nursery.start(trio.serve_tcp, balancer.serve, 0)
    look_ups = look_ups_at(listener)
    for _ in range(20):
        reply, problem, sent = await look_ups.ask("GET", "/v2/clock")
        assert reply is not None
        assert (reply.status, reply.body, problem, sent) == (200, b"{}", "", True)
    assert len(set(balancer.heads)) == 1
    nursery.cancel_scope.cancel()


OK = b"HTTP/1.1 200 OK\r\nX-Ratelimit-Remaining: 7\r\nContent-Length: 2\r\n\r\n{}"


async def test_a_question_leaves_whole_and_its_connection_ends_with_the_answer(
    nursery: trio.Nursery,
) -> None:
    server = Scripted(OK)
    listener, *_ = await nursery.start(trio.serve_tcp, server.serve, 0)
    reply, problem, sent = await look_ups_at(listener).ask("DELETE", "/v2/orders/1")
    assert reply is not None
    assert (reply.status, reply.body, reply.complete) == (200, b"{}", True)
    assert reply.headers["x-ratelimit-remaining"] == "7"
    assert (problem, sent) == ("", True)
    assert server.asked.startswith(b"DELETE /v2/orders/1 HTTP/1.1\r\n")
    assert b"\r\nAPCA-API-KEY-ID: key\r\n" in server.asked
    with trio.fail_after(30):
        await server.left.wait()
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("answer", "closes", "status", "body", "problem"),
    [
        (b"", True, None, b"", "the server closed the connection"),
        (b"", False, None, b"", "no answer within 30 s"),
        (OK[:-1], True, 200, b"{", "the server closed the connection"),
        (OK[:-1], False, 200, b"{", "no answer within 30 s"),
        (b"SSH-2.0-OpenSSH\r\n", False, None, b"", "the answer is not HTTP"),
        (
            OK.replace(b"2\r", b"2000000\r") + bytes(2_000_000),
            False,
            200,
            None,
            "the answer is longer than 1 MiB",
        ),
    ],
    ids=["closed", "silent", "broken off", "stuck", "ssh", "endless"],
)
async def test_an_answer_that_is_not_whole_says_why(  # noqa: PLR0917 - one case
    nursery: trio.Nursery,
    mock_clock: trio.testing.MockClock,
    answer: bytes,
    closes: bool,
    status: int | None,
    body: bytes | None,
    problem: str,
) -> None:
    server = Scripted(answer, closes=closes)
    listener, *_ = await nursery.start(trio.serve_tcp, server.serve, 0)

    async def let_time_run_out() -> None:
        await server.answered.wait()
        await trio.testing.wait_all_tasks_blocked(0.05)
        mock_clock.jump(30.0)

    if problem.startswith("no answer"):
        nursery.start_soon(let_time_run_out)
    reply, why, sent = await look_ups_at(listener, seconds=30.0).ask("GET", "/")
    assert sent
    assert why.startswith(problem)
    if reply is None:
        assert status is None
    else:
        assert (reply.status, reply.complete) == (status, False)
        assert body in {None, reply.body}
    nursery.cancel_scope.cancel()


async def test_an_answer_without_a_length_ends_with_its_connection(
    nursery: trio.Nursery,
) -> None:
    server = Scripted(b"HTTP/1.0 200 OK\r\n\r\n[]", closes=True)
    listener, *_ = await nursery.start(trio.serve_tcp, server.serve, 0)
    reply, problem, _sent = await look_ups_at(listener).ask("GET", "/v2/positions")
    assert reply is not None
    assert (reply.status, reply.body, reply.complete, problem) == (200, b"[]", True, "")
    nursery.cancel_scope.cancel()


async def test_a_question_that_is_cancelled_leaves_no_connection(
    nursery: trio.Nursery,
) -> None:
    server = Scripted(b"")
    listener, *_ = await nursery.start(trio.serve_tcp, server.serve, 0)
    asking = trio.CancelScope()

    async def ask() -> None:
        with asking:
            await look_ups_at(listener, seconds=30.0).ask("GET", "/v2/clock")

    nursery.start_soon(ask)
    with trio.fail_after(30):
        await server.arrived.wait()
        asking.cancel()
        await server.left.wait()
    nursery.cancel_scope.cancel()


async def test_where_nothing_listens_nothing_has_left(nursery: trio.Nursery) -> None:
    listener, *_ = await nursery.start(trio.serve_tcp, Scripted(OK).serve, 0)
    look_ups = look_ups_at(listener)
    nursery.cancel_scope.cancel()
    with trio.CancelScope(shield=True):
        await listener.aclose()
        reply, problem, sent = await look_ups.ask("GET", "/v2/clock")
    assert (reply, sent) == (None, False)
    assert problem.startswith("all attempts to connect to 127.0.0.1:")


@pytest.mark.parametrize("missing", ["connect", "Readers"])
async def test_a_question_that_no_file_can_be_opened_for_may_come_again(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    def fail(*_where: object) -> None:
        raise OSError(24, "Too many open files")

    listener, *_ = await nursery.start(trio.serve_tcp, Scripted(OK).serve, 0)
    look_ups = look_ups_at(listener)
    with monkeypatch.context() as patch:
        patch.setattr(lookups_module, missing, fail)
        reply, problem, sent = await look_ups.ask("GET", "/v2/clock")
    assert (reply, sent) == (None, False)
    assert "Too many open files" in problem
    reply, *_more = await look_ups.ask("GET", "/v2/clock")
    assert reply is not None
    assert reply.body == b"{}"
    nursery.cancel_scope.cancel()


class Unwatched(Readers):
    """Readers of which the kernel watches no socket."""

    def add(self, _sock: socket.socket, _receive: Callable[[], None]) -> None:
        raise OSError(28, "No space left on device")


class Unwatching(Readers):
    """Readers for which nobody can wait."""

    async def run(self) -> None:
        await trio.lowlevel.checkpoint()
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("readers", "error"),
    [(Unwatched, NotSentError), (Unwatching, UnknownOutcomeError)],
)
async def test_a_connection_that_the_kernel_does_not_watch_is_closed_and_may_come_again(
    nursery: trio.Nursery,
    monkeypatch: pytest.MonkeyPatch,
    make_client: Callable[..., AlpacaClient],
    readers: type[Readers],
    error: type[BrokerError],
) -> None:
    closed = trio.Event()

    async def serve(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            async for _chunk in stream:
                pass
        closed.set()

    listener, *_ = await nursery.start(trio.serve_tcp, serve, 0)
    client = make_client(f"http://127.0.0.1:{listener.socket.getsockname()[1]}")
    monkeypatch.setattr(lookups_module, "Readers", readers)
    with trio.fail_after(30), pytest.raises(error, match="No space left"):
        await client.market_clock()
    with trio.fail_after(30):
        await closed.wait()
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("is_trusted", [True, False])
async def test_over_tls_only_a_trusted_server_is_asked(
    nursery: trio.Nursery, authority: Authority, is_trusted: bool
) -> None:
    server = Scripted(OK)

    async def serve(stream: trio.SocketStream) -> None:
        secured = trio.SSLStream(
            stream, authority.server, server_side=True, https_compatible=True
        )
        with suppress(trio.BrokenResourceError):
            await server.serve(secured)

    listener, *_ = await nursery.start(trio.serve_tcp, serve, 0)
    trusted = {"SSL_CERT_FILE": str(authority.bundle)} if is_trusted else {}
    look_ups = look_ups_at(listener, seconds=30.0, tls=tls_context(trusted))
    reply, problem, sent = await look_ups.ask("GET", "/v2/clock")
    if is_trusted:
        assert reply is not None
        assert (reply.body, problem, sent) == (b"{}", "", True)
    else:
        assert (reply, sent) == (None, False)
        assert "certificate" in problem.lower()
        assert server.asked == b""
    nursery.cancel_scope.cancel()
