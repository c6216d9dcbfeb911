"""How old a line is that lay unread while nothing ran (SPEC 11, After a gap).

A line is as old as it was read. That is too young for one that lay in a socket or a pipe
while this process stood still or the machine slept: it is dated back to when something ran
last. At the end of a gap each source is asked how many bytes lie in it, so what is written
a moment later is as fresh as it is.
"""

from __future__ import annotations

import array
import fcntl
import math
import os
import select
import socket
import termios
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, Self

import trio

from snexec.intake.framing import LineSplitter
from snexec.signals import MAX_LINE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snexec.intake.framing import LongLines

_LONGEST_LOOK_SECONDS = 1.0
_SHORTEST_LOOK_SECONDS = 0.05
_LOOKS_AN_AGE = 4  # so that a signal grows no older unnoticed than it may be


class _Held(Protocol):
    def hold(self, since: float) -> None: ...


class Unread:
    """Dates what is read, and notices by itself when nobody has looked for too long.

    Args:
        max_age_seconds: How old a signal may be.

    Attributes:
        look_seconds: How often somebody has to look for a gap.
    """

    def __init__(self, max_age_seconds: float) -> None:
        self.look_seconds = max(
            _SHORTEST_LOOK_SECONDS,
            min(_LONGEST_LOOK_SECONDS, max_age_seconds / _LOOKS_AN_AGE),
        )
        self._looked_at = math.inf  # nothing is missed before somebody looks
        self._held: set[_Held] = set()

    def looked(self) -> None:
        """Note that somebody looks for a gap now."""
        now = trio.current_time()
        self.notice(now)
        self._looked_at = now

    def notice(self, now: float) -> float | None:
        """Return since when nothing ran, if that ended just now; date back what waits."""
        since = self._looked_at
        if now - since <= 2 * self.look_seconds:
            return None
        self._looked_at = now
        self.date_back(since)
        return since

    def date_back(self, since: float) -> None:
        """Take what lies unread now for read at a time, on Trio's clock."""
        for held in tuple(self._held):
            held.hold(since)

    def add(self, held: _Held) -> None:
        """Have a source told of gaps."""
        self._held.add(held)

    def remove(self, held: _Held) -> None:
        """Tell a source no more."""
        self._held.discard(held)


class Source:
    """Lines from one descriptor, and when they were read; leave its block at the end.

    Args:
        unread: Tells it of gaps.
        fd: Readable, and open until the block is left.
        room: What its long lines take of, if it shares that.

    Attributes:
        splitter: Says what became of a line that was not kept.
    """

    def __init__(self, unread: Unread, fd: int, room: LongLines | None = None) -> None:
        self._unread = unread
        self._fd = fd
        self.splitter = LineSplitter(MAX_LINE_BYTES, room)
        self._since: float | None = None  # what lay in it is dated so
        self._bytes = 0  # of what lay in it
        self._ends_a_line = False  # all of that is read, but for a line that it began
        unread.add(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.splitter.__exit__(*exc_info)
        self._unread.remove(self)

    async def receive(self, most: int) -> tuple[bytes, float]:
        """Wait for bytes; return them, and when they count as read. None are the end.

        Whoever notices a gap asks what lies in the descriptor, so bytes may not be out
        of it and undated while anything else runs.
        """
        while True:
            await trio.lowlevel.wait_readable(self._fd)
            with suppress(BlockingIOError):
                data = os.read(self._fd, most)
                return data, self.read_at(len(data))

    def lines(self, data: bytes | bytearray) -> Iterator[bytes | None]:
        """Yield each line that these bytes complete; no bytes are the end."""
        for line in self.splitter.feed(data) if data else self.splitter.finish():
            if self._ends_a_line:
                self._ends_a_line, self._since = False, None
            yield line

    def read_at(self, size: int) -> float:
        """Return when as many bytes, the next ones for ``lines``, count as read.

        On Trio's clock. Bytes of before a gap and after it, read at once, are dated back
        together.
        """
        now = trio.current_time()
        if (noticed := self._unread.notice(now)) is not None:
            return noticed
        if self._since is None:
            return now
        if self._bytes > 0:
            self._bytes -= size
            return self._since
        if self.splitter.is_within_line:
            # The rest of a line that began in the gap or before it.
            self._ends_a_line = True
            return self._since
        self._since = None
        return now

    def hold(self, since: float) -> None:
        """Date back what lies in it now, and the line of which it has read a part."""
        if self._since is None or not (self._bytes > 0 or self.splitter.is_within_line):
            self._since = since
        self._bytes = _bytes_in(self._fd)
        self._ends_a_line = False


class Door(trio.abc.Listener[trio.SocketStream]):
    """Accepts clients; those that waited at it through a gap have waited so long.

    Args:
        unread: Tells it of gaps.
        listener: Accepts them.
        room: What the long lines of all of them share.
        sources: Where each client's source is put, for whoever serves it.
    """

    def __init__(
        self,
        unread: Unread,
        listener: trio.SocketListener,
        room: LongLines,
        sources: dict[trio.SocketStream, Source],
    ) -> None:
        self._unread = unread
        self._listener = listener
        at = listener.socket
        # The same socket: Trio's own would let other tasks run before it hands over.
        self._same = socket.fromfd(at.fileno(), at.family, at.type)
        self._same.setblocking(False)
        self._room = room
        self._since: float | None = None
        self._sources = sources
        unread.add(self)

    async def accept(self) -> trio.SocketStream:
        """Accept the next client."""
        if self._since is not None and not self._somebody_waits():
            self._since = None
        client = await self._next()
        # Nothing else runs in between, so its source is told of every gap.
        source = Source(self._unread, client.fileno(), self._room)
        if self._since is not None:
            source.hold(self._since)
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(client))
        self._sources[stream] = source
        return stream

    async def _next(self) -> socket.socket:
        while True:
            await trio.lowlevel.wait_readable(self._listener.socket)
            # Whoever waited may have gone.
            with suppress(BlockingIOError, ConnectionAbortedError):
                client, _address = self._same.accept()
                return client

    async def aclose(self) -> None:
        """Accept no more clients."""
        self._unread.remove(self)
        self._same.close()
        await self._listener.aclose()

    def hold(self, since: float) -> None:
        """Date back what the clients have written that wait at it now."""
        if self._since is None:
            self._since = since if self._somebody_waits() else None

    def _somebody_waits(self) -> bool:
        poll = select.poll()
        poll.register(self._listener.socket.fileno(), select.POLLIN)
        return bool(poll.poll(0))


def _bytes_in(fd: int) -> int:
    count = array.array("i", [0])
    try:
        fcntl.ioctl(fd, termios.FIONREAD, count)
    except OSError:
        return 1  # nobody knows, so what comes next is taken for old
    return count[0]
