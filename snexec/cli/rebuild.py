"""Rows rebuilt from what the broker has, with or without a daemon (SPEC 13)."""

from __future__ import annotations

import contextlib
import json
import logging
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import trio

from snexec.cli.daemon_client import DaemonConnection, read_object
from snexec.cli.dates import parse_time
from snexec.cli.formats import foreign, number, price, shares
from snexec.cli.kept_settings import settings_and_problem
from snexec.clock import SystemClock, timestamp
from snexec.errors import CommandError, ConfigError, NoDaemonError
from snexec.model import counted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from snexec.clock import Clock
    from snexec.ledger import Store
    from snexec.settings import Settings

_ANSWER_SECONDS = 600.0  # a long list, and positions that are asked for twice
_DRAIN_SECONDS = 10.0


def run_rebuild(config: Path, since: str | None, *, as_json: bool) -> int:
    """Write the rows that are missing, say which, and return the exit status.

    Raises:
        ConfigError: The configuration or the time cannot be used.
        CommandError: Nobody was asked; nothing was done.
        StartError: The database is in use, or unusable.
    """
    clock = SystemClock()
    settings, problem = settings_and_problem(config)
    try:
        moment = parse_time("7d" if since is None else since, clock.now())
    except ValueError as exc:
        raise ConfigError(f"--since: {exc}") from None
    try:
        answer = _ask_daemon(settings, config, moment)
    except NoDaemonError:
        if problem is not None:
            raise problem from None
        answer = _rebuild_here(settings, config, moment, clock)
    if not answer["asked"]:
        raise CommandError("not rebuilt: there are no keys for any account")
    if as_json:
        click.echo(json.dumps(answer, indent=2))
    else:
        _show(answer, moment)
    return 1 if answer["problems"] else 0


def _ask_daemon(settings: Settings, config: Path, since: datetime) -> dict[str, Any]:
    request = {"command": "rebuild", "since": since.isoformat()}
    with DaemonConnection(settings, config) as connection:
        line = connection.ask(json.dumps(request).encode(), seconds=_ANSWER_SECONDS)
    answer = read_object(line)
    if answer is None or answer.pop("status", None) != "ok" or "asked" not in answer:
        problem = None if answer is None else answer.get("error")
        raise CommandError(f"not rebuilt: {problem or answer}")
    return answer


def _rebuild_here(
    settings: Settings, config: Path, since: datetime, clock: Clock
) -> dict[str, Any]:
    """Do it in this process, which no daemon does meanwhile."""
    if settings.alpaca.simulate:
        raise CommandError(
            "not rebuilt: the simulated exchange runs within the daemon only"
        )
    # Needed only where no daemon answers.
    from snexec.ledger import Store, open_database
    from snexec.locks import lock_database

    path = Path(settings.database)
    logging.getLogger().addHandler(logging.NullHandler())  # the answer says it all
    with (
        lock_database(path),
        closing(open_database(path, simulated=False, clock=clock)) as connection,
    ):
        store = Store(connection, clock=clock)
        try:
            return trio.run(_rebuild, settings, config, store, since, clock)
        except OSError as exc:
            raise CommandError(f"not rebuilt: {exc}") from None


async def _rebuild(
    settings: Settings, config: Path, store: Store, since: datetime, clock: Clock
) -> dict[str, Any]:
    from snexec.broker import Accounts, Purpose
    from snexec.events import EventFeed
    from snexec.latency import Latencies
    from snexec.ledger import Ledger
    from snexec.logs import SecretMask
    from snexec.ops.rebuild import described
    from snexec.reconciliation import Reconciler
    from snexec.settings import LiveSettings, learn_secrets

    mask = SecretMask()
    with contextlib.suppress(ConfigError):  # keys are asked for by the accounts
        learn_secrets(mask, settings)
    no_orders = settings.alpaca.model_copy(update={"warm_connections": 0})
    live = LiveSettings(
        settings.model_copy(update={"alpaca": no_orders}),
        path=config,
        mask=mask,
    )
    accounts = Accounts(live, clock)
    ledger = Ledger(store, path=Path(settings.database), clock=clock)
    reconciler = Reconciler(live, accounts, ledger, Latencies(), EventFeed(clock=clock))
    async with (
        ledger.writing(until=lambda: trio.current_time() + _DRAIN_SECONDS),
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(accounts.run, name="REST clients")
        nursery.start_soon(reconciler.fills.run, name="fills")
        nursery.start_soon(
            reconciler.recovery.run, lambda _mode, _at: None, name="recovery"
        )
        found = await reconciler.rebuild.rebuild(
            since, purpose=Purpose.START, patience_seconds=_ANSWER_SECONDS
        )
        nursery.cancel_scope.cancel(reason="everything is in the rows")
    # As from a daemon's socket, whatever the broker echoes.
    return {name: mask.within(value) for name, value in described(found).items()}


def _show(answer: Mapping[str, Any], since: datetime) -> None:
    rows = answer["rows"]
    for row in rows:
        click.echo(_line(row))
    for mode, problem in answer["problems"].items():
        click.echo(f"{foreign(mode)}: not complete: {foreign(problem)}")
    asked = " and ".join(map(foreign, answer["asked"]))
    counts = ", ".join(
        f"{count} {status}"
        for status in ("open", "closed", "missed")
        if (count := sum(row["status"] == status for row in rows))
    )
    click.echo(
        f"{asked} since {timestamp(since)}: "
        + (
            f"{counted(len(rows), 'row')} written ({counts})"
            if rows
            else "no row was missing"
        )
    )


def _line(row: Mapping[str, Any]) -> str:
    status, reason = row["status"], row["exitReason"]
    bought, entry = number(row["shares"]), number(row["entryPrice"])
    text = (
        f"{foreign(row['tradeId'])}: {foreign(row['symbol'])} ({foreign(row['mode'])}),"
        f" order {foreign(row['orderId'])}: {foreign(status)}"
    )
    if reason is not None:
        text += f" ({foreign(reason)})"
    if bought is not None:
        text += f", bought {shares(bought)}"
        text += "" if entry is None else f" at {price(entry)}"
    if not row["settled"]:
        text += ", not settled yet"
    if reason == "order_found_late":
        text += "; its symbol has another open row: close these shares by hand"
    return text
