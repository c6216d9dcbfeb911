"""What rows say of today: orders, dollars, results (SPEC 14)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from snexec.clock import timestamp
from snexec.risk import too_late

if TYPE_CHECKING:
    import sqlite3

_FIRST = "SELECT min(rowid) FROM BotTrade WHERE createdAt >= ? AND createdAt < ?"
_END = "SELECT coalesce(max(rowid), 0) + 1 FROM BotTrade"
# Only what was bought or may have been is an order that counts.
_ORDERED = (
    "SELECT count(*), total(notional) FROM BotTrade"
    " WHERE rowid >= ? AND mode = ? AND createdAt >= ? AND status <> 'missed'"
)
_CLOSED = (
    "FROM BotTrade WHERE status = 'closed' AND mode = ? AND exitAt >= ? AND exitAt < ?"
)
_RESULTS = f"SELECT count(*), coalesce(sum(pnl > 0), 0), total(pnl) {_CLOSED}"
POINTS = f"SELECT exitAt, pnl {_CLOSED} AND pnl IS NOT NULL ORDER BY exitAt"


class Today(NamedTuple):
    """What rows say of one day of a mode.

    Attributes:
        orders: Placed and not missed.
        dollars: Their worth.
        closed: Rows closed.
        won: Those of them that won.
        realised: What all of them came to.
    """

    orders: int = 0
    dollars: float = 0.0
    closed: int = 0
    won: int = 0
    realised: float = 0.0


class FirstRows:
    """Remembers which row was a day's first, so that no question reads all of them."""

    def __init__(self) -> None:
        self._found: tuple[float, int] | None = None

    def of(self, connection: sqlite3.Connection, day: float) -> int:
        """Return the ``rowid`` from which on rows may be of a day.

        Args:
            connection: To the rows.
            day: When it began, in seconds since 1970.
        """
        (end,) = connection.execute(_END).fetchone()
        if self._found is not None and self._found[0] == day and self._found[1] <= end:
            return self._found[1]
        (first,) = connection.execute(_FIRST, bounds(day)).fetchone()
        found = int(end if first is None else first)
        self._found = day, found
        return found


def bounds(day: float) -> tuple[str, str]:
    """Return a day's begin, and from when on nothing is dated of it, as rows spell it."""
    ends = (day, too_late(day))
    first, last = (timestamp(datetime.fromtimestamp(at, UTC)) for at in ends)
    return first, last


def read_today(
    connection: sqlite3.Connection, first: int, day: float, mode: str
) -> Today:
    """Return what rows say of a day.

    Args:
        connection: To the rows.
        first: The ``rowid`` from which on they may be of it.
        day: When it began, in seconds since 1970.
        mode: Whose rows.
    """
    begins, late = bounds(day)
    orders, dollars = connection.execute(_ORDERED, (first, mode, begins)).fetchone()
    closed, won, realised = connection.execute(
        _RESULTS, (mode, begins, late)
    ).fetchone()
    return Today(orders, dollars, closed, won, realised)
