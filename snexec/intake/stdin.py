"""Standard input as a feeder: a pipe, a file, or anything with --stdin (SPEC 2)."""

from __future__ import annotations

import logging
import math
import os
import stat
from contextlib import aclosing
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING, Protocol

import trio

from snexec.errors import first_words
from snexec.intake.admission import LINES_PER_TURN
from snexec.intake.unread import Source, Unread
from snexec.threads import NoThreadError, Threads

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from snexec.intake.admission import Answer, Intake

log = logging.getLogger("Intake")

_READ_BYTES = 64 * 1024
_NO_THREAD_SECONDS = 1.0  # between two tries to start one


class Kind(Enum):
    """What standard input is."""

    NOTHING = auto()
    FILE = auto()
    PIPE = auto()
    TERMINAL = auto()
    DEVICE = auto()


def kind_of_stdin(fd: int = 0) -> Kind:
    """Return what standard input is; a closed one is nothing."""
    try:
        mode = os.fstat(fd).st_mode
    except OSError:
        return Kind.NOTHING
    if stat.S_ISREG(mode):
        return Kind.FILE
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
        return Kind.PIPE
    return Kind.TERMINAL if os.isatty(fd) else Kind.DEVICE


class InputOwner(Protocol):
    """What standard input asks of the daemon, and reports to it."""

    async def wait_to_feed_file(self) -> None:
        """Wait until the lines of a file may be taken."""

    def input_answered(self, answer: Answer) -> None:
        """Called with the answer to each line."""

    def input_ended(self) -> None:
        """Called once there are no more lines."""


class StandardInput:
    """Feeds the intake from a descriptor until its end.

    Lines of a pipe are taken as they come, as its writer must not be held up; a file
    has no writer, so its lines wait for room and for the end of recovery instead of
    being dropped.

    Args:
        intake: Takes the lines.
        kind: What the descriptor is.
        owner: Says when a file may be fed, and gets each answer and the end.
        fd: The descriptor.
    """

    name = "standard input"

    def __init__(
        self, intake: Intake, kind: Kind, owner: InputOwner, *, fd: int = 0
    ) -> None:
        self._intake = intake
        self._kind = kind
        self._is_file = kind is Kind.FILE
        self._owner = owner
        self._fd = fd

    async def run(self) -> None:
        """Take every line until the end of input."""
        unread = self._intake.unread
        if self._is_file:
            await self._owner.wait_to_feed_file()
            unread = Unread(math.inf)  # its lines are of no time
        with Source(unread, self._fd) as source:
            try:
                await self._read_lines(source)
            except (trio.BrokenResourceError, OSError) as exc:
                log.warning("standard input broke off: %s", first_words(exc))
            read_at = source.read_at(0)
            for line in source.lines(b""):
                if self._is_file:
                    await self._intake.wait_for_room()
                    read_at = trio.current_time()
                self._take(line, read_at)
        self._intake.flush()
        self._owner.input_ended()

    async def _read_lines(self, source: Source) -> None:
        async with aclosing(_chunks(self._kind, self._fd)) as chunks:
            async for data in chunks:
                read_at = source.read_at(len(data))
                for number, line in enumerate(source.lines(data), start=1):
                    if self._is_file and self._intake.is_full:
                        await self._intake.wait_for_room()
                        read_at = trio.current_time()
                    self._take(line, read_at)
                    if number % LINES_PER_TURN == 0:
                        self._intake.flush()
                        await trio.lowlevel.checkpoint()
                self._intake.flush()

    def _take(self, line: bytes | None, read_at: float) -> None:
        if line is not None and (not line or line.isspace()):
            return
        answer = self._intake.take(line, read_at=read_at, early=True)
        self._owner.input_answered(answer)


async def _chunks(kind: Kind, fd: int) -> AsyncGenerator[bytes, None]:
    match kind:
        case Kind.NOTHING:
            return
        case Kind.FILE | Kind.DEVICE:
            with Threads("standard input", 1) as threads:
                while data := await _read(threads, fd):
                    yield data
        case Kind.PIPE | Kind.TERMINAL:
            # A terminal is opened again: the descriptor becomes non-blocking, and the
            # original is shared with everything else that writes to that terminal.
            own = (
                os.open(os.ttyname(fd), os.O_RDONLY | os.O_NOCTTY)
                if kind is Kind.TERMINAL
                else os.dup(fd)
            )
            async with trio.lowlevel.FdStream(own) as stream:
                while data := await stream.receive_some(_READ_BYTES):
                    yield data


async def _read(threads: Threads, fd: int) -> bytes:
    told = False
    while True:
        try:
            return await threads.run(
                partial(os.read, fd, _READ_BYTES), abandon_on_cancel=True
            )
        except NoThreadError as exc:
            if not told:
                log.warning("standard input waits: %s", exc)
            told = True
            await trio.sleep(_NO_THREAD_SECONDS)
