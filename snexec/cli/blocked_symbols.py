"""What open rows of the paper account keep live from buying (SPEC 5, 15)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from snexec.cli.formats import foreign
from snexec.cli.trades_query import open_to_read

if TYPE_CHECKING:
    from pathlib import Path

_OPEN = (
    "SELECT symbol FROM BotTrade WHERE status = 'open' AND mode = 'paper'"
    " ORDER BY symbol"
)
_NAMED = 8


def blocked_symbols(database: Path) -> str:
    """Return a sentence for the operator; empty where nothing is kept from being bought."""
    if not database.exists():
        return ""
    try:
        with closing(open_to_read(database)) as connection:
            symbols = [foreign(row[0]) for row in connection.execute(_OPEN)]
    except sqlite3.Error:
        return ""  # none yet, or `check` says what is wrong
    if not symbols:
        return ""
    named = ", ".join(symbols[:_NAMED])
    more = f" and {len(symbols) - _NAMED} more" if symbols[_NAMED:] else ""
    one = len(symbols) == 1
    rows = "1 open paper row keeps" if one else f"{len(symbols)} open paper rows keep"
    return (
        f"{rows} live from buying {named}{more} until {'it is' if one else 'they are'}"
        " closed; paper and live are better kept apart: a database for each"
    )
