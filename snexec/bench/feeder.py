"""A client of a program's Unix socket, as any feeder of signals is."""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING

from snexec.bench.programs import PATIENCE_SECONDS, wait_until
from snexec.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from snexec.bench.programs import Program

_READ_BYTES = 64 * 1024


def signal_line(symbol: str) -> bytes:
    """Return the line of a signal that is traded; the symbol is also its id."""
    fields = {
        "symbol": symbol,
        "catalystCategory": "earnings_beat",
        "catalystTier": 1,
        "aiConfidence": "high",
        "priceAtSignal": 187.2,
        "id": symbol,
    }
    return json.dumps(fields).encode() + b"\n"


class Feeder:
    """One connection to a program; it waits only for what it is asked to wait for.

    Args:
        path: The program's socket, which may not exist yet.
        program: The program that creates it.
    """

    def __init__(self, path: Path, program: Program) -> None:
        self._buffer = b""
        self._socket = socket.socket(socket.AF_UNIX)

        def connected() -> bool:
            program.check_alive()
            self._socket.close()  # one that was refused may not be used again
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.settimeout(PATIENCE_SECONDS)
            return self._socket.connect_ex(str(path)) == 0

        try:
            wait_until(connected, f"something listens at {path}")
        except BaseException:
            self._socket.close()
            raise

    def send(self, lines: bytes) -> int:
        """Send lines, and return ``time.monotonic_ns`` from just before."""
        now_ns = time.monotonic_ns()
        self._socket.sendall(lines)
        return now_ns

    def answer(self) -> str:
        """Wait for the answer to the next line, and return its status.

        Raises:
            StartError: The program closed the connection.
        """
        while b"\n" not in self._buffer:
            data = self._socket.recv(_READ_BYTES)
            if not data:
                raise StartError("bench: the socket's connection was closed")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return str(json.loads(line)["status"])

    def expect_accepted(self, symbols: Iterable[str]) -> None:
        """Wait for the answers to these signals.

        Raises:
            StartError: One of them was not accepted.
        """
        for symbol in symbols:
            status = self.answer()
            if status != "accepted":
                raise StartError(f"bench: signal {symbol} was answered {status}")

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()
