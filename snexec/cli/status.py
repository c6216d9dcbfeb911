"""Show the state of the running daemon (SPEC 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from snexec.cli.daemon_client import read_object, status_line
from snexec.cli.kept_settings import settings_to_ask_with
from snexec.errors import CommandError
from snexec.logs import printable

if TYPE_CHECKING:
    from pathlib import Path


def run_status(config: Path, *, as_json: bool) -> None:
    """Print the daemon's answer as it came, or as a page for people.

    Raises:
        ConfigError: The configuration cannot be used.
        CommandError: The daemon does not answer.
    """
    settings = settings_to_ask_with(config)
    line = status_line(settings, config)
    if as_json:
        click.echo(printable(line.decode(errors="replace")))
        return
    answer = read_object(line)
    if answer is None:
        raise CommandError(f"what listens at {settings.intake.socket} is no snexec")
    from snexec.cli.status_page import print_page  # a JSON answer needs no Rich

    print_page(answer)
    if answer.get("openTrades"):
        from snexec.cli.check_rows import print_outlived  # uses the network

        print_outlived(settings)
