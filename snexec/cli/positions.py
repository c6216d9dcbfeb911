"""List the open positions, from a daemon or from the database alone (SPEC 12.8)."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import trio

from snexec.cli.daemon_client import DaemonConnection, read_object
from snexec.cli.kept_settings import settings_and_problem, settings_to_ask_with
from snexec.errors import CommandError, NoAccountError, NoDaemonError

if TYPE_CHECKING:
    from snexec.broker import PositionList
    from snexec.model import Mode
    from snexec.settings import Settings


def run_positions(config: Path, *, as_json: bool) -> None:
    """Print the positions.

    Raises:
        ConfigError: The configuration cannot be used.
        CommandError: The daemon does not answer, or the database cannot be read.
    """
    settings = settings_to_ask_with(config, rows_do=True)
    try:
        answer = _ask(settings, config)
    except NoDaemonError:
        answer = _without_daemon(settings, config)
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    from snexec.cli.positions_table import print_positions  # JSON needs no Rich

    print_positions(answer)


def _ask(settings: Settings, config: Path) -> dict[str, Any]:
    with DaemonConnection(settings, config) as connection:
        answer = read_object(connection.ask(b'{"command":"positions"}'))
    if answer is None or answer.pop("status", None) != "ok":
        problem = None if answer is None else answer.get("error")
        raise CommandError(
            f"the daemon does not list its positions: {problem or answer}"
        )
    return answer


def _without_daemon(settings: Settings, config: Path) -> dict[str, Any]:
    # Needed only where no daemon answers.
    from snexec.cli.trades_query import open_to_read
    from snexec.ledger import read_open_rows
    from snexec.ops.positions import described_beside

    path = Path(settings.database)
    if not path.exists():
        return {"daemon": False, "rows": [], "notes": []}
    try:
        with closing(open_to_read(path)) as connection:
            rows = read_open_rows(connection)
    except sqlite3.Error as exc:
        raise CommandError(f"database: {path} cannot be read: {exc}") from None
    is_sure = settings_and_problem(config)[1] is None
    listed = partial(_listed, settings, is_sure)
    return {"daemon": False, **trio.run(described_beside, rows, {}, listed)}


async def _listed(settings: Settings, is_sure: bool, mode: Mode) -> PositionList:
    """Return all that an account holds, asked without a daemon."""
    if not is_sure:
        raise NoAccountError("the configuration has a mistake")
    if settings.alpaca.simulate:
        raise NoAccountError("the simulated exchange runs within the daemon only")
    from snexec.broker import read_positions
    from snexec.cli.account_client import endpoint_of, open_account

    endpoint = endpoint_of(mode, settings)
    if endpoint is None:
        raise NoAccountError(f"there are no keys for {mode} here")
    async with open_account(endpoint) as broker:
        return await read_positions(await broker.get_bytes("/v2/positions"))
