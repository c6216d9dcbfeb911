"""A browser that follows, as one that is looked into."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio

from tests.web.site import Browser, head

PATIENCE_SECONDS = 15.0


class Follower:
    """Reads server-sent events off a connection of its own."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._raw = b""  # what is no whole chunk yet
        self._has_head = False
        self._plain = b""

    async def message(self) -> tuple[str, Any]:
        """Wait for the next message: its name and what it holds; a comment has none."""
        with trio.fail_after(PATIENCE_SECONDS):
            while True:
                block = await self._block()
                fields = dict(
                    line.split(": ", 1) for line in block.decode().split("\n") if line
                )
                if "event" in fields:
                    return fields["event"], json.loads(fields["data"])
                if "" in fields:
                    return "", None

    async def until(self, name: str) -> Any:  # noqa: ANN401 - it is JSON
        """Wait for a message of this name."""
        with trio.fail_after(PATIENCE_SECONDS):
            while True:
                found, data = await self.message()
                if found == name:
                    return data

    async def _block(self) -> bytes:
        while b"\n\n" not in self._plain:
            data = await self.stream.receive_some()
            if not data:
                raise trio.EndOfChannel
            self._raw += data
            self._take_chunks()
        block, _, self._plain = self._plain.partition(b"\n\n")
        return block

    def _take_chunks(self) -> None:
        if not self._has_head:
            self._has_head = b"\r\n\r\n" in self._raw
            self._raw = (
                self._raw.partition(b"\r\n\r\n")[2] if self._has_head else self._raw
            )
        while self._has_head and b"\r\n" in self._raw:
            size, _, rest = self._raw.partition(b"\r\n")
            length = int(size, 16)
            if len(rest) < length + 2:
                return
            self._plain += rest[:length]
            self._raw = rest[length + 2 :]


@asynccontextmanager
async def following(browser: Browser) -> AsyncIterator[Follower]:
    """Follow, until the block ends."""
    asked = head("GET", "/api/live", browser.port, f"Cookie: {browser.cookie}")
    async with await trio.open_tcp_stream("127.0.0.1", browser.port) as stream:
        await stream.send_all(asked)
        yield Follower(stream)
