"""The commands of an operator: ask a daemon, read its rows, change its mode.

Each imports what it needs when it is run: the daemon's start reads this module too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pathlib import Path


def examples(*lines: str) -> str:
    """Return the end of a help page; its lines stay as they are."""
    return "\b\n" + "\n".join(("Examples:", *(f"  {line}" for line in lines)))


@click.command(
    epilog=examples(
        "snexec status",
        "snexec status --json | jq .openTrades",
    )
)
@click.option("--json", "as_json", is_flag=True, help="Print the daemon's answer.")
@click.pass_obj
def status(config: Path, /, *, as_json: bool) -> None:
    """Ask the running daemon how it is.

    Exit status: 1 if no daemon answers.
    """
    from snexec.cli.status import run_status  # noqa: PLC0415

    run_status(config, as_json=as_json)


@click.command(
    epilog=examples(
        "snexec events",
        "snexec events --json | jq 'select(.event == \"fill\")'",
    )
)
@click.option("--json", "as_json", is_flag=True, help="Print the events as they come.")
@click.pass_obj
def events(config: Path, /, *, as_json: bool) -> None:
    """Follow what the daemon does, until Ctrl-C.

    Exit status: 0 when you end it, 1 when the daemon goes away.
    """
    from snexec.cli.events import run_events  # noqa: PLC0415

    run_events(config, as_json=as_json)


COMMANDS = (
    status,
    events,
)
