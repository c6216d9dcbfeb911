"""Daemons that sell what they buy, killed in turn, beside one broker that lives on."""

from __future__ import annotations

import collections
import itertools
import json
import random
import signal
import sqlite3
import subprocess
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Any

import trio

from snexec.exchange.settings import Behaviour, ExchangeSettings
from snexec.ledger.exit_rows import row_of_exit
from tests.crash.victim import NO_STEP
from tests.integration.harness import Box, alpaca, real_box, signal_line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from snexec.exchange.order import Order
    from snexec.exchange.server import Exchange
    from tests.crash.invariants import Row

_START_SECONDS = 75.0
_STEP_SECONDS = 15.0  # from its start on, beside others that start
_SETTLE_SECONDS = 150.0  # a machine may stand still for a minute
_MILLIONTH = Decimal("0.000001")

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
    """What a run does: at which steps its daemons die, but for the last."""

    seed: int
    steps: tuple[str, ...]
    count: int = 1


class SaleError(Exception):
    """A promise was broken; the message is the whole story."""


async def sell_through(sale: Sale) -> set[str]:
    """Carry out a run, and return the steps at which its daemons died.

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
            exits={"resend_after_sec": 0.5, "retry_max_sec": 0.5, "external": False},
        )

    async def carry_out(self) -> set[str]:
        reached = set()
        for step in self._sale.steps:
            async with self._daemon(step) as process, trio.open_nursery() as nursery:
                nursery.start_soon(self._feed)
                with trio.move_on_after(_STEP_SECONDS):
                    await process.wait()
                if process.returncode == -signal.SIGKILL:
                    reached.add(step)
                elif process.returncode is not None:
                    self._fail([f"a daemon ended with {process.returncode}"])
                nursery.cancel_scope.cancel(reason="the daemon is dead")
            self._check(is_over=False)
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
        return reached

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
        orders = [order for order in account.book.orders() if order.side == "sell"]
        problems += _never(rows, sells, orders)
        problems += [
            f"the account is short of {each.symbol}"
            for each in account.book.positions.all()
            if each.qty < 0
        ]
        if is_over:
            problems += _in_the_end(rows, sells, orders)
            problems += [
                f"{each.qty} of {each.symbol} are left"
                for each in account.book.positions.all()
                if each.qty
            ]
        return problems

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
            for order in self._exchange.paper.book.orders()
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


def _never(
    rows: dict[str, Row], sells: dict[str, Row], orders: list[Order]
) -> Iterator[str]:
    """Find what may never be, not even in what a killed daemon leaves behind."""
    by_row: dict[str, list[Order]] = collections.defaultdict(list)
    for order in orders:
        row_id = row_of_exit(order.client_order_id)
        if row_id is None or order.client_order_id not in sells:
            yield f"sell {order.client_order_id} was sent, and nothing decided it"
        else:
            by_row[row_id].append(order)
    for row_id, own in by_row.items():
        own.sort(key=lambda order: order.submitted_ns)
        for first, second in itertools.pairwise(own):
            if not first.terminal or first.updated_ns > second.submitted_ns:
                yield f"{row_id} had two sells at once: {first.id} and {second.id}"
        sold = sum((order.filled_qty for order in own), Decimal(0))
        bought = _exact(rows[row_id]["shares"])
        if sold > bought:
            yield f"{row_id} has bought {bought} and sold {sold}"
    for row in rows.values():
        own_sells = [each for each in sells.values() if each["tradeId"] == row["id"]]
        if sum(each["settledAt"] is None for each in own_sells) > 1:
            yield f"{row['id']} has two sells without an end"
        if row["status"] == "closed" and not any(
            _exact(each["filledQty"]) for each in own_sells
        ):
            yield f"{row['id']} is closed without evidence"


def _in_the_end(
    rows: dict[str, Row], sells: dict[str, Row], orders: list[Order]
) -> Iterator[str]:
    """Find what is not as it must be once all is settled."""
    if len(rows) < len(SELLS):
        yield f"there are {len(rows)} rows of {len(SELLS)} signals"
    for order in orders:
        sell = sells.get(order.client_order_id, {})
        expected = (order.id, order.status, order.filled_qty)
        told = (
            sell.get("alpacaOrderId"),
            sell.get("state"),
            _exact(sell.get("filledQty")),
        )
        if told != expected:
            yield f"{order.client_order_id} is {told}, and the broker says {expected}"
    for row in rows.values():
        if (row["status"], row["exitReason"]) == ("missed", "order_not_found"):
            continue  # its buy never left: what was left of it is looked at
        own = [each for each in sells.values() if each["tradeId"] == row["id"]]
        quantity = sum((_exact(each["filledQty"]) for each in own), Decimal(0))
        dollars = sum(
            (
                _exact(each["filledQty"]) * _exact(each["filledAvgPrice"])
                for each in own
            ),
            Decimal(0),
        )
        if (row["status"], quantity) != ("closed", _exact(row["shares"])):
            yield f"{row['id']} ({row['symbol']}) is {row['status']}, sold {quantity}"
            continue
        pnl = dollars - _exact(row["entryPrice"]) * _exact(row["shares"])
        price = dollars / quantity
        expected_row = {
            "pnl": float(pnl.quantize(_MILLIONTH, ROUND_HALF_EVEN)),
            "exitPrice": float(price.quantize(_MILLIONTH, ROUND_HALF_EVEN)),
            "exitReason": "max_hold",
        }
        for name, value in expected_row.items():
            if row[name] != value:
                yield f"{row['id']}: {name} is {row[name]}, not {value}"


def _exact(value: Any) -> Decimal:  # noqa: ANN401 - whatever SQLite holds
    return Decimal(0) if value is None else Decimal(str(value))
