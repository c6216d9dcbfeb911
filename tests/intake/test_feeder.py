"""What every feeder promises, whatever its lines come by.

A feeder joins with one `Source`: a function that runs it with one sender.
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest
import trio
from trio.abc import Instrument
from trio.testing import wait_all_tasks_blocked

from snexec.intake import socket_server, stdin
from snexec.intake.admission import LINES_PER_TURN
from snexec.intake.stdin import Kind, StandardInput
from snexec.redis import reader
from snexec.signals import MAX_LINE_BYTES
from snexec.web import connection
from tests.input_helpers import (
    FLUSH,
    Client,
    Owner,
    Served,
    World,
    served,
    signal_line,
    within,
)
from tests.redis.feeding import running_redis
from tests.redis.server import needs_redis
from tests.web.posting import running_http

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from types import ModuleType

    from snexec.intake.feeder import Feeder

TOO_LONG = {"status": "invalid", "error": f"line: longer than {MAX_LINE_BYTES} bytes"}


class Sender(Protocol):
    """The sender of a feeder that runs."""

    feeder: Feeder

    async def send(self, data: bytes) -> None:
        """Have these bytes come, once for all."""

    async def end(self) -> list[dict[str, Any]]:
        """Say that no more come, and return what each line was answered."""

    async def break_off(self) -> None:
        """Go in a way that is a fault."""

    async def goes_on(self) -> None:
        """Wait until the feeder serves another sender, or, with none, has ended."""


Running = Callable[[World], AbstractAsyncContextManager[Sender]]


@dataclass(frozen=True, kw_only=True)
class Source:
    """A feeder to test.

    Attributes:
        running: Runs the feeder with one sender, as long as the block lasts.
        breaking: The same, where its sender can break off.
        module: Holds how much is read at once.
        fault: What is logged of a sender that breaks off.
        at_once: What holds how much is read at once.
        most_cuts: How many sizes of a read are worth a try.
    """

    running: Running
    breaking: Running
    module: ModuleType
    fault: str
    at_once: str = "_READ_BYTES"
    most_cuts: int = 1_000


# The socket -------------------------------------------------------------------------


class SocketSender:
    def __init__(self, it: Served, client: Client) -> None:
        self.feeder: Feeder = it.server
        self._it = it
        self._client = client

    async def send(self, data: bytes) -> None:
        await self._client.stream.send_all(data)

    async def end(self) -> list[dict[str, Any]]:
        await self._client.stream.send_eof()
        return await self._client.rest()

    async def break_off(self) -> None:
        # With answers unread, which resets the connection.
        await wait_all_tasks_blocked()
        await self._client.stream.aclose()

    async def goes_on(self) -> None:
        async with self._it.client() as other:
            answer = await other.ask(signal_line(id="other"))
        assert answer == {"status": "accepted", "id": "other"}


@asynccontextmanager
async def running_socket(world: World) -> AsyncIterator[Sender]:
    async with served(world) as it, it.client() as client:
        yield SocketSender(it, client)
        it.stop()  # before the client goes


# Standard input ---------------------------------------------------------------------


class InputSender:
    def __init__(self, feeder: Feeder, owner: Owner, *, fds: tuple[int, int]) -> None:
        self.feeder = feeder
        self._owner = owner
        self._returned = trio.Event()
        self._read_end, write_end = fds
        self.stream = trio.lowlevel.FdStream(write_end)

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)
        self._owner.may_feed.set()

    async def end(self) -> list[dict[str, Any]]:
        await self.stream.aclose()
        await self._owner.ended.wait()
        return [answer.fields() for answer in self._owner.answers]

    async def break_off(self) -> None:
        # With something unread, which resets the connection.
        os.write(self._read_end, b"never read")
        await self.stream.aclose()

    async def goes_on(self) -> None:
        await self._returned.wait()

    async def run(self) -> None:
        await self.feeder.run()
        self._returned.set()


# Each opens two descriptors, and closes the first: what is read, and what is written.


@contextmanager
def pipe_ends() -> Iterator[tuple[int, int]]:
    read_end, write_end = os.pipe()
    yield read_end, write_end
    os.close(read_end)


@contextmanager
def file_ends() -> Iterator[tuple[int, int]]:
    with tempfile.NamedTemporaryFile() as file:
        yield file.fileno(), os.open(file.name, os.O_WRONLY)


@contextmanager
def socket_ends() -> Iterator[tuple[int, int]]:
    ours, theirs = socket.socketpair()
    with ours:
        yield ours.fileno(), theirs.detach()


OpenEnds = Callable[[], AbstractContextManager[tuple[int, int]]]


@asynccontextmanager
async def running_input(
    world: World, *, kind: Kind, open_ends: OpenEnds
) -> AsyncIterator[Sender]:
    owner = Owner()
    owner.may_feed = trio.Event()  # a file is not fed before it is written
    with open_ends() as fds:
        feeder = StandardInput(world.intake, kind, owner, fd=fds[0])
        sender = InputSender(feeder, owner, fds=fds)
        async with sender.stream, trio.open_nursery() as nursery:
            nursery.start_soon(sender.run)
            yield sender
            nursery.cancel_scope.cancel()


def input_source(kind: Kind, open_ends: OpenEnds) -> Source:
    return Source(
        running=partial(running_input, kind=kind, open_ends=open_ends),
        breaking=partial(running_input, kind=kind, open_ends=socket_ends),
        module=stdin,
        fault="standard input broke off",
    )


SOURCES = {
    "socket": Source(
        running=running_socket,
        breaking=running_socket,
        module=socket_server,
        fault="a client went away",
    ),
    "pipe": input_source(Kind.PIPE, pipe_ends),
    "file": input_source(Kind.FILE, file_ends),
    "redis": Source(
        running=running_redis,
        breaking=running_redis,
        module=reader,
        fault="entries stay in the stream until it answers again",
        at_once="_MOST_AT_ONCE",
        most_cuts=4,  # entries, which nothing cuts
    ),
    "http": Source(
        running=running_http,
        breaking=running_http,
        module=connection,
        fault="tv went away",
    ),
}


@pytest.fixture(
    params=[
        pytest.param(name, marks=needs_redis if name == "redis" else ())
        for name in SOURCES
    ]
)
def source(request: pytest.FixtureRequest) -> Source:
    return SOURCES[request.param]


# What it promises -------------------------------------------------------------------


def lines_of(count: int) -> bytes:
    return b"".join(signal_line(id=f"n-{n}") + b"\n" for n in range(count))


def accepted(signal_id: str) -> dict[str, Any]:
    return {"status": "accepted", "id": signal_id}


def ids(world: World) -> list[str | None]:
    """Return the ids of the signals that were handed in, in their order."""
    return [taken.signal.id for taken in world.orders.taken()]


async def feed(
    source: Source, data: bytes, *, world: World | None = None
) -> list[dict[str, Any]]:
    """Feed these bytes to their end, and return the answers."""
    async with source.running(world or World()) as sender:
        await sender.send(data)
        return await sender.end()


@within(5)
async def test_a_feeders_task_has_a_name(source: Source) -> None:
    async with source.running(World()) as sender:
        assert sender.feeder.name


@within(10)
async def test_each_line_is_answered_once_and_in_order(source: Source) -> None:
    world, lines, expected = World(), [], []
    for number in range(600):
        signal_id = f"n-{number - 2}" if number % 3 == 2 else f"n-{number}"
        tier = 9 if number % 3 == 1 else 1
        lines.append(signal_line(id=signal_id, catalystTier=tier) + b"\n")
        expected.append((("accepted", "invalid", "repeated")[number % 3], signal_id))

    answers = await feed(source, b"".join(lines), world=world)

    assert [(answer["status"], answer["id"]) for answer in answers] == expected
    assert ids(world) == [f"n-{number}" for number in range(0, 600, 3)]
    assert sum(world.counts.values()) == 600


@within(5)
async def test_empty_lines_are_passed_over(source: Source) -> None:
    world = World()
    data = b"\n  \n\r\n\t \x0b\x0c\n" + signal_line() + b"\r\n\n" + b"\n" * 100 + b" "

    assert await feed(source, data, world=world) == [accepted("n-1")]
    assert world.counts == {"accepted": 1}


@within(5)
async def test_many_empty_lines_hide_no_line_behind_them(source: Source) -> None:
    for count in (LINES_PER_TURN - 1, LINES_PER_TURN, LINES_PER_TURN + 1, 1_000):
        assert await feed(source, b"\n" * count + signal_line()) == [accepted("n-1")]


@within(5)
async def test_a_last_line_needs_no_newline(source: Source) -> None:
    world = World()

    answers = await feed(source, lines_of(2)[:-1], world=world)

    assert answers == [accepted("n-0"), accepted("n-1")]
    assert ids(world) == ["n-0", "n-1"]


@within(5)
async def test_an_input_without_a_line_is_answered_nothing(source: Source) -> None:
    assert await feed(source, b"") == []


@within(5)
async def test_the_longest_line_is_taken_and_a_longer_one_is_one_invalid_answer(
    source: Source,
) -> None:
    room = MAX_LINE_BYTES - len(signal_line(padding=""))
    longest = signal_line(padding="x" * room)
    longer = signal_line(padding="x" * (room + 1))

    answers = await feed(
        source,
        b"\n".join(
            [longer, longest, b"x" * 5 * MAX_LINE_BYTES, signal_line(id="n-2"), longer]
        ),
    )

    assert answers == [TOO_LONG, accepted("n-1"), TOO_LONG, accepted("n-2"), TOO_LONG]


@within(30)
async def test_lines_are_whole_wherever_the_bytes_are_cut(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"\n" + signal_line(id="ä") + b"\r\n\nx\n" + signal_line(id="n-2")

    for size in range(1, min(len(data), source.most_cuts) + 1):
        monkeypatch.setattr(source.module, source.at_once, size)
        answers = await feed(source, data)
        assert [answer["status"] for answer in answers] == [
            *("accepted", "invalid", "accepted"),
        ]
        assert [answers[0]["id"], answers[2]["id"]] == ["ä", "n-2"]


class Steps(Instrument):
    """Watches what each step of a task does with lines.

    Attributes:
        longest: The most lines that were taken in one step.
        unflushed: Steps that ended with something handed in and not flushed.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._before = 0
        self.longest = 0
        self.unflushed = 0

    def before_task_step(self, _task: trio.lowlevel.Task) -> None:
        self._before = self._lines()

    def after_task_step(self, _task: trio.lowlevel.Task) -> None:
        self.longest = max(self.longest, self._lines() - self._before)
        steps = self._world.orders.steps
        self.unflushed += bool(steps) and steps[-1] != FLUSH

    def _lines(self) -> int:
        return sum(self._world.counts.values())


@contextmanager
def watched(world: World) -> Iterator[Steps]:
    steps = Steps(world)
    trio.lowlevel.add_instrument(steps)
    try:
        yield steps
    finally:
        trio.lowlevel.remove_instrument(steps)


@pytest.mark.parametrize("line", [signal_line(id=None), b"x"], ids=["signal", "no"])
@within(10)
async def test_after_a_few_lines_others_have_their_turn(
    source: Source, line: bytes
) -> None:
    world = World()
    with watched(world) as steps:
        answers = await feed(source, (line + b"\n") * 400, world=world)

    assert len(answers) == 400
    assert steps.longest == LINES_PER_TURN


@pytest.mark.parametrize("size", [50, 500, 65_536])
@within(10)
async def test_no_order_waits_for_lines_that_are_not_at_hand(
    source: Source, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source.module, source.at_once, size)
    world = World()
    with watched(world) as steps:
        answers = await feed(source, lines_of(LINES_PER_TURN * 2 + 4)[:-1], world=world)

    assert len(answers) == len(ids(world)) == LINES_PER_TURN * 2 + 4
    assert steps.unflushed == 0


@pytest.mark.parametrize("count", [1, LINES_PER_TURN * 10], ids=["early", "late"])
@within(10)
async def test_cancelling_leaves_nothing_behind(source: Source, count: int) -> None:
    world, before = World(), left_open()
    async with source.running(world) as sender:
        await sender.send(lines_of(LINES_PER_TURN * 10) + signal_line()[:40])
        await world.orders.wait_for(count)
    # The end of the block has cancelled it.
    counted = dict(world.counts)
    await wait_all_tasks_blocked()

    assert left_open() == before
    assert world.counts == counted
    # What it took, it took in order, and the half line is no signal.
    taken = ids(world)
    assert taken == [f"n-{number}" for number in range(len(taken))]
    assert count <= len(taken) <= LINES_PER_TURN * 10


def left_open() -> tuple[int, int]:
    """Count the open descriptors, and the tasks."""
    statistics = trio.lowlevel.current_statistics()
    return len(list(Path("/dev/fd").iterdir())), statistics.tasks_living


@within(5)
async def test_a_sender_that_has_ended_ends_no_other(source: Source) -> None:
    async with source.running(World()) as sender:
        await sender.send(lines_of(1))
        assert await sender.end() == [accepted("n-0")]
        await sender.goes_on()


@within(5)
async def test_a_sender_that_breaks_off_ends_alone(
    source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="Intake")
    world = World()
    async with source.breaking(world) as sender:
        await sender.send(lines_of(100) + signal_line(id="half")[:40])
        await world.orders.wait_for(100)
        assert source.fault not in caplog.text

        await sender.break_off()
        await sender.goes_on()

    assert source.fault in caplog.text
    assert ids(world)[:100] == [f"n-{number}" for number in range(100)]
    assert not world.intake.has_taken("half")
