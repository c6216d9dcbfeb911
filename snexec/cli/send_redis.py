"""Add signals to the stream, whether or not a daemon runs (SPEC 13)."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import click

from snexec.cli.redis_session import in_session, needed
from snexec.errors import InvalidSignalError
from snexec.logs import printable
from snexec.settings import load_settings
from snexec.signals import MAX_LINE_BYTES, parse_signal

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from snexec.redis.client import Session


def add_signals(
    config: Path, lines: Iterable[tuple[int, bytes]], *, as_json: bool, alone: bool
) -> int:
    """Add each signal, print its entry's id, and return the exit status.

    Args:
        config: The configuration, whose ``[redis]`` says where.
        lines: The signals, numbered.
        as_json: Whether to print a JSON object for each.
        alone: Whether there is only one, so that its number says nothing.

    Raises:
        ConfigError: There is no ``[redis]``, or nothing says where it is.
        CommandError: Redis does not answer, or refuses.
    """
    settings = needed(load_settings(config).redis)
    speak = partial(
        _add, lines=lines, stream=settings.stream, as_json=as_json, alone=alone
    )
    return 0 if in_session(settings, speak) else 1


async def _add(
    session: Session,
    *,
    lines: Iterable[tuple[int, bytes]],
    stream: str,
    as_json: bool,
    alone: bool,
) -> bool:
    all_valid = True
    for number, line in lines:
        error = _error(line)
        if error is None:
            entry_id = await session.add(stream, {b"signal": line})
            said = {"status": "added", "entry": entry_id}
            click.echo(json.dumps(said) if as_json else entry_id)
            continue
        all_valid = False
        said = {"status": "invalid", "error": error, "line": str(number)}
        if as_json:
            click.echo(json.dumps(said))
        else:
            where = "" if alone else f"line {number}: "
            click.echo(f"{where}invalid: {printable(error)}", err=True)
    return all_valid


def _error(line: bytes) -> str | None:
    """Return why a line is no signal; None if it is one."""
    if len(line) > MAX_LINE_BYTES:
        return f"line: longer than {MAX_LINE_BYTES} bytes"
    try:
        parse_signal(line)
    except InvalidSignalError as exc:
        return str(exc)
    return None
