"""A day in a minute: trades that end for every reason, and the books of both sides."""

from __future__ import annotations

import collections
import json
import math
import random
import time
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

import trio
from tabulate import tabulate

from snexec.exchange.book import OPENING_CASH
from snexec.exchange.corporate_actions import Action, carry_out
from snexec.exchange.market import Market
from snexec.exchange.settings import ExchangeSettings
from tests.integration.harness import Box, alpaca, real_box, signal_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from snexec.exchange.server import Exchange
    from tests.integration.harness import Client

Reason = Literal[
    "stop_loss",
    "trailing_stop",
    "profit_target",
    "manual",
    "max_hold",
    "market_close",
    "external",
    "corporate_action",
]

_FLATTEN_SECONDS = 30.0  # the least that may be set
_FIRST_PRICE = Decimal(100)
_TAKEN_OVER_AT = Decimal(130)  # dollars a share, paid in cash
_CENT = Decimal("0.01")
_AGREE_SECONDS = 60.0

# Seconds after the fill, and dollars; the stop is at 95, the target at 110, and the
# trailing stop 3 % below the highest price once that was above 106.
_PATHS: dict[Reason, list[tuple[float, str]]] = {
    "stop_loss": [(0.5, "99.2"), (1.2, "97.4"), (1.9, "94.1")],
    "trailing_stop": [(0.5, "103.5"), (1.2, "107.9"), (3.2, "104")],
    "profit_target": [(0.5, "102.3"), (1.2, "106.5"), (1.9, "111.7")],
}
_GAP: list[tuple[float, str]] = [(0.5, "99.6"), (1.2, "71.5")]  # needs a second source
_REST: list[tuple[float, str]] = [(0.5, "100.4"), (1.2, "99.7")]


@dataclass(frozen=True, kw_only=True)
class Day:
    """What is to happen.

    Attributes:
        trades: How many trades end for each reason.
        hold: ``max_hold_duration_sec``.
        last_buys: Seconds after the start at which those are bought that are held until
            the market is about to close.
        flatten: Seconds after the start at which that is.
    """

    trades: dict[Reason, int]
    hold: float
    last_buys: float
    flatten: float
    seed: int = 1


@dataclass(slots=True)
class Books:
    """What became of the day.

    Attributes:
        rows: By their symbols.
        expected: Why each symbol was to be closed.
        won: Dollars that the rows say were won.
        paid_out: Dollars won with shares that a corporation took, of which no row knows.
        cash: Dollars that the account has won.
        left: Shares that it still holds.
    """

    rows: dict[str, dict[str, Any]]
    expected: dict[str, Reason]
    won: Decimal
    paid_out: Decimal
    cash: Decimal
    left: Decimal
    seconds: float

    @property
    def differences(self) -> list[str]:
        """Return what is not as it was to be."""
        found = [
            f"{symbol} was to be closed by {reason}: {self.rows.get(symbol)}"
            for symbol, reason in self.expected.items()
            if symbol not in self.rows
            or (self.rows[symbol]["status"], self.rows[symbol]["exitReason"])
            != ("closed", reason)
        ]
        if abs(self.won + self.paid_out - self.cash) >= _CENT / 2:
            found.append(
                f"the rows won {self.won} and {self.paid_out} were paid out, and the"
                f" account has won {self.cash}"
            )
        if self.left:
            found.append(f"{self.left} shares are left")
        return found

    def table(self) -> str:
        """Show what closed each, and both books."""
        lines = []
        for reason, symbols in _by_reason(self.rows.values()).items():
            pnls = [row["pnl"] for row in symbols if row["pnl"] is not None]
            held = [_seconds_held(row) for row in symbols]
            lines.append(
                [
                    reason,
                    len(symbols),
                    f"{sum(pnls):.2f}" if pnls else "-",
                    f"{min(held):.1f} to {max(held):.1f}",
                ]
            )
        lines.append(["all", len(self.rows), f"{self.won:.2f}", ""])
        shown = tabulate(lines, ["closed by", "rows", "P&L, $", "held, s"])
        return (
            f"{shown}\n\nrows {self.won:.6f} + paid out by corporations"
            f" {self.paid_out:.6f} = {self.won + self.paid_out:.2f}; the exchange's cash"
            f" has changed by {self.cash:.2f}; {self.seconds:.0f} s"
        )


def _by_reason(
    rows: Iterable[dict[str, Any]],
) -> dict[str, list[dict[str, Any]]]:
    found = collections.defaultdict(list)
    for row in rows:
        found[str(row["exitReason"] or row["status"])].append(row)
    return found


def _seconds_held(row: dict[str, Any]) -> float:
    if row["exitAt"] is None or row["entryAt"] is None:
        return math.nan
    entry, end = map(datetime.fromisoformat, (row["entryAt"], row["exitAt"]))
    return (end - entry).total_seconds()


async def live_through(day: Day) -> Books:
    """Trade for a day, and return the books of both sides."""
    settings = ExchangeSettings(
        fill_delay_sec=0.02,
        partial_fill_ratio=0.2,
        rate_limit_per_min=1_000_000,
        seed=day.seed,
    )
    async with real_box(settings) as (box, exchange):
        return await _Run(day, box, exchange).carry_out()


@dataclass(eq=False)
class _Run:
    day: Day
    box: Box
    exchange: Exchange
    _expected: dict[str, Reason] = field(default_factory=dict)
    _began: float = 0.0

    async def carry_out(self) -> Books:
        day, exchange, box = self.day, self.exchange, self.box
        box.configure(
            alpaca=alpaca(
                exchange, rate_limit_per_min=1_000_000, reconcile_interval_sec=2.0
            ),
            exits={
                "hard_stop_loss_pct": 5.0,
                "profit_target_pct": 10.0,
                "trailing_stop_pct": 3.0,
                "trailing_start_pct": 6.0,
                "max_hold_duration_sec": day.hold,
                "flatten_before_close_sec": _FLATTEN_SECONDS,
                "poll_sec": 0.5,
                "external_grace_sec": 0.5,
                "data_url": exchange.data_url,
            },
        )
        self._began = trio.current_time()
        closes_ns = time.time_ns() + int((day.flatten + _FLATTEN_SECONDS) * 1e9)
        exchange.paper.market = Market(changes_ns=closes_ns)
        async with box.daemon() as process:
            async with box.client() as client:
                await self._trade(client)
            with trio.move_on_after(_AGREE_SECONDS):
                while self._books().differences:  # noqa: ASYNC110 - another process
                    await trio.sleep(0.2)
            books = self._books()
            status = await box.stop(process)
        assert status == 0, box.log()[-4000:]
        assert "Traceback" not in box.log(), box.log()[-4000:]
        return books

    async def _trade(self, client: Client) -> None:
        symbols = [
            reason for reason, count in self.day.trades.items() for _ in range(count)
        ]
        random.Random(self.day.seed).shuffle(symbols)  # noqa: S311
        self._expected = {f"S{n}": reason for n, reason in enumerate(symbols)}
        late = [s for s, reason in self._expected.items() if reason == "market_close"]
        async with trio.open_nursery() as nursery:
            for symbol, reason in self._expected.items():
                if symbol not in late:
                    await self._buy(client, symbol)
                    nursery.start_soon(self._live, symbol, reason)
            await trio.sleep_until(self._began + self.day.last_buys)
            for symbol in late:
                await self._buy(client, symbol)
                nursery.start_soon(self._live, symbol, "market_close")

    async def _buy(self, client: Client, symbol: str) -> None:
        self.exchange.quote(symbol, _FIRST_PRICE)
        answer = await client.ask(signal_line(symbol, id=f"n-{symbol}"))
        assert answer["status"] == "accepted", answer

    async def _live(self, symbol: str, reason: Reason) -> None:
        """Let come what ends the trade."""
        account = self.exchange.paper
        await self._until(lambda: account.book.positions.qty(symbol) > 0)
        path = _PATHS.get(reason, _REST)
        if reason == "stop_loss" and int(symbol[1:]) % 3 == 0:
            path = _GAP
        account.follow_path(symbol, [(after, Decimal(p)) for after, p in path])
        await trio.sleep(3.0)
        match reason:
            case "manual":
                async with self.box.client() as client:
                    line = {"command": "close", "symbols": [symbol]}
                    answer = await client.ask(json.dumps(line).encode() + b"\n")
                    assert answer["status"] == "ok", answer
            case "external":
                account.close_position(symbol)
            case "corporate_action":
                action = Action(symbol=symbol, kind="MA", price=_TAKEN_OVER_AT)
                carry_out(action, account.book, account.activities, time.time_ns())
            case _:
                pass

    async def _until(self, holds: Callable[[], bool]) -> None:
        with trio.fail_after(_AGREE_SECONDS):
            while not holds():  # noqa: ASYNC110 - another process changes it
                await trio.sleep(0.02)

    def _books(self) -> Books:
        account = self.exchange.paper
        rows = {row["symbol"]: row for row in self.box.rows()}
        paid_out = Decimal(0)
        for order in account.book.orders():
            if self._expected.get(order.symbol) == "corporate_action":
                paid_out += order.filled_qty * _TAKEN_OVER_AT - order.filled_cost
        won = [Decimal(repr(row["pnl"])) for row in rows.values() if row["pnl"]]
        return Books(
            rows=rows,
            expected=self._expected,
            won=sum(won, Decimal(0)),
            paid_out=paid_out,
            cash=account.book.cash - OPENING_CASH,
            left=sum((each.qty for each in account.book.positions.all()), Decimal(0)),
            seconds=trio.current_time() - self._began,
        )
