"""Where a running daemon's files are, kept beside its socket for the commands (SPEC 15).

They are asked for where the configuration has a mistake, which may be in a file's name.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snexec.errors import ConfigError
from snexec.logs import printable
from snexec.settings import load_settings, read_what_can_be
from snexec.small_files import read_small_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snexec.settings import Settings

_ENDING = ".settings"
_MAX_BYTES = 16 * 1024
_MOST_FILES = 100
_PROBE_SECONDS = 5.0


@contextlib.contextmanager
def keep_settings(config: Path, settings: Settings) -> Iterator[None]:
    """Keep where this daemon's files are, for as long as the block lasts."""
    path = Path(f"{settings.intake.socket}{_ENDING}")
    values = {
        "config": str(config.resolve()),
        "socket": settings.intake.socket,
        "database": settings.database,
        "simulate": settings.alpaca.simulate,
    }
    # Whoever cannot write it has a disk to see to, and that is said elsewhere.
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(values, file)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def settings_to_ask_with(config: Path, *, rows_do: bool = False) -> Settings:
    """Return the settings; of a file with a mistake what can be read, saying so.

    Args:
        config: The file.
        rows_do: Whether the database is enough where no daemon answers.

    Raises:
        ConfigError: The file has a mistake, and without it there is nothing to ask.
    """
    settings, problem = settings_and_problem(config)
    if problem is not None:
        rows = rows_do and Path(settings.database).exists()
        if not rows and not _is_answered(Path(settings.intake.socket)):
            raise problem
        say_mistake(problem)
    return settings


def say_mistake(problem: ConfigError) -> None:
    """Say what is wrong with the file, where it does not matter."""
    text = printable(" ".join(str(problem).split()))
    click.echo(f"snexec: {text}; going on with what can be read", err=True)


def settings_and_problem(config: Path) -> tuple[Settings, ConfigError | None]:
    """Return the settings as far as they can be known, and what is wrong with the file.

    Raises:
        ConfigError: There is nothing to go by.
    """
    try:
        return load_settings(config), None
    except ConfigError as exc:
        if not config.exists():
            raise
        problem = exc
    try:
        settings = read_what_can_be(config)
    except ConfigError:
        raise problem from None
    kept = _find_kept(config, Path(settings.intake.socket))
    if kept is None:
        return settings, problem
    intake = settings.intake.model_copy(update={"socket": kept["socket"]})
    alpaca = settings.alpaca.model_copy(update={"simulate": kept["simulate"]})
    update = {"intake": intake, "alpaca": alpaca, "database": kept["database"]}
    return settings.model_copy(update=update), problem


def _is_answered(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_SECONDS)
        try:
            probe.connect(str(path))
        except OSError as exc:
            return isinstance(exc, TimeoutError | PermissionError)
    return True


def _find_kept(config: Path, path: Path) -> dict[str, Any] | None:
    """Return what the daemon of this configuration keeps, if one runs."""
    beside = [Path(f"{path}{_ENDING}")]
    with contextlib.suppress(OSError):
        beside += sorted(config.resolve().parent.glob(f"*{_ENDING}"))[:_MOST_FILES]
    for each in beside:
        values = _read(each)
        if values is not None and values["config"] == str(config.resolve()):
            return values
    return None


def _read(path: Path) -> dict[str, Any] | None:
    """Read such a file; None for anything else, or for another user's."""
    try:
        if path.stat().st_uid not in {os.geteuid(), 0}:
            return None
        values = json.loads(read_small_file(path, max_bytes=_MAX_BYTES).content)
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(values, dict) or not isinstance(values.get("simulate"), bool):
        return None
    names = ("config", "socket", "database")
    return values if all(isinstance(values.get(n), str) for n in names) else None
