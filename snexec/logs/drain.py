"""How log lines leave, which never blocks the event loop.

A full pipe behind standard error must not hold up trading, so the event loop only
queues lines; one task writes them in a thread (SPEC 11, "Log lines"). Where there is no
thread, it writes what the reader takes without waiting, and counts the rest as dropped.
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
from snexec.threads import NoThreadError, Threads

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_WAITING_LINES = 10_000  # when nobody reads standard error
_MAX_WAITING_BYTES = 8 * 1024 * 1024
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
        # In bytes; each has a lock of its own, that of the handler and that of taking.
        self._added = self._taken = 0
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
        data = line.encode(errors="backslashreplace") + b"\n"
        waiting = self._added - self._taken
        if (
            len(self._lines) >= _MAX_WAITING_LINES
            or waiting + len(data) > _MAX_WAITING_BYTES
        ):
            self._dropped_since_notice += 1
            self.dropped += 1
            return
        self._added += len(data)
        self._lines.append(data)
        if threading.get_ident() == self._thread:
            self._waiting.set()
        elif self._token is not None:
            self._token.run_sync_soon(self._waiting_set, idempotent=True)

    async def run(self) -> None:
        """Write lines as they come, until cancelled."""
        self._token = trio.lowlevel.current_trio_token()
        self._thread = threading.get_ident()
        gathered_at = -math.inf
        with Threads("log lines", 1) as threads:
            try:
                while True:
                    self._waiting = trio.Event()
                    if not self._lines:
                        await self._waiting.wait()
                    if gathered_at > trio.current_time():
                        await trio.sleep_until(gathered_at)
                    gathered_at = trio.current_time() + _GATHER_SECONDS
                    await self._write(threads)
            finally:
                self._token = self._thread = None
                with trio.move_on_after(_FLUSH_SECONDS, shield=True):
                    while self._lines:
                        await self._write(threads)

    def flush_now(self) -> None:
        """Write what is queued, before or after the event loop runs; never blocks."""
        self._without_waiting(self._write_all)
        self._drop_waiting()

    def _waiting_set(self) -> None:
        self._waiting.set()

    async def _write(self, threads: Threads) -> None:
        # The thread takes the lines itself, so no line is lost to a cancellation before
        # it runs. Nobody waits for its result, so a reader that never comes back may
        # keep it.
        try:
            await threads.run(self._write_chunks, abandon_on_cancel=True)
        except NoThreadError:
            self._without_waiting(self._write_chunks)

    def _without_waiting(self, write: Callable[[], None]) -> None:
        """Have writes fail that would wait; also where nobody reads."""
        with contextlib.suppress(OSError):
            blocking = os.get_blocking(self._fd)
            os.set_blocking(self._fd, False)
            try:
                write()
            finally:
                os.set_blocking(self._fd, blocking)

    def _write_all(self) -> None:
        while chunk := self._next_chunk():
            os.write(self._fd, chunk)

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
            for _ in range(count):
                self._taken += len(self._lines.popleft())
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
        notice_bytes = len(chunk)
        while self._lines and len(chunk) + len(self._lines[0]) <= _ATOMIC_BYTES:
            chunk += self._lines.popleft()
        if not chunk and self._lines:
            line = self._lines.popleft()
            chunk, rest = line[:_ATOMIC_BYTES], line[_ATOMIC_BYTES:]
            if rest:
                self._lines.appendleft(rest)
        self._taken += len(chunk) - notice_bytes
        self._within_line = bool(chunk) and not chunk.endswith(b"\n")
        return chunk
