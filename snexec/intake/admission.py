"""What is taken and what is not: one answer to each line, at once (SPEC 4, 6).

Nothing here waits, so no feeder is ever held up.
"""

from __future__ import annotations

import collections
import itertools
import logging
import math
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Literal

import trio

from snexec.errors import InvalidSignalError
from snexec.recent import Recent
from snexec.signals import MAX_LINE_BYTES, Signal, parse_signal

if TYPE_CHECKING:
    from collections.abc import Callable

    from snexec.model import Mode

log = logging.getLogger("Intake")

# Then other readers and the orders have their turns. What is taken in one turn shares a
# commit: with 16, the last of 500 orders leaves a fifth later.
LINES_PER_TURN = 32
_LOG_WINDOW_SECONDS = 60.0
_LOGGED_PER_WINDOW = 100  # a feeder gone wild must not drown the log
_REMEMBERED_IDS = 4096  # what is older than that, the database remembers


class Phase(Enum):
    """Whether signals are taken."""

    STARTING = "starting"
    TAKING = "taking"
    STOPPING = "stopping"


@dataclass(frozen=True, kw_only=True, slots=True)
class TakenSignal:
    """A signal that was taken.

    Attributes:
        read_at: When its line was read, on Trio's clock.
        sequence: Its place in this run.
    """

    signal: Signal
    read_at: float
    sequence: int


Status = Literal[
    "accepted", "invalid", "repeated", "overloaded", "starting", "stopping"
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a line is answered (the table of SPEC 6).

    Attributes:
        signal: The signal, where the line was one.
        sequence: Its place in this run, where it was taken.
    """

    status: Status
    id: str | None = None
    error: str | None = None
    reason: str | None = None
    signal: Signal | None = None
    sequence: int | None = None

    def fields(self) -> dict[str, object]:
        """Return the answer as the fields of its JSON object."""
        fields: dict[str, object] = {"status": self.status}
        if self.id is not None or self.status == "accepted":
            fields["id"] = self.id
        if self.error is not None:
            fields["error"] = self.error
        if self.reason is not None:
            fields["reason"] = self.reason
        return fields


class Intake:
    """Takes signals into a bounded queue.

    Args:
        mode: Tells the current mode; an id may be taken once in each.
        refusal: Tells why no order can be placed at the moment, if so.
    """

    def __init__(
        self,
        *,
        max_pending: int,
        mode: Callable[[], Mode],
        refusal: Callable[[], str | None],
    ) -> None:
        self._max_pending = max_pending
        self._mode = mode
        self._refusal = refusal
        self._start_now: Callable[[TakenSignal], bool] = lambda _taken: False
        self._leave_now: Callable[[], None] = lambda: None
        self._taken_ids: Recent[tuple[Mode, str]] = Recent(_REMEMBERED_IDS)
        self._numbers = itertools.count(1)
        # The bound is `max_pending`, kept by counting: a signal leaves the channel
        # before it leaves the queue for an order slot.
        self._send, self.taken = trio.open_memory_channel[TakenSignal](math.inf)
        self._room = trio.Event()
        self._log_window = -math.inf
        self._logged = 0
        self._unlogged = 0
        self.pending = 0
        self.counts: collections.Counter[Status] = collections.Counter()
        self.phase = Phase.STARTING

    @property
    def is_full(self) -> bool:
        """Whether ``max_pending`` signals wait."""
        return self.pending >= self._max_pending

    async def wait_for_room(self) -> None:
        """Wait until another signal may be taken."""
        while self.is_full:
            await self._room.wait()

    def has_taken(self, signal_id: str) -> bool:
        """Tell whether this id was taken in the current mode."""
        return (self._mode(), signal_id) in self._taken_ids

    def next_nowait(self) -> TakenSignal | None:
        """Return the next taken signal, if one waits."""
        try:
            return self.taken.receive_nowait()
        except (trio.WouldBlock, trio.EndOfChannel):
            return None

    def hand_over(
        self, start_now: Callable[[TakenSignal], bool], leave_now: Callable[[], None]
    ) -> None:
        """Offer each signal that has none before it to a function first.

        Args:
            start_now: Tells whether it took the signal; if not, it is queued.
            leave_now: Called when the reader of lines has no more at hand.
        """
        self._start_now = start_now
        self._leave_now = leave_now

    def turn_ended(self) -> None:
        """Let what the lines of this step began leave, without a task switch."""
        self._leave_now()

    def started(self) -> None:
        """Note that a taken signal waits no longer."""
        self.pending -= 1
        self._room.set()
        self._room = trio.Event()

    def close(self) -> None:
        """Take no more signals; those taken are still worked off."""
        self.phase = Phase.STOPPING
        self._send.close()

    def take(
        self, line: bytes | None, *, read_at: float, early: bool = False
    ) -> Answer:
        """Take one line, None being one that was too long.

        Args:
            line: Without its newline.
            read_at: When it was read, on Trio's clock.
            early: Take it also before recovery is done; it waits, and grows old.
        """
        answer = self._answer(line, read_at, early=early)
        self.counts[answer.status] += 1
        if answer.status == "accepted":
            log.debug("signal taken: id=%s", answer.id)
        else:
            self._log_refusal(answer)
        return answer

    def _answer(  # noqa: PLR0911 - one return an answer, in the order of the table
        self, line: bytes | None, read_at: float, *, early: bool
    ) -> Answer:
        if line is None:
            error = f"line: longer than {MAX_LINE_BYTES} bytes"
            return Answer(status="invalid", error=error)
        try:
            signal = parse_signal(line)
        except InvalidSignalError as exc:
            return Answer(status="invalid", error=str(exc), id=exc.signal_id)
        if self.phase is Phase.STOPPING:
            return Answer(status="stopping", id=signal.id, signal=signal)
        if self.phase is Phase.STARTING and not early:
            return Answer(status="starting", id=signal.id, signal=signal)
        key = None if signal.id is None else (self._mode(), signal.id)
        if key is not None and key in self._taken_ids:
            return Answer(status="repeated", id=signal.id, signal=signal)
        if (reason := self._refusal()) is not None:
            return Answer(
                status="overloaded", id=signal.id, reason=reason, signal=signal
            )
        if self.is_full:
            return Answer(status="overloaded", id=signal.id, signal=signal)
        if key is not None:
            self._taken_ids.add(key)
        sequence = next(self._numbers)
        taken = TakenSignal(signal=signal, read_at=read_at, sequence=sequence)
        if self.pending or not self._start_now(taken):
            self.pending += 1
            self._send.send_nowait(taken)
        return Answer(status="accepted", id=signal.id, signal=signal, sequence=sequence)

    def _log_refusal(self, answer: Answer) -> None:
        """Say why a line was not taken, a bounded number of times a minute."""
        now = trio.current_time()
        if now - self._log_window > _LOG_WINDOW_SECONDS:
            if self._unlogged:
                log.warning("%d more lines were not taken", self._unlogged)
            self._log_window, self._logged, self._unlogged = now, 0, 0
        if self._logged >= _LOGGED_PER_WINDOW:
            self._unlogged += 1
            return
        self._logged += 1
        why = answer.error or answer.reason
        told = f"{answer.status}: {why}" if why else answer.status
        level = logging.INFO if answer.status == "repeated" else logging.WARNING
        log.log(level, "signal not taken, id=%s, %s", answer.id, told)
        if self._logged == _LOGGED_PER_WINDOW:
            log.warning("further lines that are not taken are only counted for a while")
