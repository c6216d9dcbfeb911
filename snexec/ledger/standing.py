"""A row that the operator may end, and what that would come to (SPEC 12.5, 12.8a)."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Literal, NamedTuple

from snexec.ledger.exit_row import Sold, result_of
from snexec.ledger.exit_table import sold_by
from snexec.ledger.reading import number_of, seconds_sql, text_of
from snexec.ledger.symbols import symbol_key
from snexec.model import MODES

if TYPE_CHECKING:
    import sqlite3

    from snexec.model import Mode

End = Literal["closed", "missed"]

_STANDING = (
    "SELECT id, symbol, mode, status, shares, entryPrice, settledAt, signalId,"
    " exitPrice FROM BotTrade WHERE id = ?"
)
_CLAIMS = (
    "SELECT id, shares FROM BotTrade WHERE status = 'open' AND id <> :id"  # noqa: S608 - names of our own
    f" AND {symbol_key('symbol')} = {symbol_key(':symbol')}"
    " AND (mode = :mode OR mode IS NULL)"
)
_EXITS = (
    f"SELECT *, {seconds_sql('decidedAt')} AS decided FROM BotExit"  # noqa: S608 - constants only
    " WHERE tradeId = ? ORDER BY rowid"
)
# A file that was not migrated has no such table.
_HAS_EXITS = "SELECT 1 FROM sqlite_master WHERE name = 'BotExit'"


class Standing(NamedTuple):
    """A row that the operator may end.

    Attributes:
        mode: None in another program's row, whatever it holds.
        shares: What it bought, None where nothing or where that is not known.
        entry_price: Dollars a share.
        is_settled: Whether the broker's last word on its order is in it.
        claimed: Shares that other open rows of its symbol say they hold.
        sold: What its sells have sold.
        live_exit: The id of its sell that has no end.
        live_since: When that was decided, in seconds since 1970; None if not known.
        exit_price: Dollars a share at which it went; None if not known.
    """

    trade_id: str
    symbol: str
    mode: Mode | None
    status: str
    shares: Decimal | None
    entry_price: Decimal | None
    is_settled: bool
    claimed: Decimal
    signal_id: str | None
    sold: tuple[Sold, ...] = ()
    live_exit: str | None = None
    live_since: float | None = None
    exit_price: Decimal | None = None

    @property
    def has_bought(self) -> bool:
        """Return whether its order is known to have bought something."""
        return (
            self.status == "closed"
            or self.shares is not None
            or self.entry_price is not None
        )

    @property
    def remaining(self) -> Decimal:
        """Shares of it that are not sold."""
        sold = sum((each.quantity for each in self.sold), Decimal(0))
        return max((self.shares or Decimal(0)) - sold, Decimal(0))

    @property
    def lacks_price(self) -> bool:
        """Return whether it was sold at a price that only the operator may know."""
        return self.status == "closed" and self.exit_price is None and bool(self.sold)

    def may_end(self, how: End) -> bool:
        """Return whether the row is ours and has something left that may end so."""
        if self.mode is None or (how == "missed" and self.has_bought):
            return False
        if self.status == "open" or not self.is_settled:
            return True
        return how == "closed" and self.lacks_price

    def mean_price(self, price: Decimal | None) -> Decimal | None:
        """Return dollars a share over all of it, a price being that of what lacks one."""
        if not self.sold:
            return price
        return result_of(self._parts(price), Decimal(0), None).price

    def pnl(self, price: Decimal | None) -> Decimal | None:
        """Return dollars won at a price a share, before fees; None if not known.

        Args:
            price: Of what is not sold, or was sold at a price that is not known.
        """
        parts = self._parts(price)
        if self.shares is None or not parts:
            return None
        return result_of(parts, self.shares, self.entry_price).pnl

    def _parts(self, price: Decimal | None) -> list[Sold]:
        parts = [
            each if each.price is not None else each._replace(price=price)
            for each in self.sold
        ]
        if self.remaining and self.status != "closed":
            parts.append(Sold(self.remaining, price, "settled"))
        return parts


def read_standing(db: sqlite3.Connection, trade_id: str) -> Standing | None:
    """Return what is known of a row; None if it is not there."""
    found = db.execute(_STANDING, [trade_id]).fetchone()
    if found is None:
        return None
    row_id, symbol, mode, status, shares, price, settled_at, signal_id, exit_ = found
    exits = _exits(db, trade_id)
    live = next((each for each in exits if each["settledAt"] is None), None)
    return Standing(
        trade_id=str(row_id),
        symbol=text_of(symbol) or "",
        mode=mode if mode in MODES else None,
        status=text_of(status) or "",
        shares=_decimal(shares),
        entry_price=_decimal(price),
        is_settled=settled_at is not None,
        claimed=_claimed(db, {"id": trade_id, "symbol": symbol, "mode": mode}),
        signal_id=text_of(signal_id),
        sold=tuple(each for each in sold_by(exits) if each.quantity),
        live_exit=None if live is None else live["id"],
        live_since=None if live is None else number_of(live["decided"]),
        exit_price=_decimal(exit_),
    )


def sold_shares(db: sqlite3.Connection, trade_id: str) -> Decimal:
    """Return how many shares of a row are sold, by its sells."""
    return sum((each.quantity for each in sold_by(_exits(db, trade_id))), Decimal(0))


def _claimed(db: sqlite3.Connection, row: dict[str, object]) -> Decimal:
    """Return what other open rows of a symbol say they hold, less what they sold."""
    claimed = Decimal(0)
    for other, shares in db.execute(_CLAIMS, row).fetchall():
        left = (_decimal(shares) or Decimal(0)) - sold_shares(db, other)
        claimed += max(left, Decimal(0))
    return claimed


def _exits(db: sqlite3.Connection, trade_id: str) -> list[sqlite3.Row]:
    if not has_exits(db):
        return []
    return db.execute(_EXITS, [trade_id]).fetchall()


def has_exits(db: sqlite3.Connection) -> bool:
    """Return whether a file has the table of sells; one of an earlier version has not."""
    return db.execute(_HAS_EXITS).fetchone() is not None


def _decimal(value: object) -> Decimal | None:
    """Return a column as an exact number; other programs may have put in anything."""
    number = number_of(value)
    return None if number is None else Decimal(str(number))
