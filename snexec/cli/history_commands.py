"""The commands that look back: a day in figures, and what became of signals.

Each imports what it needs when it runs: the daemon's start reads this module too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from snexec.cli.examples import examples

if TYPE_CHECKING:
    from pathlib import Path

    from snexec.cli.report import Length
    from snexec.cli.trades import Form


@click.command(
    epilog=examples(
        "snexec report",
        "snexec report --day 2026-01-05 --json | jq .results.pnl",
        "snexec report --week --mode live",
    )
)
@click.option("--day", metavar="DAY", help="As 2026-01-05.  [default: today]")
@click.option(
    "--week", "length", flag_value="week", help="The 7 days that end with that day."
)
@click.option("--month", "length", flag_value="month", help="The 30 days.")
@click.option("--mode", type=click.Choice(("paper", "live")))
@click.option("--json", "as_json", is_flag=True, help="The same figures by name.")
@click.pass_obj
def report(
    config: Path,
    /,
    *,
    day: str | None,
    length: Length | None,
    mode: str | None,
    as_json: bool,
) -> None:
    """Sum up a day: signals, orders, dollars, profit and loss, slippage, latency.

    A day is New York's. Orders count by when they were made, results by when they were
    closed. Reads the database, so it works whether or not the daemon runs.
    """
    from snexec.cli.report import run_report

    run_report(config, day, length or "day", mode, as_json=as_json)


@click.command(
    epilog=examples(
        "snexec signals --since 2h",
        "snexec signals --symbol AAPL --reason market_closed",
        "snexec signals --format json | jq 'group_by(.reason) | map(length)'",
    )
)
@click.option("--symbol", help="Ticker, such as AAPL, in any spelling.")
@click.option("--reason", help="Such as symbol_open, as the table shows it.")
@click.option("--outcome", type=click.Choice(("skipped", "placed", "refused")))
@click.option(
    "--since", metavar="TIME", help="Then or later: 2026-01-05, 2h, 3d, today."
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    help="The newest so many.  [default: 50 in a table, all in json and csv]",
)
@click.option("--all", "everything", is_flag=True, help="All that are kept.")
@click.option(
    "--format",
    "form",
    type=click.Choice(("table", "json", "csv")),
    default="table",
    show_default=True,
)
@click.pass_obj
def signals(
    config: Path,
    /,
    *,
    since: str | None,
    limit: int | None,
    everything: bool,
    form: Form,
    **columns: str | None,
) -> None:
    """Say what became of the last signals, and why; the newest comes last.

    The last 10,000 decisions are kept, a few seconds behind the orders; [log] signals =
    false keeps none. Reads the database, so it works whether or not the daemon runs.
    """
    if everything and limit is not None:
        raise click.UsageError("--all and --limit: only one of them")
    from snexec.cli.signals import run_signals

    newest = None if everything or form != "table" else 50
    run_signals(config, columns, since=since, limit=limit or newest, form=form)


COMMANDS = (report, signals)
