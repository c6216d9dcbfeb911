"""Send signals to the running daemon, and wait for what becomes of them (SPEC 2)."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from snexec.cli.daemon_client import DaemonConnection, read_object
from snexec.cli.live_view import open_view, print_plainly
from snexec.cli.outcome_tracker import OutcomeTracker
from snexec.logs import printable
from snexec.settings import load_settings
from snexec.signals import MAX_LINE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from snexec.cli.live_view import LiveView
    from snexec.settings import Settings

    PrintLine = Callable[[str, str], None]

_NOT_TAKEN_YET = frozenset({"overloaded", "starting"})
_RETRY_SECONDS = 60.0  # a line; what waits in the daemon is stale and gone before
_FIRST_PAUSE_SECONDS = 0.02
_LONGEST_PAUSE_SECONDS = 0.5
_PRINTED_PROBLEMS = 20  # of a file's lines, each in a line of its own
_COMMAND = b'{"status":"invalid","error":"command: is for control, not for a signal"}'


@dataclass(frozen=True, kw_only=True, slots=True)
class SendOptions:
    """How to send.

    Attributes:
        wait_seconds: How long to wait for outcomes; None is not at all.
        as_json: Print JSON lines only.
    """

    wait_seconds: float | None
    as_json: bool


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
        UsageError: It is not clear what to send.
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
    # Between the tokens of JSON, a line break is worth a space; within one it is an
    # error.
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
    settings = load_settings(config)
    with contextlib.ExitStack() as stack:
        sender = _open_sender(stack, settings, config, options, print_plainly)
        answer = sender.send(line)
        print_plainly(answer.decode(errors="replace"), "")
        sys.stdout.flush()
        if sender.outcomes is not None:
            sender.outcomes.wait()
        return sender.exit_status


def _send_many(config: Path, file: str, options: SendOptions) -> int:
    settings = load_settings(config)
    with contextlib.ExitStack() as stack:
        try:
            source: BinaryIO = (
                sys.stdin.buffer
                if file == "-"
                else stack.enter_context(Path(file).open("rb"))
            )
        except OSError as exc:
            raise click.UsageError(f"--file: {file}: {exc.strerror}") from None
        view = open_view(source)
        sender = _open_sender(stack, settings, config, options, view.print_line)
        try:
            with view:
                _send_lines(source, sender, options, view)
                if sender.outcomes is not None:
                    view.update(f"waiting for {sender.outcomes.waiting} orders")
                    sender.outcomes.wait()
        finally:
            click.echo(sender.totals(), err=options.as_json)
    return sender.exit_status


def _send_lines(
    source: BinaryIO, sender: _Sender, options: SendOptions, view: LiveView
) -> None:
    problems = 0
    for number, line in _lines(source):
        answer = sender.send(line, patiently=True)
        view.update(f"{sender.sent} signals", len(line) + 1)
        fields = read_object(answer) or {}
        if options.as_json:
            view.print_line(answer.decode(errors="replace"), "")
        elif fields.get("status") != "accepted":
            problems += 1
            _print_problem(view, problems, number, fields)
        # Only now, as an order's outcome may come before its signal's answer.
        if sender.outcomes is not None:
            sender.outcomes.print_known()


def _print_problem(
    view: LiveView, problems: int, number: int, fields: Mapping[str, object]
) -> None:
    if problems <= _PRINTED_PROBLEMS:
        why = fields.get("error") or fields.get("reason")
        told = f"{fields.get('status')}: {why}" if why else fields.get("status")
        view.print_error(f"line {number}: {printable(str(told))}")
    elif problems == _PRINTED_PROBLEMS + 1:
        view.print_error("further problems are only counted")


def _lines(source: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield the numbered lines that a daemon would answer, without their newlines."""
    number = 0
    while piece := source.readline(MAX_LINE_BYTES + 2):
        number += 1
        line = piece.removesuffix(b"\n")
        while piece and not piece.endswith(b"\n"):
            # Too long: the daemon shall say so, and needs no more of it for that.
            piece = source.readline(MAX_LINE_BYTES)
        if line and not line.isspace():
            yield number, line


def _open_sender(
    stack: contextlib.ExitStack,
    settings: Settings,
    config: Path,
    options: SendOptions,
    print_line: PrintLine,
) -> _Sender:
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
    return _Sender(connection, outcomes)


class _Sender:
    """Sends line by line, each when the one before it is answered.

    So the daemon's bound on waiting signals is met by waiting, and the order is kept.
    """

    def __init__(
        self,
        connection: DaemonConnection,
        outcomes: OutcomeTracker | None,
    ) -> None:
        self._connection = connection
        self.outcomes = outcomes
        self._counts: collections.Counter[str] = collections.Counter()

    @property
    def sent(self) -> int:
        """How many signals were answered."""
        return self._counts.total()

    @property
    def exit_status(self) -> int:
        """0 if every signal was accepted, and filled where that was waited for."""
        accepted = self._counts["accepted"]
        filled = accepted if self.outcomes is None else self.outcomes.counts["filled"]
        return 0 if accepted == self.sent and filled == accepted else 1

    def send(self, line: bytes, *, patiently: bool = False) -> bytes:
        """Send a signal and return its answer.

        Args:
            line: Without its newline.
            patiently: Send it again for a while if the daemon has no room.
        """
        signal = read_object(line)
        if signal is not None and "command" in signal:
            self._counts["invalid"] += 1
            return _COMMAND
        outcomes = self.outcomes
        expected = None
        if outcomes is not None and signal is not None:
            if signal.get("id") is None:
                signal["id"] = str(uuid.uuid4())
                line = json.dumps(signal).encode()
            if isinstance(signal["id"], str) and outcomes.expect(
                signal["id"], _symbol(signal)
            ):
                expected = signal["id"]
        answer = self._ask(line, patiently=patiently)
        status = str((read_object(answer) or {}).get("status"))
        self._counts[status] += 1
        if outcomes is not None and expected is not None and status != "accepted":
            outcomes.forget(expected)
        return answer

    def totals(self) -> str:
        """Say how many were sent, and what became of them."""
        parts = [f"{count} {status}" for status, count in self._counts.most_common()]
        text = f"{self.sent} signals: {', '.join(parts) or 'nothing was sent'}"
        if self.outcomes is not None and (counts := self.outcomes.counts):
            ended = [f"{count} {kind}" for kind, count in counts.most_common()]
            text += f"; {', '.join(ended)}"
        return text

    def _ask(self, line: bytes, *, patiently: bool) -> bytes:
        deadline = time.monotonic() + (_RETRY_SECONDS if patiently else 0)
        pause = _FIRST_PAUSE_SECONDS
        while True:
            answer = self._connection.ask(line)
            status = (read_object(answer) or {}).get("status")
            if status not in _NOT_TAKEN_YET or time.monotonic() >= deadline:
                return answer
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _symbol(signal: Mapping[str, Any]) -> str:
    return str(signal.get("symbol") or "")
