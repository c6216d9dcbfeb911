"""Sends signals to the daemon one by one, and counts the answers."""

from __future__ import annotations

import collections
import json
import time
import uuid
from typing import TYPE_CHECKING, Any

from snexec.assets import canonical_symbol
from snexec.cli.daemon_client import read_object
from snexec.logs import printable
from snexec.model import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snexec.cli.daemon_client import DaemonConnection
    from snexec.cli.outcome_tracker import OutcomeTracker

_NOT_TAKEN_YET = frozenset({"overloaded", "starting"})
_RETRY_SECONDS = 60.0  # a line; what waits in the daemon is stale and gone by then
_FIRST_PAUSE_SECONDS = 0.02
_LONGEST_PAUSE_SECONDS = 0.5
_ANSWER_TO_COMMAND = (
    b'{"status":"invalid","error":"command: is for control, not for a signal"}'
)


class Sender:
    """Sends line by line, each once the one before it is answered.

    So it waits where the daemon's queue is full, and the order of the lines is kept.
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
        """0 if all were accepted, and filled if outcomes were waited for; else 1."""
        accepted = self._counts["accepted"]
        filled = accepted if self.outcomes is None else self.outcomes.counts["filled"]
        return 0 if accepted == self.sent and filled == accepted else 1

    def send(self, line: bytes, *, patiently: bool = False) -> bytes:
        """Send a signal and return its answer.

        Args:
            line: The signal, without a newline.
            patiently: Whether to send it again for up to a minute while the daemon has
                no room.
        """
        signal = read_object(line)
        if signal is not None and "command" in signal:
            self._counts["invalid"] += 1
            return _ANSWER_TO_COMMAND
        outcomes = self.outcomes
        expected = None
        if outcomes is not None and signal is not None:
            if signal.get("id") in (None, ""):
                signal["id"] = str(uuid.uuid4())
                line = json.dumps(signal).encode()
            if isinstance(signal["id"], str) and outcomes.expect(
                signal["id"], _symbol(signal)
            ):
                expected = signal["id"]
        answer = self._ask(line, patiently=patiently)
        status = printable(str((read_object(answer) or {}).get("status")))
        self._counts[status] += 1
        if outcomes is not None and expected is not None and status != "accepted":
            outcomes.forget(expected)
        return answer

    def totals(self) -> str:
        """Return how many were sent and what became of them, in words."""
        parts = [f"{count} {status}" for status, count in self._counts.most_common()]
        text = (
            f"{counted(self.sent, 'signal')}: {', '.join(parts) or 'nothing was sent'}"
        )
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
    written = str(signal.get("symbol") or "")
    try:
        return canonical_symbol(written)
    except ValueError:
        return written  # the daemon says what is wrong with it
