"""Change ``mode`` in the configuration file, and see the daemon follow (SPEC 2)."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from snexec.cli.blocked_symbols import blocked_symbols
from snexec.cli.daemon_client import DaemonConnection, ask_status, read_object
from snexec.cli.formats import foreign
from snexec.cli.mode_file import write_mode
from snexec.errors import CommandError, NoDaemonError
from snexec.risk import is_unlimited, unlimited_words
from snexec.settings import load_settings

if TYPE_CHECKING:
    from snexec.model import Mode
    from snexec.settings import Settings

_FOLLOW_SECONDS = 15.0
_LOOK_EVERY_SECONDS = 0.05


def run_mode(config: Path, mode: Mode, *, sure: bool) -> None:
    """Change the mode, and wait until the daemon runs it.

    Args:
        config: The file to change.
        mode: The mode to run from now on.
        sure: Do not ask before switching to live.

    Raises:
        ConfigError: The configuration cannot be used.
        CommandError: The switch was not confirmed, the file cannot be written, or the
            daemon does not follow.
    """
    settings = load_settings(config)
    running = _running_mode(settings, config)
    if settings.mode == mode and running in {None, mode}:
        also = "and no daemon runs" if running is None else "and so does the daemon"
        click.echo(f"{config} says {mode} already, {also}: nothing to do")
        return
    if mode == "live" and not sure:
        _refuse_without_terminal()
    if mode == "live":
        _print_account(settings)
        if blocked := blocked_symbols(Path(settings.database)):
            click.echo(blocked)
    if mode == "live" and not sure:
        _confirm()
    if settings.mode != mode:
        write_mode(config, mode)
        click.echo(f'{config}: mode = "{mode}" (was "{settings.mode}")')
    _make_daemon_follow(settings, config, mode)


def _running_mode(settings: Settings, config: Path) -> str | None:
    """Return the mode of the running daemon; None if none runs."""
    try:
        return str(ask_status(settings, config).get("mode"))
    except NoDaemonError:
        return None


def _refuse_without_terminal() -> None:
    if not sys.stdin.isatty():
        raise CommandError(
            "live asks for confirmation, and there is no terminal: give --yes;"
            " nothing was changed"
        )


def _print_account(settings: Settings) -> None:
    if settings.alpaca.simulate:
        click.echo(
            "SIMULATED: the built-in exchange answers for live as well; no money moves"
        )
        return
    # It uses the network: a Trio program of its own.
    from snexec.cli.account_client import account_statement

    click.echo("LIVE: from then on orders are placed with real money")
    click.echo(account_statement(settings))
    if is_unlimited(settings.bot):
        click.echo(f"WARNING: {unlimited_words()}; see [bot]")


def _confirm() -> None:
    typed = click.prompt("Type the word live to switch", default="", show_default=False)
    if typed.strip() != "live":
        raise CommandError("not confirmed: nothing was changed")


def _make_daemon_follow(settings: Settings, config: Path, mode: Mode) -> None:
    try:
        status = ask_status(settings, config)
        if status.get("mode") != mode:
            _have_it_read_again(settings, config)
            status = _wait_for_mode(settings, config, mode)
    except NoDaemonError:
        click.echo("no daemon runs; the next start uses it")
        return
    kind = "SIMULATED" if status.get("simulate") else "LIVE" if mode == "live" else ""
    click.echo(
        f"the daemon (pid {foreign(status.get('pid'))}) runs {mode} now{f' ({kind})' if kind else ''},"
        f" stream {foreign(status.get('stream'))}"
    )


def _have_it_read_again(settings: Settings, config: Path) -> None:
    # Over its socket: the pid that it has, or says, may be another's in our namespace.
    with DaemonConnection(settings, config) as connection:
        answer = read_object(connection.ask(b'{"command":"reload"}')) or {}
    match answer.get("status"):
        case "ok":
            return
        case "refused":
            raise CommandError(
                f"the file is changed, and the daemon refuses it: {answer.get('error')}"
            )
        case _:
            raise CommandError(
                "the file is changed, and the daemon cannot be told over its socket"
                " to read it: restart it, or send it SIGHUP"
            )


def _wait_for_mode(settings: Settings, config: Path, mode: Mode) -> dict[str, object]:
    deadline = time.monotonic() + _FOLLOW_SECONDS
    while True:
        status = ask_status(settings, config)
        if status.get("mode") == mode and status.get("stream") != "connecting":
            return status
        if time.monotonic() > deadline:
            if status.get("mode") == mode:
                return status
            raise CommandError(
                f"the file is changed, and the daemon still runs {status.get('mode')}"
                f" after {_FOLLOW_SECONDS:g} s: its log says why"
            )
        time.sleep(_LOOK_EVERY_SECONDS)
