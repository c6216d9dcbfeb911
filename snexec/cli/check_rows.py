"""Compares open rows with what the broker holds: a row may outlive its position.

Only looks: the operator ends such a row with ``snexec settle``.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from snexec.assets import position_symbol
from snexec.broker import amount
from snexec.cli.check_findings import Finding, ok, warn
from snexec.cli.trades_query import open_to_read
from snexec.errors import BrokerError, NotFoundError

if TYPE_CHECKING:
    from snexec.cli.account_client import AccountClient
    from snexec.model import Mode
    from snexec.settings import Settings

_ASKED_ONE_BY_ONE = 20  # requests, which a daemon may need
_OPEN = (
    "SELECT id, symbol, shares FROM BotTrade WHERE status = 'open' AND mode = ?"
    " AND shares > 0 ORDER BY createdAt"
)


class OpenRow(NamedTuple):
    """A row that says it holds shares."""

    trade_id: str
    symbol: str
    shares: Decimal


async def check_open_rows(
    broker: AccountClient, settings: Settings, mode: Mode
) -> list[Finding]:
    """Check that the account holds what a mode's open rows say."""
    rows = _open_rows(settings, mode)
    if not rows:
        return []
    try:
        found = await _compare(broker, rows, mode)
    except BrokerError as exc:
        return [warn(f"{mode} rows", f"{len(rows)} open, not compared: {exc}")]
    return found or [ok(f"{mode} rows", f"{len(rows)} open, and held by the account")]


async def _compare(
    broker: AccountClient, rows: list[OpenRow], mode: Mode
) -> list[Finding]:
    held = {
        position_symbol(str(position.get("symbol"))): amount(position.get("qty"))
        for position in await broker.get_list("/v2/positions")
    }
    found: list[Finding] = []
    asked = 0
    for row in rows:
        holds = held.get(position_symbol(row.symbol), Decimal(0))
        if holds == 0 and asked < _ASKED_ONE_BY_ONE:
            # The list alone proves nothing (SPEC 12.8a).
            asked += 1
            holds = await _ask_one(broker, row.symbol)
        if holds is not None and holds < row.shares:
            found.append(_outlived(row, holds, mode))
    return found


async def _ask_one(broker: AccountClient, symbol: str) -> Decimal | None:
    """Return what the account holds of a symbol; None if that cannot be read."""
    try:
        position = await broker.get(f"/v2/positions/{position_symbol(symbol)}")
    except NotFoundError:
        return Decimal(0)
    return amount(position.get("qty"))


def _outlived(row: OpenRow, holds: Decimal, mode: Mode) -> Finding:
    says = f"{row.trade_id}: the row holds {row.shares} {row.symbol}, {mode}"
    if holds:
        return warn(
            f"{mode} rows",
            f"{says} only {holds}",
            "look at the account's activities; once it holds none: snexec settle",
        )
    return warn(
        f"{mode} rows",
        f"{says} none",
        f"if it was sold: snexec settle {row.trade_id} --as closed --price …",
    )


def _open_rows(settings: Settings, mode: Mode) -> list[OpenRow]:
    """Read the rows that hold shares; none where the check of the database says why."""
    path = Path(settings.database)
    if not path.exists():
        return []
    try:
        with closing(open_to_read(path)) as connection:
            rows = connection.execute(_OPEN, [mode]).fetchall()
    except sqlite3.Error:
        return []
    return [
        OpenRow(str(trade_id), str(symbol), shares)
        for trade_id, symbol, number in rows
        if (shares := amount(number)) is not None
    ]
