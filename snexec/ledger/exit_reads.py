"""How sells are read (SPEC 12.2)."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from snexec.clock import timestamp
from snexec.ledger.exit_rows import ExitRecord, UnsettledExit
from snexec.ledger.reading import exact, number_of, seconds_sql, text_of
from snexec.risk import OpenedOrder

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

# Of a sell, with its row's symbol, mode and signal.
LIVE_COLUMNS = (
    "BotExit.id AS exitId, tradeId, status, symbol, mode, signalId, state, reason, kind, qty,"
    " BotExit.alpacaOrderId AS exitOrder, filledQty, triggerPrice, triggerSource,"
    " wholePosition, cancelReason, BotExit.settledAt AS exitSettledAt,"
    " (julianday(decidedAt) - 2440587.5) * 86400.0 AS decided"
)
UNSETTLED = (
    f"SELECT {LIVE_COLUMNS} FROM BotExit JOIN BotTrade ON BotTrade.id = tradeId"  # noqa: S608 - constants only
    " WHERE BotExit.settledAt IS NULL AND mode IN ('paper', 'live')"
    " ORDER BY +BotExit.rowid"  # not by its index, for the one of what has no end
)
# What we sold, or others sold away; not what another program says it has closed.
SOLD = (
    f"SELECT mode, symbol, round({seconds_sql('exitAt')}, 3) FROM BotTrade"  # noqa: S608 - constants only
    " WHERE status = 'closed' AND exitAt >= ? AND exitAt < ?"
    " AND mode IN ('paper', 'live')"
    " AND EXISTS (SELECT 1 FROM BotExit WHERE tradeId = BotTrade.id)"
)


def read_sold(
    db: sqlite3.Connection, since: float, until: float
) -> Iterator[OpenedOrder]:
    """Yield what was sold between two times, in seconds since 1970, for the cooldowns."""
    bounds = [timestamp(datetime.fromtimestamp(at, UTC)) for at in (since, until)]
    for mode, symbol, at in db.execute(SOLD, bounds):
        if at is not None:
            yield OpenedOrder(mode, text_of(symbol) or "", at, 0, is_exit=True)


def read_unsettled_exit(row: sqlite3.Row, now: float) -> UnsettledExit:
    """Read a sell without its end, of ``LIVE_COLUMNS``.

    Args:
        row: The columns.
        now: Seconds since 1970. A sell without a readable date is as old as that.
    """
    return UnsettledExit(
        id=row["exitId"],
        row_id=row["tradeId"],
        symbol=text_of(row["symbol"]) or "",
        mode=row["mode"],
        order_id=row["exitOrder"],
        state=row["state"],
        reason=row["reason"],
        age_seconds=max(0.0, now - (row["decided"] or 0.0)),
        signal_id=text_of(row["signalId"]),
        kind=row["kind"],
        quantity=exact(row["qty"]) or Decimal(0),
        sold=exact(row["filledQty"]) or Decimal(0),
        trigger_price=exact(row["triggerPrice"]),
        trigger_source=row["triggerSource"],
        is_whole_position=bool(row["wholePosition"]),
        cancel_reason=row["cancelReason"],
        row_status=row["status"],
    )


def read_record(row: sqlite3.Row) -> ExitRecord:
    """Read all of a sell."""
    return ExitRecord(
        id=row["id"],
        row_id=row["tradeId"],
        kind=row["kind"],
        reason=row["reason"],
        state=row["state"],
        quantity=exact(row["qty"]) or Decimal(0),
        sold=exact(row["filledQty"]) or Decimal(0),
        price=exact(row["filledAvgPrice"]),
        trigger_price=exact(row["triggerPrice"]),
        trigger_source=row["triggerSource"],
        order_id=row["alpacaOrderId"],
        decided_at=row["decidedAt"],
        settled_at=row["settledAt"],
        wire_ms=number_of(row["wireMs"]),
        fill_ms=number_of(row["fillMs"]),
        cancel_reason=row["cancelReason"],
    )
