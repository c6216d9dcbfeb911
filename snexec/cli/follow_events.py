"""Follow what the daemon does, until stopped (SPEC 6)."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

import click

from snexec.cli.daemon_client import DaemonConnection, read_object
from snexec.cli.kept_settings import settings_to_ask_with
from snexec.logs import printable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def run_events(config: Path, *, as_json: bool) -> None:
    """Print each event as it comes; Ctrl-C and SIGTERM end it.

    Raises:
        ConfigError: The configuration cannot be used.
        CommandError: The daemon does not answer, or went away.
    """
    settings = settings_to_ask_with(config)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with DaemonConnection(settings, config) as connection:
            connection.ask(b'{"command":"events"}')
            show = _print_json if as_json else _line_printer()
            if not as_json:
                click.echo(f"following {connection.path}; Ctrl-C ends it", err=True)
            while True:
                show(connection.receive(None))
    except KeyboardInterrupt:
        return


def _print_json(line: bytes) -> None:
    click.echo(printable(line.decode(errors="replace")))
    sys.stdout.flush()


def _line_printer() -> Callable[[bytes], None]:
    # JSON needs no Rich.
    from snexec.cli.console import open_console, print_line
    from snexec.cli.event_words import line_of

    console = open_console()

    def show(line: bytes) -> None:
        event = read_object(line)
        if event is not None:
            print_line(console, line_of(event))
            console.file.flush()

    return show
