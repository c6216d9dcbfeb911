"""What waits to be sent to each client: bounded in lines, and in bytes for all together.

No client is slowed by another that does not read: each has an equal share of the whole.
"""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING, Self

import trio

if TYPE_CHECKING:
    from snexec.events import Event

_MOST_LINES = 4096
_MOST_BYTES = 1024 * 1024  # for one client
_ALL_BYTES = 64 * 1024 * 1024  # for all, however many they are
_LEAST_BYTES = 8 * 1024  # so that thousands of clients still have their answers
_CHUNK_BYTES = 16 * 1024  # copied to be sent; what waits is shared


class Outboxes:
    """The outboxes of all clients, which share out their bytes among them."""

    def __init__(self) -> None:
        self._count = 0
        self._event: Event | None = None
        self._line = b""

    def open(self) -> Outbox:
        """Make the outbox of one more client; the caller closes it."""
        self._count += 1
        return Outbox(self)

    def closed(self) -> None:
        """Note that a client has gone."""
        self._count -= 1

    @property
    def share(self) -> int:
        """How many bytes may wait for one client now."""
        return max(_LEAST_BYTES, min(_MOST_BYTES, _ALL_BYTES // max(1, self._count)))

    def line_of(self, event: Event) -> bytes:
        """Return an event as a line; all who follow the feed wait for one copy."""
        if event is not self._event:
            self._event, self._line = event, event.line()
        return self._line


class Outbox:
    """Lines that wait for one client, as chunks for the task that sends them.

    Args:
        outboxes: All of them.
    """

    def __init__(self, outboxes: Outboxes) -> None:
        self._outboxes = outboxes
        self._lines: collections.deque[bytes] = collections.deque()
        self._bytes = 0  # of what waits and of the chunk that is being sent
        self._sending = 0
        self._wake = trio.lowlevel.ParkingLot()
        self._ended = False
        self._unread = False

    def put(self, line: bytes) -> bool:
        """Add a line; return False if it finds no room, and is dropped."""
        if self._ended or self._unread:
            return True  # nobody is there to miss it
        waits = self._bytes > 0
        if waits and (
            len(self._lines) >= _MOST_LINES
            or self._bytes + len(line) > self._outboxes.share
        ):
            return False
        self._lines.append(line)
        self._bytes += len(line)
        if len(self._lines) == 1:
            self._wake.unpark()
        return True

    def end(self) -> None:
        """Take no more lines; those that wait are still to be sent."""
        if not self._ended:
            self._ended = True
            self._outboxes.closed()
            self._wake.unpark()

    def give_up(self) -> None:
        """Drop what waits, and what comes: the client reads no more."""
        self._unread = True
        self._lines.clear()
        self._bytes = self._sending = 0

    def __aiter__(self) -> Self:
        """Return the chunks to send, each once the one before is sent."""
        return self

    async def __anext__(self) -> bytes:
        """Wait for lines, and return some of them as one chunk."""
        self._bytes -= self._sending
        self._sending = 0
        while not self._lines:
            if self._ended:
                raise StopAsyncIteration
            await self._wake.park()
        chunk = [self._lines.popleft()]
        size = len(chunk[0])
        while self._lines and size + len(self._lines[0]) <= _CHUNK_BYTES:
            line = self._lines.popleft()
            chunk.append(line)
            size += len(line)
        self._sending = size
        return b"".join(chunk)
