"""How log lines leave, which never blocks the event loop.

A full pipe behind standard error must not hold up trading, so the event loop only
queues lines; one task writes them in a thread (SPEC 11, "Log lines").
"""

from __future__ import annotations

import collections
import contextlib
import logging
import math
import os
import threading
from typing import TYPE_CHECKING

import trio

from snexec.logs.lines import text_of_dropped

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_WAITING_LINES = 10_000  # a few MB when nobody reads standard error
_FLUSH_SECONDS = 1.0
_ATOMIC_BYTES = 4096
# A round trip to the thread costs more than a line: one for every few lines would take
# from a flood of fills a fifth of its speed.
_GATHER_SECONDS = 0.01
_CHUNKS_AT_ONCE = 64


class LogDrain(logging.Handler):
    """Queues formatted lines, and writes them to a file descriptor in a thread.

    Args:
        notice: Makes the line that says how many lines were dropped.

    Attributes:
        dropped: Lines dropped since the start.
    """

    def __init__(
        self,
        formatter: logging.Formatter,
        *,
        fd: int = 2,
        notice: Callable[[int], str] = text_of_dropped,
    ) -> None:
        super().__init__()
        self._notice = notice
        self.setFormatter(formatter)
        self._fd = fd
        self._lines: collections.deque[bytes] = collections.deque()
        self._dropped_since_notice = 0
        self.dropped = 0
        self._within_line = False
        self._taking = threading.Lock()  # an abandoned thread may still take lines
        self._waiting = trio.Event()
        self._token: trio.lowlevel.TrioToken | None = None
        self._thread: int | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Queue one line; while nobody reads, the newest are dropped and counted."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - a bad log call is no reason to stop trading
            self.handleError(record)
            return
        if len(self._lines) >= _MAX_WAITING_LINES:
            self._dropped_since_notice += 1
            self.dropped += 1
            return
        self._lines.append(line.encode(errors="backslashreplace") + b"\n")
        if threading.get_ident() == self._thread:
            self._waiting.set()
        elif self._token is not None:
            self._token.run_sync_soon(self._waiting_set, idempotent=True)

    async def run(self) -> None:
        """Write lines as they come, until cancelled."""
        self._token = trio.lowlevel.current_trio_token()
        self._thread = threading.get_ident()
        one_thread = trio.CapacityLimiter(1)  # also while an abandoned one still writes
        gathered_at = -math.inf
        try:
            while True:
                self._waiting = trio.Event()
                if not self._lines:
                    await self._waiting.wait()
                await trio.sleep_until(gathered_at)
                gathered_at = trio.current_time() + _GATHER_SECONDS
                await self._write(one_thread)
        finally:
            self._token = self._thread = None
            with trio.move_on_after(_FLUSH_SECONDS, shield=True):
                while self._lines:
                    await self._write(one_thread)

    def flush_now(self) -> None:
        """Write what is queued, before or after the event loop runs; never blocks."""
        with contextlib.suppress(OSError):  # nobody reads, or the reader is gone
            blocking = os.get_blocking(self._fd)
            os.set_blocking(self._fd, False)
            try:
                while chunk := self._next_chunk():
                    os.write(self._fd, chunk)
            finally:
                os.set_blocking(self._fd, blocking)
        self._drop_waiting()

    def _waiting_set(self) -> None:
        self._waiting.set()

    async def _write(self, one_thread: trio.CapacityLimiter) -> None:
        # The thread takes the lines itself, so no line is lost to a cancellation before
        # it runs. Nobody waits for its result, so a reader that never comes back may
        # keep it.
        await trio.to_thread.run_sync(
            self._write_chunks, abandon_on_cancel=True, limiter=one_thread
        )

    def _write_chunks(self) -> None:
        for _ in range(_CHUNKS_AT_ONCE):
            if not self._lines:
                return
            self._write_chunk()

    def _write_chunk(self) -> None:
        dropped = 0 if self._within_line else self._dropped_since_notice
        chunk = self._next_chunk()
        if not chunk:
            return
        try:
            os.write(self._fd, chunk)
        except OSError:
            # The reader went away, or the disk is full; trading goes on without a log.
            notice = 1 if dropped else 0
            lost = chunk.count(b"\n") - notice + self._drop_waiting()
            self._dropped_since_notice = dropped + lost
            self.dropped += lost
            self._within_line = False

    def _drop_waiting(self) -> int:
        with self._taking:
            count = len(self._lines)
            self._lines.clear()
            return count

    def _next_chunk(self) -> bytes:
        """Take lines off the queue: few enough for a pipe to take all or none."""
        with self._taking:
            return self._take_chunk()

    def _take_chunk(self) -> bytes:
        chunk = b""
        if self._dropped_since_notice and not self._within_line:
            chunk = self._notice(self._dropped_since_notice).encode() + b"\n"
            self._dropped_since_notice = 0
        while self._lines and len(chunk) + len(self._lines[0]) <= _ATOMIC_BYTES:
            chunk += self._lines.popleft()
        if not chunk and self._lines:
            line = self._lines.popleft()
            chunk, rest = line[:_ATOMIC_BYTES], line[_ATOMIC_BYTES:]
            if rest:
                self._lines.appendleft(rest)
        self._within_line = bool(chunk) and not chunk.endswith(b"\n")
        return chunk
