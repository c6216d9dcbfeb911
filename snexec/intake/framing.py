"""Bytes into lines, with a bound: no I/O here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEPT_BYTES = 1024  # of a line that is too long, from its beginning
_KEPT_LAST_BYTES = 256
_SHORT_BYTES = 4 * 1024  # no signal is longer; there is always room for this
_ALL_LONG_BYTES = 16 * 1024 * 1024


class LongLines:
    """The bytes that long lines may take until their ends come, for all clients.

    Args:
        max_bytes: How many that are.
    """

    def __init__(self, max_bytes: int = _ALL_LONG_BYTES) -> None:
        self._left = max_bytes

    def take(self, count: int) -> bool:
        """Take some; return False if there are not so many left."""
        if count > self._left:
            return False
        self._left -= count
        return True

    def give_back(self, count: int) -> None:
        """Give back what was taken."""
        self._left += count


class LineSplitter:
    """Cuts a stream of bytes into lines, whatever pieces it comes in.

    A line longer than the limit is yielded once, as None, when its end comes; its bytes
    are not kept. So is a long one while the long lines of others take all the room. To
    be used in a ``with`` block where it shares that room.

    Args:
        max_bytes: The longest line, without its newline.
        room: What long lines take of, if they share it.

    Attributes:
        too_long: How the last line that was too long began, and how it ended.
        lost: Why the last line that was yielded as None was not kept.
    """

    def __init__(self, max_bytes: int, room: LongLines | None = None) -> None:
        self._max_bytes = max_bytes
        self._room = room
        self._taken = 0  # of the room
        self._rest = bytearray()
        self._too_long = False
        self.too_long = b""
        self._too_long_end = b""
        self.lost = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._drop()

    @property
    def is_within_line(self) -> bool:
        """Whether a line has begun whose end has not come."""
        return bool(self._rest) or self._too_long

    def feed(self, data: bytes | bytearray) -> Iterator[bytes | None]:
        """Take bytes and yield each line that they complete."""
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            yield self._complete(data[start:end])
            start = end + 1
        self._keep(data[start:])

    def finish(self) -> Iterator[bytes | None]:
        """Yield the last line, if it came without a newline."""
        if self._rest or self._too_long:
            yield self._complete(b"")

    def _complete(self, tail: bytes | bytearray) -> bytes | None:
        self._keep(tail)
        line = None if self._too_long else bytes(self._rest)
        if self._too_long:
            self.too_long += self._too_long_end
        self._drop()
        self._too_long = False
        return line

    def _keep(self, data: bytes | bytearray) -> None:
        if self._too_long:
            self._note_end(data)
            return
        if not self._may_be_kept(len(self._rest) + len(data)):
            self._too_long = True
            self.too_long = bytes((self._rest + data[:_KEPT_BYTES])[:_KEPT_BYTES])
            self._too_long_end = b""
            self._note_end(data)
            self._drop()
        else:
            self._rest += data

    def _note_end(self, data: bytes | bytearray) -> None:
        end = self._too_long_end + data[-_KEPT_LAST_BYTES:]
        self._too_long_end = bytes(end[-_KEPT_LAST_BYTES:])

    def _may_be_kept(self, size: int) -> bool:
        if size > self._max_bytes:
            self.lost = f"longer than {self._max_bytes} bytes"
            return False
        if self._room is None or size <= _SHORT_BYTES:
            return True
        if not self._room.take(size - self._taken):
            self.lost = (
                f"longer than {_SHORT_BYTES} bytes, and long lines of other clients"
                " take all the room"
            )
            return False
        self._taken = size
        return True

    def _drop(self) -> None:
        self._rest.clear()
        if self._room is not None and self._taken:
            self._room.give_back(self._taken)
            self._taken = 0
