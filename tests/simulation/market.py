"""The market as a story moves it: prices, hours, halts.

A story plays within some minutes before New York's midnight. Where its market closes, it
does so four minutes after the start, and opens again twenty minutes after it, on the next
day, so that a night passes and little time is played.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import trio

from tests.fakes import MOMENT

if TYPE_CHECKING:
    from collections.abc import Callable

    Ask = Callable[[], bool]

FIRST_QUOTE = Decimal(100)
_NEW_YORK = ZoneInfo("America/New_York")
START = datetime(2026, 1, 5, 23, 50, tzinfo=_NEW_YORK)
AHEAD_SECONDS = (START - MOMENT).total_seconds()
CLOSES, OPENS = 240.0, 1200.0  # seconds after the start
SPLITS = 700.0  # on the next day, before the open
LATE_SECONDS = 1.0  # what left before the close may come just after it


def moment(seconds: float) -> datetime:
    """Return when that is, so many seconds after the start."""
    return START + timedelta(seconds=seconds)


@dataclass(slots=True)
class BadTick:
    """What the list of positions says once in place of the price."""

    price: Decimal
    left: int = 1


class Market:
    """Prices and hours, the same for both accounts.

    Attributes:
        closes: Whether there is a night in this story.
        prices: The last sale of each symbol.
        bad: What is said in their place.
        halted: Symbols that do not trade.
        been: What each symbol has traded at, and since when.
    """

    def __init__(self, *, closes: bool) -> None:
        self.closes = closes
        self.prices: dict[str, Decimal] = {}
        self.bad: dict[str, BadTick] = {}
        self.halted: set[str] = set()
        self.been: dict[str, list[tuple[float, Decimal]]] = {}
        self._reopened = trio.Event()
        self._moved = trio.Event()

    def price(self, symbol: str) -> Decimal:
        """Return the last sale."""
        return self.prices.get(symbol, FIRST_QUOTE)

    def move(self, symbol: str, price: Decimal) -> None:
        """Trade at another price from now on."""
        self.been.setdefault(symbol, [(0.0, self.price(symbol))])
        self.prices[symbol] = price
        self.been[symbol].append((trio.current_time(), price))
        self._tell()

    def was_since(self, symbol: str, since: float) -> list[Decimal]:
        """Return every price that a symbol has had since a time."""
        history = self.been.get(symbol) or [(0.0, FIRST_QUOTE)]
        before = [price for at, price in history if at <= since]
        return [*before[-1:], *(price for at, price in history if at > since)]

    def told(self, symbol: str) -> Decimal:
        """Return what a list of positions says now: a bad tick is said once."""
        bad = self.bad.get(symbol)
        if bad is None:
            return self.price(symbol)
        bad.left -= 1
        if not bad.left:
            del self.bad[symbol]
        return bad.price

    # Hours.

    @property
    def is_open(self) -> bool:
        """Whether shares trade."""
        return self.is_open_at(trio.current_time())

    @property
    def was_open(self) -> bool:
        """Whether shares trade, or did a second ago."""
        return self.is_open or self.is_open_at(trio.current_time() - LATE_SECONDS)

    def is_open_at(self, seconds: float) -> bool:
        """Return whether shares trade so many seconds after the start."""
        return not (self.closes and CLOSES <= seconds < OPENS)

    async def run(self, closed: Callable[[], None]) -> None:
        """Close and open.

        Args:
            closed: Called at the close.
        """
        if not self.closes:
            return
        await trio.sleep_until(CLOSES)
        closed()
        await trio.sleep_until(OPENS)
        self._wake()

    def halt(self, symbol: str) -> None:
        """Trade it no more."""
        self.halted.add(symbol)

    def resume(self) -> None:
        """Trade everything again."""
        self.halted.clear()
        self._wake()

    async def trades(self, symbol: str) -> None:
        """Wait until a symbol trades."""
        while not self.is_open or symbol in self.halted:
            await self._reopened.wait()

    async def elects(self, symbol: str, stop: Decimal, *, is_over: Ask) -> None:
        """Wait until a symbol trades at a stop's price, or the stop is over."""
        while not is_over() and (
            not self.is_open or symbol in self.halted or self.price(symbol) > stop
        ):
            await self._moved.wait()

    def end_a_wait(self) -> None:
        """Have every stop see whether it is over."""
        self._tell()

    def _wake(self) -> None:
        self._reopened.set()
        self._reopened = trio.Event()
        self._tell()

    def _tell(self) -> None:
        self._moved.set()
        self._moved = trio.Event()

    # What the broker says of it.

    def clock(self) -> bytes:
        """Answer ``/v2/clock``."""
        now = trio.current_time()
        close, opening = moment(CLOSES), moment(OPENS)
        if not self.closes or now >= OPENS:
            tomorrow = moment(0).date() + timedelta(days=1)
            close = datetime.combine(tomorrow, time(23, 59), _NEW_YORK)
            opening = close + timedelta(hours=12)
        return json.dumps(
            {
                "timestamp": moment(now).isoformat(),
                "is_open": self.is_open,
                "next_open": opening.isoformat(),
                "next_close": close.isoformat(),
            }
        ).encode()

    def days(self) -> bytes:
        """Answer ``/v2/calendar``: today, and tomorrow."""
        today, tomorrow = moment(0).date(), moment(0).date() + timedelta(days=1)
        opens = moment(OPENS).time() if self.closes else time(9, 30)
        return json.dumps(
            [
                {"date": today.isoformat(), "open": "09:30", "close": "23:54"},
                {
                    "date": tomorrow.isoformat(),
                    "open": opens.strftime("%H:%M"),
                    "close": "23:59",
                },
            ]
        ).encode()

    def snapshots(self, symbols: list[str]) -> bytes:
        """Answer ``/v2/stocks/snapshots``: it has just traded, unless it does not."""
        seconds = trio.current_time()
        if not self.is_open_at(seconds):
            seconds = CLOSES
        at = moment(seconds - 0.5).isoformat()
        return json.dumps(
            {
                symbol: {
                    "latestTrade": {"t": at, "p": float(self.price(symbol)), "s": 100},
                    "latestQuote": {"t": at, "bp": float(self.price(symbol))},
                }
                for symbol in symbols
            }
        ).encode()
