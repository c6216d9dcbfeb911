"""The Unix socket: signals and requests in, one answer each, in order (SPEC 6)."""

from __future__ import annotations

import itertools
import json
import logging
import select
from typing import TYPE_CHECKING, Protocol

import trio

from snexec.intake.admission import LINES_PER_TURN, Phase
from snexec.intake.framing import LongLines
from snexec.intake.outbox import Outboxes
from snexec.intake.request import read_broken_halt, read_request
from snexec.intake.unread import Door
from snexec.signals import MAX_ID_CHARS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from snexec.events import Event, EventFeed
    from snexec.intake.admission import Answer, Intake
    from snexec.intake.framing import LineSplitter
    from snexec.intake.listener import UnixListener
    from snexec.intake.outbox import Outbox
    from snexec.intake.unread import Source

log = logging.getLogger("Intake")

_READ_BYTES = 64 * 1024
_TICKS_TO_START_AN_ORDER = 3  # so that a free slot is taken before a line finds no room
_FLUSH_SECONDS = 5.0  # for the last answers to a client that has sent its last line
_HANG_UP_SECONDS = 0.5  # between two looks, as nothing wakes us for it


class Commands(Protocol):
    """Answers requests."""

    async def answer(self, request: Mapping[str, object]) -> dict[str, object]:
        """Carry out a request, and return the fields of its answer."""


def encode(fields: dict[str, object]) -> bytes:
    """Return an answer as a JSON line."""
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


class SocketServer:
    """Feeds the intake from any number of clients; none can disturb another.

    Args:
        intake: Takes the lines.
        feed: The events, for clients that ask for them.
        commands: Answers all other requests.
        listener: Bound and listening.
    """

    name = "socket"

    def __init__(
        self,
        intake: Intake,
        feed: EventFeed,
        commands: Commands,
        listener: UnixListener,
    ) -> None:
        self._intake = intake
        self._feed = feed
        self._commands = commands
        self._listener = listener
        self._outboxes = Outboxes()
        self._long_lines = LongLines()
        self._sources: dict[trio.SocketStream, Source] = {}

    async def run(self) -> None:
        """Serve until cancelled."""
        try:
            await self._listener.serve(self._serve, self._open_door)
        finally:
            # One that stands by follows one that was active, and goes on here.
            if self._intake.phase is Phase.STOPPING:
                self._listener.refuse()

    def _open_door(self, listener: trio.SocketListener) -> Door:
        return Door(self._intake.unread, listener, self._long_lines, self._sources)

    async def _serve(self, stream: trio.SocketStream) -> None:
        outbox = self._outboxes.open()
        client = _Client(outbox, self._outboxes, self._feed, self._intake)
        try:
            async with stream, trio.open_nursery() as nursery:
                nursery.start_soon(client.write, stream, name="answer")
                try:
                    with self._sources.pop(stream) as source:
                        await self._read(source, client)
                    if client.follows:
                        await _until_hung_up(stream, client.gone)
                finally:
                    client.close()
                nursery.cancel_scope.deadline = trio.current_time() + _FLUSH_SECONDS
        except* (trio.BrokenResourceError, OSError):
            log.debug("a client went away")
        except* Exception:
            log.exception("a client's connection failed; the others go on")

    async def _read(self, source: Source, client: _Client) -> None:
        more = True
        while more:
            data, read_at = await source.receive(_READ_BYTES)
            more = bool(data)
            await self._take(source.splitter, source.lines(data), client, read_at)
            del data  # or every client that waits would keep its last read

    async def _take(
        self,
        splitter: LineSplitter,
        lines: Iterator[bytes | None],
        client: _Client,
        read_at: float,
    ) -> None:
        """Take the lines of one read, a few at a time, so that all clients get turns."""
        while True:
            for _ in range(_TICKS_TO_START_AN_ORDER if self._intake.is_full else 0):
                await trio.lowlevel.checkpoint()
            answers: list[Answer] = []
            request, more = self._take_turn(splitter, lines, answers, read_at)
            self._intake.flush()
            if not client.follows:
                # The orders leave first, and one client's flood delays no other. A
                # client that follows the events gets its answers before them.
                await trio.lowlevel.checkpoint()
            for answer in answers:
                client.answer(encode(answer.fields()))
            if client.follows:
                await trio.lowlevel.checkpoint()
            if request is not None:
                await self._obey(request, client)
            elif not more:
                return

    def _take_turn(
        self,
        splitter: LineSplitter,
        lines: Iterator[bytes | None],
        answers: list[Answer],
        read_at: float,
    ) -> tuple[dict[str, object] | None, bool]:
        """Take a few lines.

        Returns:
            A request that ended the turn, and whether there are more lines.
        """
        taken = 0
        for line in itertools.islice(lines, LINES_PER_TURN):
            taken += 1
            if line is not None:
                if not line or line.isspace():
                    continue
                if (request := read_request(line)) is not None:
                    return request, True
                answer = self._intake.take(line, read_at=read_at)
            elif (request := read_broken_halt(splitter.too_long)) is not None:
                return request, True
            else:
                answer = self._intake.take(None, read_at=read_at, lost=splitter.lost)
            answers.append(answer)
            if self._intake.is_full:
                return None, True
        return None, taken == LINES_PER_TURN

    async def _obey(self, request: dict[str, object], client: _Client) -> None:
        if request["command"] == "events":
            client.answer(encode(_named(request)))
            client.follow()
        else:
            fields = await self._commands.answer(request)
            client.answer(encode(_named(request) | fields))


async def _until_hung_up(stream: trio.SocketStream, gone: trio.Event) -> None:
    """Wait until a client that has sent its last line has hung up."""
    poll = select.poll()
    poll.register(stream.socket.fileno(), 0)
    while not gone.is_set() and not poll.poll(0):
        with trio.move_on_after(_HANG_UP_SECONDS):
            await gone.wait()


class _Client:
    """Sends the answers of one connection; nothing waits for its client."""

    def __init__(
        self, outbox: Outbox, outboxes: Outboxes, feed: EventFeed, intake: Intake
    ) -> None:
        self._outbox = outbox
        self._outboxes = outboxes
        self._feed = feed
        self._intake = intake
        self.follows = False
        self.gone = trio.Event()  # set once no more answers can be sent

    async def write(self, stream: trio.SocketStream) -> None:
        try:
            async for chunk in self._outbox:
                await stream.send_all(chunk)
                del chunk
        except trio.BrokenResourceError:
            log.debug("a client no longer reads its answers")  # but may still send
        finally:
            self._outbox.give_up()
            self.gone.set()

    def answer(self, line: bytes) -> None:
        if not self._outbox.put(line):
            self._intake.note_dropped_answer()

    def follow(self) -> None:
        self.follows = True
        self._feed.follow(self._pass_on)

    def close(self) -> None:
        self._feed.unfollow(self._pass_on)
        self._outbox.end()

    def _pass_on(self, event: Event) -> None:
        self.answer(self._outboxes.line_of(event))


def _named(request: Mapping[str, object]) -> dict[str, object]:
    """Begin the answer to a request, with its id if it has one."""
    request_id = request.get("id")
    if isinstance(request_id, str) and 1 <= len(request_id) <= MAX_ID_CHARS:
        return {"status": "ok", "id": request_id}
    return {"status": "ok"}
