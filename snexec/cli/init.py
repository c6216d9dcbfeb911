"""Write a configuration to begin with, and say the next steps (SPEC 2, 15)."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

import snexec
from snexec.errors import CommandError
from snexec.permissions import folder_lies_open

_NAME = "config.toml"
_PACKAGE = Path(snexec.__file__).parent
# In a wheel; and in a checkout, where it stands beside the package.
_SHIPPED = (_PACKAGE / "shipped" / _NAME, _PACKAGE.parent / _NAME)


def shipped_config() -> str:
    """Return the configuration that snexec comes with, comments and all.

    Raises:
        CommandError: This installation has none.
    """
    for path in _SHIPPED:
        if path.is_file():
            return path.read_text()
    raise CommandError("this installation has no configuration to write: reinstall it")


def run_init(folder: Path) -> None:
    """Make the folder, write the file, and print what to do next.

    Raises:
        CommandError: There is a file already, or it cannot be written.
    """
    text = shipped_config()
    path = folder / _NAME
    try:
        made = _make_folder(folder)
    except OSError as exc:
        raise CommandError(f"{path} cannot be written: {exc.strerror}") from None
    try:
        # Made anew or not at all, and never readable for others: keys may come in it.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise CommandError(f"{path} is there already: nothing was written") from None
    except OSError as exc:
        raise CommandError(f"{path} cannot be written: {exc.strerror}") from None
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    if made:
        click.echo(f"{folder} is made, for you alone")
    elif folder_lies_open(folder):
        click.echo(f"others may write {folder}: chmod go-w {shlex.quote(str(folder))}")
    click.echo(f"{path} is written: simulated, nothing is traded\n")
    click.echo(_next_steps(path))


def _make_folder(folder: Path) -> bool:
    """Make a folder for its owner alone; return whether it was not there."""
    if folder.is_dir():
        return False
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700)
    return True


def _next_steps(path: Path) -> str:
    command = "snexec"
    if path.parent != Path():
        command = f"snexec --config {shlex.quote(str(path))}"
    send = "send --symbol AAPL --category test --tier 1 --price 187.2 --wait"
    return (
        "Next:\n"
        f"  1. run it, against the built-in exchange:  {command}\n"
        f"  2. from another terminal, send a signal:\n"
        f"     {command} {send}\n"
        "  3. for Alpaca's paper account: set simulate = false and another database in"
        " it, put\n"
        "     APCA_PAPER_API_KEY_ID and APCA_PAPER_API_SECRET_KEY in the environment,"
        " then\n"
        f"     {command} check"
    )
