"""List BotTrade rows, whether or not a daemon runs (SPEC 2)."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from snexec.cli.dates import milliseconds, parse_time
from snexec.cli.formats import number
from snexec.cli.kept_settings import settings_to_ask_with
from snexec.cli.trades_query import LATENCIES, Query, open_rows
from snexec.ledger import column_names
from snexec.sheets import cell

if TYPE_CHECKING:
    from collections.abc import Iterator

_NEWEST = 50  # rows of a table, unless more are asked for

Form = Literal["table", "json", "csv"]


def run_trades(
    config: Path,
    query: Query,
    *,
    since: str | None,
    until: str | None,
    form: Form,
    latency: bool,
    everything: bool = False,
) -> None:
    """Print the matching rows, the newest last; a table has the newest 50 by default.

    Raises:
        UsageError: A time cannot be parsed.
        ConfigError: The configuration cannot be used.
        CommandError: The database cannot be read.
    """
    now = datetime.now(UTC)
    if form == "table" and query.limit is None and not everything:
        query = replace(query, limit=_NEWEST)
    query = replace(
        query,
        since=_moment("--since", since, now),
        until=_moment("--until", until, now),
    )
    settings = settings_to_ask_with(config, rows_do=True)
    with open_rows(Path(settings.database), query) as found:
        rows: Iterator[dict[str, object]] = iter(()) if found is None else found.rows
        columns = list(column_names()) if found is None else found.columns
        extra = [name for name in LATENCIES if latency and name not in columns]
        if form == "table":
            from snexec.cli.trades_table import print_trades  # the others need no Rich

            money = None if found is None else found.money
            listed = list(rows)
            print_trades(listed, now=now, money=money, latency=latency)
            if found is not None and len(listed) == query.limit:
                _say_more(found.matching(), len(listed))
            if any(row.get("status") == "open" for row in listed):
                from snexec.cli.check_rows import print_outlived  # uses the network

                print_outlived(settings)
        elif form == "csv":
            _print_csv(rows, [*columns, *extra])
        else:
            _print_json(rows, [*columns, *extra])


def _say_more(matching: int, listed: int) -> None:
    if matching > listed:
        click.echo(f"the newest {listed} of {matching:,}; all of them: --all")


def _moment(option: str, text: str | None, now: datetime) -> int | None:
    if text is None:
        return None
    try:
        return milliseconds(parse_time(text, now))
    except ValueError as exc:
        raise click.UsageError(f"{option}: {exc}") from None


def _print_json(rows: Iterator[dict[str, object]], columns: list[str]) -> None:
    """Print one array, a row on each line, without holding all of it in memory."""
    begin = "["
    for row in rows:
        values = {name: _json_value(row.get(name)) for name in columns}
        click.echo(f"{begin}\n{json.dumps(values)}", nl=False)
        begin = ","
    click.echo("[]" if begin == "[" else "\n]")


def _print_csv(rows: Iterator[dict[str, object]], columns: list[str]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([cell(name) for name in columns])
    for row in rows:
        writer.writerow([cell(row.get(name)) for name in columns])


def _json_value(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and number(value) is None:
        return None  # JSON has no infinity
    return value
