"""End a row by the operator's word, with or without a daemon (SPEC 2, 12.8a, 15)."""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing, contextmanager
from decimal import Decimal, InvalidOperation
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import click
import trio

from snexec.cli.daemon_client import DaemonConnection, read_object
from snexec.cli.kept_settings import settings_and_problem
from snexec.clock import SystemClock
from snexec.errors import (
    BrokerError,
    CommandError,
    ConfigError,
    NoAccountError,
    NoDaemonError,
    NotFoundError,
)
from snexec.logs import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from snexec.ledger import End, Store
    from snexec.model import Mode
    from snexec.settings import Settings


def run_settle(
    config: Path, trade_id: str, how: End, price: str | None, *, sure: bool
) -> None:
    """Say what ending the row will do, ask, and do it.

    Raises:
        ConfigError: The configuration or the price cannot be used.
        CommandError: It is refused or not confirmed; nothing was done.
    """
    dollars = None if price is None else _dollars(price, how)
    settings, problem = settings_and_problem(config)
    request = {"command": "settle", "trade": trade_id, "as": how}
    if dollars is not None:
        request["price"] = str(dollars)
    try:
        words = _ask(settings, config, {**request, "dryRun": True})
    except NoDaemonError:
        if problem is not None:
            raise problem from None
        _settle_here(settings, trade_id, how, dollars, sure=sure)
    else:
        _confirm(words, sure=sure)
        _ask(settings, config, request)
    click.echo(f"{trade_id} is {how} now")


def _ask(settings: Settings, config: Path, request: Mapping[str, object]) -> str:
    """Ask the daemon, and return what it says that settling does."""
    with DaemonConnection(settings, config) as connection:
        answer = read_object(connection.ask(json.dumps(request).encode()))
    if answer is None or answer.get("status") != "ok":
        problem = None if answer is None else answer.get("error")
        raise CommandError(f"not settled: {problem or answer}")
    return str(answer.get("words"))


def _settle_here(
    settings: Settings, trade_id: str, how: End, price: Decimal | None, *, sure: bool
) -> None:
    # Needed only where no daemon answers.
    from snexec.ops.settle import Settlement, judge

    asked = Settlement(trade_id, how, price)
    with _opened(settings) as store:
        row = store.standing(trade_id)
        before = SystemClock().now().timestamp() - settings.alpaca.unknown_grace_sec
        asking = partial(judge, before=before)
        judged = trio.run(asking, asked, row, _Account(settings))
        if judged.refusal:
            raise CommandError(f"not settled: {judged.refusal}")
        _confirm(judged.words, sure=sure)
        try:
            store.begin()
            # A position monitor may write while the operator thinks.
            if store.standing(trade_id) != row:
                store.rollback()
                raise CommandError(
                    f"not settled: {trade_id} has changed meanwhile: ask again"
                )
            store.settle(trade_id, how, price)
            store.commit()
        except sqlite3.Error as exc:
            raise CommandError(
                f"not settled: the row cannot be changed: {store.explained(exc)}"
            ) from None


@contextmanager
def _opened(settings: Settings) -> Iterator[Store]:
    """Open the rows for writing, which no daemon does meanwhile.

    Raises:
        CommandError: There is no database.
        StartError: It is in use, or unusable.
    """
    from snexec.ledger import Store, open_unmigrated
    from snexec.locks import lock_database

    path = Path(settings.database)
    if not path.exists():
        raise CommandError(f"not settled: there is no database {path}")
    with (
        lock_database(path),
        closing(
            open_unmigrated(path, simulated=settings.alpaca.simulate)
        ) as connection,
    ):
        try:
            yield Store(connection, clock=SystemClock())
        except sqlite3.Error as exc:
            raise CommandError(f"not settled: {path} cannot be used: {exc}") from None


class _Account:
    """Asks the broker without a daemon."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def position(self, mode: Mode, symbol: str) -> Decimal:
        """Return what an account holds of a symbol, 0 without a position."""
        from snexec.assets import position_symbol
        from snexec.broker import amount

        try:
            answer = await self._get(mode, f"positions/{position_symbol(symbol)}")
        except NotFoundError:
            return Decimal(0)
        quantity = amount(answer.get("qty"))
        if quantity is None:
            raise BrokerError("its quantity cannot be read")
        return quantity

    async def order_status(self, mode: Mode, trade_id: str, symbol: str) -> str:
        """Return the status of a row's order."""
        query = urlencode({"client_order_id": trade_id})
        answer = await self._get(mode, f"orders:by_client_order_id?{query}")
        if answer.get("client_order_id") != trade_id:
            raise BrokerError(f"the answer speaks of another order than {symbol}'s")
        return str(answer.get("status"))

    async def _get(self, mode: Mode, path: str) -> dict[str, Any]:
        if self._settings.alpaca.simulate:
            raise NoAccountError("the simulated exchange runs within the daemon only")
        from snexec.cli.account_client import endpoint_of, open_account

        endpoint = endpoint_of(mode, self._settings)
        if endpoint is None:
            raise NoAccountError(f"there are no keys for {mode} here")
        async with open_account(endpoint) as broker:
            return await broker.get(f"/v2/{path}")


def _confirm(words: str, *, sure: bool) -> None:
    click.echo(printable(words))
    if sure:
        return
    if not sys.stdin.isatty():
        raise CommandError(
            "settle asks for confirmation, and there is no terminal: give --yes;"
            " nothing was changed"
        )
    typed = click.prompt("Type yes to settle it", default="", show_default=False)
    if typed.strip() != "yes":
        raise CommandError("not confirmed: nothing was changed")


def _dollars(text: str, how: End) -> Decimal:
    if how == "missed":
        raise ConfigError("--price: a missed row has none")
    try:
        price = Decimal(text)
    except InvalidOperation:
        price = Decimal(0)
    if not (price.is_finite() and price > 0):
        raise ConfigError(f"--price: must be dollars a share above 0 (got {text!r})")
    return price
