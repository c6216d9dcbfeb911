"""The open rows as an operator wants to see them, whoever wrote them (SPEC 12.8)."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from snexec.ledger.reading import exact, text_of
from snexec.model import MODES

if TYPE_CHECKING:
    import sqlite3

    from snexec.model import Mode

_COLUMNS = ("id", "symbol", "mode", "shares", "entryPrice", "entryAt", "settledAt")
_EXITS = (
    "SELECT tradeId, id, kind, state, reason, filledQty, settledAt FROM BotExit"
    " WHERE tradeId IN (SELECT id FROM BotTrade WHERE status = 'open')"
    " ORDER BY createdAt, rowid"
)


class OpenRow(NamedTuple):
    """An open row, and its last sell.

    Attributes:
        mode: None in another program's row, whatever it holds.
        shares: What was bought; None where nothing is known to be.
        sold: How much of that is sold.
        entry_price: Dollars a share.
        is_settled: Whether the broker's last word on its buy is in it.
        exit_id: The last sell's id; None without one. A resting stop is no sell.
        exit_state: The last sell's state.
        exit_reason: Why it was sent.
        is_closing: Whether that sell has not ended.
    """

    trade_id: str
    symbol: str
    mode: Mode | None
    shares: Decimal | None
    sold: Decimal
    entry_price: Decimal | None
    entry_at: str | None
    is_settled: bool
    exit_id: str | None = None
    exit_state: str | None = None
    exit_reason: str | None = None
    is_closing: bool = False

    @property
    def remaining(self) -> Decimal | None:
        """Shares that are not sold; None where nothing is known to be bought."""
        return None if self.shares is None else max(self.shares - self.sold, Decimal(0))


def read_open_rows(db: sqlite3.Connection) -> list[OpenRow]:
    """Return the open rows, oldest first; a column or a table may be missing.

    Raises:
        sqlite3.Error: They cannot be read.
    """
    present = {row["name"] for row in db.execute("PRAGMA table_info(BotTrade)")}
    if not present:
        return []
    names = ", ".join(f'"{n}"' if n in present else f"NULL AS {n}" for n in _COLUMNS)
    order = "createdAt, rowid" if "createdAt" in present else "rowid"
    found = db.execute(
        f"SELECT {names} FROM BotTrade WHERE status = 'open' ORDER BY {order}"  # noqa: S608 - names of our own
    ).fetchall()
    known = "SELECT count(*) FROM sqlite_master WHERE name = 'BotExit'"
    sells: dict[str, list[sqlite3.Row]] = {}
    if db.execute(known).fetchone()[0]:
        for each in db.execute(_EXITS):
            sells.setdefault(each["tradeId"], []).append(each)
    return [_row(row, sells.get(row["id"], [])) for row in found]


def _row(row: sqlite3.Row, sells: list[sqlite3.Row]) -> OpenRow:
    sold = [exact(each["filledQty"]) or Decimal(0) for each in sells]
    # A stop that rests at the broker sells nothing yet.
    sells = [each for each in sells if each["kind"] != "stop"]
    # The one that has not ended, or else the newest.
    last = next((each for each in sells if each["settledAt"] is None), None)
    closing = last is not None
    last = last or (sells[-1] if sells else None)
    return OpenRow(
        trade_id=text_of(row["id"]) or "",
        symbol=text_of(row["symbol"]) or "",
        mode=row["mode"] if row["mode"] in MODES else None,
        shares=exact(row["shares"]),
        sold=sum(sold, Decimal(0)),
        entry_price=exact(row["entryPrice"]),
        entry_at=text_of(row["entryAt"]),
        is_settled=row["settledAt"] is not None,
        exit_id=None if last is None else text_of(last["id"]),
        exit_state=None if last is None else text_of(last["state"]),
        exit_reason=None if last is None else text_of(last["reason"]),
        is_closing=closing,
    )
