"""Compares open rows with what the account holds: a row may outlive its position.

Only looks: the operator ends such a row with ``snexec settle``.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import trio

from snexec.assets import asset_class, position_symbol
from snexec.broker import amount
from snexec.cli.account_client import endpoint_of, open_account
from snexec.cli.check_findings import Finding, masked, ok, print_findings, warn
from snexec.cli.console import open_console
from snexec.cli.trades_query import open_to_read
from snexec.clock import timestamp
from snexec.errors import BrokerError, NotFoundError
from snexec.ledger import has_exits, sold_shares
from snexec.model import MODES

if TYPE_CHECKING:
    from snexec.cli.account_client import AccountClient
    from snexec.model import Mode
    from snexec.settings import Settings

_ASKED_ONE_BY_ONE = 20  # requests, which a daemon may need
_LISTING_SECONDS = 3.0  # a listing does not wait long for what stands below it
_POSITIONS_LAG = timedelta(seconds=15)
_OPEN = (
    "SELECT id, symbol, shares FROM BotTrade WHERE status = 'open' AND mode = :mode"
    " AND (shares > 0 OR (shares IS NULL AND entryPrice IS NOT NULL))"
    " AND updatedAt <= :latest"
)
# What is just being sold is in no position for certain.
_NOT_BEING_SOLD = (
    " AND NOT EXISTS (SELECT 1 FROM BotExit WHERE tradeId = BotTrade.id"
    " AND (settledAt IS NULL OR updatedAt > :latest))"
)


class OpenRow(NamedTuple):
    """A row that has bought.

    Attributes:
        shares: What it holds, None where that is not known.
        fee: How much of it the broker may have kept.
    """

    trade_id: str
    symbol: str
    shares: Decimal | None
    fee: Decimal


async def check_open_rows(
    broker: AccountClient, settings: Settings, mode: Mode
) -> list[Finding]:
    """Check that the account holds what a mode's open rows say.

    Rows that changed in the last 15 s are left out: positions may lag behind fills.
    """
    rows = _open_rows(settings, mode)
    if not rows:
        return []
    try:
        found = await _compare(broker, rows, mode)
    except BrokerError as exc:
        return [warn(f"{mode} rows", f"{len(rows)} open, not compared: {exc}")]
    return found or [ok(f"{mode} rows", f"{len(rows)} open, and held by the account")]


def print_outlived(settings: Settings) -> None:
    """Print a line for each open row of which the account holds nothing, or less.

    Nothing where nothing is wrong; a mode without keys or open rows is not asked.
    """
    if settings.alpaca.simulate:
        return  # that exchange runs within the daemon only
    modes = [mode for mode in MODES if _open_rows(settings, mode)]
    found = trio.run(_ask_modes, settings, modes) if modes else []
    wrong = [finding for finding in found if finding.result != "OK"]
    if wrong:
        print_findings(open_console(), masked(wrong, settings))


async def _ask_modes(settings: Settings, modes: list[Mode]) -> list[Finding]:
    found: dict[Mode, list[Finding]] = {mode: [] for mode in modes}
    async with trio.open_nursery() as nursery:
        for mode in modes:
            nursery.start_soon(_ask_mode, settings, mode, found[mode])
    return [finding for mode in modes for finding in found[mode]]


async def _ask_mode(settings: Settings, mode: Mode, found: list[Finding]) -> None:
    endpoint = endpoint_of(mode, settings)
    if endpoint is None:
        return
    try:
        with trio.fail_after(_LISTING_SECONDS):
            async with open_account(endpoint) as broker:
                found += await check_open_rows(broker, settings, mode)
    except trio.TooSlowError:
        why = f"no answer within {_LISTING_SECONDS:g} s"
        found.append(warn(f"{mode} rows", f"not compared with the account: {why}"))
    except OSError as exc:
        found.append(warn(f"{mode} rows", f"not compared with the account: {exc}"))


async def _compare(
    broker: AccountClient, rows: list[OpenRow], mode: Mode
) -> list[Finding]:
    held = {
        position_symbol(str(position.get("symbol"))): amount(position.get("qty"))
        for position in await broker.get_list("/v2/positions")
    }
    unlisted = [row.symbol for row in rows if position_symbol(row.symbol) not in held]
    async with trio.open_nursery() as nursery:
        # The list alone proves nothing (SPEC 12.8a).
        for symbol in unlisted[:_ASKED_ONE_BY_ONE]:
            nursery.start_soon(_ask_one, broker, symbol, held)
    found: list[Finding] = []
    not_compared = 0
    for row in rows:
        holds = held.get(position_symbol(row.symbol))
        if holds is None:
            not_compared += 1
        elif not holds or holds < _least(row):
            found.append(_outlived(row, holds, mode))
    if not_compared:
        why = "their positions cannot be read, or are too many to ask for"
        found.append(warn(f"{mode} rows", f"{not_compared} not compared: {why}"))
    return found


def _least(row: OpenRow) -> Decimal:
    """Return the smallest position that a row may have: a coin's fee is kept in it."""
    return (row.shares or Decimal(0)) - row.fee


async def _ask_one(
    broker: AccountClient, symbol: str, held: dict[str, Decimal | None]
) -> None:
    """Add what the account holds of a symbol, unless that cannot be read."""
    name = position_symbol(symbol)
    try:
        position = await broker.get(f"/v2/positions/{name}")
    except NotFoundError:
        held[name] = Decimal(0)
    except BrokerError:
        return
    else:
        held[name] = amount(position.get("qty"))


def _outlived(row: OpenRow, holds: Decimal, mode: Mode) -> Finding:
    shares = "an unknown quantity of" if row.shares is None else row.shares
    says = f"{row.trade_id}: the row holds {shares} {row.symbol}, {mode}"
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
    """Read the rows that have bought; none where the check of the database says why."""
    path = Path(settings.database)
    if not path.exists():
        return []
    values = {"mode": mode, "latest": timestamp(datetime.now(UTC) - _POSITIONS_LAG)}
    try:
        with closing(open_to_read(path)) as connection:
            selling = _NOT_BEING_SOLD if has_exits(connection) else ""
            rows = connection.execute(
                f"{_OPEN}{selling} ORDER BY createdAt", values
            ).fetchall()
            return [_open_row(connection, *row) for row in rows]
    except sqlite3.Error:
        return []


def _open_row(
    connection: sqlite3.Connection, trade_id: object, symbol: object, bought: object
) -> OpenRow:
    shares = amount(bought)
    fee = (shares or Decimal(0)) * asset_class(str(symbol)).largest_fee
    if shares is not None:
        shares -= sold_shares(connection, str(trade_id))
    return OpenRow(str(trade_id), str(symbol), shares, fee)
