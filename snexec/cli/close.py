"""Close positions through the daemon, and say what became of each (SPEC 12.8)."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from snexec.cli.daemon_client import DaemonConnection, read_object
from snexec.cli.formats import dollars, foreign, number, shares
from snexec.cli.kept_settings import settings_to_ask_with
from snexec.errors import CommandError, DaemonGoneError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    Row = Mapping[str, Any]

_ANSWER_SECONDS = 60.0  # until each sell is on the disk; a lock there takes its time


class CloseOptions(NamedTuple):
    """How ``close`` is to go about it.

    Attributes:
        everything: Whether every open row of ours is closed.
        at_open: Whether shares may wait for the market to open.
        sure: Do not ask.
        wait_seconds: How long to follow what becomes of the sells.
    """

    everything: bool
    at_open: bool
    sure: bool
    wait_seconds: float


def run_close(config: Path, symbols: Sequence[str], options: CloseOptions) -> int:
    """Say what is sold, ask, have it sold, and follow it; return the exit status.

    Raises:
        UsageError: Neither symbols nor --all are given, or both.
        ConfigError: The configuration cannot be used.
        CommandError: It is refused or not confirmed, and nothing was done; or the
            daemon went away.
    """
    if bool(symbols) == options.everything:
        raise click.UsageError("give the symbols to close, or --all, and not both")
    settings = settings_to_ask_with(config)
    request: dict[str, object] = {
        "command": "close",
        "symbols": "all" if options.everything else list(symbols),
        "at_open": options.at_open,
    }
    with (
        DaemonConnection(settings, config) as asking,
        DaemonConnection(settings, config) as following,
    ):
        planned = _ask(asking, {**request, "dryRun": True})
        _confirm(planned, sure=options.sure)
        # From before the sells, so that none of their ends is missed.
        following.ask(b'{"command":"events"}')
        try:
            rows = _ask(asking, request)
        except DaemonGoneError:
            raise _gone(planned) from None
        return _follow(following, rows, options.wait_seconds)


def _ask(connection: DaemonConnection, request: Mapping[str, object]) -> list[Row]:
    line = connection.ask(json.dumps(request).encode(), seconds=_ANSWER_SECONDS)
    answer = read_object(line)
    if answer is None or answer.get("status") != "ok":
        problem = None if answer is None else answer.get("error")
        raise CommandError(f"nothing is closed: {foreign(problem or answer)}")
    rows: list[Row] = answer["rows"]
    return rows


def _confirm(rows: Sequence[Row], *, sure: bool) -> None:
    """Say what is to be sold and what cannot be, and ask."""
    wanted = [row for row in rows if row["state"] != "refused"]
    for row in wanted:
        click.echo(f"{_named(row)}: {_worth(row)}")
    _show_refused(rows)
    worth = sum(number(row["dollars"]) or 0.0 for row in wanted)
    count = f"{len(wanted)} row{'' if len(wanted) == 1 else 's'}"
    money = ", REAL MONEY" if any(row["mode"] == "live" for row in wanted) else ""
    when = _when([row.get("waits", False) for row in wanted])
    click.echo(f"close {count}: about {dollars(worth)} to be sold {when}{money}")
    if sure:
        return
    if not sys.stdin.isatty():
        raise CommandError(
            "close asks for confirmation, and there is no terminal: give --yes;"
            " nothing was sold"
        )
    typed = click.prompt("Type yes to sell", default="", show_default=False)
    if typed.strip() != "yes":
        raise CommandError("not confirmed: nothing was sold")


def _when(waits: Sequence[bool | None]) -> str:
    """Say when rows are sold, by whether each waits for the market to open."""
    if None in waits:
        return "at the market, or when it opens"
    waiting = sum(map(bool, waits))
    if not waiting:
        return "at the market"
    if waiting == len(waits):
        return "when the market opens"
    return f"at the market, {waiting} of them when it opens"


def _follow(connection: DaemonConnection, rows: Sequence[Row], seconds: float) -> int:
    """Print one line for each row once its end is known, or the time is up."""
    waiting: dict[str, Row] = {}
    failed = any(row["state"] == "refused" for row in rows)
    _show_refused(rows)
    for row in rows:
        if row["state"] == "queued":
            click.echo(f"{_named(row)} is not closed yet: it is sold at the open")
            failed = True
        elif row["state"] != "refused":
            waiting[str(row["tradeId"])] = row
    said: dict[str, str] = {}
    deadline = time.monotonic() + seconds
    while waiting and (left := deadline - time.monotonic()) > 0:
        try:
            event = read_object(connection.receive(left)) or {}
        except DaemonGoneError:
            raise _gone(waiting.values()) from None
        except CommandError:
            break  # the time is up
        _take(event, waiting, said)
    for trade_id, row in waiting.items():
        last = said.get(trade_id) or foreign(row["error"] or "its sell is under way")
        click.echo(
            f"{_named(row)} is not closed after {seconds:g} s: {last}; see snexec"
            " positions"
        )
    return 1 if failed or waiting else 0


def _gone(rows: Iterable[Row]) -> DaemonGoneError:
    names = ", ".join(foreign(row["symbol"]) for row in rows)
    return DaemonGoneError(
        f"the daemon went away, and what became of {names} is not known: the next start"
        " asks the broker; see snexec positions"
    )


def _take(event: Row, waiting: dict[str, Row], said: dict[str, str]) -> None:
    """Take an event of the feed; the end of a row's sell is printed."""
    from snexec.ops.exit_words import exit_words

    trade_id = str(event.get("tradeId"))
    words = exit_words(event) if trade_id in waiting else None
    if words is None:
        return
    if event.get("event") == "closed":
        click.echo(f"{_named(waiting.pop(trade_id))} is {words}")
    else:
        said[trade_id] = words


def _show_refused(rows: Sequence[Row]) -> None:
    for row in rows:
        if row["state"] == "refused":
            click.echo(f"{_named(row)} is not closed: {foreign(row['error'])}")


def _named(row: Row) -> str:
    mode = row.get("mode")
    name = foreign(row["symbol"])
    return name if mode is None else f"{name} ({foreign(mode)})"


def _worth(row: Row) -> str:
    held, worth = number(row["shares"]), number(row["dollars"])
    text = "an unknown number of shares" if held is None else f"{shares(held)} shares"
    if worth is None:
        return text
    at = (
        "the last price" if row.get("dollarsAt") == "last" else "what it was bought for"
    )
    return f"{text}, {dollars(worth)} at {at}"
