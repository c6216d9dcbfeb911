"""What the tests of the input side share: signal lines, an intake, a served socket."""

import functools
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, ParamSpec

import trio

from snexec.events import EventFeed
from snexec.intake.admission import Answer, Intake, Phase, TakenSignal
from snexec.intake.framing import LineSplitter
from snexec.intake.socket_server import SocketServer, open_listener
from snexec.model import Mode
from snexec.signals import MAX_LINE_BYTES, Signal

P = ParamSpec("P")

NOW: Final = datetime(2026, 1, 5, 14, 30, 0, 123_000, tzinfo=UTC)
NOW_TEXT: Final = "2026-01-05T14:30:00.123Z"
MISSING: Final = object()

_FIELDS: dict[str, object] = {
    "symbol": "AAPL",
    "catalystCategory": "fda_approval",
    "catalystTier": 1,
    "aiConfidence": "high",
    "priceAtSignal": 187.2,
    "id": "n-1",
}


def within(
    seconds: float,
) -> Callable[[Callable[P, Awaitable[None]]], Callable[P, Awaitable[None]]]:
    """Fail a test that takes longer; the clock is the real one."""

    def decorate(test: Callable[P, Awaitable[None]]) -> Callable[P, Awaitable[None]]:
        @functools.wraps(test)
        async def timed(*args: P.args, **kwargs: P.kwargs) -> None:
            with trio.fail_after(seconds):
                await test(*args, **kwargs)

        return timed

    return decorate


def signal_line(**changes: object) -> bytes:
    """Give a valid signal's line with fields changed, or left out with MISSING."""
    fields = {k: v for k, v in (_FIELDS | changes).items() if v is not MISSING}
    return json.dumps(fields, separators=(",", ":")).encode()


def raw_line(field_name: str, literal: bytes) -> bytes:
    """Give a valid signal's line with one field's value spelt in these bytes."""
    line = signal_line(**{field_name: "<here>"})
    return line.replace(b'"<here>"', literal)


class FixedClock:
    """Stands still until told otherwise."""

    def __init__(self) -> None:
        self.moment = NOW

    def now(self) -> datetime:
        """Return the set time."""
        return self.moment


@dataclass(kw_only=True)
class World:
    """What an intake asks of the daemon, to be changed at will."""

    mode: Mode = "paper"
    refusal: str | None = None


def new_intake(
    *,
    max_pending: int = 1_000_000,
    world: World | None = None,
    phase: Phase = Phase.TAKING,
) -> Intake:
    """Make an intake, by default one that takes everything."""
    asked = world or World()
    intake = Intake(
        max_pending=max_pending,
        mode=lambda: asked.mode,
        refusal=lambda: asked.refusal,
    )
    intake.phase = phase
    return intake


def taken(intake: Intake) -> list[TakenSignal]:
    """Give the signals that wait in the queue, which stay counted as pending."""
    signals = []
    while True:
        try:
            signals.append(intake.taken.receive_nowait())
        except (trio.WouldBlock, trio.EndOfChannel):
            return signals


@contextmanager
def short_dir() -> Iterator[Path]:
    """Make a directory whose path leaves room for a socket's name."""
    path = Path(tempfile.mkdtemp(prefix="sx", dir="/tmp"))
    try:
        yield path
    finally:
        shutil.rmtree(path)


@dataclass
class FakeControl:
    """Answers ``status`` when it may.

    Attributes:
        gate: Waited for before each answer.
        failure: Raised instead of an answer.
    """

    fields: dict[str, object] = field(default_factory=lambda: {"pid": 7})
    gate: trio.Event = field(default_factory=trio.Event)
    failure: Exception | None = None
    asked: int = 0

    async def status(self) -> dict[str, object]:
        """Return the set fields."""
        self.asked += 1
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return self.fields

    def obey_halt(self, reason: str, by: str) -> dict[str, object]:
        """Answer with what was asked."""
        return {"halted": True, "reason": reason, "by": by}

    def obey_resume(self) -> dict[str, object]:
        """Answer that it is done."""
        return {"halted": False}

    async def explain(self, signal: Signal) -> dict[str, object]:
        """Answer with the signal's symbol."""
        await trio.lowlevel.checkpoint()
        return {"symbol": signal.symbol}


class Client:
    """The other end of a served socket."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._splitter = LineSplitter(MAX_LINE_BYTES)
        self._lines: list[bytes] = []

    async def send(self, *lines: bytes) -> None:
        """Send lines, each with its newline."""
        await self.stream.send_all(b"".join(line + b"\n" for line in lines))

    async def answer(self) -> dict[str, Any]:
        """Receive one answer; fail at the end of the stream."""
        answer = await self._next()
        assert answer is not None, "the daemon closed the connection"
        return answer

    async def ask(self, line: bytes) -> dict[str, Any]:
        """Send a line and receive its answer."""
        await self.send(line)
        return await self.answer()

    async def follow(self) -> None:
        """Turn the connection into a feed."""
        assert await self.ask(b'{"command":"events"}') == {"status": "ok"}

    async def rest(self) -> list[dict[str, Any]]:
        """Receive every answer until the daemon closes the connection."""
        answers = []
        while (answer := await self._next()) is not None:
            answers.append(answer)
        return answers

    async def _next(self) -> dict[str, Any] | None:
        while not self._lines:
            data = await self.stream.receive_some(65536)
            if not data:
                assert list(self._splitter.finish()) == [], "an answer was cut short"
                return None
            self._lines += [line for line in self._splitter.feed(data) if line]
        answer = json.loads(self._lines.pop(0))
        assert isinstance(answer, dict)
        return answer


@dataclass(kw_only=True)
class Served:
    """A served socket and what is behind it."""

    path: Path
    intake: Intake
    feed: EventFeed
    control: FakeControl
    server: SocketServer
    stop: Callable[[], None]

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """Connect a client."""
        async with await trio.open_unix_socket(str(self.path)) as stream:
            yield Client(stream)


@asynccontextmanager
async def served(
    intake: Intake | None = None, *, path: Path | None = None
) -> AsyncIterator[Served]:
    """Serve a socket for as long as the block lasts."""
    control, feed = FakeControl(), EventFeed(clock=FixedClock())
    control.gate.set()
    intake = intake or new_intake()
    server = SocketServer(intake=intake, feed=feed, control=control)
    with short_dir() as directory:
        where = path or directory / "s"
        with open_listener(where) as listener:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(server.run, listener)
                yield Served(
                    path=where,
                    intake=intake,
                    feed=feed,
                    control=control,
                    server=server,
                    stop=nursery.cancel_scope.cancel,
                )
                nursery.cancel_scope.cancel()


class Told:
    """Collects the answers to standard input's lines."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self._more = trio.Event()

    def __call__(self, answer: Answer) -> None:
        self.answers.append(answer)
        self._more.set()
        self._more = trio.Event()

    async def wait_for(self, count: int) -> None:
        """Wait until so many lines were answered."""
        while len(self.answers) < count:
            await self._more.wait()

    @property
    def statuses(self) -> list[str]:
        """Return the answers' statuses, in order."""
        return [answer.status for answer in self.answers]


@contextmanager
def open_pipe() -> Iterator[tuple[int, int]]:
    """Open a pipe; its ends are closed at the end unless the test closed them."""
    ends = os.pipe()
    try:
        yield ends
    finally:
        for fd in ends:
            close_quietly(fd)


def close_quietly(fd: int) -> None:
    """Close a descriptor that may be closed already."""
    with suppress(OSError):
        os.close(fd)


async def serve_once(nursery: trio.Nursery, answer: bytes) -> str:
    """Answer one connection with these bytes and close it; return host and port."""
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]

    async def serve() -> None:
        async with listener, await listener.accept() as stream:
            await stream.receive_some()
            await stream.send_all(answer)

    nursery.start_soon(serve)
    return f"127.0.0.1:{port}"
