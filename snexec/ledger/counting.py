"""What the limits count, in the transaction that opens a row: rows, results, orders."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from snexec.clock import timestamp
from snexec.ledger.ahead import AheadWatch
from snexec.ledger.exit_reads import read_sold
from snexec.ledger.reading import seconds_sql, text_of
from snexec.ledger.win_window import IN_WINDOW
from snexec.model import MODES
from snexec.risk import (
    Counts,
    OpenedOrder,
    Recently,
    Tally,
    day_start,
    too_late,
)
from snexec.trading_days import day_began

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from decimal import Decimal

    from snexec.model import Mode
    from snexec.risk import Limits
    from snexec.settings import BotSettings

COUNT_OPEN = "SELECT count(*) FROM BotTrade WHERE status = 'open'"
# A mode's own rows, and those that name none that there is: they are another program's,
# which may trade on either account.
_OURS_OR_NOBODYS = "(mode = :mode OR mode IS NULL OR mode NOT IN ('paper', 'live'))"
COUNT_OPEN_OF_MODE = f"{COUNT_OPEN} AND {_OURS_OR_NOBODYS}"
_CLOSED = f"status = 'closed' AND {_OURS_OR_NOBODYS}"
# Other programs write a time as text in any zone, or as milliseconds or seconds since
# 1970, which sort before all text. The first bound is for the index, a day wide because of zones.
# A text that is no time counts by when the row was last changed, and where that is none
# either, as of today; such a text sorts anywhere, so before all years of ours too.
_CLOSED_AT = "coalesce(julianday(exitAt), julianday(updatedAt), julianday(:day))"
_CLOSED_TODAY = f"{_CLOSED_AT} >= julianday(:day) AND {_CLOSED_AT} < julianday(:late)"
# What is no number wins nothing, and no gain is endless.
_WON = "CAST(pnl AS REAL)"
_WON_IN_ALL = f"total(CASE WHEN {_WON} < 9e999 THEN {_WON} END)"
REALISED = (
    "SELECT"  # noqa: S608 - constants only
    f" (SELECT {_WON_IN_ALL} FROM BotTrade"
    f" WHERE {_CLOSED} AND exitAt >= :day_before AND {_CLOSED_TODAY})"
    f" + (SELECT {_WON_IN_ALL} FROM BotTrade"
    f" WHERE {_CLOSED} AND exitAt >= '' AND exitAt < '2000-' AND {_CLOSED_TODAY})"
    f" + (SELECT {_WON_IN_ALL} FROM BotTrade"
    f" WHERE {_CLOSED} AND exitAt >= :day_ms AND exitAt < :late_ms)"
    f" + (SELECT {_WON_IN_ALL} FROM BotTrade"
    f" WHERE {_CLOSED} AND exitAt >= :day_ms / 1000 AND exitAt < :late_ms / 1000)"
)
WINS = (
    f"SELECT total({_WON} > 0 AND {_WON} < 9e999), count(*)"  # noqa: S608
    f" FROM (SELECT pnl FROM BotTrade WHERE {_CLOSED} AND pnl IS NOT NULL"
    # A row that is always the last one would count for good.
    " AND NOT coalesce(exitAt >= :day_after OR exitAt >= :late_ms AND exitAt < '', 0)"
    f" AND {IN_WINDOW}"
    " ORDER BY exitAt DESC LIMIT :trades)"
)
_NEWEST = (
    "SELECT mode, symbol,"  # noqa: S608 - constants only
    f" round({seconds_sql('createdAt', 'entryAt', 'updatedAt')}, 3), notional"
    " FROM BotTrade ORDER BY rowid DESC"
)
_BEYOND_COUNTING = 10**15  # cents: what an order is worth whose row does not say it
_NO_ORDERS = Recently(None, 0, 0, 0)
_TALLIED_SECONDS = 25 * 3600.0  # the longest day in New York, and any cooldown
# Rows are in the order in which they came, but for what other programs do to the file.
_OLD_ROWS_IN_A_ROW = 10_000


class Counting:
    """Counts over the store's own connection, within its transactions."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self.ahead = AheadWatch(connection)
        self._tallies: dict[str, Tally] | None = None  # until a limit asks for them
        self._tallied_now = False  # begun in this transaction
        self._opened: list[OpenedOrder] = []  # in this transaction, or the last one
        self._opened_are_durable = False  # those of the last one
        self._opened_before_mark = 0
        # What follows holds until another program writes.
        self._version: int | None = None
        self._open_at_most: dict[str, int] = {}  # rows, by mode; none: not known
        self._closed_key: tuple[object, ...] = ()
        self._closed: tuple[float, int, int] = (0.0, 0, 0)

    def count(
        self,
        symbol: str,
        mode: Mode,
        notional: Decimal,
        limits: Limits,
        moment: datetime,
        *,
        recently: Recently | None = None,
    ) -> Counts:
        """Count what the limits ask about an order of a symbol.

        Args:
            symbol: The order's.
            mode: The account's, whose open rows, results and orders count, as do open
                rows and results that name no mode.
            notional: The order's worth in dollars.
            limits: The limits that are set.
            moment: Now.
            recently: The recent orders, if they are known already.
        """
        needs, open_positions, orders = limits.needs, 0, recently
        realised, wins, closed = 0.0, 0, 0
        if needs.positions or needs.results:
            self._note_version()
        if needs.positions:
            open_positions = self._open_positions(mode, limits.bot)
        if needs.results:
            realised, wins, closed = self._results(mode, limits.bot, moment)
        if orders is None:
            orders = _NO_ORDERS
            if needs.orders:
                orders = self._recently(symbol, mode, moment.timestamp())
        cents = int(notional * 100)
        return Counts(open_positions, realised, wins, closed, *orders, cents)

    def row_opens(self, mode: str) -> None:
        """Note that this transaction opens a row of a mode, or reopens one."""
        if mode in self._open_at_most:
            self._open_at_most[mode] += 1

    def row_closes(self) -> None:
        """Note that this transaction closes a row, and so changes results."""
        self._closed_key = ()

    def sold(self, mode: Mode, symbol: str, at: float) -> None:
        """Note that this transaction closes a row that was sold.

        Args:
            mode: The account's.
            symbol: What was sold, whose cooldown runs anew.
            at: When, in seconds since 1970.
        """
        self.row_closes()
        if self._tallies is not None:
            self._opened.append(OpenedOrder(mode, symbol, at, 0, is_exit=True))

    # Recent orders.

    def begin_tallies(self, at: float) -> None:
        """Count recent orders from the rows, unless that was done."""
        if self._tallies is not None:
            return
        self._tallies, self._tallied_now = {}, self._db.in_transaction
        for order in reversed(list(self._orders_counted(at))):
            tally = self._tally(order.mode, at)
            if order.at >= day_start(at):
                tally.add(order)
            else:
                tally.remember(order)
        for order in read_sold(self._db, at - _TALLIED_SECONDS, too_late(at)):
            self._tally(order.mode, at).remember(order)

    def read_from(self, connection: sqlite3.Connection) -> None:
        """Count over another connection to the same rows from now on."""
        self._db = connection
        self.ahead.read_from(connection)
        self._version, self._closed_key = None, ()
        self._open_at_most.clear()

    def begin_empty(self) -> None:
        """Start from zero: the orders in the rows are of another account."""
        self._tallies = {}

    def tallied(self, symbol: str, mode: Mode, at: float) -> Recently | None:
        """Return what memory holds of recent orders, refused ones too; from any thread."""
        tallies = self._tallies
        if tallies is None:
            return None
        tally = tallies.get(mode)
        found = _NO_ORDERS if tally is None else tally.peek(symbol, at)
        return self._with_opened(found, symbol, mode, at)

    def opened(self, mode: Mode, symbol: str, at: float, notional: Decimal) -> None:
        """Note an order whose row was opened in this transaction."""
        if self._tallies is not None:
            self._opened.append(OpenedOrder(mode, symbol, at, int(notional * 100)))

    def found(self, order: OpenedOrder) -> None:
        """Note an order of earlier whose row was written in this transaction."""
        if self._tallies is not None:
            self._opened.append(order)

    # What becomes of the transaction.

    def began(self) -> None:
        """Tally the orders of the last transaction: they have left by now."""
        if self._opened_are_durable:
            self._opened_are_durable = False
            for order in self._opened:
                tally = self._tally(order.mode, order.at)
                if order.is_exit:
                    tally.remember(order)
                else:
                    tally.add_earlier(order) if order.is_found else tally.add(order)
            self._opened.clear()

    def committed(self) -> None:
        """Keep the orders that were opened."""
        self._tallied_now = False
        self._opened_are_durable = True

    def rolled_back(self) -> None:
        """Forget the orders that were opened."""
        self.began()
        self._opened.clear()
        self._open_at_most.clear()
        self._closed_key = ()
        if self._tallied_now:
            self._tallies, self._tallied_now = None, False

    def marked(self) -> None:
        """Note the place back to which it may be undone."""
        self._opened_before_mark = len(self._opened)

    def undone_to_mark(self) -> None:
        """Forget the orders that were opened after the mark."""
        self._open_at_most.clear()
        self._closed_key = ()
        del self._opened[self._opened_before_mark :]

    # Helpers.

    def _note_version(self) -> None:
        (version,) = self._db.execute("PRAGMA data_version").fetchone()
        if version != self._version:
            self._version, self._closed_key = version, ()
            self._open_at_most.clear()

    def _open_positions(self, mode: Mode, bot: BotSettings) -> int:
        """Return a mode's open rows: at most, where that makes no difference.

        Counting them anew for each order would double the cost of all gates.
        """
        limit, at_most = bot.max_concurrent_positions, self._open_at_most.get(mode)
        if limit is None or at_most is None or at_most >= limit:
            found = self._db.execute(COUNT_OPEN_OF_MODE, {"mode": mode}).fetchone()
            at_most = self._open_at_most[mode] = int(found[0])
        return at_most

    def _results(
        self, mode: Mode, bot: BotSettings, moment: datetime
    ) -> tuple[float, int, int]:
        """Return dollars since midnight, wins of the last closed rows, and their number.

        It stays the same until another program writes, or the operator ends a row.
        """
        day = day_start(moment.timestamp())
        key = (mode, day, bot.min_win_rate_trades)
        if key != self._closed_key:
            self.ahead.look(moment)
            self._closed = self._count_results(mode, bot, day_began(moment))
            self._closed_key = key
        return self._closed

    def _count_results(
        self, mode: Mode, bot: BotSettings, day: datetime
    ) -> tuple[float, int, int]:
        late = datetime.fromtimestamp(too_late(day.timestamp()), UTC)
        values: dict[str, object] = {
            "mode": mode,
            "day": timestamp(day),
            "day_before": timestamp(day - timedelta(days=1)),
            "day_ms": round(day.timestamp() * 1000),
            "late": timestamp(late),
            "late_ms": round(late.timestamp() * 1000),
            "day_after": timestamp(late + timedelta(days=1)),
            "trades": bot.min_win_rate_trades or 0,
        }
        (realised,) = self._db.execute(REALISED, values).fetchone()
        if realised is None:
            realised = -math.inf  # the sum of both infinities: nobody knows
        wins, closed = self._db.execute(WINS, values).fetchone()
        return float(realised), int(wins), int(closed)

    def _recently(self, symbol: str, mode: Mode, at: float) -> Recently:
        if self._tallies is None:
            self.begin_tallies(at)
        found = self._tally(mode, at).look(symbol, at)
        if self._opened:
            found = self._with_opened(found, symbol, mode, at)
        return found

    def _with_opened(
        self, found: Recently, symbol: str, mode: str, at: float
    ) -> Recently:
        for order in tuple(self._opened):
            if order.mode == mode and not order.is_found:
                found = found.and_one(order, symbol, at)
        return found

    def _tally(self, mode: str, at: float) -> Tally:
        assert self._tallies is not None  # noqa: S101 - asked for only after they began
        if mode not in self._tallies:
            self._tallies[mode] = Tally(day_start(at))
        return self._tallies[mode]

    def _orders_counted(self, now: float) -> Iterator[OpenedOrder]:
        """Yield the orders that may count, the newest first."""
        since, until = now - _TALLIED_SECONDS, too_late(now)
        old = 0
        for mode, symbol, at, notional in self._db.execute(_NEWEST):
            if mode is not None and (at is None or since <= at < until):
                old = 0
                for account in (mode,) if mode in MODES else MODES:
                    yield OpenedOrder(
                        account,
                        text_of(symbol) or "",
                        now if at is None else at,
                        _cents(notional),
                    )
            elif (old := old + 1) > _OLD_ROWS_IN_A_ROW:
                return


def _cents(notional: object) -> int:
    """Return what an order was worth; one that cannot be read, as much as there is."""
    try:
        dollars = float(notional or 0)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return _BEYOND_COUNTING
    if not 0 <= dollars < _BEYOND_COUNTING / 100:
        return _BEYOND_COUNTING
    return round(dollars * 100)
