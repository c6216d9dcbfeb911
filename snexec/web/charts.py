"""The day in figures to be drawn: what was earned, orders, skips, how long orders took."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import trio

from snexec.latency import percentile
from snexec.web.answers import Answer, in_json
from snexec.web.day import BIN_SECONDS
from snexec.web.figures_of_rows import POINTS, FirstRows, bounds
from snexec.web.spelling import dollars, number, unix

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from snexec.clock import Clock
    from snexec.model import Mode
    from snexec.web.day import Day
    from snexec.web.rows import Rows

_FRESH_SECONDS = 5.0
_MOST_POINTS = 2000
_MOST_ROWS = 20_000  # of a day, for bins and percentiles: the newest ones
_STEPS_A_DECADE = 5
_ORDERED_BY = (
    "SELECT createdAt, wireMs, replyMs, fillMs FROM BotTrade WHERE rowid >= ?"  # noqa: S608
    " AND mode = ? AND createdAt >= ? AND status <> 'missed'"
    f" ORDER BY rowid DESC LIMIT {_MOST_ROWS}"
)


class _Read(NamedTuple):
    pnl: list[tuple[float, str]]
    orders: list[tuple[int, int]]
    wire: dict[str, object]
    reply: dict[str, object]
    fill: dict[str, object]


class Charts:
    """Answers for charts, made once for all who look, every 5 s at most.

    Args:
        rows: Asks the database.
        day: What is noted of the day.
        clock: Gives answers their time.
        mode: Returns the mode that trades.
    """

    def __init__(
        self, rows: Rows, day: Day, clock: Clock, mode: Callable[[], Mode]
    ) -> None:
        self._rows = rows
        self._day = day
        self._clock = clock
        self._mode = mode
        self._first_rows = FirstRows()
        self._making = trio.Lock()
        self._made_at = -math.inf
        self._made_for: object = None
        self._latest = Answer(b"")

    async def latest(self) -> Answer:
        """Return the day's charts.

        Raises:
            sqlite3.Error: The rows cannot be read.
            NoThreadError: There is no thread for it.
        """
        async with self._making:
            skips = self._day.skips()
            begins, mode = self._day.begins, self._mode()
            is_fresh = trio.current_time() - self._made_at < _FRESH_SECONDS
            if is_fresh and self._made_for == (begins, mode):
                return self._latest

            def read(connection: sqlite3.Connection) -> _Read:
                first = self._first_rows.of(connection, begins)
                return _read(connection, first, begins, mode)

            found = await self._rows.ask(read)
            self._latest = in_json(
                {
                    "day": self._day.name,
                    "begins": begins,
                    "at": round(self._clock.now().timestamp(), 3),
                    "binSec": BIN_SECONDS,
                    "pnl": found.pnl,
                    "orders": found.orders,
                    "skips": skips,
                    "latency": {
                        "wire": found.wire,
                        "reply": found.reply,
                        "fill": found.fill,
                    },
                }
            )
            self._made_at, self._made_for = trio.current_time(), (begins, mode)
            return self._latest


def distribution(values: Sequence[float]) -> dict[str, object]:
    """Return how some times in milliseconds are distributed, in equal steps of a logarithm."""
    if not values:
        return {"bins": [], "p50": None, "p99": None, "n": 0}
    counts: dict[int, int] = {}
    for value in values:
        step = math.floor(math.log10(max(value, 0.001)) * _STEPS_A_DECADE)
        counts[step] = counts.get(step, 0) + 1
    return {
        "bins": [
            [_edge(step), _edge(step + 1), counts.get(step, 0)]
            for step in range(min(counts), max(counts) + 1)
        ],
        "p50": percentile(values, 50),
        "p99": percentile(values, 99),
        "n": len(values),
    }


def thinned(points: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """Return at most 2,000 points of a curve, its last one among them."""
    step = math.ceil(len(points) / _MOST_POINTS) or 1
    return list(points[::-step][::-1])


def _read(connection: sqlite3.Connection, first: int, day: float, mode: str) -> _Read:
    begins, late = bounds(day)
    rows = connection.execute(_ORDERED_BY, (first, mode, begins)).fetchall()
    bins: dict[int, int] = {}
    for row in rows:
        at = unix(row["createdAt"])
        if at is not None:
            begin = int(at) - int(at) % BIN_SECONDS
            bins[begin] = bins.get(begin, 0) + 1
    times = {
        name: [ms for row in rows if (ms := number(row[name])) is not None and ms >= 0]
        for name in ("wireMs", "replyMs", "fillMs")
    }
    return _Read(
        pnl=thinned(_curve(connection, mode, begins, late)),
        orders=sorted(bins.items()),
        wire=distribution(times["wireMs"]),
        reply=distribution(times["replyMs"]),
        fill=distribution(times["fillMs"]),
    )


def _curve(
    connection: sqlite3.Connection, mode: str, begins: str, late: str
) -> list[tuple[float, str]]:
    points: list[tuple[float, str]] = []
    won = 0.0
    for exit_at, pnl in connection.execute(POINTS, (mode, begins, late)):
        at, amount = unix(exit_at), number(pnl)
        if at is not None and amount is not None:
            won += amount
            points.append((at, dollars(won) or "0.00"))
    return points


def _edge(step: int) -> float:
    return float(f"{10 ** (step / _STEPS_A_DECADE):.4g}")
