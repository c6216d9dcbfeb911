"""The Unix socket: lines in, one answer each, in order; control commands (SPEC 6)."""

from __future__ import annotations

import errno
import itertools
import json
import logging
import os
import select
import socket
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import trio
from pydantic_core import from_json

from snexec.errors import InvalidSignalError, StartError
from snexec.intake.admission import LINES_PER_TURN
from snexec.intake.framing import LineSplitter
from snexec.locks import lock_file
from snexec.risk import MAX_REASON_CHARS
from snexec.signals import MAX_ID_CHARS, MAX_LINE_BYTES, Signal, parse_signal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from snexec.events import Event, EventFeed
    from snexec.intake.admission import Answer, Intake

log = logging.getLogger("Intake")

_READ_BYTES = 64 * 1024
_TICKS_TO_START_AN_ORDER = 3  # a free slot is taken before a line finds no room
_ANSWERS_WAITING = 4096  # a client; some 400 kB
_FLUSH_SECONDS = 5.0  # for the last answers to a client that has said all it had to say
_HANG_UP_SECONDS = 0.5  # how soon it is noticed; nothing wakes us for it
_BACKLOG = 1024  # feeders that connect at once; the kernel may cap it


class Control(Protocol):
    """What the socket's commands ask of the daemon."""

    async def status(self) -> dict[str, object]:
        """Return the fields of the answer to ``status``."""

    def obey_halt(self, reason: str, by: str) -> dict[str, object]:
        """Halt, and return the fields of the answer."""

    def obey_resume(self) -> dict[str, object]:
        """Resume, and return the fields of the answer."""

    async def explain(self, signal: Signal) -> dict[str, object]:
        """Return the fields of the answer to ``explain``."""


def encode(fields: dict[str, object]) -> bytes:
    """Return an answer as a JSON line."""
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


@contextmanager
def open_listener(path: Path) -> Iterator[trio.SocketListener]:
    """Listen at a path with mode 0600; replace a dead socket, never a living one.

    Raises:
        StartError: The path is taken by a daemon or by something that is no socket,
            or cannot be bound.
    """
    with lock_file(path, owner="intake.socket"):
        _clear(path)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            old_mask = os.umask(0o177)
            try:
                listening.bind(str(path))
            except OSError as exc:
                raise StartError(
                    f"intake.socket: cannot listen at {path}: {exc.strerror}"
                ) from None
            finally:
                os.umask(old_mask)
            ours = path.stat().st_ino
            listening.listen(_BACKLOG)
            try:
                yield trio.SocketListener(trio.socket.from_stdlib_socket(listening))
            finally:
                if path.exists() and path.stat().st_ino == ours:
                    path.unlink()
        finally:
            listening.close()


def _clear(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as exc:
        raise StartError(f"intake.socket: {path}: {exc.strerror}") from None
    if not stat.S_ISSOCK(mode):
        raise StartError(
            f"intake.socket: {path} exists and is no socket: move it away or name"
            " another path"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except OSError as exc:
            if exc.errno != errno.ECONNREFUSED:
                raise StartError(
                    f"intake.socket: cannot tell whether {path} is in use:"
                    f" {exc.strerror or exc}"
                ) from None
        else:
            raise StartError(f"intake.socket: {path} is in use by another daemon")
    path.unlink(missing_ok=True)


class SocketServer:
    """Serves any number of clients; none of them can disturb anything."""

    def __init__(self, *, intake: Intake, feed: EventFeed, control: Control) -> None:
        self._intake = intake
        self._feed = feed
        self._control = control
        self.dropped_answers = 0

    async def run(self, listener: trio.SocketListener) -> None:
        """Serve until cancelled."""
        await trio.serve_listeners(self._serve, [listener])

    async def _serve(self, stream: trio.SocketStream) -> None:
        send, receive = trio.open_memory_channel[bytes](_ANSWERS_WAITING)
        client = _Client(send, self._feed, self._count_dropped)
        try:
            async with stream, trio.open_nursery() as nursery:
                nursery.start_soon(client.write, stream, receive, name="answer")
                try:
                    await self._read(stream, client)
                    if client.follows:
                        await _until_hung_up(stream, client.gone)
                finally:
                    client.close()
                nursery.cancel_scope.deadline = trio.current_time() + _FLUSH_SECONDS
        except* (trio.BrokenResourceError, OSError):
            log.debug("a client went away")
        except* Exception:
            log.exception("a client's connection failed; the others go on")

    def _count_dropped(self) -> None:
        self.dropped_answers += 1

    async def _read(self, stream: trio.SocketStream, client: _Client) -> None:
        splitter = LineSplitter(MAX_LINE_BYTES)
        while data := await stream.receive_some(_READ_BYTES):
            await self._take(splitter.feed(data), client)
        await self._take(splitter.finish(), client)

    async def _take(self, lines: Iterator[bytes | None], client: _Client) -> None:
        """Take the lines of one read, a few at a turn, all clients in turns."""
        read_at = trio.current_time()
        while True:
            for _ in range(_TICKS_TO_START_AN_ORDER if self._intake.is_full else 0):
                await trio.lowlevel.checkpoint()
            answers: list[Answer] = []
            request, more = self._take_turn(lines, answers, read_at)
            self._intake.turn_ended()
            if not client.follows:
                # The orders leave first, and a flood of one client delays no other. One
                # that follows the events hears them behind its answers.
                await trio.lowlevel.checkpoint()
            for answer in answers:
                client.tell(encode(answer.fields()))
            if client.follows:
                await trio.lowlevel.checkpoint()
            if request is not None:
                await self._obey(request, client)
            elif not more:
                return

    def _take_turn(
        self, lines: Iterator[bytes | None], answers: list[Answer], read_at: float
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
                if (request := _request(line)) is not None:
                    return request, True
            answers.append(self._intake.take(line, read_at=read_at))
            if self._intake.is_full:
                return None, True
        return None, taken == LINES_PER_TURN

    async def _obey(self, request: dict[str, object], client: _Client) -> None:
        signal_id = request.get("id")
        answer: dict[str, object] = {"status": "ok"}
        if isinstance(signal_id, str) and len(signal_id) <= MAX_ID_CHARS:
            answer["id"] = signal_id
        match request["command"]:
            case "status":
                client.tell(encode(answer | await self._control.status()))
            case "events":
                client.tell(encode(answer))
                client.follow()
            case _:
                try:
                    fields = await self._carry_out(request)
                except _BadRequestError as exc:
                    fields = {"status": "invalid", "error": str(exc)}
                client.tell(encode(answer | fields))

    async def _carry_out(self, request: dict[str, object]) -> dict[str, object]:
        """Do what is asked for, and return the answer's fields."""
        match request["command"]:
            case "halt":
                reason = _words(request, "reason", default="no reason was given")
                return self._control.obey_halt(
                    reason, _words(request, "by", default="the socket")
                )
            case "resume":
                return self._control.obey_resume()
            case "explain":
                return await self._control.explain(_signal(request.get("signal")))
            case _:
                raise _BadRequestError(
                    "command: must be 'status', 'events', 'halt', 'resume' or 'explain'"
                )


async def _until_hung_up(stream: trio.SocketStream, gone: trio.Event) -> None:
    """Wait until a client that has ended its input has closed its output too."""
    poll = select.poll()
    poll.register(stream.socket.fileno(), 0)
    while not gone.is_set() and not poll.poll(0):
        with trio.move_on_after(_HANG_UP_SECONDS):
            await gone.wait()


class _Client:
    """The sending side of one connection, which never waits."""

    def __init__(
        self,
        send: trio.MemorySendChannel[bytes],
        feed: EventFeed,
        count_dropped: Callable[[], None],
    ) -> None:
        self._send = send
        self._feed = feed
        self._count_dropped = count_dropped
        self.follows = False
        self.gone = trio.Event()  # set once nothing can be told any more

    async def write(
        self, stream: trio.SocketStream, receive: trio.MemoryReceiveChannel[bytes]
    ) -> None:
        try:
            with receive:
                async for line in receive:
                    lines = [line]
                    while len(lines) < _ANSWERS_WAITING:
                        try:
                            lines.append(receive.receive_nowait())
                        except (trio.WouldBlock, trio.EndOfChannel):
                            break
                    await stream.send_all(b"".join(lines))
        except trio.BrokenResourceError:
            log.debug("a client no longer reads its answers")
        finally:
            self.gone.set()

    def tell(self, line: bytes) -> None:
        try:
            self._send.send_nowait(line)
        except trio.WouldBlock:
            self._count_dropped()
        except trio.BrokenResourceError:
            pass  # the client reads no more, and may still have signals to give

    def follow(self) -> None:
        self.follows = True
        self._feed.follow(self._tell_event)

    def close(self) -> None:
        self._feed.unfollow(self._tell_event)
        self._send.close()

    def _tell_event(self, event: Event) -> None:
        self.tell(event.line())


class _BadRequestError(Exception):
    """A request for control that cannot be understood."""


def _words(request: dict[str, object], name: str, *, default: str) -> str:
    words = request.get(name)
    if words is None:
        return default
    if not isinstance(words, str) or not words.strip() or len(words) > MAX_REASON_CHARS:
        raise _BadRequestError(
            f"{name}: must be text of at most {MAX_REASON_CHARS} characters"
        )
    return words


def _signal(value: object) -> Signal:
    try:
        return parse_signal(json.dumps(value).encode())
    except InvalidSignalError as exc:
        raise _BadRequestError(f"signal: {exc}") from None


def _request(line: bytes) -> dict[str, object] | None:
    """Read a line as a request for control, if it is one."""
    if b'"command"' not in line:
        return None
    try:
        value = from_json(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) and "command" in value else None
