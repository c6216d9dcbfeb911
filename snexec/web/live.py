"""What happens, to the browsers that look: server-sent events, all of it bounded (SPEC 14)."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import trio

from snexec.web.client import client_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import Receive, Scope, Send

    from snexec.events import Event
    from snexec.ops import Wings
    from snexec.web.client import Client
    from snexec.web.recent import Recent
    from snexec.web.snapshot import Snapshot, Snapshots

MOST_FOLLOWERS = 16
_AGAIN_SECONDS = 5
_MOST_AT_ONCE = 50  # events in one message; older ones of a flood are left out
_TURN_SECONDS = 0.25
_SNAPSHOT_SECONDS = 1.0
_COMMENT_SECONDS = 10.0
_WAITING = 16  # messages for a browser that reads slowly; then it is let go
_BUSY_LOOKS = 20  # how often it is looked whether orders are done with
_BUSY_SECONDS = 0.05
_ENCODED_AT_ONCE = 10
_HEAD = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"x-accel-buffering", b"no"),
]
_CLOSES = (b"connection", b"close")
_RETRY = b"retry: 3000\n\n"
_COMMENT = b": still here\n\n"


class Live:
    """Sends snapshots and events to those who follow.

    Args:
        snapshots: Makes one a second.
        recent: What happened.
        wings: Whose orders go first.
    """

    def __init__(self, snapshots: Snapshots, recent: Recent, wings: Wings) -> None:
        self._snapshots = snapshots
        self._recent = recent
        self._wings = wings
        self._followers: dict[trio.MemorySendChannel[bytes], Client] = {}
        self._wanted = trio.Event()
        self._first: tuple[int, bytes] = (-1, b"")
        # What all who follow have by now.
        self._shown = b""
        self._sent = 0

    @property
    def followers(self) -> int:
        """How many follow now."""
        return len(self._followers)

    async def run(self) -> None:
        """Send what is new while anybody follows, until cancelled."""
        while True:
            if not self._followers:
                self._wanted = trio.Event()
                await self._wanted.wait()
            await self._send_while_followed()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send to one browser, until it goes away or does not read."""
        client = client_of(scope)
        if len(self._followers) >= MOST_FOLLOWERS:
            await send(_start(_CLOSES))
            full = _message("full", json.dumps({"retryAfter": _AGAIN_SECONDS}).encode())
            await send({"type": "http.response.body", "body": full})
            return
        put, messages = trio.open_memory_channel[bytes](_WAITING)
        self._followers[put] = client
        try:
            client.allow(math.inf)
            await send(_start())
            snapshot = await self._snapshots.latest()
            begin = _RETRY + _message("snapshot", snapshot.data) + await self._begin()
            if len(self._followers) == 1:
                self._shown, self._sent = snapshot.shown, self._first[0]
            await send(_body(begin))
            self._wanted.set()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_until_gone, receive, nursery.cancel_scope)
                await _pass_on(messages, send)
        finally:
            self._followers.pop(put, None)

    async def _send_while_followed(self) -> None:
        next_at = -math.inf
        while self._followers:
            await self._orders_first()
            new = self._recent.since(self._sent, most=_MOST_AT_ONCE)
            self._sent = self._recent.sequence
            if new:
                self._put(_message("feed", await _encoded(new)))
            if trio.current_time() >= next_at:
                next_at = trio.current_time() + _SNAPSHOT_SECONDS
                snapshot: Snapshot = await self._snapshots.latest()
                if snapshot.shown != self._shown:
                    self._shown = snapshot.shown
                    self._put(_message("snapshot", snapshot.data))
            await trio.sleep(_TURN_SECONDS)

    async def _orders_first(self) -> None:
        """Wait for a moment without orders, a second at most."""
        for _ in range(_BUSY_LOOKS):
            orders = self._wings.orders.status()
            if not orders.in_flight and not orders.pending:
                return
            await trio.sleep(_BUSY_SECONDS)

    def _put(self, message: bytes) -> None:
        for follower, client in list(self._followers.items()):
            try:
                follower.send_nowait(message)
            except trio.WouldBlock:
                del self._followers[follower]
                client.end()  # it does not read

    async def _begin(self) -> bytes:
        """Return the latest events, for who begins to follow; made once for all."""
        sequence = self._recent.sequence
        if self._first[0] != sequence:
            events = self._recent.since(0)
            self._first = sequence, _message("feed", await _encoded(events))
        return self._first[1]


async def _pass_on(messages: trio.MemoryReceiveChannel[bytes], send: Send) -> None:
    while True:
        message = _COMMENT
        with trio.move_on_after(_COMMENT_SECONDS):
            message = await messages.receive()
        await send(_body(message))


async def _until_gone(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel(reason="the browser has gone")


async def _encoded(events: Iterable[tuple[int, Event]]) -> bytes:
    """Return events as a list in JSON; orders come between a few and the next few."""
    lines: list[bytes] = []
    for sequence, event in events:
        line = event.line().rstrip()
        lines.append(line[:-1] + b',"seq":%d}' % sequence)
        if len(lines) % _ENCODED_AT_ONCE == 0:
            await trio.lowlevel.checkpoint()
    return b"[" + b",".join(lines) + b"]"


def _message(name: str, data: bytes) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"


def _start(*more: tuple[bytes, bytes]) -> dict[str, object]:
    return {"type": "http.response.start", "status": 200, "headers": [*_HEAD, *more]}


def _body(data: bytes) -> dict[str, object]:
    return {"type": "http.response.body", "body": data, "more_body": True}
