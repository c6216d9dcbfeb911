"""The figures of a day, a week or a month, from the rows (SPEC 15)."""

from __future__ import annotations

import collections
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

from snexec.cli.dates import milliseconds
from snexec.cli.formats import number
from snexec.cli.trades_query import LATENCIES, Query
from snexec.latency import percentile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Row = Mapping[str, object]

NEW_YORK = ZoneInfo("America/New_York")
_SHARES = (50, 90, 99)


class Period(NamedTuple):
    """Some days in New York.

    Attributes:
        first: The first of them.
        last: The last of them.
    """

    first: date
    last: date

    def query(self, mode: str | None, **columns: str) -> Query:
        """Return what asks for rows that were created in it; the end is no part of it."""
        began = datetime.combine(self.first, time(), NEW_YORK)
        ended = datetime.combine(self.last + timedelta(days=1), time(), NEW_YORK)
        return Query(
            columns={"mode": mode, **columns},
            since=milliseconds(began),
            until=milliseconds(ended),
        )

    def __str__(self) -> str:
        """Return the days as a person writes them."""
        if self.first == self.last:
            return f"{self.first:%A}, {self.first}"
        return f"{self.first} to {self.last}"


def figures(
    created: Sequence[Row], closed: Sequence[Row], signals: Mapping[str, int] | None
) -> dict[str, Any]:
    """Return the figures by name; None is what is not known.

    Args:
        created: The rows of orders of the period.
        closed: The rows that were closed in it.
        signals: Signals by what became of them; None where that is not kept.
    """
    return {
        "signals": None if signals is None else dict(signals),
        "orders": _orders(created),
        "results": _results(closed),
        "latency": {name: _times(created, name) for name in LATENCIES},
    }


def _orders(rows: Sequence[Row]) -> dict[str, Any]:
    missed = collections.Counter(
        str(row.get("exitReason")) for row in rows if row.get("status") == "missed"
    )
    slips = [slip for row in rows if (slip := _slippage(row)) is not None]
    bought = (
        (number(row.get("shares")) or 0.0) * (number(row.get("entryPrice")) or 0.0)
        for row in rows
    )
    return {
        "count": len(rows),
        "bought": sum(number(row.get("shares")) is not None for row in rows),
        "missed": dict(missed.most_common()),
        "dollarsOrdered": round(_sum(row.get("notional") for row in rows), 2),
        "dollarsBought": round(sum(bought), 2),
        "slippagePct": None if not slips else round(sum(slips) / len(slips), 4),
    }


def _results(rows: Sequence[Row]) -> dict[str, Any]:
    known = [
        (pnl, str(row.get("symbol")))
        for row in rows
        if (pnl := number(row.get("pnl"))) is not None
    ]
    reasons = collections.Counter(str(row.get("exitReason")) for row in rows)
    won = sum(pnl > 0 for pnl, _symbol in known)
    best, worst = max(known, default=None), min(known, default=None)
    return {
        "closed": len(rows),
        "reasons": dict(reasons.most_common()),
        "pnl": round(sum(pnl for pnl, _symbol in known), 2) if known else None,
        "won": won,
        "lost": sum(pnl < 0 for pnl, _symbol in known),
        "notKnown": len(rows) - len(known),
        "winRate": round(won / len(known), 4) if known else None,
        "best": None if best is None else {"symbol": best[1], "pnl": best[0]},
        "worst": None if worst is None else {"symbol": worst[1], "pnl": worst[0]},
    }


def _times(rows: Sequence[Row], name: str) -> dict[str, float | int] | None:
    known = [ms for row in rows if (ms := number(row.get(name))) is not None]
    if not known:
        return None
    shares = {f"p{share}": round(percentile(known, share), 2) for share in _SHARES}
    return {"count": len(known)} | shares


def _slippage(row: Row) -> float | None:
    entry, expected = number(row.get("entryPrice")), number(row.get("priceAtSignal"))
    return None if entry is None or not expected else (entry / expected - 1) * 100


def _sum(values: Iterable[object]) -> float:
    return sum(number(value) or 0.0 for value in values)
