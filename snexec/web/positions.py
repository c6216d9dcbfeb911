"""The open positions as the page shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snexec.ops.positions import blocked_by, state_of
from snexec.web.spelling import age, dollars, exactly, percent, unix

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from snexec.exits import PositionStatus
    from snexec.ledger import OpenRow

MOST = 500  # more are nobody's to look through, and each costs something a second
AGES = ("priceAgeSec", "ageSec", "timeLeftSec")  # what changes by time alone


def positions_of(
    rows: Sequence[OpenRow], statuses: Mapping[str, PositionStatus], *, now: float
) -> list[dict[str, object]]:
    """Return open rows with what is known of each, the oldest first; the newest 500.

    Args:
        rows: What the database says.
        statuses: What the exits know of them, by the rows' ids.
        now: Seconds since 1970.
    """
    return [_position(row, statuses.get(row.trade_id), now) for row in rows[-MOST:]]


def is_real(rows: Iterable[OpenRow]) -> bool:
    """Return whether any of these rows is of the live account."""
    return any(row.mode == "live" for row in rows)


def _position(
    row: OpenRow, status: PositionStatus | None, now: float
) -> dict[str, object]:
    price = None if status is None else status.price
    left, entry, opened = row.remaining, row.entry_price, unix(row.entry_at)
    pnl = None
    if price is not None and left is not None and entry is not None:
        pnl = left * (price - entry)
    return {
        "id": row.trade_id,
        "symbol": row.symbol,
        "mode": row.mode,
        "shares": exactly(left),
        "entry": exactly(entry),
        "price": exactly(price),
        "priceAgeSec": None if status is None else age(status.price_age_sec),
        "priceSource": None if status is None else status.price_source,
        "pnl": dollars(pnl),
        "pnlPct": percent(price, entry),
        "openedAt": opened,
        "ageSec": None if opened is None else round(max(0.0, now - opened), 1),
        "stop": None if status is None else exactly(status.stop),
        "target": None if status is None else exactly(status.target),
        "timeLeftSec": None if status is None else age(status.seconds_left),
        "state": state_of(row, status),
        "blockedBy": blocked_by(row, status) or None,
    }
