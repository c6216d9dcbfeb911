"""Bytes into lines, with a bound: no I/O here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEPT_BYTES = 1024  # of a line that is too long


class LineSplitter:
    """Cuts a stream of bytes into lines, whatever pieces it comes in.

    A line longer than the limit is yielded once, as None, when its end comes; its bytes
    are not kept.

    Args:
        max_bytes: The longest line, without its newline.

    Attributes:
        too_long: How the last line that was too long began.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._rest = bytearray()
        self._too_long = False
        self.too_long = b""

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
        self._rest.clear()
        self._too_long = False
        return line

    def _keep(self, data: bytes | bytearray) -> None:
        if self._too_long:
            return
        if len(self._rest) + len(data) > self._max_bytes:
            self._too_long = True
            self.too_long = bytes((self._rest + data[:_KEPT_BYTES])[:_KEPT_BYTES])
            self._rest.clear()
        else:
            self._rest += data
