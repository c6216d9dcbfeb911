"""A line for each request and each WebSocket, for whoever writes a client."""

import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SHOWN_CHARS = 300


class RequestLog:
    """Wraps an ASGI app, and writes what was asked and how it was answered.

    Args:
        app: What answers.
        write: Takes each line; no header is in it, so no key.
    """

    def __init__(self, app: ASGIApp, write: Callable[[str], None]) -> None:
        self._app = app
        self._write = write

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or one WebSocket to its end."""
        if scope["type"] == "websocket":
            self._write(f"WS {_shown(scope)} opened")
            try:
                await self._app(scope, receive, send)
            finally:
                self._write(f"WS {_shown(scope)} closed")
            return
        began, status = time.perf_counter(), 0
        body = bytearray()

        async def heard() -> Message:
            message = await receive()
            if message["type"] == "http.request" and len(body) < _SHOWN_CHARS:
                body.extend(message.get("body", b""))
            return message

        async def said(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, heard, said)
        finally:
            took_ms = (time.perf_counter() - began) * 1000
            words = body[:_SHOWN_CHARS].decode(errors="replace")
            answer = status or "no answer"
            line = (
                f"{scope['method']} {_shown(scope)} {answer} {took_ms:.1f} ms {words}"
            )
            self._write(line.rstrip())


def _shown(scope: Scope) -> str:
    query = scope.get("query_string", b"").decode("latin-1")
    return f"{scope['path']}?{query}" if query else str(scope["path"])
