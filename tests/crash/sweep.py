"""Daemons that are fed and killed in turn, beside one broker that lives on."""

from __future__ import annotations

import collections
import json
import random
import re
import shutil
import signal
import sqlite3
import subprocess
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from unittest.mock import patch

import trio

from snexec.exchange.faults import StreamFaults
from snexec.exchange.settings import ExchangeSettings
from snexec.model import MODES
from tests.crash.faults import BEHAVIOURS, DISTURBANCES, disturb, draw_account_faults
from tests.crash.invariants import Said, Sent, check, check_always, check_kept
from tests.integration.harness import Box, alpaca, real_box, short_folder, signal_line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from snexec.exchange.account import Account
    from snexec.exchange.order import Order
    from snexec.exchange.server import Exchange
    from snexec.exchange.settings import Behaviour
    from snexec.exchange.validation import OrderRequest
    from snexec.model import Mode
    from tests.crash.invariants import Row

ACCEPTED = "exchange accepted"  # the one step that the broker sees, and not the victim
_STEP_SECONDS = 4.0  # for a step to be reached once the daemon takes signals
_START_SECONDS = 75.0  # five look-ups that fail in a row take 31 s of pauses alone
_SETTLE_SECONDS = 25.0
_LATE_SECONDS = 1.5  # in which late events come, and change no settled row
_RUNS_AT_ONCE = 10
_STARTS_AT_ONCE = 2  # a start is all CPU

_REFUSED = re.compile(r"Order (refused|not sent): \S+ trade=\S+ signal=([\w-]+)")
_STALE = re.compile(r"signal=([\w-]+) is not traded: it is older")
_SKIPPED = re.compile(r"signal=([\w-]+) skipped: (\w+)")


@dataclass(frozen=True, kw_only=True)
class Kill:
    """When a daemon dies.

    Attributes:
        step: A step of the victim's, or ``ACCEPTED``; None is after a time.
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
        more = ", mode switched" * self.switch_mode + ", SIGTERM first" * self.stop
        if self.step is not None:
            return f"at {self.step!r}, time {self.count}{more}"
        since = "its start" if self.from_start else "ready"
        return f"{self.seconds * 1000:.1f} ms after {since}{more}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run does.

    Attributes:
        seed: Draws everything else.
        behaviours: One of ``faults.BEHAVIOURS`` for each symbol.
        kills: One for each daemon but the last, which lives.
        first_undisturbed: Whether the first daemon meets no fault of a whole account.
    """

    seed: int
    behaviours: Sequence[str]
    kills: Sequence[Kill]
    first_undisturbed: bool = False


@dataclass(kw_only=True)
class Figures:
    """What a sweep has done; adds up.

    Attributes:
        missed: Steps at which a daemon was to die and that it did not reach.
    """

    kills: int = 0
    points: collections.Counter[str] = field(default_factory=collections.Counter)
    missed: collections.Counter[str] = field(default_factory=collections.Counter)
    faults: collections.Counter[str] = field(default_factory=collections.Counter)
    orders: int = 0
    rows: int = 0
    found_late: int = 0

    def add(self, other: Figures) -> None:
        """Count what another one counted too."""
        self.kills += other.kills
        self.points += other.points
        self.missed += other.missed
        self.faults += other.faults
        self.orders += other.orders
        self.rows += other.rows
        self.found_late += other.found_late

    def __str__(self) -> str:
        return (
            f"{self.kills} kills ({_listed(self.points)}; not reached:"
            f" {_listed(self.missed)}); {self.orders} orders, {self.rows} rows,"
            f" {self.found_late} of them found late; {self.faults.total()} faults drawn"
            f" ({_listed(self.faults)})"
        )


class SweepError(Exception):
    """A promise was broken; the message is the whole story."""


async def sweep(plans: Sequence[Plan]) -> tuple[Figures, list[str]]:
    """Carry out plans, a few at a time; return what was done and what went wrong."""
    figures, failures = Figures(), list[str]()
    places = trio.Semaphore(_RUNS_AT_ONCE)
    starting = trio.Semaphore(_STARTS_AT_ONCE)

    async def carry_out(plan: Plan) -> None:
        settings = ExchangeSettings(
            fill_delay_sec=0.02,
            partial_fill_ratio=0.2,
            rate_limit_per_min=1_000_000,
            seed=plan.seed,
        )
        async with places, real_box(settings) as (box, exchange):
            run = Run(plan, box, exchange, starting)
            try:
                await run.carry_out()
            except SweepError as exc:
                failures.append(str(exc))
            figures.add(run.figures)

    async with trio.open_nursery() as nursery:
        for plan in plans:
            nursery.start_soon(carry_out, plan, name=f"run {plan.seed}")
    return figures, failures


class Run:
    """One folder, one broker, and the daemons that die there.

    Args:
        starting: Bounds how many daemons of all runs start at once.
    """

    def __init__(
        self, plan: Plan, box: Box, exchange: Exchange, starting: trio.Semaphore
    ) -> None:
        self.figures = Figures()
        self._plan = plan
        self._rng = random.Random(plan.seed)  # noqa: S311 - a seed must repeat it
        self._box = box
        self._exchange = exchange
        self._starting = starting
        self._began = trio.current_time()
        self._story: list[str] = []
        self._lives = 0
        self._mode: Mode = self._rng.choice(MODES)
        self._signals = self._draw_signals()
        self._before: dict[str, Row] = {}
        self._rate_limited = 0

    async def carry_out(self) -> None:
        """Kill a daemon after the other, let a last one settle all, and compare.

        Raises:
            SweepError: Rows and broker do not agree.
        """
        for number, kill in enumerate(self._plan.kills):
            calm = number == 0 and self._plan.first_undisturbed
            await self._live_and_die(kill, calm=calm)
        await self._settle()
        rows = self._rows()
        self.figures.rows = len(rows)
        self.figures.orders = sum(
            1 for account in self._accounts() for _ in account.book.orders()
        )
        self.figures.found_late = sum(
            row["exitReason"] == "order_found_late" for row in rows.values()
        )

    async def _live_and_die(self, kill: Kill, *, calm: bool) -> None:
        if self._rng.random() < 0.3:
            self._mode = _other(self._mode)
        if not calm:
            self._draw_account_faults()
        async with self._daemon(kill) as process, trio.open_nursery() as nursery:
            nursery.start_soon(self._feed, self._draw_lines(), {})
            nursery.start_soon(self._harass, process, kill, calm)
            seconds = kill.seconds if kill.step is None else _STEP_SECONDS
            with trio.move_on_after(seconds):
                await process.wait()
            if process.returncode is None and kill.stop:
                process.terminate()
                with trio.move_on_after(self._rng.uniform(0, 0.05)):
                    await process.wait()
            reached = process.returncode is not None
            if not reached:
                process.kill()
            await process.wait()
            nursery.cancel_scope.cancel(reason="the daemon is dead")
        point = kill.step or "a point drawn"
        (self.figures.missed if kill.step and not reached else self.figures.points)[
            point
        ] += 1
        if process.returncode == -signal.SIGKILL:
            self.figures.kills += 1
            self._tell("killed" if reached or not kill.step else "killed: not reached")
        elif not (kill.stop and process.returncode == 0):
            self._fail([f"a daemon ended by itself with {process.returncode}"])
        self._check_remains()
        await trio.sleep(self._rng.choice((0.0, 0.05, 0.3, 1.0)))

    async def _settle(self) -> None:
        """Start a last daemon, send it everything again, and compare all."""
        for account in self._accounts():
            account.feed.faults = StreamFaults()
        taken: dict[str, Sent] = {}
        problems = ["the last daemon did not take its signals"]
        async with self._daemon(None) as process:
            with trio.move_on_after(_START_SECONDS):
                await self._feed([*self._signals.values()], taken)
                problems = []
            problems = problems or await self._compare_until_settled(taken)
            process.terminate()
            with trio.move_on_after(_START_SECONDS):
                await process.wait()
        if process.returncode != 0:
            problems.append(f"the last daemon ended with {process.returncode}")
        if problems:
            self._fail(problems)
        self._check_remains()
        self._check_posts()

    async def _compare_until_settled(self, taken: dict[str, Sent]) -> list[str]:
        """Wait until rows and broker agree; return what still does not in the end."""
        problems = ["never compared"]
        with trio.move_on_after(_SETTLE_SECONDS):
            async with self._box.client() as client:
                while problems:
                    await trio.sleep(0.1)
                    status = await client.ask(b'{"command":"status"}\n')
                    if status["pending"] or status["orders"]["inFlight"]:
                        problems = [f"orders are still under way: {status}"]
                    elif not self._broker_rests():
                        problems = ["the broker is still at work"]
                    else:
                        problems = self._compare(taken)
        if problems:
            return problems
        self._tell("settled")
        await trio.sleep(_LATE_SECONDS)
        return [f"no longer so: {text}" for text in self._compare(taken)]

    def _broker_rests(self) -> bool:
        """Tell whether nothing will happen to any order any more."""
        for account in self._accounts():
            for order in account.book.open_orders():
                behaviour = BEHAVIOURS[self._plan.behaviours[int(order.symbol[1:])]]
                filled = bool(order.filled_qty) == bool(behaviour.partial_fills)
                if behaviour.end_status != "never" or not filled:
                    return False
        return True

    def _compare(self, taken: dict[str, Sent]) -> list[str]:
        log = self._box.log()
        said = [
            *(Said(signal_id=m[2], why=m[1]) for m in _REFUSED.finditer(log)),
            *(Said(signal_id=m[1], why="stale") for m in _STALE.finditer(log)),
            *(Said(signal_id=m[1], why=m[2]) for m in _SKIPPED.finditer(log)),
        ]
        return check(self._box, self._exchange, taken.values(), said)

    def _check_remains(self) -> None:
        """Look at what a dead daemon left, without the repair that opening it is."""
        problems = []
        log = self._box.log()
        if "Traceback" in log:
            problems.append(f"a traceback: {log[log.index('Traceback') :][:3000]}")
        with short_folder() as folder:
            for name in ("t.db", "t.db-wal", "t.db-journal"):
                if (self._box.folder / name).exists():
                    shutil.copy(self._box.folder / name, folder)
            copy = Box(folder)
            rows = {row["id"]: row for row in copy.rows()}
            with closing(sqlite3.connect(copy.database)) as connection:
                damage = connection.execute("PRAGMA integrity_check").fetchall()
        if damage != [("ok",)]:
            problems.append(f"the database is damaged: {damage}")
        problems += check_always(rows, self._exchange)
        problems += check_kept(self._before, rows)
        self._before = rows
        if problems:
            self._fail(problems)

    def _check_posts(self) -> None:
        """Look for orders that were sent twice without the broker's leave.

        A 429 gives it once, and a refusal to each later daemon.
        """
        refused = {
            f"S{number}"
            for number, name in enumerate(self._plan.behaviours)
            if BEHAVIOURS[name].refuse is not None
        }
        ids = [
            post.client_order_id
            for account in self._accounts()
            for post in account.posts
            if post.symbol not in refused
        ]
        again = len(ids) - len(set(ids))
        if again > self._rate_limited:
            self._fail(
                [f"{again} orders were sent again, and {self._rate_limited} met a 429"]
            )

    # One daemon.

    @asynccontextmanager
    async def _daemon(self, kill: Kill | None) -> AsyncIterator[trio.Process]:
        """Start a daemon, as a victim if it is to die at a step of its own."""
        self._lives += 1
        box = self._box
        box.stderr = box.folder / f"stderr.{self._lives}"
        self._configure()
        command = box.command("--log-level", "debug")
        if kill is not None and kill.step not in {None, ACCEPTED}:
            command[1:3] = ["-m", "tests.crash.victim", str(kill.step), str(kill.count)]
        self._tell(f"start {self._lives}, mode {self._mode}, to die {kill or 'never'}")
        early = kill is not None and kill.from_start
        async with AsyncExitStack() as place:
            await place.enter_async_context(self._starting)
            with box.stderr.open("wb") as log:
                process = await trio.lowlevel.open_process(
                    command,
                    env=box.environment(),
                    stdin=subprocess.DEVNULL,
                    stderr=log,
                )
            try:
                if not early:
                    await self._until_logged("\n", process)
                await place.aclose()  # what it waits for now is the broker
                if not early:
                    await self._until_logged("ready: taking signals", process)
                with self._deadly_acceptance(kill, process):
                    yield process
            finally:
                if process.poll() is None:
                    process.kill()
                with trio.CancelScope(shield=True):
                    await process.wait()

    async def _until_logged(self, text: str, process: trio.Process) -> None:
        """Wait until the daemon has logged something, or is dead."""
        with trio.move_on_after(_START_SECONDS):
            while (  # noqa: ASYNC110 - another process writes it
                text not in self._box.log() and process.poll() is None
            ):
                await trio.sleep(0.02)
            return
        process.kill()
        self._fail([f"not within {_START_SECONDS:g} s: {text!r} in the log"])

    @contextmanager
    def _deadly_acceptance(
        self, kill: Kill | None, process: trio.Process
    ) -> Iterator[None]:
        """Kill the daemon in the instant in which the broker has its n-th order."""
        if kill is None or kill.step != ACCEPTED:
            yield
            return
        left = kill.count

        def deadly(account: Account) -> object:
            accept = account.accept

            def accepting(
                request: OrderRequest, behaviour: Behaviour
            ) -> tuple[Order, trio.Event]:
                nonlocal left
                accepted = accept(request, behaviour)
                left -= 1
                if left == 0:
                    process.kill()
                return accepted

            return accepting

        paper, live = self._accounts()
        with (
            patch.object(paper, "accept", deadly(paper)),
            patch.object(live, "accept", deadly(live)),
        ):
            yield

    def _configure(self) -> None:
        self._box.configure(
            mode=self._mode,
            alpaca=alpaca(
                self._exchange,
                order_timeout_sec=0.5,
                unknown_grace_sec=2.0,
                reconcile_interval_sec=0.5,
                rate_limit_per_min=1_000_000,
            ),
            stream={"reconnect_delay_sec": 0.2, "restart_delay_sec": 0.02},
        )

    # What befalls it.

    async def _feed(
        self, lines: list[dict[str, object]], taken: dict[str, Sent]
    ) -> None:
        """Send signals in bursts until each is answered, as a stubborn producer does."""
        waiting = collections.deque(lines)
        while waiting:
            try:
                async with self._box.client() as client:
                    while waiting:
                        size = min(len(waiting), self._rng.randint(1, 12))
                        burst = [waiting.popleft() for _ in range(size)]
                        await client.send(b"".join(_line(fields) for fields in burst))
                        for fields in burst:
                            answer = await client.answer()
                            self._note(fields, answer["status"], waiting, taken)
                        await trio.sleep(self._rng.choice((0, 0, 0.005, 0.03)))
            except (OSError, trio.BrokenResourceError, AssertionError):
                await trio.sleep(0.02)  # it is not there yet, or dead

    def _note(
        self,
        fields: dict[str, object],
        status: str,
        waiting: collections.deque[dict[str, object]],
        taken: dict[str, Sent],
    ) -> None:
        signal_id, symbol = str(fields["id"]), str(fields["symbol"])
        if status == "accepted":
            taken[signal_id] = Sent(signal_id=signal_id, symbol=symbol, mode=self._mode)
        elif status != "repeated":  # starting, stopping, overloaded
            waiting.append(fields)

    async def _harass(self, process: trio.Process, kill: Kill, calm: bool) -> None:
        """Disturb the stream and switch the mode, at times that are drawn."""
        if not calm and self._rng.random() < 0.35:
            await trio.sleep(self._rng.uniform(0, 0.2))
            what = self._rng.choice(DISTURBANCES)
            self.figures.faults[f"stream: {what}"] += 1
            self._tell(f"stream: {what}")
            for account in self._accounts():
                disturb(account, what)
        while kill.switch_mode and not kill.from_start:
            await trio.sleep(self._rng.uniform(0, 0.15))
            self._mode = _other(self._mode)
            self._configure()
            self._tell(f"SIGHUP: mode {self._mode}")
            process.send_signal(signal.SIGHUP)
            await trio.sleep(0.5)

    def _draw_account_faults(self) -> None:
        for mode in MODES:
            drawn = draw_account_faults(self._rng, self._exchange.account(mode))
            self.figures.faults.update(drawn)
            self._rate_limited += sum(name.startswith("POST 429") for name in drawn)
            if drawn:
                self._tell(f"{mode}: {', '.join(drawn)}")

    def _draw_signals(self) -> dict[str, dict[str, object]]:
        """Make a signal for each behaviour, rivals for some, and one that never buys."""
        signals = [{"symbol": "NOTRADE", "id": "no-trade", "catalystTier": 4}]
        for number, name in enumerate(self._plan.behaviours):
            symbol = f"S{number}"
            for account in self._accounts():
                account.behaviours.set(symbol, BEHAVIOURS[name])
            self.figures.faults[name] += 1
            rivals = self._rng.choice((1, 1, 2))
            signals += [
                {"symbol": symbol, "id": f"{symbol}-{rival}"} for rival in range(rivals)
            ]
        self._tell(f"symbols: {dict(enumerate(self._plan.behaviours))}")
        return {str(fields["id"]): fields for fields in signals}

    def _draw_lines(self) -> list[dict[str, object]]:
        """Mix all signals, some of them twice."""
        lines = list(self._signals.values())
        lines += self._rng.sample(lines, len(lines) // 3)
        self._rng.shuffle(lines)
        return lines

    # The story.

    def _accounts(self) -> tuple[Account, Account]:
        return self._exchange.paper, self._exchange.live

    def _rows(self) -> dict[str, Row]:
        return {row["id"]: row for row in self._box.rows()}

    def _tell(self, text: str) -> None:
        self._story.append(f"{trio.current_time() - self._began:8.3f} {text}")

    def _fail(self, problems: list[str]) -> None:
        """Raise with everything that is known."""
        orders = [
            f"{mode} {order.submitted_ns / 1e9:.3f} {order.symbol} {order.status}"
            f" {order.filled_qty} at {order.filled_avg_price} id={order.id}"
            f" client_order_id={order.client_order_id}"
            for mode in MODES
            for order in self._exchange.account(mode).book.orders()
        ]
        logs = []
        for life in range(1, self._lives + 1):
            text = (self._box.folder / f"stderr.{life}").read_text()
            logs += [f"[{life}] {line}" for line in text.splitlines()]
        parts = {
            f"seed {self._plan.seed}: broken promises": problems,
            f"plan: {self._plan}": [],
            "story": self._story,
            "rows": [json.dumps(row) for row in self._rows().values()],
            "orders": orders,
            "the daemons' logs": logs[-400:],
        }
        raise SweepError(
            "\n".join("\n  ".join([title, *lines]) for title, lines in parts.items())
        )


def _line(fields: dict[str, object]) -> bytes:
    more = {name: value for name, value in fields.items() if name != "symbol"}
    return signal_line(str(fields["symbol"]), **more)


def _other(mode: Mode) -> Mode:
    return "live" if mode == "paper" else "paper"


def _listed(counts: collections.Counter[str]) -> str:
    return ", ".join(f"{name} {n}" for name, n in counts.most_common()) or "none"
