"""What rows say where other programs may have written anything (SPEC 10, 11).

A value that cannot be read is none; where rows are counted, it counts as present.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING

from snexec.ledger.rows import Unsettled

if TYPE_CHECKING:
    import sqlite3

_LONGEST_ID = 128  # characters; the broker takes no longer one
_REPLACED = "\ufffd"  # stands for bytes that are no text
# Seconds since 1970: the years 2000 to 9999. What is dated elsewhere is no date of ours.
_OUR_TIMES = "BETWEEN 946684800 AND 253402300800"


def seconds_sql(*columns: str) -> str:
    """Return SQL for the time in the first of these columns that holds one.

    It is in seconds since 1970, and null where none does. Other programs write text in
    any zone, or milliseconds or seconds since 1970.
    """
    found = []
    for column in columns:
        number = f"CASE WHEN {column} < 1e11 THEN {column} ELSE {column} / 1000.0 END"
        seconds = (
            f"CASE typeof({column})"
            f" WHEN 'text' THEN (julianday({column}) - 2440587.5) * 86400.0"
            f" WHEN 'integer' THEN {number} WHEN 'real' THEN {number} END"
        )
        found.append(f"CASE WHEN ({seconds}) {_OUR_TIMES} THEN ({seconds}) END")
    return f"coalesce({', '.join(found)}, NULL)"


_UNSETTLED = (
    "SELECT id, symbol, mode, alpacaOrderId, status, createdAt, signalId,"  # noqa: S608 - constants only
    f" {seconds_sql('entryAt', 'createdAt')} AS placed"
    " FROM BotTrade WHERE settledAt IS NULL AND mode IN ('paper', 'live') AND"
)


def text_of(value: object) -> str | None:
    """Return what a column of text holds; None where it holds nothing."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return str(value)


def number_of(value: object) -> float | None:
    """Return what a column of numbers holds; None where that is no finite number."""
    # An `int | float` here is made anew at each call, and takes longer than the rest.
    return value if isinstance(value, (int, float)) and math.isfinite(value) else None


def exact(value: object) -> Decimal | None:
    """Return a column of amounts, in decimal text or a number; None where it is neither."""
    if isinstance(value, (int, float)) and math.isfinite(value):
        return Decimal(str(value))
    if isinstance(value, str):
        try:
            number = Decimal(value)
        except ArithmeticError:
            return None
        return number if number.is_finite() else None
    return None


def plain(number: Decimal) -> str:
    """Spell a number without an exponent or zeros at its end."""
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def id_of(value: object) -> str | None:
    """Return an id that the broker can be asked about; None where it is none."""
    if isinstance(value, str) and len(value) <= _LONGEST_ID and _REPLACED not in value:
        return value or None
    return None


def read_unsettled(db: sqlite3.Connection, now: float) -> list[Unsettled]:
    """Return our rows whose orders are not settled, oldest first.

    Left out are those whose id no order can have: nobody can be asked about them.

    Args:
        db: The rows.
        now: Seconds since 1970. A row without a readable date is as old as that.
    """
    rows = db.execute(
        f"{_UNSETTLED} status = 'open'"
        # Each half has its index.
        f" UNION ALL {_UNSETTLED} status <> 'open' ORDER BY createdAt"
    )
    return [
        Unsettled(
            trade_id=row["id"],
            symbol=text_of(row["symbol"]) or "",
            mode=row["mode"],
            order_id=id_of(row["alpacaOrderId"]),
            age_seconds=max(
                0.0, now - (now if row["placed"] is None else row["placed"])
            ),
            missed=row["status"] == "missed",
            signal_id=text_of(row["signalId"]),
        )
        for row in rows
        if id_of(row["id"]) is not None
    ]
