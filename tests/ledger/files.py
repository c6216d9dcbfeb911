"""Database files: of our own, and another program's."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from snexec.ledger.schema import open_database
from tests.fakes import FakeClock

if TYPE_CHECKING:
    from pathlib import Path

# What another program on the same file makes, with the columns of SPEC 10's first block.
FOREIGN_TABLE = """
CREATE TABLE "BotTrade" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "symbol" TEXT NOT NULL,
    "entryPrice" REAL,
    "exitPrice" REAL,
    "shares" REAL,
    "pnl" REAL,
    "catalystType" TEXT,
    "catalystTier" INTEGER,
    "exitReason" TEXT,
    "status" TEXT NOT NULL DEFAULT 'open',
    "alpacaOrderId" TEXT,
    "entryAt" DATETIME,
    "exitAt" DATETIME,
    "createdAt" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" DATETIME NOT NULL
)
"""

FIRST_BLOCK = [
    ("id", "TEXT"),
    ("symbol", "TEXT"),
    ("entryPrice", "REAL"),
    ("exitPrice", "REAL"),
    ("shares", "REAL"),
    ("pnl", "REAL"),
    ("catalystType", "TEXT"),
    ("catalystTier", "INTEGER"),
    ("exitReason", "TEXT"),
    ("status", "TEXT"),
    ("alpacaOrderId", "TEXT"),
    ("entryAt", "DATETIME"),
    ("exitAt", "DATETIME"),
    ("createdAt", "DATETIME"),
    ("updatedAt", "DATETIME"),
]
SECOND_BLOCK = [
    ("settledAt", "DATETIME"),
    ("mode", "TEXT"),
    ("notional", "REAL"),
    ("starRating", "INTEGER"),
    ("priceAtSignal", "REAL"),
    ("signalId", "TEXT"),
]
LATENCY_BLOCK = [("wireMs", "REAL"), ("replyMs", "REAL"), ("fillMs", "REAL")]
EXIT_BLOCK = [("highPrice", "REAL"), ("exitOrderId", "TEXT")]


def open_real(path: Path) -> sqlite3.Connection:
    return open_database(path, simulated=False, clock=FakeClock())


def columns(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    return [
        (row["name"], row["type"])
        for row in connection.execute("PRAGMA table_info(BotTrade)")
    ]


def make_foreign(path: Path, *rows: tuple[str, str, str], wal: bool = False) -> None:
    """Make another program's file; rows are id, symbol and status."""
    with closing(sqlite3.connect(path)) as other, other:
        if wal:
            other.execute("PRAGMA journal_mode = WAL")
        other.execute(FOREIGN_TABLE)
        other.executemany(
            "INSERT INTO BotTrade (id, symbol, status, updatedAt)"
            " VALUES (?, ?, ?, '2026-01-01T00:00:00.000Z')",
            rows,
        )


def contents(path: Path) -> bytes:
    return path.read_bytes()
