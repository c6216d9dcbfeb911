"""A day, a week or a month in figures (SPEC 2, 15)."""

from __future__ import annotations

import json
import sqlite3
import sys
import textwrap
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any, Literal

import click

from snexec.cli.formats import dollars, percent, signed_dollars
from snexec.cli.kept_settings import settings_to_ask_with
from snexec.cli.report_figures import NEW_YORK, Period, figures
from snexec.cli.trades_query import open_rows, open_to_read
from snexec.model import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from snexec.cli.trades_query import Query

Length = Literal["day", "week", "month"]
_DAYS: dict[Length, int] = {"day": 1, "week": 7, "month": 30}
_INDENT = " " * 10
_LABELS = {"wireMs": "to the wire", "replyMs": "to the reply", "fillMs": "to the fill"}


def run_report(
    config: Path, day: str | None, length: Length, mode: str | None, *, as_json: bool
) -> None:
    """Print the figures of the days that end with one.

    Raises:
        UsageError: The day cannot be read.
        ConfigError: The configuration cannot be used.
        CommandError: The database cannot be read.
    """
    last = datetime.now(NEW_YORK).date() if day in {None, "today"} else _day(day or "")
    period = Period(last - timedelta(days=_DAYS[length] - 1), last)
    database = Path(settings_to_ask_with(config, rows_do=True).database)
    query = period.query(mode)
    ended = replace(period.query(mode, status="closed"), by="exitAt")
    money, created = _rows(database, query)
    _money, closed = _rows(database, ended)
    found = figures(created, closed, _signals(database, query, mode))
    head = {
        "from": period.first.isoformat(),
        "to": period.last.isoformat(),
        "mode": mode,
        "simulated": money == "simulated",
    }
    if as_json:
        click.echo(json.dumps(head | found, indent=2))
        return
    kind = " simulated," if head["simulated"] else ""
    click.echo(f"{period} (New York),{kind} {mode or 'paper and live'}")
    width = get_terminal_size().columns if sys.stdout.isatty() else None
    for line in _lines(found):
        click.echo(_folded(line, width))


def _folded(line: str, width: int | None) -> str:
    """Return a line within the screen, its rest below its words."""
    if width is None:
        return line
    return textwrap.fill(line, width, subsequent_indent=_INDENT, break_on_hyphens=False)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise click.UsageError(
            f"--day: {text!r} is no day: give 2026-01-05 or today"
        ) from None


def _rows(database: Path, query: Query) -> tuple[str | None, list[dict[str, object]]]:
    with open_rows(database, query) as found:
        if found is None:
            return None, []
        return found.money, list(found.rows)


def _signals(database: Path, query: Query, mode: str | None) -> dict[str, int] | None:
    """Return signals by outcome and reason, as far back as they are kept."""
    if not database.exists() or query.since is None or query.until is None:
        return None
    bounds = [
        datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")[:-6]
        for ms in (query.since, query.until)
    ]
    statement = (
        "SELECT CASE outcome WHEN 'skipped' THEN reason ELSE outcome END, count(*)"
        " FROM SignalLog WHERE at >= ? AND at < ? AND coalesce(mode = ?, 1)"
        " GROUP BY 1 ORDER BY 2 DESC, 1"
    )
    try:
        with closing(open_to_read(database)) as connection:
            rows = connection.execute(statement, [*bounds, mode]).fetchall()
    except sqlite3.Error:
        return None  # it is not kept
    return {str(outcome): int(count) for outcome, count in rows}


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    orders, results = found["orders"], found["results"]
    if found["signals"] is not None:
        yield f"signals   {_named(found['signals']) or 'none'}"
    text = f"{counted(orders['count'], 'order')}, {orders['bought']} bought"
    text += f"; {dollars(orders['dollarsOrdered'])} ordered"
    text += f", {dollars(orders['dollarsBought'])} bought"
    if orders["slippagePct"] is not None:
        text += f", slippage {percent(orders['slippagePct'])} on average"
    yield f"orders    {text}"
    if orders["missed"]:
        yield f"missed    {_named(orders['missed'])}"
    yield f"closed    {_result(results)}"
    if results["reasons"]:
        yield f"reasons   {_named(results['reasons'])}"
    if results["best"] != results["worst"]:
        best, worst = (_one(results[name]) for name in ("best", "worst"))
        yield f"best      {best}; worst {worst}"
    for name, times in found["latency"].items():
        if times is not None:
            shares = ", ".join(
                f"{key} {times[key]:g} ms" for key in times if key[0] == "p"
            )
            yield f"latency   {_LABELS[name]}: {shares}, of {times['count']}"


def _result(results: Mapping[str, Any]) -> str:
    if not results["closed"]:
        return "none"
    if results["pnl"] is None:
        return f"{results['closed']}, P&L not known"
    text = f"{results['closed']}: P&L {signed_dollars(results['pnl'])} before fees"
    text += f", {results['won']} won, {results['lost']} lost"
    text += f" ({results['winRate']:.0%} won)"
    return text + (f", {results['notKnown']} not known" if results["notKnown"] else "")


def _one(result: Mapping[str, Any]) -> str:
    return f"{result['symbol']} {signed_dollars(result['pnl'])}"


def _named(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())
