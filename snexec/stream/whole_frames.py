"""Messages taken out of what a WebSocket receives, before trio-websocket reads it.

It needs as long for a frame as all that is done with one: it parses in Python, and hands
on over a channel, with two switches of tasks. A frame that is whole, plain and short needs
none of that. Whatever else comes is left to it, be it a ping, the end, or what a server
should not send; from a frame of the last kind on, it has all that follows as well.

Whoever waits for a message may take it in the very step in which it is received; then no
task is switched to at all.
"""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

# The first byte of a frame in one piece, and without extensions (RFC 6455, 5.2).
_MESSAGES = frozenset({0x81, 0x82})  # text and binary
_CONTROLS = frozenset({0x88, 0x89, 0x8A})  # the end, ping and pong
_MOST_IN_ONE_BYTE = 125
_LENGTH_BYTES = {126: 2, 127: 8}  # by the second byte; a higher one announces a mask
_HEAD_END = b"\r\n\r\n"
_SWITCHING = b"HTTP/1.1 101"
_AT_ONCE = 8  # messages; then others have their turn


class WholeFrames:
    """Takes in messages as they are received, and gives them out in that order.

    Args:
        frame_bytes: The longest message that is taken.
        most_waiting: How many may wait before ``wait_room`` waits.
    """

    def __init__(self, frame_bytes: int, most_waiting: int) -> None:
        self._frame_bytes = frame_bytes
        self._most_waiting = most_waiting
        self._is_first = True
        self._leaves_all = False
        self._received = bytearray()
        self._messages: collections.deque[str | bytes] = collections.deque()
        self._taker: Callable[[str | bytes], bool] | None = None  # while it waits
        self._given_at_once = self._taken_at_once = 0
        self._ended: Exception | None = None
        self._changed = trio.lowlevel.ParkingLot()

    def take(self, data: bytes) -> bytes:
        """Take the messages out of what was received, and return what is left of it."""
        head = b""
        if self._is_first:
            self._is_first = False
            head, end, data = data.partition(_HEAD_END)
            head += end
            self._leaves_all = not (end and head.startswith(_SWITCHING))
        if self._leaves_all:
            return head + data
        self._received += data
        self._taken_at_once = 0
        return head + self._take_frames()

    def add(self, message: str | bytes) -> None:
        """Add a message that was left to trio-websocket."""
        self._taken_at_once = 0
        self._give(message)
        self._changed.unpark_all()

    def end(self, error: Exception) -> None:
        """Have ``get`` raise an error once all messages are given out; the first counts."""
        self._ended = self._ended or error
        self._changed.unpark_all()

    async def wait_room(self) -> None:
        """Wait while too many messages wait, unless the connection has ended."""
        while len(self._messages) >= self._most_waiting and self._ended is None:
            await self._changed.park()

    async def get(
        self, take: Callable[[str | bytes], bool] | None = None
    ) -> str | bytes:
        """Return the next message.

        Args:
            take: Called with each message that comes while this waits, in the step in
                which it is received; returns whether it took it.

        Raises:
            StreamClosedError: The connection has ended.
            Exception: What ``take`` raised; that ends everything.
        """
        self._given_at_once += 1
        if not self._messages or self._given_at_once > _AT_ONCE:
            self._given_at_once = 1
            await trio.lowlevel.checkpoint()
        self._taker = take
        try:
            while not self._messages:
                if self._ended is not None:
                    raise self._ended
                await self._changed.park()
        finally:
            self._taker = None
        if len(self._messages) == self._most_waiting:
            self._changed.unpark_all()
        return self._messages.popleft()

    def _give(self, message: str | bytes) -> None:
        """Give a message to whoever waits for it, or keep it until somebody asks."""
        if self._ended is not None:
            return
        if self._taker is not None and not self._messages:
            try:
                if self._taken_at_once < _AT_ONCE and self._taker(message):
                    self._taken_at_once += 1
                    return
            except Exception as exc:  # noqa: BLE001 - it is raised where it is waited for
                self.end(exc)
                return
        self._messages.append(message)

    def _take_frames(self) -> bytes:
        received, at, left = self._received, 0, b""
        while len(received) - at >= 2:
            kind, length, start = received[at], received[at + 1], at + 2
            if (more := _LENGTH_BYTES.get(length)) is not None:
                start += more
                if len(received) < start:
                    break
                length = int.from_bytes(received[at + 2 : start])
                is_plain = kind in _MESSAGES and length <= self._frame_bytes
            else:
                is_plain = length <= _MOST_IN_ONE_BYTE and (
                    kind in _MESSAGES or kind in _CONTROLS
                )
            if not is_plain:
                self._leaves_all = True
                left += received[at:]
                at = len(received)
                break
            stop = start + length
            if len(received) < stop:
                break
            if kind in _MESSAGES:
                self._give(bytes(received[start:stop]))
            else:
                left += received[at:stop]
            at = stop
        del received[:at]
        if self._messages:
            self._changed.unpark_all()
        return left
