"""What became of signals, and why, from the log of them (SPEC 2, 15)."""

from __future__ import annotations

import csv
import json
import sqlite3
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from snexec.cli.dates import parse_time
from snexec.cli.formats import foreign
from snexec.cli.kept_settings import settings_to_ask_with
from snexec.cli.trades import Form
from snexec.cli.trades_query import open_to_read
from snexec.clock import timestamp
from snexec.errors import CommandError
from snexec.ledger import symbol_key
from snexec.sheets import cell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_COLUMNS = ("at", "signalId", "symbol", "mode", "outcome", "reason", "figures")
_KNOWN = "SELECT count(*) FROM sqlite_master WHERE name = 'SignalLog'"


def run_signals(
    config: Path,
    columns: Mapping[str, str | None],
    *,
    since: str | None,
    limit: int | None,
    form: Form,
) -> None:
    """Print the decisions that match, the newest last.

    Raises:
        UsageError: The time cannot be read.
        ConfigError: The configuration cannot be used.
        CommandError: The database cannot be read.
    """
    moment = None if since is None else _moment(since)
    settings = settings_to_ask_with(config, rows_do=True)
    database = Path(settings.database)
    rows: list[tuple[object, ...]] = []
    if database.exists():
        try:
            rows = _read(database, columns, moment, limit)
        except sqlite3.Error as exc:
            raise CommandError(f"database: {database} cannot be read: {exc}") from None
    match form:
        case "json":
            found = [dict(zip(_COLUMNS, row, strict=True)) for row in rows]
            for each in found:
                each["figures"] = _figures(each["figures"])
            click.echo(json.dumps(found, indent=2, default=str))
        case "csv":
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow(_COLUMNS)
            writer.writerows([cell(value) for value in row] for row in rows)
        case "table":
            _print(rows)
            if not settings.log.signals:
                click.echo("[log] signals = false: no more are kept")


def _moment(text: str) -> str:
    try:
        return timestamp(parse_time(text, datetime.now(UTC)))
    except ValueError as exc:
        raise click.UsageError(f"--since: {exc}") from None


def _read(
    database: Path,
    columns: Mapping[str, str | None],
    moment: str | None,
    limit: int | None,
) -> list[tuple[object, ...]]:
    conditions, values = ["1"], list[object]()
    for name, value in columns.items():
        if value is not None:
            values.append(value)
            given = f"?{len(values)}"
            same = f"{name} = {given}"
            if name == "symbol":
                same = f"{symbol_key('symbol')} = {symbol_key(given)}"
            conditions.append(same)
    if moment is not None:
        values.append(moment)
        conditions.append(f"at >= ?{len(values)}")
    statement = (
        f"SELECT {', '.join(_COLUMNS)} FROM SignalLog"  # noqa: S608 - names of our own
        f" WHERE {' AND '.join(conditions)} ORDER BY rowid DESC LIMIT {limit or -1}"
    )
    with closing(open_to_read(database)) as connection:
        if not connection.execute(_KNOWN).fetchone()[0]:
            return []
        rows = connection.execute(statement, values).fetchall()
    return [tuple(row) for row in reversed(rows)]


def _figures(text: object) -> object:
    try:
        return None if text is None else json.loads(str(text))
    except ValueError:
        return text


def _said(more: object) -> str:
    """Return the figures of what was skipped, for a person."""
    found = _figures(more)
    if not isinstance(found, dict):
        return ""
    return ", ".join(
        f"{foreign(name)} {_value(value)}" for name, value in found.items()
    )


def _value(value: object) -> str:
    if isinstance(value, int | float):
        return f"{value:,.15g}"
    return "none" if value is None else foreign(value)


def _print(rows: Sequence[tuple[object, ...]]) -> None:
    from rich.text import Text  # JSON needs no Rich

    from snexec.cli.console import new_grid, open_console, print_grid
    from snexec.cli.event_words import STYLES
    from snexec.model import counted

    console = open_console()
    grid = new_grid("dim", "bold", "", "")
    for at, signal_id, symbol, mode, outcome, reason, more in rows:
        words = "" if reason is None else foreign(reason)
        if outcome == "skipped" and (said := _said(more)):
            words += f" ({said})"
        if signal_id is not None:
            words = f"{words}  signal={foreign(signal_id)}".strip()
        style = STYLES.get(str(outcome), "")
        grid.add_row(
            foreign(at),
            foreign(symbol),
            foreign(mode),
            Text(foreign(outcome), style),
            words,
        )
    if rows:
        print_grid(console, grid)
    click.echo(counted(len(rows), "decision"))
