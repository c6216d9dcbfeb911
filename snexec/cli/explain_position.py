"""Explain what the exits do about a position now, rule by rule (SPEC 12.8)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from snexec.cli.console import new_grid, open_console, print_grid, print_line
from snexec.cli.daemon_client import DaemonConnection, read_object
from snexec.cli.formats import foreign, number, price, shares
from snexec.errors import CommandError, NoDaemonError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from snexec.settings import Settings


def run_explain_position(
    config: Path, settings: Settings, symbol: str, *, as_json: bool
) -> int:
    """Print what each rule says of a symbol's position; return the exit status.

    Raises:
        CommandError: No daemon runs, or it has no such position.
    """
    request = json.dumps({"command": "explain", "position": symbol})
    try:
        with DaemonConnection(settings, config) as connection:
            answer = read_object(connection.ask(request.encode()))
    except NoDaemonError as exc:
        raise CommandError(f"only a daemon watches positions, and {exc}") from None
    if answer is None or answer.pop("status", None) != "ok":
        problem = None if answer is None else answer.get("error")
        raise CommandError(f"not explained: {problem or answer}")
    if as_json:
        click.echo(json.dumps(answer, indent=2))
    else:
        _show(answer)
    return 0 if answer.get("rules") else 1


def _show(answer: Mapping[str, Any]) -> None:
    console = open_console()
    grid = new_grid("")
    rules = answer["rules"]
    for line in rules:
        figures = [line["threshold"], line["distance"]]
        said = "; ".join(foreign(each) for each in figures if each)
        style = "" if line["on"] else "dim"
        name = Text(foreign(line["rule"]), style=style)
        grid.add_row(name, Text(said if line["on"] else "off", style=style))
    if rules:
        print_grid(console, grid)
    print_line(console, _verdict(answer))


def _verdict(answer: Mapping[str, Any]) -> str:
    held, entry = number(answer.get("shares")), number(answer.get("entryPrice"))
    text = f"{foreign(answer['symbol'])} ({foreign(answer['mode'])})"
    if held is not None:
        text += f", {shares(held)} shares"
        text += "" if entry is None else f" bought at {price(entry)}"
    text += f": {foreign(answer['state'])}"
    if any(_lacks_a_price(line) for line in answer["rules"]):
        text += ", and no price of it counts now: rules of price rest"
    if not answer["rules"]:
        text += ", no rule is asked about it"
    if answer.get("blockedBy"):
        text += f"; {foreign(answer['blockedBy'])}"
    return text


def _lacks_a_price(line: Mapping[str, Any]) -> bool:
    return bool(line["on"] and line["threshold"] and not line["distance"])
