"""A client's requests depend on nothing that an answer has said."""

from __future__ import annotations

import ast
from http import HTTPStatus
from pathlib import Path

import pytest
import trio

import snexec
from snexec.http import httpx, new_client, read_body

STATE = (
    b"Set-Cookie: AWSALB=%s; Path=/; Max-Age=604800\r\n"
    b"Set-Cookie: __cf_bm=%s; HttpOnly\r\n"
    b'WWW-Authenticate: Basic realm="x"\r\n'
    b'WWW-Authenticate: Digest realm="x", nonce="n", qop="auth"\r\n'
    b'Alt-Svc: h3=":443"; ma=86400\r\n'
    b"Strict-Transport-Security: max-age=31536000\r\n"
    b"Location: http://127.0.0.1:9/elsewhere\r\n"
    b"Keep-Alive: timeout=60\r\n"
) % (b"a" * 500, b"b" * 500)


class Server:
    """Answers every request with the same bytes, and keeps what it was asked."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.answer = b""

    async def serve(self, stream: trio.SocketStream) -> None:
        data = b""
        async for chunk in stream:
            data += chunk
            while b"\r\n\r\n" in data:
                head, _, data = data.partition(b"\r\n\r\n")
                self.heads.append(head)
                await stream.send_all(self.answer)


async def start(nursery: trio.Nursery) -> tuple[Server, str]:
    server = Server()
    listener, *_ = await nursery.start(trio.serve_tcp, server.serve, 0)
    return server, f"http://127.0.0.1:{listener.socket.getsockname()[1]}/x"


@pytest.mark.parametrize("status", [200, 302, 401, 403, 500])
async def test_an_answer_leaves_nothing_for_the_next_request(
    nursery: trio.Nursery, status: int
) -> None:
    server, url = await start(nursery)
    phrase = HTTPStatus(status).phrase.encode()
    server.answer = b"HTTP/1.1 %d %s\r\n%sContent-Length: 0\r\n\r\n" % (
        *(status, phrase),
        STATE,
    )
    async with new_client(tls=None, headers={"X-Key": "k"}) as client:
        for _ in range(3):
            with trio.fail_after(30):
                assert (await client.get(url)).status_code == status
    assert len(server.heads) == 3
    assert len(set(server.heads)) == 1, "each request is as the first"
    assert b"x-key: k" in server.heads[0].lower()
    nursery.cancel_scope.cancel()


async def test_the_environment_changes_no_request(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login u password hush\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://u:hush@127.0.0.1:9")
    server, url = await start(nursery)
    server.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    async with new_client(tls=None) as client:
        with trio.fail_after(30):
            await client.get(url)
    assert b"authorization" not in server.heads[0].lower()
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("length", "kept"), [(1024 * 1024, True), (3_000_000, False)])
async def test_a_body_is_read_up_to_a_bound(
    nursery: trio.Nursery, length: int, kept: bool
) -> None:
    server, url = await start(nursery)
    server.answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (
        *(length, b"x" * length),
    )
    body = bytearray()
    async with new_client(tls=None) as client:
        with trio.fail_after(30):
            async with client.stream("GET", url) as answer:
                if kept:
                    await read_body(answer, into=body)
                else:
                    with pytest.raises(httpx.ReadError, match="longer than 1 MiB"):
                        await read_body(answer, into=body)
    assert len(body) <= 1024 * 1024 + 65_536
    assert (len(body) == length) == kept
    nursery.cancel_scope.cancel()


def test_clients_are_made_in_one_place() -> None:
    root = Path(snexec.__file__).parent
    made = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr
        in {"AsyncClient", "Client", "get", "post", "request", "stream"}
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "httpx"
    }
    assert made == {"http.py"}
