"""What the tests of the input side share: signal lines, an intake, a served socket."""

import functools
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec, cast

import trio

from snexec.events import EventFeed
from snexec.intake.admission import Answer, Intake, Phase, Status
from snexec.intake.framing import LineSplitter
from snexec.intake.listener import open_listener
from snexec.intake.socket_server import SocketServer
from snexec.model import Mode
from snexec.ops.commands import Commands
from snexec.ops.control import Control
from snexec.orders.queue import IntentQueue
from snexec.signals import MAX_LINE_BYTES, Signal, TakenSignal
from tests.fakes import live_settings, make_settings, put_mode

if TYPE_CHECKING:
    from snexec.orders.intent import Intent

P = ParamSpec("P")

NOW: Final = datetime(2026, 1, 5, 14, 30, 0, 123_000, tzinfo=UTC)
NOW_TEXT: Final = "2026-01-05T14:30:00.123Z"
MISSING: Final = object()
FLUSH: Final = "(flush)"

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


class WaitingOrders:
    """An order desk that places nothing: what is handed in waits in a real queue.

    Attributes:
        steps: The symbols of what was handed in, and each ``FLUSH``, in their order.
    """

    def __init__(self, max_pending: int) -> None:
        self._queue = IntentQueue(max_pending)
        self._handed_in = trio.Event()
        self.steps: list[str] = []

    @property
    def is_full(self) -> bool:
        """Whether as many wait as may."""
        return self._queue.is_full

    @property
    def room(self) -> int:
        """How many more may be handed in."""
        return self._queue.room

    @property
    def pending(self) -> int:
        """How many wait for an order slot."""
        return self._queue.pending

    async def wait_for_room(self) -> None:
        """Wait until another one may be handed in."""
        await self._queue.wait_for_room()

    def hand_in(self, taken: TakenSignal) -> None:
        """Put it into the queue, which never looks at what it holds."""
        self.steps.append(taken.signal.symbol)
        self._queue.put(cast("Intent", taken))
        self._handed_in.set()
        self._handed_in = trio.Event()

    def flush(self) -> None:
        """Note it."""
        self.steps.append(FLUSH)

    def close(self) -> None:
        """Take no more; those that wait are still given out."""
        self._queue.close()

    def __aiter__(self) -> AsyncIterator[TakenSignal]:
        """Give out what was handed in, which stays counted as pending."""
        return cast("AsyncIterator[TakenSignal]", aiter(self._queue))

    def started(self) -> None:
        """Say that one of those given out waits no longer."""
        self._queue.started()

    def taken(self) -> list[TakenSignal]:
        """Return the signals not given out yet, which stay counted as pending."""
        signals = []
        while (intent := self._queue.next_nowait()) is not None:
            signals.append(cast("TakenSignal", intent))
        return signals

    async def wait_for(self, count: int) -> None:
        """Wait until this many signals were handed in."""
        while len(self.steps) - self.steps.count(FLUSH) < count:
            await self._handed_in.wait()


class World:
    """An intake that takes everything, and what it asks of the daemon.

    Attributes:
        live: The settings in force.
        healthy: Whether rows can be written.
        orders: Where what is taken waits.
    """

    def __init__(
        self,
        *,
        max_pending: int = 1_000_000,
        phase: Phase = Phase.TAKING,
        healthy: bool = True,
    ) -> None:
        self.live = live_settings(make_settings(mode="paper"))
        self.healthy = healthy
        self.orders = WaitingOrders(max_pending)
        self.intake = Intake(self.live, self, self.orders)
        self.intake.phase = phase

    @property
    def counts(self) -> Mapping[Status, int]:
        """Return how many lines were answered what."""
        return self.intake.status().counts

    def set_mode(self, mode: Mode) -> None:
        """Change the mode, as a re-read of the config file does."""
        put_mode(self.live, mode)


@contextmanager
def short_dir() -> Iterator[Path]:
    """Make a directory whose path leaves room for a socket's name."""
    path = Path(tempfile.mkdtemp(prefix="sx", dir="/tmp"))
    try:
        yield path
    finally:
        shutil.rmtree(path)


@dataclass
class FakeControl(Control):
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

    async def reload(self) -> None:
        """Take what is there."""

    def halt(self, reason: str, *, by: str, for_all: bool = False) -> dict[str, object]:
        """Answer with what was asked."""
        more = {"all": True} if for_all else {}
        return {"halted": True, "reason": reason, "by": by, **more}

    def resume(self, *, by: str | None = None) -> dict[str, object]:
        """Answer that it is done."""
        del by
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
    world: World
    feed: EventFeed
    control: FakeControl
    server: SocketServer
    stop: Callable[[], None]

    @property
    def dropped_answers(self) -> int:
        """Return how many answers their clients did not take."""
        return self.world.intake.status().dropped_answers

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """Connect a client."""
        async with await trio.open_unix_socket(str(self.path)) as stream:
            yield Client(stream)


@asynccontextmanager
async def served(
    world: World | None = None, *, path: Path | None = None
) -> AsyncIterator[Served]:
    """Serve a socket for as long as the block lasts."""
    control, feed = FakeControl(), EventFeed(clock=FixedClock())
    control.gate.set()
    commands = Commands(control, control.reload)
    world = world or World()
    with short_dir() as directory:
        where = path or directory / "s"
        with open_listener(where) as listener:
            server = SocketServer(world.intake, feed, commands, listener)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(server.run)
                yield Served(
                    path=where,
                    world=world,
                    feed=feed,
                    control=control,
                    server=server,
                    stop=nursery.cancel_scope.cancel,
                )
                nursery.cancel_scope.cancel()


class Owner:
    """Owns standard input, as the daemon's stages do.

    Attributes:
        answers: What the lines were answered.
        may_feed: Waited for before the first line of a file.
        ended: Set when there are no more lines.
    """

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.may_feed = trio.Event()
        self.may_feed.set()
        self.ended = trio.Event()
        self._more = trio.Event()

    async def wait_to_feed_file(self) -> None:
        """Wait until a file may be fed."""
        await self.may_feed.wait()

    def input_answered(self, answer: Answer) -> None:
        """Keep the answer."""
        assert not self.ended.is_set(), "an answer came after the end"
        self.answers.append(answer)
        self._more.set()
        self._more = trio.Event()

    def input_ended(self) -> None:
        """Note the end."""
        assert not self.ended.is_set(), "the end came twice"
        self.ended.set()

    async def wait_for(self, count: int) -> None:
        """Wait until this many lines were answered."""
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
