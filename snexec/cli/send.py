"""Send signals to the running daemon, and wait for what becomes of them (SPEC 2)."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from snexec.cli.daemon_client import DaemonConnection, read_object
from snexec.cli.kept_settings import settings_to_ask_with
from snexec.cli.live_view import open_view, print_plainly
from snexec.cli.outcome_tracker import OutcomeTracker
from snexec.cli.sender import Sender
from snexec.logs import printable
from snexec.model import counted
from snexec.signals import MAX_LINE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from snexec.cli.live_view import LiveView
    from snexec.settings import Settings

    PrintLine = Callable[[str, str], None]

_PRINTED_PROBLEMS = 20  # of a file's lines, on a line each


@dataclass(frozen=True, kw_only=True, slots=True)
class SendOptions:
    """How to send, and what to print.

    Attributes:
        wait_seconds: How long to wait for outcomes; None to not wait.
        as_json: Print JSON lines only.
        to_redis: Add them to the stream of ``[redis]`` instead.
    """

    wait_seconds: float | None
    as_json: bool
    to_redis: bool = False


def run_send(
    config: Path,
    *,
    argument: str | None,
    fields: Mapping[str, object],
    file: str | None,
    options: SendOptions,
) -> int:
    """Send one signal or many, and return the exit status.

    Raises:
        UsageError: What to send is not clear or not valid.
        ConfigError: The configuration cannot be used.
        CommandError: The daemon does not answer, or went away.
    """
    given = [name for name, value in fields.items() if value is not None]
    if argument == "-" and file is None:
        argument, file = None, "-"
    if (argument is not None) + (file is not None) + bool(given) > 1:
        raise click.UsageError(
            "give a JSON signal, or --symbol and the rest, or --file: only one of them"
        )
    if options.to_redis and options.wait_seconds is not None:
        raise click.UsageError(
            "--redis adds a signal and is done; what becomes of it says snexec events"
        )
    if file is not None:
        return _send_many(config, file, options)
    if argument is not None:
        line = _checked(argument)
    elif given:
        line = _line_of(fields)
    else:
        raise click.UsageError(
            "nothing to send: give a JSON signal, or --symbol, --category, --tier and"
            " --price, or --file; see: snexec send --help"
        )
    if options.to_redis:
        from snexec.cli.send_redis import add_signals

        return add_signals(config, [(1, line)], as_json=options.as_json, alone=True)
    return _send_one(config, line, options)


def _checked(argument: str) -> bytes:
    try:
        value = json.loads(argument)
    except (ValueError, RecursionError) as exc:
        raise click.UsageError(f"the signal is not JSON: {exc}") from None
    if not isinstance(value, dict):
        raise click.UsageError("the signal is no JSON object, like {...}")
    if "command" in value:
        raise click.UsageError(
            "a command is no signal; see: snexec status, snexec events"
        )
    # Between the tokens of JSON a line break counts as a space; inside a string it is
    # an error.
    return os.fsencode(argument.replace("\n", " ").replace("\r", " "))


def _line_of(fields: Mapping[str, object]) -> bytes:
    names = {
        "symbol": "symbol",
        "category": "catalystCategory",
        "tier": "catalystTier",
        "confidence": "aiConfidence",
        "price": "priceAtSignal",
        "id": "id",
    }
    missing = [
        f"--{name}"
        for name in ("symbol", "category", "tier", "price")
        if fields[name] is None
    ]
    if missing:
        raise click.UsageError(f"a signal needs {', '.join(missing)} too")
    signal = {names[k]: value for k, value in fields.items() if value is not None}
    return json.dumps(signal).encode()


def _send_one(config: Path, line: bytes, options: SendOptions) -> int:
    settings = settings_to_ask_with(config)
    with contextlib.ExitStack() as stack:
        sender = _open_sender(stack, settings, config, options, print_plainly)
        answer = sender.send(line)
        print_plainly(printable(answer.decode(errors="replace")), "")
        sys.stdout.flush()
        if sender.outcomes is not None:
            sender.outcomes.wait()
        return sender.exit_status


def _send_many(config: Path, file: str, options: SendOptions) -> int:
    settings = settings_to_ask_with(config)
    with contextlib.ExitStack() as stack:
        try:
            source: BinaryIO = (
                sys.stdin.buffer
                if file == "-"
                else stack.enter_context(Path(file).open("rb"))
            )
        except OSError as exc:
            raise click.UsageError(f"--file: {file}: {exc.strerror}") from None
        if options.to_redis:
            from snexec.cli.send_redis import add_signals

            lines = _lines(source)
            return add_signals(config, lines, as_json=options.as_json, alone=False)
        view = open_view(source)
        sender = _open_sender(stack, settings, config, options, view.print_line)
        try:
            with view:
                _send_lines(source, sender, options, view)
                if sender.outcomes is not None:
                    view.update(
                        f"waiting for {counted(sender.outcomes.waiting, 'order')}"
                    )
                    sender.outcomes.wait()
        finally:
            click.echo(sender.totals(), err=options.as_json)
    return sender.exit_status


def _send_lines(
    source: BinaryIO, sender: Sender, options: SendOptions, view: LiveView
) -> None:
    problems = 0
    for number, line in _lines(source):
        answer = sender.send(line, patiently=True)
        view.update(counted(sender.sent, "signal"), len(line) + 1)
        fields = read_object(answer) or {}
        if options.as_json:
            view.print_line(printable(answer.decode(errors="replace")), "")
        elif fields.get("status") != "accepted":
            problems += 1
            _print_problem(view, problems, number, fields)
        # Only now: an order's outcome may come before its signal's answer.
        if sender.outcomes is not None:
            sender.outcomes.print_known()


def _print_problem(
    view: LiveView, problems: int, number: int, fields: Mapping[str, object]
) -> None:
    if problems <= _PRINTED_PROBLEMS:
        why = fields.get("error") or fields.get("reason")
        problem = f"{fields.get('status')}: {why}" if why else fields.get("status")
        view.print_error(f"line {number}: {printable(str(problem))}")
    elif problems == _PRINTED_PROBLEMS + 1:
        view.print_error("further problems are only counted")


def _lines(source: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that a daemon would answer, numbered, without their newlines."""
    number = 0
    while piece := source.readline(MAX_LINE_BYTES + 2):
        number += 1
        line = piece.removesuffix(b"\n")
        while piece and not piece.endswith(b"\n"):
            # Too long: the daemon says so, and needs no more of the line for that.
            piece = source.readline(MAX_LINE_BYTES)
        if line and not line.isspace():
            yield number, line


def _open_sender(
    stack: contextlib.ExitStack,
    settings: Settings,
    config: Path,
    options: SendOptions,
    print_line: PrintLine,
) -> Sender:
    connection = stack.enter_context(DaemonConnection(settings, config))
    outcomes = None
    if options.wait_seconds is not None:
        outcomes = OutcomeTracker(
            settings,
            config,
            timeout_seconds=options.wait_seconds,
            as_json=options.as_json,
            print_line=print_line,
        )
        stack.callback(outcomes.close)
    return Sender(connection, outcomes)
