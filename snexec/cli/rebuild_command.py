"""The command that writes the rows of orders that the database lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from snexec.cli.examples import examples

if TYPE_CHECKING:
    from pathlib import Path


@click.command(epilog=examples("snexec rebuild", "snexec rebuild --since 2026-01-05"))
@click.option(
    "--since",
    metavar="TIME",
    help="Ordered then or later: 2026-01-05, 2026-01-05T14:30 (UTC unless it names a"
    " zone), 2h, 30d ago, or today.  [default: 7d]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
@click.pass_obj
def rebuild(config: Path, /, *, since: str | None, as_json: bool) -> int:
    """Write rows for orders of ours that the broker has and the database does not.

    For a lost database, or an older one that was put back. Asks every account with keys,
    through the running daemon or by itself; nothing is ordered. A row is open while the
    account holds what its order bought, and closed if that was sold.

    Exit status: 1 if an account could not be asked, or a row could not be written.
    """
    from snexec.cli.rebuild import run_rebuild

    return run_rebuild(config, since, as_json=as_json)
