"""Questions: each as the first one, whatever the answers carried."""

from __future__ import annotations

from contextlib import suppress

import trio

from snexec.broker.lookups import LookUps

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


def look_ups_at(listener: trio.SocketListener) -> LookUps:
    return LookUps(
        f"http://127.0.0.1:{listener.socket.getsockname()[1]}",
        headers={"APCA-API-KEY-ID": "key"},
        timeout_seconds=5.0,
        dial_seconds=5.0,
        ssl_context=None,
    )


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
    await look_ups.aclose()
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
    await look_ups.aclose()
    nursery.cancel_scope.cancel()
