"""The commands that set things up, and try them: no trading is done here.

Each imports what it needs when it runs: the daemon's start reads this module too.
"""

from __future__ import annotations

from pathlib import Path

import click

from snexec.cli.examples import examples


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


@click.command(epilog=examples("snexec backup /backups/snexec.db"))
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_obj
def backup(config: Path, /, file: Path) -> None:
    """Copy the database to FILE, with or without a daemon that writes it.

    By SQLite's online backup: whole or not at all, checked, readable for you alone, and
    over an older one. To restore it, see "Restore a backup" in the README.
    """
    from snexec.cli.backup import run_backup

    run_backup(config, file)


@click.command(epilog=examples("snexec init", "snexec init ~/snexec"))
@click.argument(
    "folder", type=click.Path(path_type=Path), default=Path(), metavar="[DIR]"
)
def init(folder: Path) -> None:
    """Write a commented configuration to begin with, and say the next steps.

    In DIR, or here: config.toml, readable for you alone. It is simulated, so nothing is
    traded until you say so in it. Nothing is written over.
    """
    from snexec.cli.init import run_init

    run_init(folder)


COMMANDS = (backup, init, notify)
