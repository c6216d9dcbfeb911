"""Whether intake, stream and writer hang: this decides if a heartbeat is sent.

A part that *waits* is alive: for a signal, for space on a full disk, for another
program's lock, for a broker that is away. A part that *hangs* waits for something that
will not come, and only a restart helps. The two can be told apart because every wait
here has a limit or is tried again:

- **event loop**: when it stands still nothing here runs, so no heartbeat is sent.
- **intake**: a knock at the daemon's own socket is answered, through the same listener,
  reader and turns as a feeder's line; and accepted signals leave the queue, as each is
  traded, or too old after ``max_signal_age_sec``. While every order slot is occupied,
  they wait for orders, which have timeouts of their own.
- **stream**: at each step it says by when the next one must come (``SignsOfLife``); the
  pause before the next try is such a step too.
- **writer**: a change that changes nothing is sent through it and comes back done.
  While it waits for the disk or a lock nothing comes back, but ``WriterStatus.tries`` grows
  with each try. One try that takes longer than the patience counts as hung, as a thread
  that never comes back looks the same.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import trio

from snexec.intake import Phase

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from snexec.ops.wings import Wings

_OVERDUE_SECONDS = 10.0  # past the age at which a signal is dropped
_LEAST_PATIENCE_SECONDS = 5.0  # two tries of a writer that waits for a lock


class Watchdog:
    """Finds out which parts hang.

    Args:
        wings: What is looked at.
        knock: Asks the intake for an answer, as a feeder does, and returns once it has
            come; OSError and trio.BrokenResourceError mean that none will.
    """

    def __init__(self, wings: Wings, knock: Callable[[], Awaitable[None]]) -> None:
        self._wings = wings
        self._knock = knock
        self._handled = -1
        self._handled_at = trio.current_time()
        self._written = (-1, -1)
        self._written_at = trio.current_time()

    async def hung(self, patience_seconds: float) -> list[str]:
        """Return the names of the parts that hang.

        Args:
            patience_seconds: How long the writer may show no sign of life. The intake
                has half as long to answer.
        """
        found = []
        if not await self._answers(patience_seconds / 2) or self._signals_are_stuck():
            found.append("intake")
        if self._wings.stream.status().is_overdue:
            found.append("stream")
        patience = max(patience_seconds, _LEAST_PATIENCE_SECONDS)
        if self._writer_hangs(patience):
            found.append("writer")
        return found

    async def _answers(self, seconds: float) -> bool:
        with trio.move_on_after(seconds):
            try:
                await self._knock()
            except (OSError, trio.BrokenResourceError):
                return False
            return True
        return False

    def _signals_are_stuck(self) -> bool:
        now = trio.current_time()
        limits = self._wings.live.now.intake
        intake, orders = self._wings.intake.status(), self._wings.orders.status()
        handled = intake.counts["accepted"] - orders.pending
        if (
            handled != self._handled
            or orders.pending == 0
            or intake.phase is Phase.STARTING
            or orders.in_flight >= limits.max_in_flight
        ):
            self._handled, self._handled_at = handled, now
        waited = now - self._handled_at
        return waited > limits.max_signal_age_sec + _OVERDUE_SECONDS

    def _writer_hangs(self, patience: float) -> bool:
        ledger = self._wings.ledger
        now, status = trio.current_time(), ledger.status()
        written = (status.tries, status.applied)
        if written != self._written or ledger.writer.pending == 0:
            self._written, self._written_at = written, now
        if ledger.writer.pending == 0:
            ledger.writer.probe()
        return now - self._written_at >= patience


async def knock_at(path: str) -> None:
    """Ask the daemon's own socket for an answer, any answer.

    Raises:
        OSError: Nothing listens there.
        BrokenResourceError: The connection ended without an answer.
    """
    async with await trio.open_unix_socket(path) as stream:
        await stream.send_all(json.dumps({"command": "knock"}).encode() + b"\n")
        if not await stream.receive_some(1):
            raise trio.BrokenResourceError
