"""The commands that set things up, and try them: no trading is done here.

Each imports what it needs when it runs: the daemon's start reads this module too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from snexec.cli.examples import examples

if TYPE_CHECKING:
    from pathlib import Path


@click.command(epilog=examples("snexec notify --test"))
@click.option("--test", is_flag=True, required=True, help="Send one message now.")
@click.pass_obj
def notify(config: Path, /, *, test: bool) -> int:
    """Send a notification to whoever [notify] names, to see that it arrives.

    Works with or without a daemon.

    Exit status: 1 if one of them did not take it.
    """
    del test  # nothing else can be asked for
    from snexec.cli.notify import run_notify

    return run_notify(config)


COMMANDS = (notify,)
