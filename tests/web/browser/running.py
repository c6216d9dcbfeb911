"""A daemon with a page, and its broker, as processes; used without an event loop."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import IO, TYPE_CHECKING, Any

from sqlite_utils import Database

from tests.integration.harness import KEYS, PATIENCE_SECONDS, ROOT, signal_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

_LIVE_KEYS = {
    "APCA_LIVE_API_KEY_ID": "AKTESTTESTTEST",
    "APCA_LIVE_API_SECRET_KEY": "secretsecretsecret",
}
_EXCHANGE = """
[exchange]
fill_delay_sec = 0.01
partial_fill_ratio = 0.0
rate_limit_per_min = 100_000
"""


def until(holds: Callable[[], object], what: str) -> None:
    """Wait until something that another process does is so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"not within {PATIENCE_SECONDS} s: {what}"
        time.sleep(0.02)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@dataclass(frozen=True)
class Trade:
    """One of 100 dollars that is over: when, how long, and what came of it."""

    symbol: str
    ago: float
    percent: float
    reason: str
    entry: float = 100.0
    held: float = 5.0
    news: str = "earnings_beat"
    wire_ms: float = 2.0
    reply_ms: float = 90.0

    def row(self, now: datetime) -> dict[str, object]:
        """Return it as the table has it."""
        began = now - timedelta(seconds=self.ago)
        ended = (began + timedelta(seconds=self.held)).isoformat()
        return {
            "id": f"then-{self.ago}",
            "symbol": self.symbol,
            "entryPrice": self.entry,
            "exitPrice": self.entry * (1 + self.percent / 100),
            "shares": 100 / self.entry,
            "pnl": self.percent,
            "catalystType": self.news,
            "catalystTier": 1,
            "exitReason": self.reason,
            "status": "closed",
            "mode": "paper",
            "notional": 100,
            "starRating": 5,
            **dict.fromkeys(("entryAt", "createdAt"), began.isoformat()),
            **dict.fromkeys(("exitAt", "settledAt", "updatedAt"), ended),
            "wireMs": self.wire_ms,
            "replyMs": self.reply_ms,
            "fillMs": self.reply_ms * 1.6,
        }


class Broker:
    """The simulated exchange by itself.

    Attributes:
        paper_url: Where its paper account is.
        live_url: Where its live account is.
    """

    def __init__(self, folder: Path) -> None:
        config = folder / "exchange.toml"
        config.write_text(f'database = "none.db"\n{_EXCHANGE}')
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "snexec", "--config", str(config)),
                *("exchange", "--port", str(free_port())),
            ],
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
            text=True,
        )
        said: IO[str] | None = self._process.stdout
        assert said is not None
        said.readline()
        self.paper_url = said.readline().split('"')[1]
        self.live_url = said.readline().split('"')[1]

    def quote(self, symbol: str, price: float) -> None:
        """Set a symbol's last price, for both accounts."""
        body = json.dumps({"symbol": symbol, "price": price}).encode()
        request = urllib.request.Request(  # noqa: S310 - it is on this machine
            f"{self.paper_url}/control/paper/quote", data=body, method="POST"
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS):  # noqa: S310
            pass

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


class Running:
    """A folder with a configuration, and the daemon that runs there."""

    def __init__(
        self,
        folder: Path,
        broker: Broker | None,
        *,
        mode: str = "paper",
        more: str = "",
    ) -> None:
        self.folder = folder
        self.config = folder / "config.toml"
        self.database = folder / "t.db"
        self.socket = folder / "s.sock"
        self._log = folder / "stderr"
        self._process: subprocess.Popen[bytes] | None = None
        self.origin = f"http://127.0.0.1:{free_port()}"
        at_broker = ("simulate = true", "")
        if broker is not None:
            at_broker = (
                f'simulate = false\npaper_url = "{broker.paper_url}"\nlive_url = "{broker.live_url}"',
                f'data_url = "{broker.paper_url}/data"',
            )
        self.config.write_text(f"""
mode = "{mode}"
database = "t.db"
[alpaca]
{at_broker[0]}
[intake]
socket = "s.sock"
[exits]
hard_stop_loss_pct = 5.0
profit_target_pct = 10.0
poll_sec = 0.5
{at_broker[1]}
[page]
listen = "{self.origin.removeprefix("http://")}"
{more}""")
        self.start()
        self.address = self.run("page").strip()

    def start(self) -> None:
        """Start the daemon, and wait until it takes signals."""
        ready_before = self.log().count("ready: taking signals")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stderr=log,
                cwd=self.folder,
            )
        until(
            lambda: self.log().count("ready: taking signals") > ready_before,
            f"the daemon is ready\n{self.log()}",
        )
        until(self._has_page, "the page is there")

    def _has_page(self) -> bool:
        host, _, port = self.origin.removeprefix("http://").partition(":")
        with closing(socket.socket()) as tried:
            return tried.connect_ex((host, int(port))) == 0

    def stop(self) -> None:
        """Stop the daemon as a service manager does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(PATIENCE_SECONDS)

    def close(self) -> None:
        """End the daemon, however it is."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def run(self, *words: str) -> str:
        """Run a command to its end and return what it printed."""
        done = subprocess.run(
            [*self._command(), *words],
            env=self._environment(),
            capture_output=True,
            check=True,
            timeout=PATIENCE_SECONDS,
            text=True,
            cwd=self.folder,
        )
        return done.stdout

    def log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    def ask(self, line: bytes) -> dict[str, Any]:
        """Return the daemon's answer to one line on its socket."""
        with closing(socket.socket(socket.AF_UNIX)) as asking:
            asking.settimeout(PATIENCE_SECONDS)
            asking.connect(str(self.socket))
            asking.sendall(line)
            with asking.makefile("rb") as answers:
                answer: dict[str, Any] = json.loads(answers.readline())
                return answer

    def status(self) -> dict[str, Any]:
        return self.ask(b'{"command":"status"}\n')

    def buy(self, symbol: str, **fields: object) -> None:
        """Send a signal that is bought for."""
        answer = self.ask(signal_line(symbol, **fields))
        assert answer["status"] == "accepted", answer

    def remember(self, trades: Iterable[Trade]) -> None:
        """Write closed rows, as if they had been traded."""
        now = datetime.now(UTC)
        with closing(sqlite3.connect(self.database, timeout=5)) as connection:
            Database(connection).table("BotTrade").insert_all(
                each.row(now) for each in trades
            )

    def _command(self) -> list[str]:
        return [sys.executable, "-m", "snexec", "--config", str(self.config)]

    def _environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("APCA_")}
        return kept | KEYS | _LIVE_KEYS | {"PYTHONPATH": str(ROOT)}
