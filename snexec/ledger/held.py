"""The rows that are held, as they are watched: read at the start, and high prices.

(SPEC 12.2, 12.3)
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from snexec.clock import timestamp
from snexec.ledger.exit_reads import LIVE_COLUMNS, read_unsettled_exit
from snexec.ledger.held_rows import HeldBeside, WatchedRow
from snexec.ledger.reading import exact, id_of, seconds_sql, text_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable, Iterator

    from snexec.clock import Clock
    from snexec.ledger.held_rows import HighPrice

# The upper bounds keep out text, too.
_HOLDS = (
    "status = 'open' AND mode IN ('paper', 'live') AND shares > 0 AND shares < 9e999"
)
_HAS_PRICE = "entryPrice > 0 AND entryPrice < 9e999"
_IS_SOLD = (  # or was, or is to be
    "(EXISTS (SELECT 1 FROM BotExit AS sold WHERE sold.tradeId = BotTrade.id)"
    " OR EXISTS (SELECT 1 FROM SnexecMeta WHERE key = 'close ' || BotTrade.id))"
)
# A row once for each of its sells.
_READ = (
    f"SELECT {LIVE_COLUMNS}, BotTrade.id AS rowId, shares, highPrice,"  # noqa: S608 - constants only
    f" iif({_HAS_PRICE}, entryPrice, NULL) AS entryPrice,"
    " BotTrade.settledAt AS boughtAt, BotTrade.alpacaOrderId AS buyOrder,"
    f" round({seconds_sql('entryAt', 'BotTrade.createdAt')}, 3) AS entered"
    " FROM BotTrade LEFT JOIN BotExit ON tradeId = BotTrade.id"
    f" WHERE {_HOLDS}"
)
_OLDEST_FIRST = "ORDER BY BotTrade.createdAt, BotTrade.id, BotExit.rowid"
# Rules watch what has an entry price; what is sold by hand need not have one.
WATCHED = f"{_READ} AND ({_HAS_PRICE} OR {_IS_SOLD}) {_OLDEST_FIRST}"
_WATCHED_ROW = f"{_READ} AND {_HAS_PRICE} AND BotTrade.id = ? ORDER BY BotExit.rowid"
_OF_SYMBOL = f"{_READ} AND symbol = ? {_OLDEST_FIRST}"
_NAMED = "BotTrade.id IN (SELECT value FROM json_each(?))"
_OF_IDS = f"{_READ} AND {_HAS_PRICE} AND {_NAMED} {_OLDEST_FIRST}"
BUSY = f"{_READ} AND {_IS_SOLD} {_OLDEST_FIRST}"
_PAGE = (
    "SELECT rowid, id FROM BotTrade WHERE rowid > ? AND status = 'open'"
    " AND typeof(id) = 'text'"  # not so in another program's
    " ORDER BY rowid LIMIT ?"
)
# It is no change that others wait for: `updatedAt` stays.
_RAISE_HIGH = (
    "UPDATE BotTrade SET highPrice = ?1 WHERE id = ?2"
    " AND status = 'open' AND entryPrice = ?3"
    " AND (highPrice IS NULL OR highPrice < ?1)"
)
_SET_HIGH = (
    "UPDATE BotTrade SET highPrice = ?1 WHERE id = ?2"
    " AND status = 'open' AND entryPrice = ?3"
)
TRIED = (
    "SELECT tradeId, count(*) FROM BotTrade"  # noqa: S608 - constants only
    " CROSS JOIN BotExit ON tradeId = BotTrade.id"  # which SQLite keeps in this order
    f" WHERE {_HOLDS} AND kind = 'sell' AND decidedAt >= ? GROUP BY tradeId"
)
_FAILED_STOPS = TRIED.replace(
    "kind = 'sell'", "kind = 'stop' AND state IN ('refused', 'rejected')"
)
_RULES = "SELECT value FROM SnexecMeta WHERE key = 'exit rules'"
_NOTE_RULES = "INSERT OR REPLACE INTO SnexecMeta VALUES ('exit rules', ?)"
_FORGET_RULES = "DELETE FROM SnexecMeta WHERE key = 'exit rules'"
_TO_CLOSE = "SELECT substr(key, 7) FROM SnexecMeta WHERE key GLOB 'close *'"
_NOTE_CLOSE = "INSERT OR REPLACE INTO SnexecMeta VALUES ('close ' || ?, ?)"
FORGET_CLOSE = "DELETE FROM SnexecMeta WHERE key = 'close ' || ?"
_BESIDE = "SELECT substr(key, 8), value FROM SnexecMeta WHERE key GLOB 'beside *'"
_NOTE_BESIDE = "INSERT OR REPLACE INTO SnexecMeta VALUES ('beside ' || ?, ?)"
_FORGET_ENDED = (
    "DELETE FROM SnexecMeta WHERE (key GLOB 'close *' OR key GLOB 'beside *')"
    " AND substr(key, instr(key, ' ') + 1)"
    " NOT IN (SELECT id FROM BotTrade WHERE status = 'open')"
)


class HeldRows:
    """Reads rows that are held, over the store's own connection, and marks their highs."""

    def __init__(self, connection: sqlite3.Connection, *, clock: Clock) -> None:
        self._db = connection
        self._clock = clock

    def read_from(self, connection: sqlite3.Connection) -> None:
        """Use another connection to the same rows from now on."""
        self._db = connection

    def watched(self) -> list[WatchedRow]:
        """Return every row of ours that rules watch or that is sold, the oldest first."""
        return self._read(WATCHED)

    def busy(self) -> list[WatchedRow]:
        """Return those of which something is sold or was, or is to be."""
        return self._read(BUSY)

    def of_symbol(self, symbol: str) -> list[WatchedRow]:
        """Return those of a symbol, in its canonical spelling."""
        return self._read(_OF_SYMBOL, symbol)

    def of_ids(self, ids: Collection[str]) -> list[WatchedRow]:
        """Return those with one of these ids."""
        return self._read(_OF_IDS, json.dumps(list(ids)))

    def page(self, after: int, count: int) -> tuple[list[WatchedRow], int | None]:
        """Return those among the next open rows, and after which the next page begins.

        Args:
            after: Where the last page ended; 0 for the first one.
            count: How many open rows are looked at.

        Returns:
            The rows, and None for the place if these were the last.
        """
        found = self._db.execute(_PAGE, [after, count]).fetchall()
        rows = self.of_ids([row["id"] for row in found])
        return rows, found[-1]["rowid"] if len(found) == count else None

    def row(self, row_id: str) -> WatchedRow | None:
        """Return a row if it is held."""
        found = self._db.execute(_WATCHED_ROW, [row_id]).fetchall()
        return _watched(found, self._clock.now(), ()) if found else None

    def tried(self, since: datetime) -> dict[str, int]:
        """Return how many sells of each held row were decided since then, if any was."""
        return dict(self._db.execute(TRIED, [timestamp(since)]).fetchall())

    def failed_stops(self, since: datetime) -> dict[str, int]:
        """Return how many stops of each held row were refused since then, if any was."""
        return dict(self._db.execute(_FAILED_STOPS, [timestamp(since)]).fetchall())

    def raise_highs(self, highs: Iterable[HighPrice]) -> None:
        """Note how high prices have been; what is higher already stays."""
        self._db.executemany(_RAISE_HIGH, _values(highs))

    def set_highs(self, highs: Iterable[HighPrice]) -> None:
        """Note how high prices have been where a print was taken back: lower, too."""
        self._db.executemany(_SET_HIGH, _values(highs))

    def rules(self) -> str | None:
        """Return the rules that were applied last, as they were noted."""
        found = self._db.execute(_RULES).fetchone()
        return None if found is None else str(found[0])

    def note_rules(self, rules: str) -> None:
        """Note the rules that are applied from now on (SPEC 12.3)."""
        self._db.execute(_NOTE_RULES, [rules])

    def forget_rules(self) -> None:
        """Note that no rules are applied: any that come are new."""
        self._db.execute(_FORGET_RULES)

    def note_close(self, row_id: str) -> None:
        """Note that a row is to be closed by hand, until its sell is planned."""
        self._db.execute(_FORGET_ENDED)
        self._db.execute(_NOTE_CLOSE, [row_id, timestamp(self._clock.now())])

    def note_beside(self, row_id: str, beside: HeldBeside) -> None:
        """Note what an account holds of a row's symbol, with shares of others."""
        self._db.execute(_FORGET_ENDED)
        row = self.row(row_id)
        if row is not None:
            claim = [str(row.shares), str(row.entry_price)]
            held = [str(beside.quantity), str(beside.average)]
            self._db.execute(_NOTE_BESIDE, [row_id, json.dumps([claim, held])])

    def forget_close(self, row_id: str) -> None:
        """Note that a row is not to be closed by hand any more."""
        self._db.execute(FORGET_CLOSE, [row_id])

    def _read(self, query: str, *values: str) -> list[WatchedRow]:
        now = self._clock.now()
        to_close = {row_id for (row_id,) in self._db.execute(_TO_CLOSE)}
        beside = dict(self._db.execute(_BESIDE).fetchall())
        # One after the other: all that they hold would take three times their memory.
        by_row = groupby(self._db.execute(query, values), key=itemgetter("rowId"))
        rows = [_watched(list(each), now, to_close) for _id, each in by_row]
        return [
            row._replace(beside=_read_beside(beside[row.id], row))
            if row.id in beside
            else row
            for row in rows
        ]


def _values(highs: Iterable[HighPrice]) -> Iterator[tuple[float, str, float]]:
    """Yield what is written of each, one at a time: many rise in the same moment."""
    for each in highs:
        yield float(each.price), each.row_id, float(each.entry_price)


def _read_beside(text: object, row: WatchedRow) -> HeldBeside | None:
    """Return what was noted, if the row has not bought or been split since."""
    try:
        claim, held = json.loads(str(text))
        quantity, average = map(Decimal, held)
    except (ValueError, TypeError, InvalidOperation):
        return None
    is_so_still = claim == [str(row.shares), str(row.entry_price)]
    return HeldBeside(quantity, average) if is_so_still else None


def _watched(
    found: list[sqlite3.Row], now: datetime, to_close: Collection[str]
) -> WatchedRow:
    """Read a row from what was joined with each of its sells, in their order.

    Args:
        found: It.
        now: This moment.
        to_close: The rows that are to be closed by hand.
    """
    row = found[0]
    shares = exact(row["shares"]) or Decimal(0)
    sells = [each for each in found if each["exitId"] is not None]
    sold = (exact(each["filledQty"]) or Decimal(0) for each in sells)
    # One object where nothing is sold: most rows.
    remaining = max(shares - sum(sold, Decimal(0)), Decimal(0)) if sells else shares
    live = next((each for each in sells if each["exitSettledAt"] is None), None)
    wanted = _wanted(sells) if live is None else None
    if row["rowId"] in to_close:
        wanted = "manual"
    entered = row["entered"]
    return WatchedRow(
        id=row["rowId"],
        symbol=text_of(row["symbol"]) or "",
        mode="live" if row["mode"] == "live" else "paper",  # one object for all
        shares=shares,
        remaining=remaining,
        entry_price=exact(row["entryPrice"]),
        entry_at=now if entered is None else datetime.fromtimestamp(entered, UTC),
        high_price=exact(row["highPrice"]),
        is_settled=row["boughtAt"] is not None,
        order_id=id_of(row["buyOrder"]),
        live_exit=(
            None if live is None else read_unsettled_exit(live, now.timestamp())
        ),
        signal_id=text_of(row["signalId"]),
        wanted=wanted if remaining else None,
    )


def _wanted(sells: list[sqlite3.Row]) -> str | None:
    """Return why what the last order of ours has left is to be sold, if it is."""
    ours = [each for each in sells if each["kind"] != "external"]
    if not ours:
        return None
    last = ours[-1]
    reason: str | None = last["cancelReason"]
    is_sell = last["kind"] == "sell" and last["state"] != "dropped"
    if reason is None and is_sell and last["reason"] != "rebuilt":
        reason = last["reason"]
    return reason
