"""One asset in whatever spelling: how rows are found, and respelled (SPEC 4, 11).

Rows of ours are canonical (``snexec.assets``). Another program's, which are never
changed, and a row of ours that cannot be respelled, may have any spelling, and block
their asset all the same.
"""

from __future__ import annotations

import logging
import sqlite3

from snexec.assets import canonical_symbol
from snexec.ledger.faults import explained, is_of_one_change

log = logging.getLogger("Daemon")


def symbol_key(expression: str) -> str:
    """Return SQL that is equal for all spellings of an asset.

    It errs on the side of blocking: a share ``BTC.USD`` would count as ``BTC/USD``. The
    index of open rows is made of it, so it may use nothing but what every SQLite has.
    """
    compact = (
        f"length({expression}) > 5 AND upper(substr({expression}, -3)) = 'USD'"
        f" AND {expression} NOT GLOB '*[./-]*'"
    )
    return (
        f"upper(CASE WHEN {compact}"
        f" THEN substr({expression}, 1, length({expression}) - 3) || '.USD'"
        f" ELSE replace(replace({expression}, '/', '.'), '-', '.') END)"
    )


_OPEN_ROW = (
    f"SELECT id FROM BotTrade WHERE {symbol_key('symbol')} = {symbol_key('?1')}"  # noqa: S608
    " AND status = 'open'"
)
# The spellings of each asset that has more than one open row, and the rows' ids.
OPEN_TWICE = (
    "SELECT replace(group_concat(DISTINCT symbol), ',', ' or '),"  # noqa: S608
    " group_concat(id, ', ') FROM BotTrade WHERE status = 'open'"
    f" GROUP BY {symbol_key('symbol')} HAVING count(*) > 1"
)


def open_row(connection: sqlite3.Connection, symbol: str) -> str | None:
    """Return the id of an asset's open row, whoever wrote it."""
    found = connection.execute(_OPEN_ROW, [symbol]).fetchone()
    return None if found is None else str(found["id"])


def respell_rows(connection: sqlite3.Connection, *, now: str) -> None:
    """Give our rows of earlier versions the canonical spelling of their symbol."""
    written = connection.execute(
        "SELECT DISTINCT symbol FROM BotTrade WHERE mode IS NOT NULL"
        " AND (symbol GLOB '*[/-]*' OR length(symbol) > 5)"
    ).fetchall()
    for (symbol,) in written:
        if not isinstance(symbol, str):
            continue
        try:
            canonical = canonical_symbol(symbol)
        except ValueError:
            continue  # a pair such as ETH/BTC, which was ordered once
        if canonical != symbol:
            _respell(connection, symbol, canonical, now)


def _respell(
    connection: sqlite3.Connection, symbol: str, canonical: str, now: str
) -> None:
    try:
        connection.execute(
            "UPDATE BotTrade SET symbol = ?, updatedAt = ?"
            " WHERE symbol = ? AND mode IS NOT NULL",
            [canonical, now, symbol],
        )
    except sqlite3.Error as exc:
        if not (is_of_one_change(exc) and connection.in_transaction):
            raise
        log.warning(
            "rows of %s keep that spelling of %s, and block it all the same: %s",
            symbol,
            canonical,
            explained(exc, connection),
        )
