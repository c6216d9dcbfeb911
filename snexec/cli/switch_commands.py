"""The commands that work the kill switch, with or without a daemon (SPEC 12.8).

Each imports what it needs when it runs: the daemon's start reads this module too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from snexec.cli.examples import examples

if TYPE_CHECKING:
    from pathlib import Path


@click.command(
    epilog=examples(
        'snexec halt --reason "the feed repeats itself"',
        'snexec halt --all --reason "the broker\'s prices are wrong"',
        "snexec status",
        "snexec resume",
    )
)
@click.option("--reason", metavar="TEXT", help="Shown wherever the halt is shown.")
@click.option(
    "--all", "for_all", is_flag=True, help="Stop exits too: no order leaves at all."
)
@click.argument("words", nargs=-1, metavar="[TEXT]...")
@click.pass_obj
def halt(
    config: Path, /, *, reason: str | None, for_all: bool, words: tuple[str, ...]
) -> int:
    """Stop every buy at once, until resume; exits go on, but with --all.

    Makes a file named halt (halt-all with --all) beside the configuration and tells the
    running daemon. The file alone is enough, so that touch halt does the same, with or
    without a daemon. It stays over restarts. Orders that have left are still confirmed,
    and stops that rest at the broker stay there.

    Exit status: 1 if neither the file could be made nor the daemon told.
    """
    from snexec.cli.halt_resume import run_halt

    words = tuple(filter(None, (reason, *words)))
    return run_halt(config, " ".join(words), for_all=for_all)


@click.command(epilog=examples("snexec resume"))
@click.pass_obj
def resume(config: Path, /) -> int:
    """End a halt of either kind: remove its files, and tell the running daemon.

    Where min_win_rate has stopped signals, it counts what is closed from now on.

    Exit status: 1 if it is halted still.
    """
    from snexec.cli.halt_resume import run_resume

    return run_resume(config)


COMMANDS = (halt, resume)
