"""What systemd is told: ready, reloading, stopping, a status line, and a heartbeat.

The protocol of ``sd_notify(3)`` is one datagram of ``NAME=value`` lines to the socket in
``$NOTIFY_SOCKET``. Without that variable nothing here does anything.
"""

from __future__ import annotations

import collections
import contextlib
import logging
import os
import socket
import time
from typing import TYPE_CHECKING

import trio

from snexec.logs import printable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, MutableMapping

    from snexec.events import Event

log = logging.getLogger("Systemd")

_STATUS_SECONDS = 2.0  # between two status lines, at least
_BEAT_SECONDS = 10.0  # where no watchdog asks for another pace
_RECHECK_SECONDS = 1.0  # of a part that seemed to hang
_START_EXTENSION_SECONDS = 60.0  # a start takes as long as the broker is away
_STOP_SLACK_SECONDS = 10.0
_MAX_WAITING = 32


class Notifier:
    """Sends datagrams to the service manager, and never waits for it."""

    def __init__(self, address: str | None) -> None:
        self._socket: socket.socket | None = None
        self._waiting: collections.deque[bytes] = collections.deque(maxlen=_MAX_WAITING)
        self._failed = False
        if address is None:
            return
        if not address.startswith(("/", "@")):
            log.warning("NOTIFY_SOCKET is neither a path nor @abstract: not used")
            return
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(
            socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC
        )
        self._socket.setblocking(False)

    @property
    def is_on(self) -> bool:
        """Whether anybody is told anything."""
        return self._socket is not None

    def send(self, *lines: str, keep: bool = False) -> None:
        """Send one message.

        Args:
            lines: Of the form ``NAME=value``.
            keep: Send it later if it cannot be sent now, as it must not be lost.
        """
        message = "\n".join(lines).encode(errors="replace")
        self.flush()
        if not self._waiting and self._sent(message):
            return
        if keep and self._socket is not None:
            self._waiting.append(message)

    def flush(self) -> None:
        """Send what waits, if it can be sent."""
        while self._waiting and self._sent(self._waiting[0]):
            self._waiting.popleft()

    def close(self) -> None:
        """Send no more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _sent(self, message: bytes) -> bool:
        if self._socket is None:
            return True
        try:
            self._socket.sendto(message, self._address)
        except BlockingIOError:
            return False
        except OSError as exc:
            if not self._failed:
                self._failed = True
                log.warning("the service manager cannot be told anything: %s", exc)
        return True


class Systemd:
    """Keeps the service manager informed.

    Args:
        environ: Where its variables are; they are taken out, so that no child takes
            itself for the service.
    """

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        self._notifier = Notifier(environ.pop("NOTIFY_SOCKET", None) or None)
        self._watchdog_seconds = _watchdog_seconds(
            environ.pop("WATCHDOG_USEC", None), environ.pop("WATCHDOG_PID", None)
        )
        self._changed = trio.Event()
        self._last_status = ""
        self._ready = False
        self._stopping = False
        self._hung: list[str] = []

    @property
    def is_on(self) -> bool:
        """Whether a service manager listens."""
        return self._notifier.is_on

    @property
    def is_watched(self) -> bool:
        """Whether a watchdog waits for us."""
        return self.is_on and self._watchdog_seconds is not None

    def ready(self) -> None:
        """Tell that signals are taken."""
        if not self._stopping:
            self._ready = True
            self._notifier.send("READY=1", keep=True)

    @contextlib.contextmanager
    def reloading(self) -> Iterator[None]:
        """Tell that the configuration is read again, until the block is left.

        Before the daemon is ready this says nothing, as the end of a reload counts as
        readiness.
        """
        told = self._ready and not self._stopping
        if told:
            # systemd compares this with the moment in which it sent SIGHUP.
            usec = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            self._notifier.send("RELOADING=1", f"MONOTONIC_USEC={usec}", keep=True)
        try:
            yield
        finally:
            if told:
                self._notifier.send("READY=1", keep=True)
            self._changed.set()

    def stopping(self, *, seconds: float) -> None:
        """Tell that the daemon stops, and how long it may take."""
        self._stopping = True
        usec = round((seconds + _STOP_SLACK_SECONDS) * 1e6)
        self._notifier.send("STOPPING=1", f"EXTEND_TIMEOUT_USEC={usec}", keep=True)
        self._changed.set()

    def happened(self, _event: Event) -> None:
        """Say the status anew soon: follows the event feed."""
        self._changed.set()

    async def run(
        self,
        *,
        status: Callable[[], str],
        hung: Callable[[float], Awaitable[list[str]]],
    ) -> None:
        """Say the status and feed the watchdog, until cancelled.

        Args:
            status: Tells the status line.
            hung: Tells which parts hang, given the patience in seconds.
        """
        if not self.is_on:
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_status, status, name="status line")
            while True:
                began = trio.current_time()
                pause = self._beat_seconds()
                self._note_hung(await hung(pause))
                if self._hung:
                    pause = min(pause, _RECHECK_SECONDS)
                else:
                    self._beat()
                self._notifier.flush()
                self._changed.set()
                await trio.sleep_until(began + pause)

    def _beat_seconds(self) -> float:
        watched = self._watchdog_seconds
        return _BEAT_SECONDS if watched is None else watched / 2

    def _beat(self) -> None:
        if self._watchdog_seconds is not None:
            self._notifier.send("WATCHDOG=1")
        if not self._ready and not self._stopping:
            usec = round(max(_START_EXTENSION_SECONDS, 3 * self._beat_seconds()) * 1e6)
            self._notifier.send(f"EXTEND_TIMEOUT_USEC={usec}")

    def _note_hung(self, parts: list[str]) -> None:
        if parts and parts != self._hung:
            told = "" if self._watchdog_seconds is None else ": systemd will restart us"
            log.error("no sign of life from %s%s", " and ".join(parts), told)
        elif self._hung and not parts:
            log.warning("%s moves again", " and ".join(self._hung))
        self._hung = parts

    async def _keep_status(self, status: Callable[[], str]) -> None:
        while True:
            self._changed = trio.Event()
            line = printable(status())
            if self._hung:
                line = f"HUNG: {', '.join(self._hung)}; {line}"
            if line != self._last_status:
                self._last_status = line
                self._notifier.send(f"STATUS={line}")
                await trio.sleep(_STATUS_SECONDS)
            await self._changed.wait()

    def close(self) -> None:
        """Say no more."""
        self._notifier.close()


def _watchdog_seconds(usec: str | None, pid: str | None) -> float | None:
    """Return the watchdog's interval, if there is one and it is meant for us."""
    if usec is None or (pid is not None and pid != str(os.getpid())):
        return None
    try:
        seconds = int(usec) / 1e6
    except ValueError:
        log.warning("WATCHDOG_USEC is no number: there is no watchdog")
        return None
    return seconds if seconds > 0 else None
