"""A desk to run commands at, a daemon to ask, and a broker to check."""

from __future__ import annotations

import io
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import trio

from snexec.__main__ import main
from snexec.exchange.server import Exchange
from snexec.exchange.settings import ExchangeSettings
from tests.integration.harness import PATIENCE_SECONDS, ROOT, Box, short_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SHIPPED = (ROOT / "config.toml").read_text()
SYMBOLS: dict[str, dict[str, object]] = {
    "HALT": {"reject": True},
    "NOFRAC": {"refuse": 403, "refuse_message": "not fractionable"},
    "NEVER": {"end_status": "never"},
}


@dataclass(frozen=True, slots=True)
class Done:
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    def json(self) -> Any:  # noqa: ANN401 - whatever was printed
        return json.loads(self.out)


class _Stream(io.TextIOWrapper):
    """A standard stream that may be a terminal."""

    def __init__(self, data: bytes = b"", *, terminal: bool = False) -> None:
        self.raw_bytes = io.BytesIO(data)
        self.terminal = terminal
        super().__init__(self.raw_bytes, encoding="utf-8", write_through=True)

    def isatty(self) -> bool:
        return self.terminal

    def text(self) -> str:
        return self.raw_bytes.getvalue().decode()


class Desk:
    """Runs commands in this process, through the front door."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def run(
        self,
        config: Path,
        *words: str,
        stdin: bytes = b"",
        terminal: bool = False,
        typing: bool = False,
    ) -> Done:
        """Run a command to its end.

        Args:
            config: The configuration file.
            words: The command and its words.
            stdin: What is typed or piped.
            terminal: Whether what it prints goes to a terminal.
            typing: Whether somebody types.
        """
        out, err = _Stream(terminal=terminal), _Stream(terminal=terminal)
        handlers = {n: signal.getsignal(n) for n in (signal.SIGHUP, signal.SIGTERM)}
        with self._monkeypatch.context() as patched:
            patched.setattr(sys, "argv", ["snexec", "--config", str(config), *words])
            patched.setattr(sys, "stdin", _Stream(stdin, terminal=typing))
            patched.setattr(sys, "stdout", out)
            patched.setattr(sys, "stderr", err)
            try:
                main()
            except SystemExit as exc:
                status = exc.code if isinstance(exc.code, int) else 0
            else:
                raise AssertionError("it did not exit")
            finally:
                for number, handler in handlers.items():
                    signal.signal(number, handler)
        return Done(status, out.text(), err.text())


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Give a desk without any keys in its environment."""
    for kind in ("", "PAPER_", "LIVE_"):
        for name in ("API_KEY_ID", "API_SECRET_KEY"):
            monkeypatch.delenv(f"APCA_{kind}{name}", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "200")
    return Desk(monkeypatch)


@pytest.fixture
def box() -> Iterator[Box]:
    """Give a folder with a configuration and nothing that runs."""
    with short_folder() as folder:
        box = Box(folder)
        box.configure()
        yield box


@contextmanager
def running(box: Box) -> Iterator[subprocess.Popen[bytes]]:
    """Run a real daemon, from when it takes signals until the block ends."""
    with box.stderr.open("ab") as log:
        process = subprocess.Popen(
            box.command(),
            env=box.environment(),
            stdin=subprocess.DEVNULL,
            stderr=log,
        )
    try:
        until(
            lambda: "ready: taking signals" in box.log() or process.poll() is not None,
            "the daemon is ready",
        )
        assert process.poll() is None, box.log()
        yield process
    finally:
        process.kill()
        process.wait()


def until(holds: Callable[[], object], what: str) -> None:
    """Wait until something that only a look can tell is so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.02)


def configure_simulated(box: Box, **intake: object) -> None:
    """Write a configuration of the built-in exchange, quick and with bad symbols."""
    exchange: dict[str, object] = {"fill_delay_sec": 0.01, "partial_fill_ratio": 0.0}
    box.configure(exchange=exchange, intake=intake)
    with box.config.open("a") as file:
        for symbol, behaviour in SYMBOLS.items():
            file.write(f"\n[exchange.symbols.{symbol}]\n")
            file.writelines(f"{k} = {json.dumps(v)}\n" for k, v in behaviour.items())


@pytest.fixture(scope="session")
def busy_box() -> Iterator[Box]:
    """Give a simulated daemon for all tests that leave it running.

    It has little room, so that a file meets a full queue.
    """
    with short_folder() as folder:
        box = Box(folder)
        configure_simulated(box, max_pending=2, max_in_flight=1)
        with running(box):
            yield box


class FakeDaemon:
    """A socket that answers as it is told, for what a real daemon seldom does."""

    def __init__(self, path: Path, answer: Callable[[bytes], bytes | None]) -> None:
        self.lines: list[bytes] = []
        self.hang_up_after_answer = False
        self._answer = answer
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listening.bind(str(path))
        self._listening.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=[client], daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        with closing(client), client.makefile("rb") as lines:
            for line in lines:
                self.lines.append(line)
                answer = self._answer(line)
                if answer is None:
                    return
                try:
                    client.sendall(answer)
                except OSError:
                    return
                if self.hang_up_after_answer:
                    return


@pytest.fixture
def fake_daemon(box: Box) -> Iterator[Callable[..., FakeDaemon]]:
    """Give a function that starts a fake daemon at the box's socket."""
    started: list[FakeDaemon] = []

    def start(answer: Callable[[bytes], bytes | None]) -> FakeDaemon:
        daemon = FakeDaemon(box.socket, answer)
        started.append(daemon)
        return daemon

    yield start
    for daemon in started:
        daemon.close()


@pytest.fixture(scope="module")
def broker() -> Iterator[Exchange]:
    """Run an exchange in a thread, which a command takes for Alpaca."""
    ready = threading.Event()
    started: list[Exchange] = []
    ends: list[Callable[[], None]] = []

    async def serve() -> None:
        exchange = Exchange(
            ExchangeSettings(
                fill_delay_sec=0.01, partial_fill_ratio=0.0, rate_limit_per_min=100_000
            )
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(exchange.run)
            started.append(exchange)
            token = trio.lowlevel.current_trio_token()
            ends.append(lambda: token.run_sync_soon(nursery.cancel_scope.cancel))
            ready.set()

    thread = threading.Thread(target=trio.run, args=[serve])
    thread.start()
    assert ready.wait(PATIENCE_SECONDS)
    yield started[0]
    ends[0]()
    thread.join(PATIENCE_SECONDS)


@pytest.fixture
def shipped(box: Box) -> Box:
    """Give a box with the shipped configuration, comments and all."""
    box.config.write_text(SHIPPED)
    box.config.chmod(0o640)
    box.socket = box.folder / "snexec.sock"
    return box


def as_live(text: str) -> str:
    return text.replace('mode = "paper"', 'mode = "live"', 1)
