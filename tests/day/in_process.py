"""The simulated exchange without a socket: its application is called in this process.

So a clock that jumps may drive the daemon and its broker together.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import trio
from trio_websocket import CloseReason, ConnectionClosed, ConnectionRejected

from snexec.broker.request import Reply
from snexec.http import httpx

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp

Message = dict[str, Any]
_ON_ITS_WAY_SECONDS = 0.01
_KEYS = [(b"apca-api-key-id", b"PK"), (b"apca-api-secret-key", b"s3cr3t")]


@dataclass(eq=False)
class Link:
    """What the exchange takes for a TCP connection, and may break."""

    broken: trio.Event = field(default_factory=trio.Event)
    is_frozen: bool = False

    def close(self) -> None:
        self.broken.set()

    def reset(self) -> None:
        self.broken.set()

    def freeze(self) -> None:
        self.is_frozen = True


class Questions:
    """Asks as ``snexec.broker.lookups.LookUps`` does, and posts orders too.

    Args:
        app: The exchange's application.
        base: The path below which the account is.
        timeout_seconds: How long an answer may take.

    Attributes:
        asked: The method and the path of each request.
    """

    def __init__(
        self, app: ASGIApp, base: str, *, timeout_seconds: float = 10.0
    ) -> None:
        self.asked: list[str] = []
        self._app = app
        self._base = base
        self._timeout_seconds = timeout_seconds

    async def ask(
        self, method: str, path: str, body: bytes = b"", *, most_bytes: int = 0
    ) -> tuple[Reply | None, str, bool]:
        """Make a request; see ``LookUps.ask``. Its answer may have any length."""
        del most_bytes
        link = Link()
        call = _Call(body)
        url = urlsplit(self._base + path)
        self.asked.append(f"{method} {url.path}")
        scope = {
            **_scope("http", unquote(url.path), link),
            "method": method,
            "query_string": url.query.encode(),
        }
        with trio.move_on_after(self._timeout_seconds):
            await trio.sleep(_ON_ITS_WAY_SECONDS)
            await self._app(scope, call.receive, call.send)
            await trio.sleep(_ON_ITS_WAY_SECONDS)
            if link.broken.is_set():
                return None, "ReadError: the connection was reset", True
            headers = httpx.Headers(call.headers)
            return Reply(call.status, headers, bytes(call.body), True), "", True
        return None, "no answer in time", True


class _Call:
    def __init__(self, body: bytes) -> None:
        self._asked: bytes | None = body
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = bytearray()

    async def receive(self) -> Message:
        if self._asked is None:
            await trio.sleep_forever()  # the client waits, too
        await trio.lowlevel.checkpoint()
        body, self._asked = self._asked, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Mapping[str, Any]) -> None:
        await trio.lowlevel.checkpoint()
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], message["headers"]
        else:
            self.body += message.get("body", b"")


class AppSocket:
    """A WebSocket to the application, as trio-websocket's client shows it."""

    def __init__(self, app: ASGIApp, path: str) -> None:
        self._app = app
        self._link = Link()
        self._scope = _scope("websocket", path, self._link) | {"subprotocols": []}
        self._to_app, self._at_app = trio.open_memory_channel[Message](1000)
        self._to_us, self._at_us = trio.open_memory_channel[str | bytes](100_000)
        self._upgraded = trio.Event()
        self._refused: int | None = None
        self._closed: CloseReason = CloseReason(1006, None)
        self._to_app.send_nowait({"type": "websocket.connect"})

    async def open(self, nursery: trio.Nursery) -> None:
        """Connect; the application serves it in the nursery.

        Raises:
            ConnectionRejected: The exchange says no.
        """
        nursery.start_soon(self._serve)
        await self._upgraded.wait()
        if self._refused is not None:
            raise ConnectionRejected(self._refused, (), None)

    async def send_message(self, text: str) -> None:
        await trio.lowlevel.checkpoint()
        if self._link.broken.is_set():
            raise ConnectionClosed(self._closed)
        self._to_app.send_nowait({"type": "websocket.receive", "text": text})

    async def get_message(self) -> str | bytes:
        try:
            return await self._at_us.receive()
        except trio.EndOfChannel:
            raise ConnectionClosed(self._closed) from None

    async def ping(self) -> None:
        await trio.lowlevel.checkpoint()
        if self._link.broken.is_set():
            raise ConnectionClosed(self._closed)
        if self._link.is_frozen:
            await trio.sleep_forever()

    async def aclose(self) -> None:
        self._to_app.close()
        await trio.lowlevel.checkpoint()

    async def _serve(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, nursery.cancel_scope)
            try:
                await self._app(self._scope, self._receive, self._send)
            finally:
                self._link.close()
                self._to_us.close()
                self._upgraded.set()
            nursery.cancel_scope.cancel()

    async def _watch(self, serving: trio.CancelScope) -> None:
        await self._link.broken.wait()
        serving.cancel()

    async def _receive(self) -> Message:
        try:
            return await self._at_app.receive()
        except trio.EndOfChannel:
            return {"type": "websocket.disconnect", "code": 1000}

    async def _send(self, message: Mapping[str, Any]) -> None:
        await trio.lowlevel.checkpoint()
        match message["type"]:
            case "websocket.accept":
                self._upgraded.set()
            case "websocket.send" if not self._link.is_frozen:
                frame = message.get("bytes")
                self._to_us.send_nowait(message["text"] if frame is None else frame)
            case "websocket.close":
                self._closed = CloseReason(message.get("code", 1000), None)
                self._link.close()
            case "websocket.http.response.start":
                self._refused = message["status"]
            case _:
                pass


def _scope(kind: str, path: str, link: Link) -> dict[str, Any]:
    return {
        "type": kind,
        "path": path,
        "root_path": "",
        "query_string": b"",
        "headers": _KEYS,
        "http_version": "1.1",
        "scheme": "http",
        "server": ("exchange", 80),
        "client": None,
        "state": {"connection": link},
        "extensions": {"websocket.http.response": {}},
    }
