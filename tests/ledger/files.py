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
THEN = "2026-01-05T14:30:00.123Z"
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


def make_version_4(path: Path) -> None:
    """Make a file of the version before there were sells, with a row that is held."""
    blocks = (*FIRST_BLOCK, *SECOND_BLOCK, *LATENCY_BLOCK)
    rules = {"id": "PRIMARY KEY"} | dict.fromkeys(
        ("symbol", "status", "createdAt", "updatedAt"), "NOT NULL"
    )
    declared = (f'"{name}" {kind} {rules.get(name, "")}' for name, kind in blocks)
    row = {
        "id": "sn-1",
        "symbol": "AAPL",
        "status": "open",
        "mode": "paper",
        "shares": 2.0,
        "entryPrice": 10.0,
        "alpacaOrderId": "o-1",
        **dict.fromkeys(("entryAt", "createdAt", "updatedAt", "settledAt"), THEN),
    }
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        for statement in (
            "CREATE TABLE SnexecMeta (key TEXT PRIMARY KEY, value TEXT)",
            "INSERT INTO SnexecMeta VALUES ('money', 'real')",
            f"CREATE TABLE BotTrade ({', '.join(declared)})",
            "CREATE INDEX BotTrade_alpacaOrderId ON BotTrade (alpacaOrderId)"
            " WHERE alpacaOrderId IS NOT NULL",
            "CREATE INDEX BotTrade_unsettled_not_open ON BotTrade (mode)"
            " WHERE settledAt IS NULL AND mode IS NOT NULL AND status <> 'open'",
            "CREATE INDEX BotTrade_closed ON BotTrade (exitAt, pnl, mode, status)"
            " WHERE status = 'closed'",
            "PRAGMA user_version = 4",
        ):
            other.execute(statement)
        other.execute(
            f"INSERT INTO BotTrade ({', '.join(row)})"  # noqa: S608
            f" VALUES ({', '.join('?' for _ in row)})",
            list(row.values()),
        )


def contents(path: Path) -> bytes:
    return path.read_bytes()
