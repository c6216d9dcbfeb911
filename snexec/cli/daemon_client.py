"""A small synchronous client of the daemon's socket (SPEC 6).

Every command that asks the daemon is brief, so none of them needs an event loop.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from snexec.errors import CommandError, DaemonGoneError, NoDaemonError, NotAllowedError

if TYPE_CHECKING:
    from snexec.settings import Settings

ANSWER_SECONDS = 15.0
_READ_BYTES = 64 * 1024


class DaemonConnection:
    """One connection to the daemon, to use in a ``with`` block.

    Args:
        config: The configuration file, named in the error when nobody answers.

    Raises:
        NoDaemonError: Nobody answers.
        CommandError: The socket cannot be used.
    """

    def __init__(self, settings: Settings, config: Path) -> None:
        self.path = Path(settings.intake.socket)
        self._buffer = bytearray()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(ANSWER_SECONDS)
            self._socket.connect(str(self.path))
        except OSError as exc:
            self._socket.close()
            raise _explain(exc, self.path, config) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it; a thread waiting for a line gets a ``DaemonGoneError``."""
        with contextlib.suppress(OSError):  # the daemon closed it first
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def ask(self, line: bytes, *, seconds: float | None = None) -> bytes:
        """Send one line and return its answer, without the newline.

        Args:
            line: The line, without a newline.
            seconds: How long to wait for the answer, if longer than most need.

        Raises:
            DaemonGoneError: The daemon went away.
            CommandError: It does not answer.
        """
        try:
            self._socket.sendall(line + b"\n")
        except TimeoutError:
            raise self._silent() from None
        except OSError as exc:
            raise self._gone() from exc
        return self.receive(seconds or ANSWER_SECONDS)

    def receive(self, seconds: float | None) -> bytes:
        """Wait for a line, forever if there is no time limit.

        Raises:
            DaemonGoneError: The daemon went away.
            CommandError: It does not answer.
        """
        while (end := self._buffer.find(b"\n")) < 0:
            try:
                self._socket.settimeout(seconds)
                data = self._socket.recv(_READ_BYTES)
            except TimeoutError:
                raise self._silent(seconds) from None
            except OSError as exc:
                raise self._gone() from exc
            if not data:
                raise self._gone()
            self._buffer += data
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    def _gone(self) -> DaemonGoneError:
        return DaemonGoneError(f"the daemon at {self.path} went away")

    def _silent(self, seconds: float | None = None) -> CommandError:
        return CommandError(
            f"the daemon at {self.path} gave no answer within"
            f" {seconds or ANSWER_SECONDS:g} s"
        )


def status_line(settings: Settings, config: Path) -> bytes:
    """Ask the daemon for its status, and return the answer as it came.

    Raises:
        NoDaemonError: Nobody answers.
        CommandError: The socket may not be used, or the daemon does not answer.
    """
    with DaemonConnection(settings, config) as connection:
        return connection.ask(b'{"command":"status"}')


def ask_status(settings: Settings, config: Path) -> dict[str, Any]:
    """Ask the daemon for its status.

    Raises:
        NoDaemonError: Nobody answers.
        CommandError: The socket may not be used, or the daemon does not answer.
    """
    answer = read_object(status_line(settings, config))
    if answer is None:
        raise CommandError(f"what listens at {settings.intake.socket} is no snexec")
    return answer


def read_object(line: bytes | str) -> dict[str, Any] | None:
    """Read a line as a JSON object; None for anything else."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _explain(exc: OSError, path: Path, config: Path) -> CommandError:
    if isinstance(exc, FileNotFoundError | ConnectionRefusedError):
        start = f"snexec --config {config}"
        return NoDaemonError(f"no daemon answers at {path}: start it with: {start}")
    if isinstance(exc, PermissionError):
        return NotAllowedError(
            f"this user may not use {path}: run this as the user that runs the daemon,"
            " or as one of intake.socket_group"
        )
    return CommandError(
        f"the socket {path} cannot be used: {exc.strerror or os.strerror(exc.errno or 0)}"
    )
