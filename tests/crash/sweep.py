"""One run of the sweep: daemons that are killed in turn beside one broker that lives on."""

from __future__ import annotations

import collections
import json
import math
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import trio

from snexec.exchange.server import Exchange
from snexec.exchange.settings import ExchangeSettings
from snexec.settings import MODES
from tests.crash.faults import (
    BEHAVIOURS,
    DISTURBANCES,
    disturb,
    draw_account_faults,
)
from tests.crash.invariants import Row, Said, Sent, check, check_always
from tests.integration.harness import Box, Client, alpaca, short_folder, signal_line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from snexec.exchange.account import Account
    from snexec.exchange.orders import Order
    from snexec.settings import Mode

STEP_SECONDS = 6.0  # for a step to be reached once the daemon takes signals
START_SECONDS = 30.0
SETTLE_SECONDS = 25.0

_NO_TRADE = {"catalystTier": 4, "aiConfidence": None}
_REFUSED = re.compile(r"Order (refused|not sent): \S+ trade=\S+ signal=(\S+?):? ")
_STALE = re.compile(r"signal=(\S+) is not traded: it is older")
_SKIPPED = re.compile(r"signal=(\S+) skipped: (\w+)")


@dataclass(frozen=True, kw_only=True)
class Kill:
    """When a daemon dies.

    Attributes:
        step: A step of the victim's, or "exchange accepted"; None is after a time.
        count: At which time it reaches the step.
        seconds: How long it lives, where there is no step.
        from_start: Whether that counts from its start, and not from being ready.
        switch_mode: Whether it is told to change its mode while it takes signals.
        stop: Whether it is told to stop just before.
    """

    step: str | None = None
    count: int = 1
    seconds: float = 0.0
    from_start: bool = False
    switch_mode: bool = False
    stop: bool = False

    def __str__(self) -> str:
        if self.step is not None:
            return f"at {self.step!r}, time {self.count}"
        since = "its start" if self.from_start else "ready"
        return f"{self.seconds * 1000:.1f} ms after {since}"


@dataclass(kw_only=True)
class Figures:
    """What a sweep has done; adds up."""

    kills: int = 0
    steps: collections.Counter[str] = field(default_factory=collections.Counter)
    faults: collections.Counter[str] = field(default_factory=collections.Counter)
    orders: int = 0
    rows: int = 0
    found_late: int = 0

    def add(self, other: Figures) -> None:
        """Count another sweep's too."""
        self.kills += other.kills
        self.steps += other.steps
        self.faults += other.faults
        self.orders += other.orders
        self.rows += other.rows
        self.found_late += other.found_late

    def __str__(self) -> str:
        steps = ", ".join(f"{name} {n}" for name, n in self.steps.most_common())
        faults = ", ".join(f"{name} {n}" for name, n in self.faults.most_common())
        return (
            f"{self.kills} kills ({steps}); {self.orders} orders, {self.rows} rows,"
            f" {self.found_late} found late; {self.faults.total()} faults ({faults})"
        )


class SweepError(Exception):
    """A run went wrong; the message is its whole story."""


class Run:
    """One folder, one broker, and the daemons that die there.

    Args:
        seed: Draws signals, faults and times.
        starting: How many daemons of all runs may start at once.
    """

    def __init__(
        self, *, seed: int, box: Box, exchange: Exchange, starting: trio.Semaphore
    ) -> None:
        self.figures = Figures()
        self._seed = seed
        self._rng = random.Random(seed)  # noqa: S311 - a seed must repeat it
        self._box = box
        self._exchange = exchange
        self._starting = starting
        self._began = trio.current_time()
        self._story: list[str] = []
        self._lives = 0
        self._mode: Mode = self._rng.choice(MODES)
        self._process: trio.Process | None = None
        self._settled: dict[str, Row] = {}
        self._lines: list[dict[str, object]] = []
        self._answers: collections.Counter[str] = collections.Counter()
        self._taken: dict[str, Mode] = {}

    # The story.

    def tell(self, text: str) -> None:
        """Note what happens, for whoever has to understand a failure."""
        self._story.append(f"{trio.current_time() - self._began:8.3f} {text}")

    def fail(self, problems: list[str]) -> None:
        """Raise with everything that is known."""
        orders = [
            f"{mode} {order.submitted_ns / 1e9:.3f} {order.symbol} {order.status}"
            f" {order.filled_qty} at {order.filled_avg_price} id={order.id}"
            f" client={order.client_order_id}"
            for mode in MODES
            for order in self._exchange.account(mode).book.orders()
        ]
        log = self._box.log().splitlines()[-150:]
        parts = {
            f"seed {self._seed}: {len(problems)} broken promises": problems,
            "story": self._story,
            "rows": [json.dumps(row) for row in self._rows()],
            "orders": orders,
            "the last daemon's log": log,
        }
        raise SweepError(
            "\n".join(
                f"--- {title}\n" + "\n".join(lines) for title, lines in parts.items()
            )
        )

    # What happens.

    def draw_signals(self, behaviours: list[str]) -> None:
        """Make a signal for each behaviour, and some that must not buy."""
        for number, name in enumerate(behaviours):
            symbol = f"S{number}"
            for mode in MODES:
                self._exchange.account(mode).set_behaviour(symbol, BEHAVIOURS[name])
            self.figures.faults[name] += 1
            self._add(symbol, f"{symbol}-a")
            if self._rng.random() < 0.4:
                self._add(symbol, f"{symbol}-b")
        self._add("NOTRADE", "no-trade", **_NO_TRADE)
        self.tell(f"symbols: {dict(enumerate(behaviours))}")

    async def live_and_die(self, kill: Kill, *, faults: bool = True) -> bool:
        """Start a daemon, feed it, and see it killed.

        Returns:
            Whether it died at the step of its own accord, so to speak.
        """
        if faults:
            self._draw_faults()
        async with self._daemon(kill) as process:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._feed, nursery.cancel_scope, process)
                nursery.start_soon(self._harass, kill, faults)
                with trio.move_on_after(self._patience(kill)):
                    await process.wait()
                if process.poll() is None and kill.stop:
                    process.terminate()
                    await trio.sleep(self._rng.uniform(0, 0.05))
                reached = process.poll() is not None
                if process.poll() is None:
                    process.kill()
                await process.wait()
                nursery.cancel_scope.cancel()
        self._count(kill, process, reached=reached)
        self._check_remains()
        await trio.sleep(self._rng.choice((0.0, 0.05, 0.3)))
        return reached

    async def settle(self) -> None:
        """Start a last daemon, send it everything again, and compare all."""
        for mode in MODES:
            self._exchange.account(mode).feed.faults = ExchangeFaults()
        self._taken.clear()
        self._settle_mode()
        async with self._daemon(None) as process, trio.open_nursery() as nursery:
            await self._feed(nursery.cancel_scope, process, patient=True)
            problems = await self._settled_problems(process)
            if problems:
                self.fail(problems)
            process.terminate()
            with trio.move_on_after(START_SECONDS):
                await process.wait()
        if process.returncode != 0:
            self.fail([f"the last daemon ended with {process.returncode}"])
        self._check_remains()
        if problems := self._compare():
            self.fail(["after the last daemon's stop:", *problems])
        rows = self._rows()
        self.figures.rows += len(rows)
        self.figures.found_late += sum(
            row["exitReason"] == "order_found_late" for row in rows
        )
        self.figures.orders += sum(
            1 for mode in MODES for _ in self._exchange.account(mode).book.orders()
        )

    # A daemon's life.

    @asynccontextmanager
    async def _daemon(self, kill: Kill | None) -> AsyncIterator[trio.Process]:
        """Start a daemon, as a victim if it dies at a step of its own."""
        self._lives += 1
        box = self._box
        box.stderr = box.folder / f"stderr.{self._lives}"
        self._configure()
        command = box.command("--log-level", "debug")
        if kill is not None and kill.step in _VICTIM_STEPS:
            head = [sys.executable, "-m", "tests.crash.victim"]
            command = [*head, kill.step or "", str(kill.count), *command[3:]]
        self.tell(f"start {self._lives} in mode {self._mode}, to die {kill or 'never'}")
        async with self._starting:
            with box.stderr.open("wb") as log:
                process = await trio.lowlevel.open_process(
                    command,
                    env=box.environment(),
                    stdin=subprocess.DEVNULL,
                    stderr=log,
                )
            self._process = process
            if kill is None or not kill.from_start:
                await self._until_ready(process)
        try:
            with self._dying_when_accepted(kill, process):
                yield process
        finally:
            if process.poll() is None:
                process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
            self._process = None
