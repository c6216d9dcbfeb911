"""Standard input as a feeder: a pipe, a file, or with --stdin whatever it is (SPEC 2)."""

from __future__ import annotations

import logging
import os
import stat
from contextlib import aclosing
from enum import Enum, auto
from typing import TYPE_CHECKING

import trio

from snexec.errors import first_words
from snexec.intake.admission import LINES_PER_TURN
from snexec.intake.framing import LineSplitter
from snexec.signals import MAX_LINE_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from snexec.intake.admission import Answer, Intake

log = logging.getLogger("Intake")

_READ_BYTES = 64 * 1024


class Kind(Enum):
    """What standard input is."""

    NOTHING = auto()
    FILE = auto()
    PIPE = auto()
    TERMINAL = auto()
    DEVICE = auto()


def kind_of_stdin(fd: int = 0) -> Kind:
    """Tell what standard input is; a closed one is nothing."""
    try:
        mode = os.fstat(fd).st_mode
    except OSError:
        return Kind.NOTHING
    if stat.S_ISREG(mode):
        return Kind.FILE
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
        return Kind.PIPE
    return Kind.TERMINAL if os.isatty(fd) else Kind.DEVICE


async def read_signals(
    intake: Intake,
    kind: Kind,
    *,
    told: Callable[[Answer], None] | None = None,
    fd: int = 0,
) -> None:
    """Take every line until the end of input.

    Lines of a pipe are taken as they come, as its writer must not be held up; a file
    has no writer, so its lines wait for room and for the end of recovery instead of
    being dropped.
    """
    splitter = LineSplitter(MAX_LINE_BYTES)
    try:
        await _read_lines(intake, kind, splitter, told, fd)
    except (trio.BrokenResourceError, OSError) as exc:
        log.warning("standard input broke off: %s", first_words(exc))
    for line in splitter.finish():
        if kind is Kind.FILE:
            await intake.wait_for_room()
        _take(intake, line, trio.current_time(), told)


async def _read_lines(
    intake: Intake,
    kind: Kind,
    splitter: LineSplitter,
    told: Callable[[Answer], None] | None,
    fd: int,
) -> None:
    async with aclosing(_chunks(kind, fd)) as chunks:
        async for data in chunks:
            read_at = trio.current_time()
            for number, line in enumerate(splitter.feed(data), start=1):
                if kind is Kind.FILE and intake.is_full:
                    await intake.wait_for_room()
                    read_at = trio.current_time()
                _take(intake, line, read_at, told)
                if number % LINES_PER_TURN == 0:
                    intake.turn_ended()
                    await trio.lowlevel.checkpoint()
            intake.turn_ended()


def _take(
    intake: Intake,
    line: bytes | None,
    read_at: float,
    told: Callable[[Answer], None] | None,
) -> None:
    if line is not None and (not line or line.isspace()):
        return
    answer = intake.take(line, read_at=read_at, early=True)
    if told is not None:
        told(answer)


async def _chunks(kind: Kind, fd: int) -> AsyncGenerator[bytes, None]:
    match kind:
        case Kind.NOTHING:
            return
        case Kind.FILE | Kind.DEVICE:
            while data := await trio.to_thread.run_sync(
                os.read, fd, _READ_BYTES, abandon_on_cancel=True
            ):
                yield data
        case Kind.PIPE | Kind.TERMINAL:
            # A terminal is opened anew: the descriptor becomes non-blocking, and the
            # one at hand is shared with whoever else writes to that terminal.
            own = (
                os.open(os.ttyname(fd), os.O_RDONLY | os.O_NOCTTY)
                if kind is Kind.TERMINAL
                else os.dup(fd)
            )
            async with trio.lowlevel.FdStream(own) as stream:
                while data := await stream.receive_some(_READ_BYTES):
                    yield data
