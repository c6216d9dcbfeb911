"""Explain what would happen to a signal or a position now, and why (SPEC 5, 12.8)."""

from __future__ import annotations

import json
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snexec.assets import canonical_symbol
from snexec.cli.daemon_client import DaemonConnection, read_object
from snexec.cli.kept_settings import settings_and_problem
from snexec.clock import SystemClock
from snexec.errors import CommandError, ConfigError, InvalidSignalError, NoDaemonError
from snexec.settings import credentials_for
from snexec.signals import parse_signal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from snexec.ledger import Store
    from snexec.settings import Settings
    from snexec.signals import Signal

_MARKS = {
    "pass": ("pass", "green"),
    "stop": ("STOP", "bold red"),
    "not set": ("not set", "dim"),
    "unknown": ("unknown", "yellow"),
}


def run_explain(config: Path, text: str, *, as_json: bool) -> int:
    """Print the answer, and return the exit status.

    Raises:
        ConfigError: The configuration cannot be used, or the text is not a signal.
        CommandError: The daemon does not answer as it should.
    """
    settings, mistake = settings_and_problem(config)
    if _is_symbol(text):
        from snexec.cli.explain_position import run_explain_position

        return run_explain_position(config, settings, text, as_json=as_json)
    try:
        signal = parse_signal(text.encode(errors="surrogateescape"))
    except InvalidSignalError as exc:
        raise ConfigError(f"this is no signal, it would be invalid: {exc}") from None
    try:
        answer = _ask(settings, config, text)
    except NoDaemonError:
        if mistake is not None:
            raise mistake from None
        answer = _without_daemon(settings, config, signal)
    if as_json:
        click.echo(json.dumps(answer, indent=2))
    else:
        _show(answer)
    return 0 if answer.get("verdict") == "order" else 1


def _is_symbol(text: str) -> bool:
    """Return whether a word is meant as a symbol: one in capitals, which is no JSON."""
    try:
        canonical_symbol(text)
    except ValueError:
        return False
    return text == text.upper() and not text.isdigit()


def _ask(settings: Settings, config: Path, text: str) -> dict[str, Any]:
    request = json.dumps({"command": "explain", "signal": json.loads(text)})
    with DaemonConnection(settings, config) as connection:
        answer = read_object(connection.ask(request.encode()))
    if answer is None or answer.get("status") != "ok":
        problem = None if answer is None else answer.get("error")
        raise CommandError(f"the daemon does not explain it: {problem or answer}")
    del answer["status"]
    answer.pop("id", None)
    return answer


def _without_daemon(
    settings: Settings, config: Path, signal: Signal
) -> dict[str, object]:
    # Needed only where no daemon answers.
    from snexec.ops.explain import Question, RowFacts, explain, read_row_facts
    from snexec.risk import Counts, Recently, Snapshot, read_both

    question = Question(
        signal=signal,
        settings=settings,
        seen=Snapshot(
            halted=read_both(config)[0] is not None,
            has_keys=settings.alpaca.simulate
            or credentials_for(settings.mode, settings) is not None,
        ),
        market_unknown=True,
        daemon=False,
    )
    path = Path(settings.database)
    if not path.exists():
        return explain(question, RowFacts(counts=Counts()))
    facts = read_row_facts(
        question,
        partial(_open_store, path),
        # A simulated start begins with no orders.
        recently=Recently(None, 0, 0, 0) if settings.alpaca.simulate else None,
    )
    return explain(question, facts)


@contextmanager
def _open_store(path: Path) -> Iterator[Store]:
    from snexec.cli.trades_query import open_to_read
    from snexec.ledger import Store

    with closing(open_to_read(path)) as connection:
        yield Store(connection, clock=SystemClock())


def _show(answer: Mapping[str, Any]) -> None:
    from rich.text import Text  # a JSON answer needs no Rich

    from snexec.cli.console import new_grid, open_console, print_grid, print_line
    from snexec.cli.formats import foreign

    console = open_console()
    grid = new_grid("", "")
    for line in answer["gates"]:
        mark, style = _MARKS.get(line["result"], (foreign(line["result"]), ""))
        detail = foreign(line["detail"]) if line["detail"] else ""
        if line["reason"]:
            detail = f"{foreign(line['reason'])}: {detail}".removesuffix(": ")
        grid.add_row(Text(mark, style=style), foreign(line["gate"]), detail)
    print_grid(console, grid)
    if not answer["daemon"]:
        print_line(
            console, "no daemon runs: this is what the configuration and the rows say"
        )
    print_line(console, _verdict(answer))


def _verdict(answer: Mapping[str, Any]) -> str:
    from snexec.cli.formats import foreign

    symbol, mode = foreign(answer["symbol"]), foreign(answer["mode"])
    match answer["verdict"]:
        case "order":
            return (
                f"would be ordered: ${foreign(answer['dollars'])} of {symbol}"
                f" ({foreign(answer['stars'])} stars, {mode})"
            )
        case "skip":
            return f"would be skipped: {foreign(answer['reason'])}"
        case _:
            return f"not known: {', '.join(map(foreign, answer['unknown']))}"
