"""The open positions, row by row: what the rows say, and what is known beyond them."""

from __future__ import annotations

import sqlite3
from functools import partial
from typing import TYPE_CHECKING

from snexec.assets import canonical_symbol
from snexec.ops.asking import client_of
from snexec.ops.beside import look_beside

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
    from decimal import Decimal

    from snexec.broker import Accounts, PositionList
    from snexec.exits import PositionStatus
    from snexec.ledger import OpenRow
    from snexec.model import Mode
    from snexec.ops.beside import Held
    from snexec.ops.wings import Wings


async def positions(wings: Wings) -> dict[str, object]:
    """Return the fields of the answer to ``positions``."""
    try:
        rows = await wings.ledger.ask(wings.ledger.reader.open_rows)
    except sqlite3.Error as exc:
        return _refused(f"the database cannot be read: {exc}")
    listed = partial(_listed, wings.accounts)
    fields = await described_beside(rows, statuses_of(wings), listed)
    return {"daemon": True, **fields}


async def described_beside(
    rows: Sequence[OpenRow],
    statuses: Mapping[str, PositionStatus],
    listed: Callable[[Mode], Awaitable[PositionList]],
) -> dict[str, object]:
    """Return open rows beside what their accounts hold, as the fields of an answer.

    Args:
        rows: What the database says, oldest first.
        statuses: What a daemon knows of them; it has none for what it does not watch.
        listed: Returns all that an account holds; raises BrokerError or OSError.
    """
    beside = await look_beside(rows, listed)
    return {
        "rows": described(rows, statuses, beside.held),
        "notes": beside.notes,
    }


async def _listed(accounts: Accounts, mode: Mode) -> PositionList:
    async with client_of(accounts, mode) as client:
        return await client.positions()


async def explain(wings: Wings, symbol: str) -> dict[str, object]:
    """Return the fields of the answer to ``explain`` for a symbol's position."""
    try:
        rows = await wings.ledger.ask(wings.ledger.reader.open_rows)
    except sqlite3.Error as exc:
        return _refused(f"the database cannot be read: {exc}")
    row = next((row for row in rows if spelled(row.symbol) == spelled(symbol)), None)
    if row is None:
        return _refused(f"{symbol} has no open row; why one was sold: snexec trades")
    statuses = statuses_of(wings)
    rules = wings.exits.explain(row.trade_id)
    return {
        **_described(row, statuses.get(row.trade_id)),
        "rules": [
            {
                "rule": rule.name,
                "on": rule.is_on,
                "threshold": rule.threshold,
                "distance": rule.distance,
            }
            for rule in rules or []
        ],
    }


def spelled(symbol: str) -> str:
    """Return the one spelling of a symbol; of what is none, what was written."""
    try:
        return canonical_symbol(symbol)
    except ValueError:
        return symbol.upper()


def _refused(why: str) -> dict[str, object]:
    return {"status": "refused", "error": why}


def statuses_of(wings: Wings) -> dict[str, PositionStatus]:
    """Return what is known of the rows that are watched, by their ids."""
    return {status.row_id: status for status in wings.exits.positions()}


def described(
    rows: Iterable[OpenRow],
    statuses: Mapping[str, PositionStatus],
    held: Mapping[str, Held],
) -> list[dict[str, object]]:
    """Return open rows as the fields of an answer, oldest first.

    Args:
        rows: What the database says.
        statuses: What a daemon knows of them; it has none for what it does not watch.
        held: What their accounts say that they hold.
    """
    return [
        _beside(row, statuses.get(row.trade_id), held.get(row.trade_id)) for row in rows
    ]


def _beside(
    row: OpenRow, status: PositionStatus | None, held: Held | None
) -> dict[str, object]:
    """Return a row's fields with its account's; its price where nothing watches one."""
    if status is not None and status.price is not None:
        fields = _described(row, status)
    else:
        fields = _described(row, status, None if held is None else held.price)
    return {
        **fields,
        "brokerShares": None if held is None else _number(held.shares),
        "difference": None if held is None else held.difference or None,
    }


def _described(
    row: OpenRow, status: PositionStatus | None, listed_price: Decimal | None = None
) -> dict[str, object]:
    is_listed = listed_price is not None
    price = listed_price if is_listed or status is None else status.price
    source = None if status is None else status.price_source
    seconds = None if status is None else status.price_age_sec
    left, entry = row.remaining, row.entry_price
    pnl = None
    if price is not None and left is not None and entry is not None:
        pnl = left * (price - entry)
    return {
        "tradeId": row.trade_id,
        "symbol": row.symbol,
        "mode": row.mode,
        "shares": _number(left),
        "entryPrice": _number(entry),
        "entryAt": row.entry_at,
        "price": _number(price),
        "priceSource": "positions" if is_listed else source,
        "priceAgeSec": 0.0 if is_listed else seconds,
        "openPnl": _number(pnl),
        "stop": None if status is None else _number(status.stop),
        "target": None if status is None else _number(status.target),
        "secondsLeft": None if status is None else status.seconds_left,
        "state": state_of(row, status),
        "blockedBy": blocked_by(row, status) or None,
    }


def state_of(row: OpenRow, status: PositionStatus | None) -> str:
    """Return what the position is: the table of SPEC 12.2, and what comes before it."""
    if row.mode is None:
        return "foreign"
    if status is not None:
        return status.state
    if row.is_closing:
        return "closing"
    if row.shares is None:
        return "buying"
    return "blocked" if row.exit_state == "refused" else "unwatched"


def blocked_by(row: OpenRow, status: PositionStatus | None) -> str:
    """Return what keeps a position from being sold, in words; empty if nothing does."""
    if status is not None and status.blocked_by:
        return status.blocked_by
    if row.mode is None:
        return "another program's row: it is not ours to sell"
    if row.exit_state == "refused" and status is None:
        return f"the broker refused its last sell, {row.exit_id}"
    return ""


def _number(value: Decimal | None) -> float | None:
    return None if value is None else float(value)
