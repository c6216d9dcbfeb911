"""One client's connection, and what none can do with it: every bound, tried."""

from __future__ import annotations

import struct

import pytest
import trio

from snexec.web.answers import Answer
from snexec.web.connection import Connection
from tests.web.site import Site, head, raw

pytestmark = pytest.mark.usefixtures("site")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\n\r\n", b"400"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"400"),
        (b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", b"431"),
        (b"GET /" + b"y" * 20_000, b"431"),
        (b"GET /healthz HTTP/1.0\r\n\r\n", b"200"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"40"),
    ],
)
async def test_whatever_is_sent_is_answered_and_the_server_lives_on(
    site: Site, data: bytes, status: bytes
) -> None:
    assert (await raw(site.port, data)).startswith(b"HTTP/1.1 " + status)
    assert (await site.get("/healthz")).status_code == 200


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"no request"),
        (b"GET /" + b"y" * 20_000, b"8192 bytes"),
        (b"\x16\x03\x01\x02\x00\x01\x00", b"no request"),
    ],
)
async def test_what_is_no_request_is_answered_safely_and_in_words(
    site: Site, data: bytes, said: bytes
) -> None:
    answer = await raw(site.port, data)
    assert said in answer.partition(b"\r\n\r\n")[2]
    assert b"\r\nx-content-type-options: nosniff\r\n" in answer
    assert b"\r\ncache-control: no-store\r\n" in answer
    assert b"frame-ancestors 'none'" in answer


async def test_http_2_and_websockets_are_not_spoken(site: Site) -> None:
    asked = head(
        "GET", "/healthz", site.port,
        "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMA",
    )  # fmt: skip
    assert (await raw(site.port, asked)).startswith(b"HTTP/1.1 200 ")
    asked = head(
        "GET", "/api/live", site.port, f"Cookie: {site.cookie}", "Connection: Upgrade",
        "Upgrade: websocket", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )  # fmt: skip
    answer = await raw(site.port, asked)
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert answer.count(b"\r\nx-content-type-options: nosniff\r\n") == 1


async def test_a_head_request_gets_no_body(site: Site) -> None:
    answer = await raw(site.port, head("HEAD", "/healthz", site.port))
    assert answer.endswith(b"\r\n\r\n")
    assert b"content-length: " in answer


async def test_requests_one_after_the_other_share_a_connection(site: Site) -> None:
    asked = head("GET", "/api/snapshot", site.port, f"Cookie: {site.cookie}")
    last = head("GET", "/healthz", site.port)
    assert (await raw(site.port, asked + asked + last)).count(b"HTTP/1.1 200 ") == 3


async def test_who_says_nothing_or_little_is_closed_in_time(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snexec.web.connection.HEAD_SECONDS", 0.3)
    assert await raw(site.port, b"", seconds=3) == b""
    assert await raw(site.port, b"GET /healthz HTTP/1.1\r\n", seconds=3) == b""


async def test_a_head_that_dribbles_in_is_closed_in_time_all_the_same(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snexec.web.connection.HEAD_SECONDS", 0.5)
    began = trio.current_time()
    async with await trio.open_tcp_stream("127.0.0.1", site.port) as stream:
        try:
            while True:
                await stream.send_all(b"x")
                await trio.sleep(0.05)
        except trio.BrokenResourceError:
            pass
    assert trio.current_time() - began < 3


async def test_an_idle_connection_is_closed_in_time(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snexec.web.connection.HEAD_SECONDS", 0.3)
    asked = head("GET", "/api/snapshot", site.port, f"Cookie: {site.cookie}")
    assert (await raw(site.port, asked, seconds=3)).startswith(b"HTTP/1.1 200 ")


async def test_an_answer_nobody_reads_ends_its_connection(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snexec.web.connection._SEND_SECONDS", 0.3)
    monkeypatch.setattr(
        "snexec.web.assets.Assets.named",
        lambda _self, _name: Answer(b"x" * 30_000_000),
    )
    asked = head("GET", "/assets/big", site.port, f"Cookie: {site.cookie}")
    async with await trio.open_tcp_stream("127.0.0.1", site.port) as stream:
        await stream.send_all(asked)
        await trio.sleep(1.0)
        assert (await site.get("/healthz")).status_code == 200
        got = 0
        with trio.fail_after(5):
            try:
                while chunk := await stream.receive_some(1 << 20):
                    got += len(chunk)
            except trio.BrokenResourceError:
                pass
        assert got < 30_000_000


async def test_who_goes_while_he_is_answered_is_no_error(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(
        "snexec.web.assets.Assets.named",
        lambda _self, _name: Answer(b"x" * 30_000_000),
    )
    asked = head("GET", "/assets/big", site.port, f"Cookie: {site.cookie}")
    for _ in range(5):
        stream = await trio.open_tcp_stream("127.0.0.1", site.port)
        await stream.send_all(asked)
        await stream.receive_some(1000)
        at_once = struct.pack("ii", 1, 0)  # a reset, and no end in peace
        stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, at_once)
        await trio.aclose_forcefully(stream)
    assert (await site.get("/healthz")).status_code == 200
    assert not [each for each in caplog.records if each.levelname == "ERROR"]


async def test_an_answer_that_is_cut_off_in_its_head_is_no_error(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def ended(connection: Connection, _data: bytes) -> None:
        connection.end()
        await trio.lowlevel.checkpoint()

    with monkeypatch.context() as patch:
        patch.setattr(Connection, "_send_data", ended)
        assert await raw(site.port, head("GET", "/healthz", site.port)) == b""
    assert (await site.get("/healthz")).status_code == 200
    assert not [each for each in caplog.records if each.levelname == "ERROR"]


async def test_what_is_answered_after_the_end_is_dropped(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(20):
        got = await raw(site.port, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert got.startswith(b"HTTP/1.1 40")
    assert not [each for each in caplog.records if each.levelname == "ERROR"]


async def test_a_body_without_end_is_refused_and_its_connection_ended(
    site: Site,
) -> None:
    asked = head(
        "POST", "/api/halt", site.port, f"Cookie: {site.cookie}",
        f"X-Snexec-Token: {site.token}", "Sec-Fetch-Site: same-origin",
        "Content-Type: application/json", "Transfer-Encoding: chunked",
    )  # fmt: skip
    chunk = b"1000\r\n" + b" " * 4096 + b"\r\n"
    answer = b""
    with trio.fail_after(8):
        async with await trio.open_tcp_stream("127.0.0.1", site.port) as stream:
            await stream.send_all(asked)

            async def send() -> None:
                try:
                    while True:
                        await stream.send_all(chunk)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    pass

            async with trio.open_nursery() as nursery:
                nursery.start_soon(send)
                try:
                    while data := await stream.receive_some():
                        answer += data
                except trio.BrokenResourceError:
                    pass
                nursery.cancel_scope.cancel()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert not site.bench.wings.halt.is_halted()


async def test_a_body_to_what_reads_none_is_no_way_to_stay(site: Site) -> None:
    for path in ("/api/snapshot", "/healthz"):
        asked = head("GET", path, site.port, f"Cookie: {site.cookie}",
                     "Content-Length: 99999999")  # fmt: skip
        got = await raw(site.port, asked + b"x" * 100_000, seconds=5)
        assert got.startswith(b"HTTP/1.1 200 "), path
