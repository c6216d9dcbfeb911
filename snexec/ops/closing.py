"""Closing positions by the operator's word: which may be, and what that does (SPEC 12.8)."""

from __future__ import annotations

import logging
import sqlite3
from typing import TYPE_CHECKING

from snexec.assets import asset_class
from snexec.errors import BrokerError
from snexec.ops.asking import client_of
from snexec.ops.positions import spelled, statuses_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from snexec.exits import CloseAnswer, PositionStatus
    from snexec.ledger import OpenRow
    from snexec.model import Mode
    from snexec.ops.exits import CloseRequest
    from snexec.ops.wings import Wings

log = logging.getLogger("Daemon")

_HALTED = (
    "halted for all, exits too (the file halt-all): no order leaves; to go on: snexec"
    " resume"
)


async def close(
    wings: Wings, asked: CloseRequest, *, dry_run: bool
) -> dict[str, object]:
    """Have the positions sold, or say what that would do; return the answer's fields.

    It answers once each sell is durable. A row that cannot be sold is named with its
    error, and keeps no other from being sold; where none can be, it is refused.
    """
    problem = _HALTED if wings.halt.is_all_halted() else ""
    if not wings.ledger.healthy:
        problem = problem or "the database cannot be written"
    if problem:
        return _refused(problem)
    try:
        rows = await wings.ledger.ask(wings.ledger.reader.open_rows)
    except sqlite3.Error as exc:
        return _refused(f"the database cannot be read: {exc}")
    statuses = statuses_of(wings)
    wanted, problems = await _sorted_out(wings, asked, rows)
    answers = [_unknown(symbol) for symbol in _without_row(asked.symbols, rows)]
    answers += [
        _answer(row, statuses, state="refused", error=why) for row, why in problems
    ]
    if wanted and dry_run:
        waits = await _waiting(wings, wanted) if asked.at_open else {}
        answers += [
            _answer(row, statuses, state="open") | waits.get(row.trade_id, {})
            for row in wanted
        ]
        return {"rows": _in_order(answers, asked, rows)}
    if wanted:
        symbols = [row.symbol for row in wanted]
        by_symbol = {row.symbol: row for row in wanted}
        for each in await wings.exits.close(
            symbols, at_open=asked.at_open, by=asked.by
        ):
            row = by_symbol[each.symbol]
            _log(each, row)
            answers.append(_done(each, row, statuses))
    answers = _in_order(answers, asked, rows)
    if all(each["state"] == "refused" for each in answers):
        return _refused(_said(answers) or "there is no open row", rows=answers)
    return {"rows": answers}


async def _sorted_out(
    wings: Wings, asked: CloseRequest, rows: list[OpenRow]
) -> tuple[list[OpenRow], list[tuple[OpenRow, str]]]:
    """Return the rows that can be sold, and those that cannot with the reason."""
    wanted: list[OpenRow] = []
    problems: list[tuple[OpenRow, str]] = []
    markets: dict[Mode, str] = {}
    for row in _chosen(asked.symbols, rows):
        problem = _why_not(row)
        if not problem and row.mode and not asset_class(row.symbol).around_the_clock:
            if row.mode not in markets:
                markets[row.mode] = await _market_problem(wings, row.mode, asked)
            problem = markets[row.mode]
        if problem:
            problems.append((row, problem))
        else:
            wanted.append(row)
    return wanted, problems


def _chosen(symbols: Sequence[str] | None, rows: list[OpenRow]) -> list[OpenRow]:
    if symbols is None:
        return rows
    names = {spelled(symbol) for symbol in symbols}
    return [row for row in rows if spelled(row.symbol) in names]


def _without_row(symbols: Sequence[str] | None, rows: list[OpenRow]) -> list[str]:
    known = {spelled(row.symbol) for row in rows}
    return [each for each in dict.fromkeys(symbols or ()) if spelled(each) not in known]


def _in_order(
    answers: list[dict[str, object]], asked: CloseRequest, rows: list[OpenRow]
) -> list[dict[str, object]]:
    """Return the answers in the order in which was asked; of all rows, oldest first."""
    symbols = asked.symbols or [row.symbol for row in rows]
    places = {spelled(each): place for place, each in enumerate(symbols)}
    return sorted(answers, key=lambda each: places[spelled(str(each["symbol"]))])


def _why_not(row: OpenRow) -> str:
    """Return why a row cannot be sold whatever the market does; empty if it can."""
    if row.mode is None:
        return "another program's row (it has no mode): it is not ours to sell"
    if row.shares is None:
        return "nothing of it is known to be bought yet"
    if not row.remaining:
        return "nothing of it is left to sell"
    return ""


async def _market_problem(wings: Wings, mode: Mode, asked: CloseRequest) -> str:
    """Return why shares are not sold now; empty if they are, or may wait."""
    if asked.at_open:
        return ""
    try:
        is_open = await _is_open(wings, mode)
    except (BrokerError, OSError) as exc:
        problem = str(exc) or type(exc).__name__
        return (
            f"whether the market is open could not be asked: {problem}; try again,"
            " or have it sold at the open: --at-open"
        )
    return "" if is_open else "the market is closed; to sell at its open: --at-open"


async def _is_open(wings: Wings, mode: Mode) -> bool:
    """Return whether the market is open, asking where that is not known."""
    is_open = wings.market.is_open(mode)
    if is_open is None:
        async with client_of(wings.accounts, mode) as client:
            is_open = (await client.market_clock()).is_open
    return is_open


async def _waiting(
    wings: Wings, rows: Sequence[OpenRow]
) -> dict[str, dict[str, object]]:
    """Return by row whether it is sold when the market opens; None if nobody knows."""
    waits: dict[Mode | None, bool | None] = {}
    for mode in {row.mode for row in rows if row.mode is not None}:
        try:
            waits[mode] = not await _is_open(wings, mode)
        except (BrokerError, OSError):
            waits[mode] = None
    return {
        row.trade_id: {
            "waits": waits.get(row.mode)
            if not asset_class(row.symbol).around_the_clock
            else False
        }
        for row in rows
    }


def _answer(
    row: OpenRow,
    statuses: dict[str, PositionStatus],
    *,
    state: str,
    error: str = "",
    shares: Decimal | None = None,
    exit_id: str | None = None,
) -> dict[str, object]:
    shares = row.remaining if shares is None else shares
    status = statuses.get(row.trade_id)
    last = None if status is None else status.price
    price = row.entry_price if last is None else last
    worth = None if price is None or shares is None else float(shares * price)
    at = "entry" if last is None else "last"
    return {
        "tradeId": row.trade_id,
        "symbol": row.symbol,
        "mode": row.mode,
        "shares": None if shares is None else float(shares),
        "dollars": worth,
        "dollarsAt": None if worth is None else at,
        "exitId": exit_id,
        "state": state,
        "error": error or None,
    }


def _done(
    each: CloseAnswer, row: OpenRow, statuses: dict[str, PositionStatus]
) -> dict[str, object]:
    return _answer(
        row,
        statuses,
        state=each.state,
        error=each.error,
        shares=each.shares,
        exit_id=each.exit_id,
    )


def _unknown(symbol: str) -> dict[str, object]:
    return {
        "tradeId": None,
        "symbol": symbol,
        "mode": None,
        "shares": None,
        "dollars": None,
        "dollarsAt": None,
        "exitId": None,
        "state": "refused",
        "error": "it has no open row",
    }


def _said(answers: list[dict[str, object]]) -> str:
    return "; ".join(f"{each['symbol']}: {each['error']}" for each in answers)


def _log(each: CloseAnswer, row: OpenRow) -> None:
    if each.state == "refused":
        log.warning(
            "%s trade=%s is not closed by the operator's word: %s",
            each.symbol,
            row.trade_id,
            each.error,
        )


def _refused(
    why: str, *, rows: list[dict[str, object]] | None = None
) -> dict[str, object]:
    return {"status": "refused", "error": why, "rows": rows or []}
