"""The daemon as its users run it: a subprocess, its socket, its signals, its file."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import trio

from snexec.exchange.server import Exchange
from snexec.exchange.settings import ExchangeSettings

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 60.0
KEYS = {
    "APCA_API_KEY_ID": "PKTESTTESTTEST",
    "APCA_API_SECRET_KEY": "secretsecretsecret",
}


@contextmanager
def short_folder() -> Iterator[Path]:
    """Make a folder whose path leaves room for a Unix socket's name."""
    with tempfile.TemporaryDirectory(prefix="sn", dir="/tmp") as name:
        yield Path(name)


def signal_line(symbol: str, **fields: object) -> bytes:
    """Return a valid signal as a JSON line."""
    values: dict[str, object] = {
        "symbol": symbol,
        "catalystCategory": "test",
        "catalystTier": 1,
        "priceAtSignal": 100.0,
        **fields,
    }
    return json.dumps(values).encode() + b"\n"


class Client:
    """One connection to the daemon's socket."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._buffer = b""

    async def send(self, data: bytes) -> None:
        await self._stream.send_all(data)

    async def answer(self) -> dict[str, Any]:
        """Wait for the next line."""
        with trio.fail_after(PATIENCE_SECONDS):
            while b"\n" not in self._buffer:
                data = await self._stream.receive_some()
                assert data, "the daemon closed the connection"
                self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def order_event(self) -> dict[str, Any]:
        """Wait for the next event that is about an order."""
        while (event := await self.answer())["event"] in {"stream", "mode"}:
            pass
        return event

    async def ask(self, data: bytes) -> dict[str, Any]:
        await self.send(data)
        return await self.answer()


class Box:
    """A folder with a configuration, and the daemons that run there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "config.toml"
        self.socket = folder / "s.sock"
        self.database = folder / "t.db"
        self.stderr = folder / "stderr"

    def configure(self, *, mode: str = "paper", **sections: dict[str, object]) -> None:
        """Write the configuration, as a user's editor would."""
        top = {"mode": mode, "database": self.database.name}
        intake = {"socket": self.socket.name, **sections.pop("intake", {})}
        lines = [f"{key} = {json.dumps(value)}" for key, value in top.items()]
        for name, values in {"intake": intake, **sections}.items():
            lines.append(f"[{name}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
        self.config.write_text("\n".join(lines) + "\n")

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "snexec", "--config", str(self.config), *words]

    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("APCA_")}
        return kept | KEYS | {"PYTHONPATH": str(ROOT)}

    async def run(
        self, *words: str, stdin: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command to its end."""
        with trio.fail_after(PATIENCE_SECONDS * 2):
            return await trio.run_process(
                self.command(*words),
                env=self.environment(),
                stdin=stdin,
                capture_stdout=True,
                capture_stderr=True,
                check=False,
            )

    @asynccontextmanager
    async def daemon(self, *words: str) -> AsyncIterator[trio.Process]:
        """Run a daemon until the block ends, and wait until it takes signals."""
        with self.stderr.open("ab") as log:
            process = await trio.lowlevel.open_process(
                self.command(*words),
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stderr=log,
            )
        try:
            await self.until(self._is_ready, "the daemon is ready")
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()

    def _is_ready(self) -> bool:
        return "ready: taking signals" in self.log().rpartition("stopped")[2]

    async def stop(self, process: trio.Process) -> int:
        """Send SIGTERM and return the exit status."""
        process.send_signal(signal.SIGTERM)
        with trio.fail_after(PATIENCE_SECONDS):
            return await process.wait()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        async with await trio.open_unix_socket(str(self.socket)) as stream:
            yield Client(stream)

    def log(self) -> str:
        return self.stderr.read_text() if self.stderr.exists() else ""

    def rows(self, where: str = "1") -> list[dict[str, Any]]:
        """Read the table as another program on the same file would."""
        if not self.database.exists():
            return []
        with closing(sqlite3.connect(self.database, timeout=5)) as connection:
            connection.row_factory = sqlite3.Row
            known = "SELECT count(*) FROM sqlite_master WHERE name = 'BotTrade'"
            if not connection.execute(known).fetchone()[0]:
                return []  # the daemon is about to make it
            cursor = connection.execute(
                f"SELECT * FROM BotTrade WHERE {where} ORDER BY createdAt"  # noqa: S608
            )
            return [dict(row) for row in cursor]

    async def until(self, holds: Callable[[], object], what: str) -> None:
        """Wait until something that only a look can tell is so."""
        with trio.move_on_after(PATIENCE_SECONDS):
            while not holds():  # noqa: ASYNC110 - another process changes it
                await trio.sleep(0.02)
            return
        raise AssertionError(f"not within {PATIENCE_SECONDS} s: {what}\n{self.log()}")


@asynccontextmanager
async def real_box(
    exchange: ExchangeSettings | None = None,
) -> AsyncIterator[tuple[Box, Exchange]]:
    """Give a box whose daemon takes a separate exchange for the real broker."""
    settings = exchange or ExchangeSettings(
        fill_delay_sec=0.01, partial_fill_ratio=0.0, rate_limit_per_min=100_000
    )
    with short_folder() as folder:
        async with trio.open_nursery() as nursery:
            broker = Exchange(settings)
            await nursery.start(broker.run)
            yield Box(folder), broker
            nursery.cancel_scope.cancel()


def alpaca(broker: Exchange, **more: object) -> dict[str, object]:
    """Return an ``[alpaca]`` section that names a separate exchange."""
    return {
        "simulate": False,
        "paper_url": broker.paper_url,
        "live_url": broker.live_url,
        **more,
    }
