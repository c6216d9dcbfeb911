"""The kill switch's two commands, which work with or without a daemon."""

from __future__ import annotations

import contextlib
import getpass
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snexec.cli.daemon_client import DaemonConnection, read_object
from snexec.cli.formats import foreign
from snexec.cli.kept_settings import settings_and_problem
from snexec.clock import SystemClock, timestamp
from snexec.errors import CommandError, ConfigError, NoDaemonError
from snexec.logs import SecretMask
from snexec.risk import (
    ALL_FILE_NAME,
    FILE_NAME,
    Halt,
    exits_words,
    halt_files,
    mended,
    read_halt,
    remove_halt,
    write_halt,
)
from snexec.settings import learn_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

_UNTOLD = "the daemon was not told, it looks at the file by itself"


def run_halt(config: Path, reason: str | None, *, for_all: bool = False) -> int:
    """Make the file, tell the daemon, print what was done; return the exit status.

    Args:
        config: The configuration, beside which the file is made.
        reason: Why.
        for_all: Whether exits are halted too.

    Raises:
        ConfigError: There is no such folder.
    """
    _refuse_missing(config)
    mask = _mask(config)
    reason = mended((reason or "").strip(), default="by hand", mask=mask)
    by = mended(f"{_user()} (snexec halt)", default="somebody", mask=mask)
    path = halt_files(config, name=ALL_FILE_NAME if for_all else FILE_NAME)[0]
    done = False
    try:
        earlier = read_halt((path,))
        write_halt(
            path, Halt(reason=reason, since=timestamp(SystemClock().now()), by=by)
        )
    except OSError as exc:
        click.echo(f"snexec: {path} cannot be made: {exc.strerror}", err=True)
    else:
        done = True
        click.echo(
            f"halted, {exits_words(stops_all=for_all)}: {path} is made; it stays over"
            " restarts, until: snexec resume"
            if earlier is None
            else f"halted already, {exits_words(stops_all=for_all)}: {earlier.reason}"
            f" (since {earlier.since})"
        )
    request = {"command": "halt", "reason": reason, "by": by, "all": for_all}
    answer = _ask_daemon(config, request)
    if answer is not None:
        halted = answer.get("halted") is True
        done = done or halted
        if halted and for_all and answer.get("all") is not True:
            done = False  # an older daemon, which sells all the same
        click.echo(
            f"the daemon says: halted, {_reach(answer)}"
            if halted
            else f"the daemon says: {json.dumps(answer)}"
        )
    return 0 if done else 1


def run_resume(config: Path) -> int:
    """Remove the file, tell the daemon, print what was done; return the exit status.

    Raises:
        ConfigError: There is no such folder.
    """
    _refuse_missing(config)
    files = (*halt_files(config), *halt_files(config, name=ALL_FILE_NAME))
    problem = None
    try:
        removed = remove_halt(files)
    except OSError as exc:
        path = exc.filename or files[0]
        problem = f"snexec: {path} cannot be removed: {exc.strerror}"
    else:
        names = ", ".join(map(str, removed))
        click.echo(f"{names} is removed" if removed else f"there is no {files[0]}")
    answer = _ask_daemon(config, {"command": "resume"})
    if answer is not None and answer.get("halted") is False:
        click.echo("the daemon says: orders are placed again")
        if answer.get("winRateAnew") is True:
            click.echo("min_win_rate had stopped them: it counts anew from now on")
        return 0
    if answer is not None:
        click.echo(f"the daemon says: {foreign(answer.get('error') or answer)}")
    if problem is not None:
        click.echo(problem, err=True)
    return 1 if problem is not None or answer is not None else 0


def _reach(answer: Mapping[str, Any]) -> str:
    if answer.get("all") is True:
        return "no order leaves any more, exits are halted too"
    return "nothing is bought any more, exits go on"


def _refuse_missing(config: Path) -> None:
    # A misspelt path must not halt a folder that no daemon looks at.
    if not config.exists():
        raise ConfigError(f"{config}: No such file or directory")


def _ask_daemon(config: Path, request: Mapping[str, object]) -> dict[str, Any] | None:
    """Ask the daemon and return its answer; if there is none, print so."""
    problem: ConfigError | None = None
    try:
        settings, problem = settings_and_problem(config)
        with DaemonConnection(settings, config) as connection:
            answer = read_object(connection.ask(json.dumps(request).encode()))
    except NoDaemonError:
        if problem is not None:
            click.echo(f"{_UNTOLD} ({problem})", err=True)
        else:
            click.echo("no daemon runs; the next start looks at the file")
        return None
    except (CommandError, ConfigError) as exc:
        click.echo(f"{_UNTOLD} ({exc})", err=True)
        return None
    return answer or {}


def _mask(config: Path) -> SecretMask:
    """Return what keeps secrets out of the file, as far as they can be told."""
    mask = SecretMask()
    with contextlib.suppress(Exception):  # whatever it is, it keeps nobody from halting
        learn_secrets(mask, settings_and_problem(config)[0])
    return mask


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "somebody"
