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
  While it waits for the disk or a lock nothing comes back, but ``Writer.tries`` grows
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

    from snexec.intake import Intake
    from snexec.ledger import Store, Writer
    from snexec.orders import Dispatcher
    from snexec.settings import Settings
    from snexec.stream import TradingStream

_OVERDUE_SECONDS = 10.0  # past the age at which a signal is dropped
_LEAST_PATIENCE_SECONDS = 5.0  # two tries of a writer that waits for a lock


class Watchdog:
    """Finds out which parts hang.

    Args:
        settings: Returns the current settings.
        knock: Asks the intake for an answer, as a feeder does, and returns once it has
            come; OSError and trio.BrokenResourceError mean that none will.
    """

    def __init__(
        self,
        *,
        intake: Intake,
        dispatcher: Dispatcher,
        stream: TradingStream,
        writer: Writer,
        settings: Callable[[], Settings],
        knock: Callable[[], Awaitable[None]],
    ) -> None:
        self._intake = intake
        self._dispatcher = dispatcher
        self._stream = stream
        self._writer = writer
        self._settings = settings
        self._knock = knock
        self._handled = -1
        self._handled_at = trio.current_time()
        self._written = (-1, -1)
        self._written_at = trio.current_time()
        self.probes = 0

    async def hung(self, patience_seconds: float) -> list[str]:
        """Return the names of the parts that hang.

        Args:
            patience_seconds: How long the writer may show no sign of life. The intake
                has half as long to answer.
        """
        found = []
        if not await self._answers(patience_seconds / 2) or self._signals_are_stuck():
            found.append("intake")
        if self._stream.life.is_overdue():
            found.append("stream")
        patience = max(patience_seconds, _LEAST_PATIENCE_SECONDS)
        if await self._writer_hangs(patience):
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
        limits = self._settings().intake
        handled = self._intake.counts["accepted"] - self._intake.pending
        if (
            handled != self._handled
            or self._intake.pending == 0
            or self._intake.phase is Phase.STARTING
            or self._dispatcher.in_flight >= limits.max_in_flight
        ):
            self._handled, self._handled_at = handled, now
        waited = now - self._handled_at
        return waited > limits.max_signal_age_sec + _OVERDUE_SECONDS

    async def _writer_hangs(self, patience: float) -> bool:
        now, status = trio.current_time(), self._writer.status()
        written = (self._writer.tries, status.applied)
        if written != self._written or status.pending == 0:
            self._written, self._written_at = written, now
        if status.pending == 0:
            await self._writer.submit(_change_nothing, self._probed)
        return now - self._written_at >= patience

    def _probed(self, _nothing: None) -> None:
        self.probes += 1


def _change_nothing(_store: Store) -> None:
    """Change no row; its commit writes nothing to the disk."""


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
