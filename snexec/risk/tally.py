"""Recent orders, counted as their rows are opened: what the brakes go by.

They are kept in memory, as an index by time would add a page to every order's commit.
An order that the broker refuses leaves no row, yet counts here: a feed that runs away
does so whatever becomes of its orders. After a start they are counted from the rows.
"""

from __future__ import annotations

import collections
import math
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from snexec.trading_days import day_began

MINUTE_SECONDS = 60.0
_SHORTEST_DAY_SECONDS = 23 * 3600.0
_LONGEST_TWO_DAYS_SECONDS = 49 * 3600.0
# Memory stays bounded: beyond these, the symbol ordered longest ago has no cooldown.
_REMEMBERED_SYMBOLS = 4096
_COUNTED_A_MINUTE = 10_000  # the most that ``max_orders_per_minute`` may be


class OpenedOrder(NamedTuple):
    """An order whose row was opened.

    Attributes:
        at: Seconds since 1970.
        cents: What it is worth, in cents.
        is_found: Whether it was found afterwards, and so may be older than others.
        is_exit: Whether it sold, which counts for the symbol's cooldown alone.
    """

    mode: str
    symbol: str
    at: float
    cents: int
    is_found: bool = False
    is_exit: bool = False


class Recently(NamedTuple):
    """What a brake may ask for, as in ``limits.Counts``."""

    since_symbol: float | None
    last_minute: int
    today: int
    cents_today: int

    def and_one(self, order: OpenedOrder, symbol: str, at: float) -> Recently:
        """Return these figures with one more order, opened a moment ago."""
        since_symbol = self.since_symbol
        if order.symbol == symbol:
            since_symbol = max(0.0, at - order.at)
        if order.is_exit:
            return self._replace(since_symbol=since_symbol)
        return Recently(
            since_symbol=since_symbol,
            last_minute=self.last_minute + 1,
            today=self.today + 1,
            cents_today=self.cents_today + order.cents,
        )


@lru_cache(maxsize=4)
def _start_by_hour(hour: int) -> float:
    return day_began(datetime.fromtimestamp(hour * 3600, UTC)).timestamp()


def day_start(at: float) -> float:
    """Return when the trading day of ``at`` began, both in seconds since 1970."""
    # New York's midnights fall on whole hours of UTC, so no hour is in two days.
    return _start_by_hour(int(at // 3600))


def too_late(at: float) -> float:
    """Return from when on a date is none of now: when the day after tomorrow begins.

    What is dated before that may be of now, by a clock that was set back or by another
    zone's time.
    """
    return day_start(day_start(at) + _LONGEST_TWO_DAYS_SECONDS)


class Tally:
    """Counts one mode's orders."""

    def __init__(self, day: float) -> None:
        self._day_began = day
        self._same_day_until = day + _SHORTEST_DAY_SECONDS  # at least
        self._today = 0
        self._cents_today = 0
        self._day_before = (-math.inf, 0, 0)  # when it began, orders, cents
        self._minute: collections.deque[float] = collections.deque(
            maxlen=_COUNTED_A_MINUTE
        )
        self._last_order_at: collections.OrderedDict[str, float] = (
            collections.OrderedDict()
        )

    def add(self, order: OpenedOrder) -> None:
        """Count an order."""
        if (day := day_start(order.at)) > self._day_began:
            self._day_before = (self._day_began, self._today, self._cents_today)
            self._day_began, self._today, self._cents_today = day, 0, 0
            self._same_day_until = day + _SHORTEST_DAY_SECONDS
        self._today += 1
        self._cents_today += order.cents
        self._redate(order.at)
        self._forget_before(order.at - MINUTE_SECONDS)
        self._minute.append(order.at)
        self.remember(order)

    def add_earlier(self, order: OpenedOrder) -> None:
        """Count an order that was found afterwards, among those of its own time."""
        day = day_start(order.at)
        if day > self._day_began:
            self.add(order)
            return
        if day == self._day_began:
            self._today += 1
            self._cents_today += order.cents
            minute = sorted((*self._minute, order.at))
            self._minute = collections.deque(minute, maxlen=_COUNTED_A_MINUTE)
        self.remember(order)

    def remember(self, order: OpenedOrder) -> None:
        """Note an order for its symbol's cooldown alone, as one of an earlier day."""
        self._last_order_at[order.symbol] = max(
            self._last_order_at.pop(order.symbol, 0.0), order.at
        )
        if len(self._last_order_at) > _REMEMBERED_SYMBOLS:
            self._last_order_at.popitem(last=False)

    def look(self, symbol: str, at: float) -> Recently:
        """Return the figures at a time, for the one that also adds orders."""
        self._redate(at)
        if self._last_order_at.get(symbol, at) > at:
            self._last_order_at[symbol] = at
        self._forget_before(at - MINUTE_SECONDS)
        return self._found(symbol, at, len(self._minute))

    def peek(self, symbol: str, at: float) -> Recently:
        """Return the same figures without changing anything, from any thread."""
        after = at - MINUTE_SECONDS
        return self._found(symbol, at, sum(one > after for one in tuple(self._minute)))

    def _found(self, symbol: str, at: float, last_minute: int) -> Recently:
        last = self._last_order_at.get(symbol)
        today, cents = self._today, self._cents_today
        if at < self._day_began:
            # A clock that is set back begins no new day, and frees none that it is in.
            began, orders, more = self._day_before
            if day_start(at) <= began:
                today, cents = today + orders, cents + more
        elif at >= self._same_day_until and day_start(at) > self._day_began:
            today = cents = 0
        return Recently(
            since_symbol=None if last is None else max(0.0, at - last),
            last_minute=last_minute,
            today=today,
            cents_today=cents,
        )

    def _redate(self, at: float) -> None:
        """Count what is dated later as ordered now, as the clock was set back."""
        if at < self._day_began and too_late(at) <= self._day_began:
            # By days: that day will not come, and what it counts is of today.
            day, (began, orders, cents) = day_start(at), self._day_before
            if day <= began:
                self._today += orders
                self._cents_today += cents
            self._day_began, self._day_before = day, (-math.inf, 0, 0)
            self._same_day_until = day + _SHORTEST_DAY_SECONDS
        if self._minute and self._minute[-1] > at:
            dated = (min(one, at) for one in self._minute)
            self._minute = collections.deque(dated, maxlen=_COUNTED_A_MINUTE)

    def _forget_before(self, then: float) -> None:
        while self._minute and self._minute[0] <= then:
            self._minute.popleft()
