"""Several daemons, each with a folder and a database, one account and one stream."""

from __future__ import annotations

import subprocess
import sys
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import trio

from tests.integration.harness import (
    PATIENCE_SECONDS,
    Box,
    alpaca,
    real_box,
    short_folder,
    signal_line,
)
from tests.redis.proxy import Proxy
from tests.redis.server import Server, running_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from snexec.exchange.server import Exchange
    from snexec.exchange.settings import ExchangeSettings

STREAM = "snexec:signals"
LEASE_KEY = f"{STREAM}:snexec:lease"
LEASE_SECONDS = 1.0


class Host(Box):
    """One daemon's folder.

    Attributes:
        to_redis: Its line to Redis, which may be cut.
        to_broker: Its line to the broker.
    """

    def __init__(self, folder: Path, name: str, *, redis: int, broker: int) -> None:
        super().__init__(folder)
        self.name = name
        self.to_redis = Proxy(redis)
        self.to_broker = Proxy(broker)
        self.process: trio.Process | None = None

    async def start(self, *victim: str) -> None:
        """Start its daemon; it need not be ready.

        Args:
            victim: At which step it dies or stands still, and at which time.
        """
        command = self.command()
        if victim:
            config = command[command.index("--config") :]
            command = [sys.executable, "-m", "tests.crash.victim", *victim, *config]
        with self.stderr.open("ab") as log:
            self.process = await trio.lowlevel.open_process(
                command,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stderr=log,
            )

    async def kill(self) -> None:
        """Kill its daemon, as a power cut does."""
        if self.process is not None:
            self.process.kill()
            with trio.CancelScope(shield=True):
                await self.process.wait()
            self.process = None

    async def ask(self, data: bytes) -> dict[str, Any]:
        """Ask its socket; nothing where nobody answers."""
        try:
            with trio.fail_after(5):
                async with self.client() as client:
                    return await client.ask(data)
        except (OSError, AssertionError, trio.BrokenResourceError, trio.TooSlowError):
            return {}

    async def status(self) -> dict[str, Any]:
        return await self.ask(b'{"command":"status"}\n')

    async def until_status(self, **wanted: object) -> dict[str, Any]:
        """Wait until its status says so."""
        with trio.move_on_after(PATIENCE_SECONDS):
            while True:
                status = await self.status()
                if all(status.get(name) == value for name, value in wanted.items()):
                    return status
                await trio.sleep(0.02)
        raise AssertionError(f"{self.name} is not {wanted}: {status}\n{self.log()}")


class Site:
    """All of it.

    Attributes:
        broker: The exchange.
        redis: The server.
        hosts: The daemons' folders.
    """

    def __init__(self, broker: Exchange, redis: Server, hosts: list[Host]) -> None:
        self.broker = broker
        self.redis = redis
        self.hosts = hosts

    def add(self, symbol: str, **fields: object) -> str:
        """Add a signal to the stream, and return its entry's id."""
        line = signal_line(symbol, **fields).decode().strip()
        return self.redis.text("XADD", STREAM, "*", "signal", line)

    def orders(self) -> list[Any]:
        return [*self.broker.paper.book.orders()]

    def pending(self) -> int:
        """Return how many entries are given out and not decided; -1 without a group."""
        summary = self.redis.ask_whole("XPENDING", STREAM, "snexec")
        return int(summary.split(b"\r\n")[1][1:]) if summary[:1] == b"*" else -1

    def lag(self) -> int:
        """Return how many entries are not given out, where the server knows that."""
        said = self.redis.ask_whole("XINFO", "GROUPS", STREAM).split(b"\r\n")
        after = said[said.index(b"lag") + 1] if b"lag" in said else b""
        return int(after[1:]) if after[:1] == b":" else 0

    async def active(self, *besides: Host) -> Host:
        """Wait until one of the hosts takes signals, and return it."""
        with trio.move_on_after(PATIENCE_SECONDS):
            while True:
                for host in self.hosts:
                    if host.process is None or host in besides:
                        continue
                    status = await host.status()
                    if status.get("lease") == "active" and status["phase"] == "taking":
                        return host
                await trio.sleep(0.02)
        logs = "\n".join(f"{host.name}: {host.log()}" for host in self.hosts)
        raise AssertionError(f"nobody is active\n{logs}")

    def other(self, host: Host) -> Host:
        [other] = [each for each in self.hosts if each is not host]
        return other


@asynccontextmanager
async def site(
    exchange: ExchangeSettings | None = None,
    *,
    count: int = 2,
    intake: dict[str, object] | None = None,
    exits: dict[str, object] | None = None,
    words: tuple[str, ...] = ("--appendonly", "yes", "--appendfsync", "always"),
    at: Server | None = None,
    **redis: object,
) -> AsyncIterator[Site]:
    """Give a site whose daemons are not started; those that run are killed at its end.

    Args:
        exchange: The broker's settings.
        count: How many hosts.
        intake: Settings of each daemon.
        exits: Likewise.
        words: Settings of the server.
        at: A server that runs, if not one of its own.
        redis: Settings of each daemon.
    """
    with running_server(*words) if at is None else nullcontext(at) as server:
        async with (
            real_box(exchange) as (_box, broker),
            trio.open_nursery() as lines,
        ):
            with short_folder() as folder:
                hosts: list[Host] = []
                for name in ("a", "b", "c")[:count]:
                    (folder / name).mkdir()
                    port = urlsplit(broker.paper_url).port or 0
                    host = Host(
                        *(folder / name, f"host-{name}"), redis=server.port, broker=port
                    )
                    await lines.start(host.to_redis.run)
                    await lines.start(host.to_broker.run)
                    section: dict[str, object] = {
                        "url": f"redis://127.0.0.1:{host.to_redis.port}",
                        "lease_sec": LEASE_SECONDS,
                        "consumer": host.name,
                        **redis,
                    }
                    configure = partial(
                        host.configure,
                        alpaca=alpaca(
                            broker,
                            reconcile_interval_sec=1.0,
                            unknown_grace_sec=10.0,
                            paper_url=broker.paper_url.replace(
                                f":{port}", f":{host.to_broker.port}"
                            ),
                        ),
                        intake=intake or {},
                        redis=section,
                    )
                    configure() if exits is None else configure(exits=exits)
                    hosts.append(host)
                try:
                    yield Site(broker, server, hosts)
                finally:
                    for host in hosts:
                        await host.kill()
                    lines.cancel_scope.cancel()
