"""``POST /signals/{token}``: each answer, and what an attacker gets."""

from __future__ import annotations

import json
import logging
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from snexec.intake import Phase
from snexec.web import bodies, signals
from snexec.web.posted import Posted
from tests.input_helpers import World, signal_line, within
from tests.web.posting import (
    OTHER_TOKEN,
    TOKEN,
    Poster,
    http_settings,
    request,
    taking,
)
from tests.web.site import raw

if TYPE_CHECKING:
    from starlette.types import Message

ACCEPTED = {"status": "accepted", "id": "n-1"}
# What TradingView posts for an alert: text where its message is no JSON, no other header.
TRADINGVIEW = {
    "content_type": "text/plain; charset=utf-8",
    "user_agent": "Go-http-client/1.1",
    "accept_encoding": "gzip",
}
ALERT = (
    b'{\n  "symbol": "NASDAQ:AAPL",\n  "catalystCategory": "breakout",'
    b'\n  "catalystTier": 1,\n  "priceAtSignal": 187.2\n}'
)


@within(10)
async def test_a_signal_is_accepted_whatever_its_type_is_called() -> None:
    async with taking() as it, it.poster() as poster:
        for number, kind in enumerate(
            ["application/json", "text/plain; charset=utf-8", "text/html", ""]
        ):
            reply = await poster.post(signal_line(id=f"n-{number}"), content_type=kind)
            assert (reply.status, reply.json["status"]) == (202, "accepted")
    assert it.world.counts == {"accepted": 4}


@within(10)
async def test_the_answers_are_the_sockets() -> None:
    async with taking() as it, it.poster() as poster:
        line = signal_line()
        first, again = await poster.post(line), await poster.post(line)
        assert (first.status, first.json) == (202, ACCEPTED)
        assert (again.status, again.json) == (200, {"status": "repeated", "id": "n-1"})
        bad = await poster.post(signal_line(id="n-2", catalystTier=9))
        assert bad.status == 400
        assert bad.json["status"] == "invalid"
        assert bad.json["error"].startswith("catalystTier: ")
        nameless = await poster.post(signal_line(id=None))
        assert (nameless.status, nameless.json) == (202, {**ACCEPTED, "id": None})
        assert "retry-after" not in first.headers


@within(10)
async def test_an_alert_of_tradingview_is_a_signal_or_says_what_is_wrong() -> None:
    async with taking() as it:
        plain = ALERT.replace(b"NASDAQ:", b"")
        assert (await it.post(plain, **TRADINGVIEW)).status == 202
        named = await it.post(ALERT, **TRADINGVIEW)
        assert named.status == 400
        assert "symbol" in named.json["error"]
        words = await it.post(b"AAPL Crossing 187.20", **TRADINGVIEW)
        assert (words.status, words.json["error"][:8]) == (400, "not JSON")


@within(10)
async def test_an_array_is_answered_in_order() -> None:
    async with taking() as it:
        lines = [signal_line(id="a"), b"7", signal_line(id="a"), signal_line(id="b")]
        reply = await it.post(b"[" + b",".join(lines) + b"]")
        assert reply.status == 202
        statuses = [each["status"] for each in reply.json]
        assert statuses == ["accepted", "invalid", "repeated", "accepted"]
        assert (await it.post(b"[7]")).status == 202, "it could be read"


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"[1", b"x", b"null", b"{}", b"\xff", b"[" * 60_000, b"{\"a\":" * 9_000,
     json.dumps([1] * 101).encode()],
    ids=lambda body: repr(body[:8]),
)  # fmt: skip
@within(10)
async def test_what_cannot_be_read_is_invalid_and_the_connection_lives_on(
    body: bytes,
) -> None:
    async with taking() as it, it.poster() as poster:
        reply = await poster.post(body)
        assert (reply.status, reply.json["status"]) == (400, "invalid")
        assert (await poster.post(signal_line())).status == 202
    assert it.world.counts == {"invalid": 1, "accepted": 1}


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.STANDBY, Phase.STOPPING])
@within(10)
async def test_what_is_not_taken_now_may_be_later(phase: Phase) -> None:
    async with taking(World(phase=phase)) as it:
        for body in (signal_line(), b"[" + signal_line() + b"]"):
            reply = await it.post(body)
            assert reply.status == 503
            assert int(reply.headers["retry-after"]) >= 1
            answers = reply.json if isinstance(reply.json, list) else [reply.json]
            assert answers == [{"status": phase.value, "id": "n-1"}]


@within(10)
async def test_a_full_daemon_says_so_and_an_array_shows_what_was_taken() -> None:
    async with taking(World(max_pending=1)) as it:
        two = [signal_line(id="a"), signal_line(id="b")]
        reply = await it.post(b"[" + b",".join(two) + b"]")
        assert reply.status == 202
        assert [each["status"] for each in reply.json] == ["accepted", "overloaded"]
        reply = await it.post(signal_line(id="b"))
        assert (reply.status, reply.json["status"]) == (503, "overloaded")
        assert "retry-after" in reply.headers


@within(10)
async def test_a_producer_posts_so_many_a_minute_good_or_bad_and_no_other_pays() -> (
    None
):
    async with taking(per_minute=3) as it:
        assert (
            await it.post(b"[" + b",".join([signal_line()] * 4) + b"]")
        ).status == 429
        assert (await it.post(b"x")).status == 400
        assert (await it.post(signal_line())).status == 202
        assert (await it.post(b"[7, 8]")).status == 429, "one is left"
        assert (await it.post(b"[]")).status == 400
        for body in (signal_line(id="n-2"), b"x", b"[7]"):
            reply = await it.post(body)
            assert reply.status == 429
            assert 50 <= int(reply.headers["retry-after"]) <= 60
            assert reply.json["reason"] == "more than 3 signals a minute"
        assert (await it.post(signal_line(id="n-2"), token=OTHER_TOKEN)).status == 202
    assert it.world.counts == {"invalid": 2, "accepted": 2}


@within(10)
async def test_a_body_above_64_kib_is_refused_unread() -> None:
    async with taking() as it:
        room = bodies.MOST_BYTES - len(signal_line(padding=""))
        longest = signal_line(padding="x" * room)
        assert (await it.post(longest)).status == 202
        async with it.poster() as poster:
            await poster.stream.send_all(request(b"{", length=10**9))
            reply = await poster.reply()
            assert reply.status == 413
            assert "65536" in reply.json["error"]
        async with it.poster() as poster:
            head = request().replace(
                b"content-length: 0", b"transfer-encoding: chunked"
            )
            await poster.stream.send_all(head + b"8000\r\n" + b"x" * 0x8000 + b"\r\n")
            await poster.stream.send_all(b"8001\r\n" + b"x" * 0x8001 + b"\r\n")
            assert (await poster.reply()).status == 413


@within(20)
async def test_a_slow_body_is_ended_and_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bodies, "SECONDS", 0.5)
    assert bodies.MOST_BYTES == 64 * 1024
    async with taking() as it, AsyncExitStack() as stack:
        slow = [await stack.enter_async_context(it.poster()) for _ in range(30)]
        for poster in slow:
            await poster.stream.send_all(request(b"{", length=100))
        assert (await it.post(signal_line())).status == 202
        for poster in slow:
            assert (await poster.reply()).status == 408
    assert it.world.counts == {"accepted": 1}


@within(10)
async def test_a_wrong_token_finds_nothing_by_whatever_method_or_body() -> None:
    async with taking() as it:
        seen = set()
        for token in (TOKEN[:-1], "x", "", f"{TOKEN}/", f"../{TOKEN}", "%00", "a?b=1"):
            for method in ("POST", "GET", "PUT", "OPTIONS", "BREW"):
                # The body never comes, and is not waited for.
                async with it.poster() as poster:
                    asked = request(token=token, method=method, length=500)
                    await poster.stream.send_all(asked)
                    reply = await poster.reply()
                    seen.add((reply.status, reply.body, reply.headers["connection"]))
        assert [status for status, *_ in seen] == [404]
        head = await raw(it.port, request(token="x" * 32, method="HEAD"))
        assert head.startswith(b"HTTP/1.1 404 ")
    assert it.world.counts == {}


@within(10)
async def test_the_right_token_is_posted_to() -> None:
    async with taking() as it:
        for method in ("GET", "PUT", "DELETE", "OPTIONS"):
            reply = await it.post(signal_line(), method=method)
            assert (reply.status, reply.headers["allow"]) == (405, "post")
    assert it.world.counts == {}


@within(10)
async def test_the_host_is_not_asked_for_and_nothing_else_is_here() -> None:
    async with taking() as it:
        assert (await it.post(signal_line(), host="evil.example")).status == 202
        for path in ("/", "/metrics", "/healthz", "/api/snapshot", "/signals"):
            answer = await raw(
                it.port, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            )
            assert answer.startswith(b"HTTP/1.1 404 "), path


@within(10)
async def test_no_token_right_or_wrong_is_in_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = "Wrong0Wrong1Wrong2Wrong3Wrong4Wr"
    async with taking() as it:
        for token in (TOKEN, wrong):
            for body in (signal_line(), b"x"):
                await it.post(body, token=token)
        for _ in range(5):
            await it.post(b"", token=wrong)

        def fail(_body: bytes) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(signals, "signals_in", fail)
        assert (await it.post(b"x")).status == 500
    assert "/signals/*** could not be answered" in caplog.text
    assert TOKEN not in caplog.text
    assert wrong not in caplog.text
    assert caplog.text.count("with a token that nobody has (said once a minute)") == 1
    assert "(from tv)" in caplog.text
    caplog.clear()


class _Connection:
    is_trusted = False

    def __init__(self) -> None:
        self.was: list[bool] = []


@pytest.mark.parametrize(
    ("scheme", "peer", "proxy", "status"),
    [
        ("http", "127.0.0.1", None, 202),
        ("http", "::1", "192.0.2.7", 202),
        ("http", "192.0.2.7", "192.0.2.7", 202),
        ("http", "2001:db8::7", "2001:DB8:0::7", 202),
        ("http", "192.0.2.8", "192.0.2.7", 403),
        ("http", "192.0.2.8", None, 403),
        ("https", "192.0.2.8", None, 202),
    ],
)
async def test_a_token_comes_over_tls_or_from_here_or_from_the_proxy(
    scheme: str,
    peer: str,
    proxy: str | None,
    status: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    world, connection = World(), _Connection()
    app = signals.Signals(Posted(world.intake), http_settings(trusted_proxy=proxy))
    scope = {
        "type": "http", "method": "POST", "path": f"/signals/{TOKEN}", "headers": [],
        "scheme": scheme, "client": (peer, 5), "state": {"connection": connection},
    }  # fmt: skip
    sent: list[Message] = []

    async def receive() -> Message:
        connection.was.append(connection.is_trusted)
        return {"type": "http.request", "body": signal_line(), "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    assert sent[0]["status"] == status
    # While it is answered it is not ended to make room for others; then it is as before.
    assert connection.was == ([True] if status == 202 else [])
    assert not connection.is_trusted
    refused = f"a signal from {peer} is refused: it came neither over TLS, nor from"
    assert (refused in caplog.text) is (status == 403)


@within(60)
async def test_a_thousand_connections_keep_no_signal_out() -> None:
    async with taking() as it, AsyncExitStack() as stack:
        for number in range(1_000):
            stream = await trio.open_tcp_stream("127.0.0.1", it.port)
            await stack.enter_async_context(stream)
            if number % 2:
                await stream.send_all(request(token="x" * 32)[:-2])  # never ends
        assert (await it.post(signal_line())).status == 202


@within(60)
async def test_a_producer_gone_wild_keeps_out_no_other_one() -> None:
    async with taking() as it, AsyncExitStack() as stack:
        for _ in range(200):
            stream = await trio.open_tcp_stream("127.0.0.1", it.port)
            await stack.enter_async_context(stream)
            await stream.send_all(request(length=60_000))  # whose body never comes
        async with it.poster() as other:
            reply = await other.post(signal_line(symbol="KO"), token=OTHER_TOKEN)
        assert (reply.status, reply.json["status"]) == (202, "accepted")


async def test_of_one_producers_connections_a_few_are_kept() -> None:
    world, connections = World(), [_Connection() for _ in range(20)]
    app = signals.Signals(Posted(world.intake), http_settings())
    arrives = trio.Event()

    async def receive() -> Message:
        await arrives.wait()
        return {"type": "http.request", "body": signal_line(), "more_body": False}

    async def send(_message: Message) -> None:
        await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        for each in connections:
            scope = {
                "type": "http", "method": "POST", "path": f"/signals/{TOKEN}",
                "scheme": "http", "client": ("127.0.0.1", 5), "headers": [],
                "state": {"connection": each},
            }  # fmt: skip
            nursery.start_soon(app, scope, receive, send)
        await trio.testing.wait_all_tasks_blocked()
        assert sum(each.is_trusted for each in connections) == 16
        arrives.set()
    assert not any(each.is_trusted for each in connections)


@within(20)
async def test_a_replay_buys_nothing() -> None:
    async with taking() as it:
        recorded = request(signal_line())
        replies = []
        for _ in range(5):
            async with await trio.open_tcp_stream("127.0.0.1", it.port) as stream:
                await stream.send_all(recorded)
                replies.append((await Poster(stream).reply()).status)
        assert replies == [202, 200, 200, 200, 200]
    assert len(it.world.orders.taken()) == 1
