"""Reports to systemd: ready, reloading, stopping, a status line and a heartbeat.

The protocol of ``sd_notify(3)`` is one datagram of ``NAME=value`` lines to the socket in
``$NOTIFY_SOCKET``. Without that variable, nothing here does anything.
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
_BEAT_SECONDS = 10.0  # unless a watchdog sets another pace
_RECHECK_SECONDS = 1.0  # while a part seems to hang
_START_EXTENSION_SECONDS = 60.0  # a start lasts as long as the broker is away
_STOP_SLACK_SECONDS = 10.0
_MAX_WAITING = 32


class Notifier:
    """Sends datagrams to the service manager and never waits for it."""

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
        """Whether there is a service manager to send to."""
        return self._socket is not None

    def send(self, *lines: str, keep: bool = False) -> None:
        """Send one message.

        Args:
            lines: Each of the form ``NAME=value``.
            keep: Whether to send it later if it cannot be sent now. If not, it is lost.
        """
        message = "\n".join(lines).encode(errors="replace")
        self.flush()
        if not self._waiting and self._sent(message):
            return
        if keep and self._socket is not None:
            self._waiting.append(message)

    def flush(self) -> None:
        """Send what is waiting, as far as it can be sent now."""
        while self._waiting and self._sent(self._waiting[0]):
            self._waiting.popleft()

    def close(self) -> None:
        """Stop sending."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _sent(self, message: bytes) -> bool:
        """Send a message; False if it should be tried again later."""
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
        environ: The environment. The service manager's variables are removed from it,
            so that no child process takes itself for the service.
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
        """Whether there is a service manager to inform."""
        return self._notifier.is_on

    @property
    def is_watched(self) -> bool:
        """Whether the service manager expects a heartbeat."""
        return self.is_on and self._watchdog_seconds is not None

    def ready(self) -> None:
        """Report that signals are accepted."""
        if not self._stopping:
            self._ready = True
            self._notifier.send("READY=1", keep=True)

    @contextlib.contextmanager
    def reloading(self) -> Iterator[None]:
        """Report that the configuration is read again, until the block is left.

        Before the daemon is ready this reports nothing, as the end of a reload counts
        as readiness.
        """
        reported = self._ready and not self._stopping
        if reported:
            # systemd compares this with the time at which it sent SIGHUP.
            usec = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            self._notifier.send("RELOADING=1", f"MONOTONIC_USEC={usec}", keep=True)
        try:
            yield
        finally:
            if reported and not self._stopping:
                self._notifier.send("READY=1", keep=True)
            self._changed.set()

    def stopping(self, *, seconds: float) -> None:
        """Report that the daemon is stopping, and how many seconds that may take."""
        self._stopping = True
        usec = round((seconds + _STOP_SLACK_SECONDS) * 1e6)
        self._notifier.send("STOPPING=1", f"EXTEND_TIMEOUT_USEC={usec}", keep=True)
        self._changed.set()

    def happened(self, _event: Event) -> None:
        """Update the status line soon, as an event may have changed it."""
        self._changed.set()

    async def run(
        self,
        *,
        status: Callable[[], str],
        hung: Callable[[float], Awaitable[list[str]]],
    ) -> None:
        """Keep the status line current and send the heartbeat, until cancelled.

        Args:
            status: Returns the status line.
            hung: Returns the parts that hang, given the patience in seconds.
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
            then = "" if self._watchdog_seconds is None else ": systemd will restart us"
            log.error("no sign of life from %s%s", " and ".join(parts), then)
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
        """Stop reporting."""
        self._notifier.close()


def _watchdog_seconds(usec: str | None, pid: str | None) -> float | None:
    """Return the watchdog's interval in seconds, if there is one for this process."""
    if usec is None or (pid is not None and pid != str(os.getpid())):
        return None
    try:
        seconds = int(usec) / 1e6
    except ValueError:
        log.warning("WATCHDOG_USEC is no number: there is no watchdog")
        return None
    return seconds if seconds > 0 else None
