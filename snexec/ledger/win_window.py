"""From when on the win rate counts: an operator's ``resume`` begins a new window.

Once too few rows have won nothing is bought, so nothing is closed, and without this the
rate would stay as it is for good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from snexec.clock import timestamp

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

_BEGIN = "INSERT OR REPLACE INTO SnexecMeta VALUES ('win window', ?)"
# Whether a row of BotTrade counts; one whose end is no time does not, in a window.
IN_WINDOW = (
    "coalesce((SELECT ifnull(julianday(exitAt) >= julianday(value), 0)"
    " FROM SnexecMeta WHERE key = 'win window'), 1)"
)


def begin_window(connection: sqlite3.Connection, moment: datetime) -> None:
    """Note that rows closed before a moment count no more, in the writer's transaction."""
    connection.execute(_BEGIN, (timestamp(moment),))
