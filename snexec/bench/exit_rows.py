"""The rows that a daemon finds when exits are measured, and its ``[exits]``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from snexec.bench.stand_in_account import PRICE, symbol_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from snexec.bench.brokers import MarketData

_AT = "2026-01-05T14:30:00.018Z"
_ROW = (  # constants only, as are the others
    "INSERT INTO BotTrade (id, symbol, entryPrice, shares, catalystType, catalystTier,"  # noqa: S608
    " status, alpacaOrderId, entryAt, createdAt, updatedAt, settledAt, mode, notional,"
    " starRating, priceAtSignal, signalId, wireMs, replyMs, fillMs)"
    f" VALUES (?, ?, {PRICE}, 1, 'earnings_beat', 1, 'open', ?, '{_AT}', '{_AT}',"
    f" '{_AT}', '{_AT}', 'paper', {PRICE}, 5, {PRICE}, ?, 1.5, 20.5, 250.5)"
)
_CLOSED = (
    "UPDATE BotTrade SET status = 'closed', exitPrice = 101, pnl = 1,"  # noqa: S608
    f" exitReason = 'profit_target', exitAt = '{_AT}', exitOrderId = id"
    " WHERE status = 'open'"
)
_EXITS = (
    "INSERT INTO BotExit (id, tradeId, kind, reason, qty, filledQty, filledAvgPrice,"  # noqa: S608
    " triggerPrice, triggerSource, state, alpacaOrderId, decidedAt, wireMs, fillMs,"
    " createdAt, updatedAt, settledAt)"
    " SELECT id || '-x1', id, 'sell', 'profit_target', '1', '1', '101', '101', 'stream',"
    f" 'filled', 'x-' || id, '{_AT}', 1.5, 250.5, '{_AT}', '{_AT}', '{_AT}'"
    " FROM BotTrade WHERE status = 'closed'"
)
STOP_PRICE = 94.0  # the stop is at 95


def write_rows(connection: sqlite3.Connection, *, held: int, closed: int) -> None:
    """Write rows that were sold, each by one sell, and then rows that hold W0, W1, …."""
    with connection:
        connection.executemany(_ROW, _rows("c", closed))
        connection.execute(_CLOSED)
        connection.execute(_EXITS)
        connection.executemany(_ROW, _rows("a", held))


def _rows(kind: str, count: int) -> Iterator[tuple[str, ...]]:
    for number in range(count):
        name = f"sn-{kind}{number:031x}"
        yield (name, symbol_of(number), f"order-{name}", f"signal-{name}")


def exits_of(source: str, data: MarketData, *, enabled: bool = True) -> str:
    """Return a section ``[exits]`` with every rule that goes by the price."""
    keys = {
        "enabled": enabled,
        "hard_stop_loss_pct": 5.0,
        "profit_target_pct": 50.0,
        "trailing_stop_pct": 10.0,
        "trailing_start_pct": 5.0,
        "max_hold_duration_sec": 300_000_000,
        "price_source": source,
        "data_url": f"http://127.0.0.1:{data.port}",
        "data_stream_url": f"ws://127.0.0.1:{data.port}",
        "blind_sec": 3600.0,
        "activation_delay_sec": 0.5,
    }
    lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    return "\n[exits]\n" + "\n".join(lines) + "\n"
