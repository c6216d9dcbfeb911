"""Finds in the event feed what becomes of the signals that were sent."""

from __future__ import annotations

import collections
import json
import queue
import threading
import time
from typing import TYPE_CHECKING

from snexec.cli.daemon_client import DaemonConnection, read_object
from snexec.cli.event_words import STYLES, Kind, Outcome, outcome_of
from snexec.errors import CommandError, DaemonGoneError
from snexec.logs import printable
from snexec.model import counted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from snexec.settings import Settings


class OutcomeTracker:
    """Follows the feed on its own connection, from before the first signal.

    A thread reads it as fast as it comes: the daemon drops what waits too long.

    Args:
        timeout_seconds: How long to wait after the last signal was sent.
        as_json: Print the events as they came.
        print_line: Prints one line in a style.

    Raises:
        CommandError: The daemon does not answer.
    """

    def __init__(
        self,
        settings: Settings,
        config: Path,
        *,
        timeout_seconds: float,
        as_json: bool,
        print_line: Callable[[str, str], None],
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._as_json = as_json
        self._print_line = print_line
        self._open: dict[str, str] = {}
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.counts: collections.Counter[Kind] = collections.Counter()
        self._connection = DaemonConnection(settings, config)
        try:
            self._connection.ask(b'{"command":"events"}')
        except CommandError:
            self._connection.close()
            raise
        threading.Thread(target=self._read, name="event feed", daemon=True).start()

    def close(self) -> None:
        """Stop following the feed."""
        self._connection.close()

    @property
    def waiting(self) -> int:
        """How many signals have no outcome yet."""
        return len(self._open)

    def expect(self, signal_id: str, symbol: str) -> bool:
        """Watch for a signal that is about to be sent.

        Returns:
            Whether it was not being watched for already.
        """
        if signal_id in self._open:
            return False
        self._open[signal_id] = symbol
        return True

    def forget(self, signal_id: str) -> None:
        """Stop watching for a signal that was not accepted."""
        self._open.pop(signal_id, None)

    def print_known(self) -> None:
        """Print the outcomes that have come by now."""
        while self._open:
            try:
                line = self._lines.get_nowait()
            except queue.Empty:
                return
            self._take(line)

    def wait(self) -> None:
        """Print the outcomes as they come, and at the end the signals that got none.

        Raises:
            DaemonGoneError: The daemon went away before that.
        """
        deadline = time.monotonic() + self._timeout_seconds
        while self._open:
            try:
                line = self._lines.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                break
            self._take(line)
        for signal_id, symbol in self._open.items():
            self._print_open(signal_id, symbol)
        self._open.clear()

    def _print_open(self, signal_id: str, symbol: str) -> None:
        self.counts["open"] += 1
        seconds = self._timeout_seconds
        if self._as_json:
            event = {"event": "timeout", "signalId": signal_id, "symbol": symbol}
            self._print_line(json.dumps(event | {"seconds": seconds}), "")
        else:
            outcome = Outcome("open", f"still open after {seconds:g} s")
            self._print_outcome(signal_id, symbol, outcome)

    def _take(self, line: bytes | None) -> None:
        if line is None:
            ids = ", ".join(printable(name) for name in list(self._open)[:5])
            raise DaemonGoneError(
                f"the daemon went away; {counted(len(self._open), 'signal')} without an outcome yet"
                f" ({ids}{', ...' if len(self._open) > 5 else ''}): the next start"
                " settles their orders, see: snexec trades --signal ID"
            )
        event = read_object(line) or {}
        signal_id = event.get("signalId")
        if not isinstance(signal_id, str) or signal_id not in self._open:
            return
        outcome = outcome_of(event)
        if outcome is None:
            return
        self.counts[outcome.kind] += 1
        symbol = self._open.pop(signal_id)
        if self._as_json:
            self._print_line(printable(line.decode(errors="replace")), "")
        else:
            self._print_outcome(signal_id, str(event.get("symbol") or symbol), outcome)

    def _print_outcome(self, signal_id: str, symbol: str, outcome: Outcome) -> None:
        text = f"{printable(symbol)} {printable(signal_id)}: {outcome.text}"
        self._print_line(text, STYLES[outcome.kind])

    def _read(self) -> None:
        try:
            while True:
                self._lines.put(self._connection.receive(None))
        except CommandError:
            self._lines.put(None)
