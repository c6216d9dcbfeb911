"""A Redis server of the tests' own, on a free port and a folder that goes with it."""

from __future__ import annotations

import atexit
import contextlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROGRAM = shutil.which("redis-server") or shutil.which("valkey-server")
needs_redis = pytest.mark.skipif(
    PROGRAM is None, reason="there is no redis-server here (apt install redis-server)"
)
_PATIENCE_SECONDS = 10.0


def free_port() -> int:
    """Return a port that no connection is given by chance while a server is down."""
    while True:
        port = random.randrange(20_000, 32_000)  # noqa: S311 - no secret
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Server:
    """One server, which may be stopped, killed, and started again.

    Attributes:
        port: Where it listens, on loopback.
    """

    def __init__(self, folder: Path, *words: str) -> None:
        self.port = free_port()
        self._folder = folder
        self._words = words
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        assert PROGRAM is not None
        words = [
            *("--port", str(self.port), "--bind", "127.0.0.1", "--save", ""),
            *("--dir", str(self._folder), "--loglevel", "warning", *self._words),
        ]
        self._process = subprocess.Popen(
            [PROGRAM, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self.ask("PING")[:5] not in {b"+PONG", b"-NOAU"}:
            assert time.monotonic() < deadline, "redis-server does not start"
            time.sleep(0.01)

    def ask(self, *words: str) -> bytes:
        """Send one command beside every driver; return its answer's first line."""
        with contextlib.suppress(OSError):
            return self._exchange([[w.encode() for w in words]]).split(b"\r\n")[0]
        return b""

    def text(self, *words: str) -> str:
        """Send one command whose answer is a text."""
        lines = self._exchange([[word.encode() for word in words]])
        assert lines[:1] == b"$", lines
        return lines.split(b"\r\n")[1].decode()

    def ask_whole(self, *words: str) -> bytes:
        """Send one command, and return its answer as it came."""
        return self._exchange([[word.encode() for word in words]])

    def exchange(self, *commands: Sequence[str]) -> bytes:
        """Send several commands at once, and return their answers as they came."""
        return self._exchange([[word.encode() for word in each] for each in commands])

    def entries(self, stream: str) -> list[tuple[str, dict[str, str]]]:
        """Return what a stream holds; no value may hold a line break."""
        lines = iter(self.ask_whole("XRANGE", stream, "-", "+").decode().split("\r\n"))

        def value() -> Any:  # noqa: ANN401 - whatever RESP holds
            line = next(lines)
            if line.startswith("$"):
                return next(lines)
            assert line.startswith("*"), line
            return [value() for _ in range(int(line[1:]))]

        return [
            (name, dict(zip(flat[::2], flat[1::2], strict=True)))
            for name, flat in value()
        ]

    def send_all(self, commands: Sequence[Sequence[bytes]]) -> None:
        """Send commands at once, and wait until all are carried out."""
        if commands:
            assert b"-" not in {
                part[:1] for part in self._exchange(commands).split(b"\r\n")
            }

    def _exchange(self, commands: Sequence[Sequence[bytes]]) -> bytes:
        data = b"".join(
            b"*%d\r\n" % len(words)
            + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
            for words in [*commands, [b"QUIT"]]
        )
        with socket.create_connection(
            ("127.0.0.1", self.port), timeout=_PATIENCE_SECONDS
        ) as sock:
            sock.sendall(data)
            return sock.makefile("rb").read()

    def grow_old(self, seconds: float) -> None:
        """Wait until it is not so young that it may have forgotten who was active."""
        while self.uptime() < seconds:
            time.sleep(0.05)

    def uptime(self) -> int:
        """Return for how many seconds it runs."""
        said = self.ask_whole("INFO", "server").decode()
        return int(said.partition("uptime_in_seconds:")[2].partition("\r")[0])

    def number(self, *words: str) -> int:
        """Send one command whose answer is a number, or begins with one."""
        for line in self._exchange([[word.encode() for word in words]]).split(b"\r\n"):
            if line.startswith(b":"):
                return int(line[1:])
        raise AssertionError("no number")

    def send_signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def running_server(*words: str) -> Iterator[Server]:
    """Run a server as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="snredis", dir="/tmp") as name:
        server = Server(Path(name), *words)
        try:
            server.start()
            yield server
        finally:
            server.kill()


@cache
def shared_server() -> Server:
    """Start a server for all the tests of this process; it is emptied, not kept."""
    running = running_server()
    server = running.__enter__()
    atexit.register(running.__exit__, None, None, None)
    return server
