"""A server that takes signals, around an intake, and who posts to it."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import trio

from snexec.settings import HttpSettings
from snexec.signals import MAX_LINE_BYTES
from snexec.web.pace import Pace
from snexec.web.posted import MOST_SIGNALS, Posted
from snexec.web.server import Server
from snexec.web.signals import Signals
from snexec.web.site import signals_app
from tests.input_helpers import World, signal_line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from snexec.intake.feeder import Feeder

TOKEN = "Zq3vX8mK1pLw7tRb5nYc9dGh2jFs6aEu"
OTHER_TOKEN = "model.0f8e7d6c5b4a39281706f5e4d3c2b1a0"


def http_settings(**more: object) -> HttpSettings:
    """Return a section under which two may post."""
    tokens = {"tv": TOKEN, "model": OTHER_TOKEN}
    place = {"enabled": True, "listen": "127.0.0.1:0", "per_minute": 100_000}
    return HttpSettings.model_validate(place | {"tokens": tokens} | more)


@dataclass(frozen=True)
class Reply:
    """What was answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - it is JSON
        return json.loads(self.body)


def request(
    body: bytes = b"",
    *,
    token: str = TOKEN,
    method: str = "POST",
    length: int | None = None,
    **headers: str,
) -> bytes:
    """Return a request as it goes over the line; headers are named with underscores."""
    sent = {
        "host": "trader.example",
        "content_length": str(len(body) if length is None else length),
        **headers,
    }
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in sent.items()]
    head = "\r\n".join([f"{method} /signals/{token} HTTP/1.1", *lines, "", ""])
    return head.encode() + body


class Poster:
    """One connection."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._got = b""

    async def post(self, body: bytes, **more: Any) -> Reply:  # noqa: ANN401
        await self.stream.send_all(request(body, **more))
        return await self.reply()

    async def reply(self, *, has_body: bool = True) -> Reply:
        """Wait for one answer."""
        while b"\r\n\r\n" not in self._got:
            await self._more()
        head, _, self._got = self._got.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        length = int(headers["content-length"]) if has_body else 0
        while len(self._got) < length:
            await self._more()
        body, self._got = self._got[:length], self._got[length:]
        return Reply(int(first.split()[1]), headers, body)

    async def _more(self) -> None:
        data = await self.stream.receive_some()
        assert data, "the server closed the connection"
        self._got += data


@dataclass
class Taking:
    """A server that takes signals."""

    port: int
    world: World
    posted: Posted
    server: Server

    @asynccontextmanager
    async def poster(self) -> AsyncIterator[Poster]:
        async with await trio.open_tcp_stream("127.0.0.1", self.port) as stream:
            yield Poster(stream)

    async def post(self, body: bytes, **more: Any) -> Reply:  # noqa: ANN401
        """Post on a connection of its own."""
        async with self.poster() as poster:
            return await poster.post(body, **more)


@asynccontextmanager
async def taking(
    world: World | None = None, *, at_any_pace: bool = False, **settings: object
) -> AsyncIterator[Taking]:
    """Take signals for as long as the block lasts."""
    world = world or World()
    posted = Posted(world.intake)
    server = Server(signals_app(Signals(posted, http_settings(**settings))))
    if at_any_pace:
        server._requests = server._accepts = Pace(burst=10**6, per_second=10**6)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.run, listeners)
            nursery.start_soon(posted.run)
            port = listeners[0].socket.getsockname()[1]
            yield Taking(port, world, posted, server)
            nursery.cancel_scope.cancel()
    finally:  # not in a cancelled scope, where a failure of the block would be lost
        for listener in listeners:
            await trio.aclose_forcefully(listener)


class HttpSender:
    """Posts lines, as many in an array as may be, for the contract of feeders."""

    def __init__(self, it: Taking) -> None:
        self.feeder: Feeder = it.posted
        self._it = it
        self._rest = b""
        self._answers: list[dict[str, Any]] = []
        self._broken: trio.SocketStream | None = None

    async def send(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        async with self._it.poster() as poster:
            for body in bodies([line for line in lines if line.strip()]):
                if len(body) > MAX_LINE_BYTES:
                    self._took(await self._it.post(body))  # which ends a connection
                else:
                    self._took(await poster.post(body))

    async def end(self) -> list[dict[str, Any]]:
        if self._rest.strip():
            self._took(await self._it.post(self._rest))
        return self._answers

    async def break_off(self) -> None:
        # Within a signal's body.
        stream = await trio.open_tcp_stream("127.0.0.1", self._it.port)
        await stream.send_all(request(self._rest, length=len(self._rest) + 50))
        await trio.sleep(0.05)
        await stream.aclose()
        await trio.sleep(0.05)

    async def goes_on(self) -> None:
        reply = await self._it.post(signal_line(id="other"))
        assert reply.json == {"status": "accepted", "id": "other"}

    def _took(self, reply: Reply) -> None:
        answers = reply.json
        self._answers += answers if isinstance(answers, list) else [answers]


def bodies(lines: list[bytes]) -> list[bytes]:
    """Put lines into arrays; what is no JSON is a text there, and as invalid."""
    found: list[bytes] = []
    waiting: list[bytes] = []
    for line in [*lines, None]:
        is_long = line is not None and len(line) > MAX_LINE_BYTES // 2
        size = sum(map(len, waiting)) + len(waiting) + len(line or b"")
        is_full = len(waiting) == MOST_SIGNALS or size > MAX_LINE_BYTES - 1_000
        if waiting and (line is None or is_long or is_full):
            found.append(b"[" + b",".join(waiting) + b"]")
            waiting = []
        if line is not None and is_long:
            found.append(line)
        elif line is not None:
            waiting.append(line if is_json(line) else json.dumps(repr(line)).encode())
    return found


def is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


@asynccontextmanager
async def running_http(world: World) -> AsyncIterator[HttpSender]:
    async with taking(world, at_any_pace=True) as it:
        yield HttpSender(it)
