"""Trades as the page lists them: filtered, a page at a time, or as a sheet (SPEC 14)."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, NamedTuple

from snexec.ledger import symbol_key
from snexec.model import MODES
from snexec.sheets import cell
from snexec.web.answers import NotAnsweredError
from snexec.web.spelling import dollars, exactly, number, percent, text, unix, whole

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

_STATUSES = ("open", "closed", "missed")
_MOST = 200
_PAGE = 50
_MOST_CHARS = 200
_SHEET_ROWS = 500  # read at once
_REASONS = (
    "SELECT DISTINCT exitReason FROM BotTrade WHERE exitReason IS NOT NULL LIMIT 100"
)


class Wanted(NamedTuple):
    """Which trades.

    Attributes:
        columns: What each column must hold, by its name.
        before: Only rows before this ``rowid``.
        limit: How many at most.
    """

    columns: Mapping[str, str]
    before: int | None = None
    limit: int = _PAGE


class Sheet(NamedTuple):
    """Some rows of a sheet.

    Attributes:
        data: In CSV, the names first where it is the first part.
        before: Where the next part begins; None after the last one.
    """

    data: bytes
    before: int | None


def wanted(query: Mapping[str, str]) -> Wanted:
    """Return what a request asks for.

    Raises:
        NotAnsweredError: It asks for what cannot be.
    """
    given = {name: value.strip() for name, value in query.items() if value.strip()}
    columns = {}
    for name, column in (
        ("symbol", "symbol"),
        ("status", "status"),
        ("mode", "mode"),
        ("reason", "exitReason"),
    ):
        if name in given:
            columns[column] = given[name]
            if len(given[name]) > _MOST_CHARS:
                raise _refused(f"{name}: is too long")
    if columns.get("status", "open") not in _STATUSES:
        raise _refused(f"status: must be one of {', '.join(_STATUSES)}")
    if columns.get("mode", "paper") not in MODES:
        raise _refused(f"mode: must be one of {', '.join(MODES)}")
    before = _integer(given, "before", most=2**62)
    limit = _integer(given, "limit", most=_MOST)
    return Wanted(columns, before, limit or _PAGE)


def read_trades(connection: sqlite3.Connection, asked: Wanted) -> dict[str, object]:
    """Return a page of trades, newest first, and where the next one begins."""
    rows = _rows(connection, asked, asked.limit + 1)
    page = rows[: asked.limit]
    found: dict[str, object] = {
        "trades": [_trade(dict(row)) for row in page],
        "older": str(page[-1]["place"]) if len(rows) > len(page) else None,
    }
    if asked.before is None:
        reasons = {text(reason) for (reason,) in connection.execute(_REASONS)}
        found["reasons"] = sorted(filter(None, reasons))
    return found


def read_sheet(connection: sqlite3.Connection, asked: Wanted) -> Sheet:
    """Return some rows of a sheet, all columns of them."""
    rows = _rows(connection, asked, _SHEET_ROWS)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\r\n")
    if asked.before is None:
        names = [
            row["name"] for row in connection.execute("PRAGMA table_info(BotTrade)")
        ]
        writer.writerow([cell(name) for name in names])
    for row in rows:
        writer.writerow([cell(value) for value in tuple(row)[1:]])
    before = int(rows[-1]["place"]) if len(rows) == _SHEET_ROWS else None
    return Sheet(file.getvalue().encode(), before)


def _rows(
    connection: sqlite3.Connection, asked: Wanted, limit: int
) -> list[sqlite3.Row]:
    present = {row["name"] for row in connection.execute("PRAGMA table_info(BotTrade)")}
    if not present >= asked.columns.keys():
        return []
    conditions = ["1"]
    for column in asked.columns:
        if column == "symbol":
            conditions.append(f"{symbol_key('symbol')} = {symbol_key(':symbol')}")
        else:
            conditions.append(f"{column} = :{column}")
    if asked.before is not None:
        conditions.append("rowid < :before")
    values = {**asked.columns, "before": asked.before}
    statement = (
        "SELECT rowid AS place, * FROM BotTrade"  # noqa: S608 - names of our own
        f" WHERE {' AND '.join(conditions)} ORDER BY rowid DESC LIMIT {limit}"
    )
    return connection.execute(statement, values).fetchall()


def _trade(row: dict[str, object]) -> dict[str, object]:
    entry, left = row.get("entryPrice"), row.get("exitPrice")
    return {
        "id": text(row.get("id")),
        "symbol": text(row.get("symbol")),
        "mode": text(row.get("mode")),
        "status": text(row.get("status")),
        "stars": whole(row.get("starRating")),
        "tier": whole(row.get("catalystTier")),
        "catalyst": text(row.get("catalystType")),
        "signalId": text(row.get("signalId")),
        "dollars": dollars(row.get("notional")),
        "shares": exactly(row.get("shares")),
        "entry": exactly(entry),
        "exit": exactly(left),
        "pnl": dollars(row.get("pnl")),
        "pnlPct": percent(left, entry),
        "slipPct": percent(entry, row.get("priceAtSignal")),
        "reason": text(row.get("exitReason")),
        "createdAt": unix(row.get("createdAt")),
        "entryAt": unix(row.get("entryAt")),
        "exitAt": unix(row.get("exitAt")),
        "wireMs": number(row.get("wireMs")),
        "replyMs": number(row.get("replyMs")),
        "fillMs": number(row.get("fillMs")),
    }


def _integer(given: Mapping[str, str], name: str, *, most: int) -> int | None:
    value = given.get(name)
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 20):
        raise _refused(f"{name}: must be a number")
    if not 1 <= int(value) <= most:
        raise _refused(f"{name}: must be from 1 to {most}")
    return int(value)


def _refused(why: str) -> NotAnsweredError:
    return NotAnsweredError(why, status=400)
