"""Daemons that sell what they buy, killed in turn, beside one broker that lives on."""

from __future__ import annotations

import collections
import json
import random
import signal
import sqlite3
import subprocess
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

import trio

from snexec.exchange.settings import Behaviour, ExchangeSettings
from tests.crash.victim import NO_STEP
from tests.day.auditor import agree, exact, never, results
from tests.integration.harness import Box, alpaca, real_box, signal_line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from snexec.exchange.order import Order
    from snexec.exchange.server import Exchange
    from tests.crash.invariants import Row

_START_SECONDS = 75.0
_STEP_SECONDS = 15.0  # from its start on, beside others that start
_SETTLE_SECONDS = 150.0  # a machine may stand still for a minute
_HALF = Decimal(40)  # dollars; bought at about 100, with a stop at half of that

# How the sells of one symbol go; its buys are filled.
SELLS: dict[str, Behaviour] = {
    "fills": Behaviour(),
    "fills slowly": Behaviour(fill_delay_sec=0.3),
    "fills before the reply": Behaviour(fill_before_reply=True),
    "fills in parts": Behaviour(partial_fills=2, fill_delay_sec=0.2),
    "replies too late": Behaviour(reply_delay_sec=0.8, times=2),
    "reply reset": Behaviour(lose="after_accept", times=1),
    "reply 502, no events": Behaviour(
        lose="after_accept", lose_how="502_html", no_events=True, times=1
    ),
    "reply lost, look-ups blind": Behaviour(
        lose="after_accept", lose_how="close", lookup_404_sec=1.0, times=1
    ),
    "POST reset": Behaviour(lose="before_accept", times=2),
    "POST 500": Behaviour(lose="before_accept", lose_how="500", times=1),
    "refused twice": Behaviour(refuse=403, times=2),
    "canceled in part": Behaviour(partial_fills=1, end_status="canceled", times=1),
    "expired": Behaviour(end_status="expired", times=1),
    "rejected": Behaviour(reject=True, times=1),
    "events twice": Behaviour(duplicate_events=2, partial_fills=1),
    "no events": Behaviour(no_events=True),
}


@dataclass(frozen=True, kw_only=True)
class Sale:
    """What a run does.

    Attributes:
        steps: At which its daemons die, but for the last.
        count: The how-manieth time.
        stops: Whether a stop rests at the broker for each row, and the market falls
            through some of them while nobody lives.
    """

    seed: int
    steps: tuple[str, ...]
    count: int = 1
    stops: bool = False


@dataclass(kw_only=True)
class SaleFigures:
    """What runs have done; adds up.

    Attributes:
        audits: How often rows, sells and orders were compared.
        by_stop: Rows that a stop has sold.
    """

    runs: int = 0
    kills: collections.Counter[str] = field(default_factory=collections.Counter)
    sells: int = 0
    closed: int = 0
    by_stop: int = 0
    audits: int = 0

    def add(self, other: SaleFigures) -> None:
        """Count what another one counted too."""
        self.runs += other.runs
        self.kills += other.kills
        self.sells += other.sells
        self.closed += other.closed
        self.by_stop += other.by_stop
        self.audits += other.audits

    def __str__(self) -> str:
        points = ", ".join(f"{n} {name}" for name, n in sorted(self.kills.items()))
        return (
            f"{self.runs} runs, {self.kills.total()} kills ({points}); {self.sells} sell"
            f" orders, {self.closed} rows closed, {self.by_stop} of them by a stop at the"
            f" broker; {self.audits} audits"
        )


class SaleError(Exception):
    """A promise was broken; the message is the whole story."""


async def sell_through(sale: Sale) -> SaleFigures:
    """Carry out a run, and return what was done.

    Raises:
        SaleError: Rows and broker do not agree.
    """
    settings = ExchangeSettings(
        fill_delay_sec=0.02,
        partial_fill_ratio=0.2,
        rate_limit_per_min=1_000_000,
        seed=sale.seed,
    )
    async with real_box(settings) as (box, exchange):
        return await _Run(sale, box, exchange).carry_out()


class _Run:
    def __init__(self, sale: Sale, box: Box, exchange: Exchange) -> None:
        self._sale = sale
        self._box = box
        self._exchange = exchange
        self._rng = random.Random(sale.seed)  # noqa: S311 - a seed must repeat it
        self._story: list[str] = []
        self._lives = 0
        self._names = list(SELLS)
        for number, name in enumerate(self._names):
            sells = SELLS[name].model_copy(update={"side": "sell"})
            exchange.paper.behaviours.set(f"S{number}", sells)
        box.configure(
            alpaca=alpaca(
                exchange,
                order_timeout_sec=0.5,
                unknown_grace_sec=1.0,
                reconcile_interval_sec=0.5,
                rate_limit_per_min=1_000_000,
            ),
            stream={"reconnect_delay_sec": 0.2, "restart_delay_sec": 0.02},
            exits={
                "max_hold_duration_sec": 1.0,
                "resend_after_sec": 0.5,
                "retry_max_sec": 0.5,
                "activation_delay_sec": 0.5,
                "external": False,
                "broker_stop": sale.stops,
                "broker_stop_pct": 50.0,
            },
        )
        self.figures = SaleFigures(runs=1)

    async def carry_out(self) -> SaleFigures:
        figures = self.figures
        for step in self._sale.steps:
            async with self._daemon(step) as process, trio.open_nursery() as nursery:
                nursery.start_soon(self._feed)
                with trio.move_on_after(_STEP_SECONDS):
                    await process.wait()
                if process.returncode == -signal.SIGKILL:
                    figures.kills[step] += 1
                elif process.returncode is not None:
                    self._fail([f"a daemon ended with {process.returncode}"])
                nursery.cancel_scope.cancel(reason="the daemon is dead")
            self._check(is_over=False)
            if self._sale.stops:
                for number in self._rng.sample(range(len(self._names)), 4):
                    self._exchange.quote(f"S{number}", _HALF)
        problems: list[str] = ["the last daemon did not take its signals"]
        async with self._daemon(NO_STEP) as process:
            with trio.move_on_after(_START_SECONDS):
                await self._feed()
                problems = []
            with trio.move_on_after(_SETTLE_SECONDS):
                while self._problems(is_over=True):  # noqa: ASYNC110 - another process
                    await trio.sleep(0.1)
            problems += self._problems(is_over=True)
            process.terminate()
            with trio.move_on_after(_START_SECONDS):
                await process.wait()
        if process.returncode != 0:
            problems.append(f"the last daemon ended with {process.returncode}")
        if problems:
            self._fail(problems)
        self._check(is_over=True)
        rows = self._box.rows()
        figures.sells = sum(o.side == "sell" for o in self._orders())
        figures.closed = sum(row["status"] == "closed" for row in rows)
        figures.by_stop = sum(row["exitReason"] == "stop_loss" for row in rows)
        return figures

    @asynccontextmanager
    async def _daemon(self, step: str) -> AsyncIterator[trio.Process]:
        self._lives += 1
        box = self._box
        box.stderr = box.folder / f"stderr.{self._lives}"
        command = box.command("--log-level", "debug")
        command[1:3] = ["-m", "tests.crash.victim", step, str(self._sale.count)]
        self._story.append(f"start {self._lives}, to die at {step!r}")
        with box.stderr.open("wb") as log:
            process = await trio.lowlevel.open_process(
                command,
                env=box.environment(),
                stdin=subprocess.DEVNULL,
                stderr=log,
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()

    async def _feed(self) -> None:
        waiting = collections.deque(range(len(self._names)))
        while waiting:
            try:
                async with self._box.client() as client:
                    while waiting:
                        number = waiting[0]
                        line = signal_line(f"S{number}", id=f"n-{number}")
                        answer = await client.ask(line)
                        if answer["status"] in {"accepted", "repeated"}:
                            waiting.popleft()
                        else:
                            await trio.sleep(0.02)
            except (OSError, trio.BrokenResourceError, AssertionError):
                await trio.sleep(0.02)  # it is not there yet, or dead

    # What must be true.

    def _check(self, *, is_over: bool) -> None:
        if problems := self._problems(is_over=is_over):
            self._fail(problems)

    def _problems(self, *, is_over: bool) -> list[str]:
        log = self._box.log()
        problems = []
        if "Traceback" in log:
            problems.append(f"a traceback: {log[log.index('Traceback') :][:3000]}")
        rows = {row["id"]: row for row in self._box.rows()}
        sells = self._sells()
        account = self._exchange.paper
        orders = [order for order in self._orders() if order.side == "sell"]
        self.figures.audits += 1
        problems += [*never(rows, sells, orders), *results(rows.values(), sells)]
        problems += [
            f"the account is short of {each.symbol}"
            for each in account.book.positions.all()
            if each.qty < 0
        ]
        if is_over:
            problems += [*agree(sells, orders), *_in_the_end(rows)]
            problems += [
                f"{each.qty} of {each.symbol} are left"
                for each in account.book.positions.all()
                if each.qty
            ]
        return problems

    def _orders(self) -> list[Order]:
        return list(self._exchange.paper.book.orders())

    def _sells(self) -> dict[str, Row]:
        if not self._box.database.exists():
            return {}
        with closing(sqlite3.connect(self._box.database, timeout=5)) as connection:
            connection.row_factory = sqlite3.Row
            known = "SELECT count(*) FROM sqlite_master WHERE name = 'BotExit'"
            if not connection.execute(known).fetchone()[0]:
                return {}
            found = connection.execute("SELECT * FROM BotExit ORDER BY rowid")
            return {row["id"]: dict(row) for row in found}

    def _fail(self, problems: list[str]) -> None:
        logs = []
        for life in range(1, self._lives + 1):
            text = (self._box.folder / f"stderr.{life}").read_text()
            logs += [f"[{life}] {line}" for line in text.splitlines()]
        orders = [
            f"{order.submitted_ns / 1e9:.3f} {order.side} {order.symbol} {order.status}"
            f" {order.filled_qty} at {order.filled_avg_price} {order.client_order_id}"
            for order in self._orders()
        ]
        parts = {
            f"{self._sale}: broken promises": problems,
            "story": self._story,
            "rows": [json.dumps(row) for row in self._box.rows()],
            "sells": [json.dumps(row) for row in self._sells().values()],
            "orders": orders,
            "symbols": [f"S{n} {name}" for n, name in enumerate(self._names)],
            "the daemons' logs": logs[-500:],
        }
        raise SaleError(
            "\n".join("\n  ".join([title, *lines]) for title, lines in parts.items())
        )


def _in_the_end(rows: dict[str, Row]) -> Iterator[str]:
    """Find what is not as it must be once all is settled."""
    if len(rows) < len(SELLS):
        yield f"there are {len(rows)} rows of {len(SELLS)} signals"
    for row in rows.values():
        if (row["status"], row["exitReason"]) == ("missed", "order_not_found"):
            continue  # its buy never left: what was left of it is looked at
        ended = row["status"], row["exitReason"]
        if ended not in {("closed", "max_hold"), ("closed", "stop_loss")}:
            yield f"{row['id']} ({row['symbol']}, {exact(row['shares'])}) is {ended}"
