"""A day of trades that end for every reason, and the books of both sides."""

from __future__ import annotations

import collections
import math
import random
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
from tests.day.floor import open_floor

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.day.floor import Floor, Life

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

FLATTEN_SECONDS = 60.0
_FIRST_PRICE = "100"
_TAKEN_OVER_AT = Decimal(130)  # dollars a share, paid in cash
_CENT = Decimal("0.01")
_AFTER_SECONDS = 120.0  # for what is still to be found out, once the market is closed

# Seconds after the fill, and dollars; the stop is at 95, the target at 110, and the
# trailing stop 3 % below the highest price once that was above 106.
_PATHS: dict[Reason, list[tuple[float, str]]] = {
    "stop_loss": [(5, "99.2"), (15, "97.4"), (25, "94.1")],
    "trailing_stop": [(5, "103.5"), (15, "107.9"), (35, "104")],
    "profit_target": [(5, "102.3"), (15, "106.5"), (25, "111.7")],
}
_GAP: list[tuple[float, str]] = [(5, "99.6"), (15, "71.5")]  # needs a second source
_REST: list[tuple[float, str]] = [(5, "100.4"), (15, "99.7")]


@dataclass(frozen=True, kw_only=True)
class Day:
    """What is to happen.

    Attributes:
        trades: How many trades end for each reason.
        hold: ``max_hold_duration_sec``.
        apart: Seconds between two buys.
        close: Seconds from the first buy to the market's close.
        poll: ``poll_sec``.
    """

    trades: dict[Reason, int]
    hold: float = 240.0
    apart: float = 3.0
    close: float = 900.0
    poll: float = 4.0
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
        sells: How many orders have sold.
        audits: How often the account was looked at.
    """

    rows: dict[str, dict[str, Any]]
    expected: dict[str, Reason]
    won: Decimal
    paid_out: Decimal
    cash: Decimal
    left: Decimal
    sells: int
    audits: int

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
        for reason, rows in sorted(_by_reason(self.rows.values()).items()):
            pnls = [Decimal(repr(row["pnl"])) for row in rows if row["pnl"] is not None]
            held = [_seconds_held(row) for row in rows]
            lines.append(
                [
                    reason,
                    len(rows),
                    f"{sum(pnls):.2f}" if pnls else "-",
                    f"{min(held):.1f} to {max(held):.1f}",
                ]
            )
        lines.append(["all", len(self.rows), f"{self.won:.2f}", ""])
        shown = tabulate(lines, ["closed by", "rows", "P&L, $", "held, s"])
        return (
            f"{shown}\n\nrows {self.won:.6f} + paid out by corporations"
            f" {self.paid_out:.6f} = {self.won + self.paid_out:.2f}; the exchange's cash"
            f" has changed by {self.cash:.2f}; {self.sells} sell orders, {self.audits}"
            " audits"
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


async def live_through(day: Day, folder: Path) -> Books:
    """Trade for a day, and return the books of both sides."""
    exchange = ExchangeSettings(
        fill_delay_sec=0.2, partial_fill_ratio=0.2, seed=day.seed
    )
    exits = {
        "hard_stop_loss_pct": 5.0,
        "profit_target_pct": 10.0,
        "trailing_stop_pct": 3.0,
        "trailing_start_pct": 6.0,
        "max_hold_duration_sec": day.hold,
        "flatten_before_close_sec": FLATTEN_SECONDS,
        "poll_sec": day.poll,
    }
    async with open_floor(folder, exchange=exchange, exits=exits) as floor:
        return await _Run(day, floor).carry_out()


@dataclass(eq=False)
class _Run:
    day: Day
    floor: Floor
    _expected: dict[str, Reason] = field(default_factory=dict)

    async def carry_out(self) -> Books:
        floor = self.floor
        began = trio.current_time()
        closes_ns = floor._now_ns() + int(self.day.close * 1e9)
        floor.paper.market = Market(changes_ns=closes_ns)
        async with floor.life() as life, trio.open_nursery() as nursery:
            await self._trade(life, nursery, began)
            await trio.sleep_until(began + self.day.close + _AFTER_SECONDS)
        return self._books()

    async def _trade(self, life: Life, nursery: trio.Nursery, began: float) -> None:
        day = self.day
        reasons = [reason for reason, n in day.trades.items() for _ in range(n)]
        random.Random(day.seed).shuffle(reasons)  # noqa: S311 - a seed repeats it
        self._expected = {f"S{n}": reason for n, reason in enumerate(reasons)}
        late = [s for s, reason in self._expected.items() if reason == "market_close"]
        # What is held until the market closes is not to be held for too long.
        last = began + day.close - FLATTEN_SECONDS - day.hold / 2
        early = [symbol for symbol in self._expected if symbol not in late]
        in_time = day.hold / 3 / max(len(late), 1)
        for at, symbols, apart in (
            (began, early, day.apart),
            (last, late, min(day.apart, in_time)),
        ):
            await trio.sleep_until(at)
            for symbol in symbols:
                assert life.send(symbol, price=_FIRST_PRICE) == "accepted"
                nursery.start_soon(self._live, life, symbol, self._expected[symbol])
                await trio.sleep(apart)

    async def _live(self, life: Life, symbol: str, reason: Reason) -> None:
        """Let come what ends the trade."""
        floor, account = self.floor, self.floor.paper
        await floor.until(lambda row: bool(row["settledAt"]), symbol=symbol)
        path = _PATHS.get(reason, _REST)
        if reason == "stop_loss" and int(symbol[1:]) % 3 == 0:
            path = _GAP
        account.follow_path(symbol, [(after, Decimal(p)) for after, p in path])
        await trio.sleep(20.0 + int(symbol[1:]) % 40)
        match reason:
            case "manual":
                assert await life.close(symbol) == [""]
            case "external":
                account.close_position(symbol)
            case "corporate_action":
                action = Action(symbol=symbol, kind="MA", price=_TAKEN_OVER_AT)
                carry_out(action, account.book, account.activities, floor._now_ns())
            case _:
                pass

    def _books(self) -> Books:
        account, rows = self.floor.paper, self.floor.rows()
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
            sells=len(self.floor.orders()),
            audits=self.floor.auditor.audits,
        )
