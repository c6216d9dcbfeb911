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


COMMANDS = (report,)
