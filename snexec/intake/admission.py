"""Which lines are taken and which are not: one answer to each, at once (SPEC 4, 6).

Nothing here waits, so no feeder is ever held up.
"""

from __future__ import annotations

import collections
import itertools
import logging
import math
from enum import Enum
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import trio

from snexec.errors import InvalidSignalError
from snexec.intake.unread import Unread
from snexec.recent import Recent
from snexec.signals import MAX_LINE_BYTES, Signal, TakenSignal, parse_signal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snexec.model import Mode
    from snexec.settings import LiveSettings

log = logging.getLogger("Intake")

# Then other feeders and the orders get their turns. What is taken in one turn shares a
# commit: with 16, the last of 500 orders leaves a fifth later.
LINES_PER_TURN = 32
_LOG_WINDOW_SECONDS = 60.0
_LOGGED_PER_WINDOW = 100  # a feeder gone wild must not drown the log
_REMEMBERED_IDS = 4096  # the database remembers the older ones


class Phase(Enum):
    """Whether signals are taken."""

    STARTING = "starting"
    STANDBY = "standby"  # another host of the group is active
    TAKING = "taking"
    STOPPING = "stopping"


Status = Literal[
    "accepted",
    "invalid",
    "repeated",
    "overloaded",
    "starting",
    "standby",
    "stopping",
]


class Answer(NamedTuple):
    """The answer to a line (the table of SPEC 6).

    Attributes:
        signal: The signal, where the line was one.
        sequence: The signal's place in this run, where it was taken.
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


class Rows(Protocol):
    """What the intake needs to know about the ledger."""

    @property
    def healthy(self) -> bool:
        """Whether rows can be written."""


class Orders(Protocol):
    """Where a taken signal goes."""

    @property
    def is_full(self) -> bool:
        """Whether no more may wait."""

    @property
    def room(self) -> int:
        """How many more may wait."""

    async def wait_for_room(self) -> None:
        """Wait until another one may be handed in."""

    def hand_in(self, taken: TakenSignal) -> None:
        """Order for a signal now if nothing else waits, otherwise in its turn."""

    def flush(self) -> None:
        """Send the orders for what was handed in, without a task switch."""


class IntakeStatus(NamedTuple):
    """What was read since the start.

    Attributes:
        phase: Whether signals are taken.
        counts: How many lines got each answer.
        dropped_answers: Answers dropped because their client did not read.
        producers: The same counts for each producer that has a name and has sent any.
    """

    phase: Phase
    counts: Mapping[Status, int]
    dropped_answers: int
    producers: Mapping[str, Mapping[Status, int]]


class Intake:
    """Takes lines from every feeder, and hands the signals in to be ordered.

    Args:
        live: The mode in force; an id may be taken once in each.
        rows: Nothing is taken while they cannot be written.
        orders: Where taken signals go.

    Attributes:
        phase: Whether signals are taken.
        unread: Dates what feeders read.
    """

    def __init__(self, live: LiveSettings, rows: Rows, orders: Orders) -> None:
        self._live = live
        self._rows = rows
        self._orders = orders
        self._taken_ids: Recent[tuple[Mode, str]] = Recent(_REMEMBERED_IDS)
        self._numbers = itertools.count(1)
        self._log_window = -math.inf
        self._logged = 0
        self._unlogged = 0
        self._counts: collections.Counter[Status] = collections.Counter()
        self._producers: dict[str, collections.Counter[Status]] = {}
        self._dropped_answers = 0
        self._taking = trio.Event()
        self.phase = Phase.STARTING
        self.unread = Unread(live.now.intake.max_signal_age_sec)

    @property
    def is_full(self) -> bool:
        """Whether no more signals may wait."""
        return self._orders.is_full

    @property
    def room(self) -> int:
        """How many more signals may wait."""
        return self._orders.room

    @property
    def can_write(self) -> bool:
        """Whether rows can be written; nothing is taken while they cannot."""
        return self._rows.healthy

    async def wait_for_room(self) -> None:
        """Wait until another signal may be taken."""
        await self._orders.wait_for_room()

    async def wait_taking(self) -> None:
        """Wait until signals are taken."""
        while self.phase is not Phase.TAKING:
            await self._taking.wait()

    def has_taken(self, signal_id: str) -> bool:
        """Return whether this id was taken in the current mode."""
        return (self._live.now.mode, signal_id) in self._taken_ids

    def status(self) -> IntakeStatus:
        """Return what was read since the start."""
        return IntakeStatus(
            phase=self.phase,
            counts=self._counts.copy(),
            dropped_answers=self._dropped_answers,
            producers={name: counts.copy() for name, counts in self._producers.items()},
        )

    def open(self) -> None:
        """Take signals from now on, unless it is closed already."""
        if self.phase is not Phase.STOPPING:
            self.phase = Phase.TAKING
            self._taking.set()
            self._taking = trio.Event()

    def stand_by(self) -> None:
        """Take none, as another host does."""
        if self.phase is not Phase.STOPPING:
            self.phase = Phase.STANDBY

    def begin(self) -> None:
        """Begin to start, as no other host takes any more."""
        if self.phase is Phase.STANDBY:
            self.phase = Phase.STARTING

    def close(self) -> None:
        """Take no more signals."""
        self.phase = Phase.STOPPING

    def flush(self) -> None:
        """Send the orders for the lines just taken: no more lines are at hand."""
        self._orders.flush()

    def note_dropped_answer(self) -> None:
        """Count an answer that was dropped because its client did not read."""
        self._dropped_answers += 1

    def take(
        self,
        line: bytes | None,
        *,
        read_at: float,
        early: bool = False,
        lost: str = f"longer than {MAX_LINE_BYTES} bytes",
        default_id: str | None = None,
        producer: str | None = None,
        is_kept: bool = False,
    ) -> Answer:
        """Take one line; None stands for one that was not kept.

        Args:
            line: Without its newline.
            read_at: When it was read, on Trio's clock.
            early: Take it even before recovery is done; it then waits, and ages.
            lost: Why it was not kept.
            default_id: What a signal without an id is called.
            producer: Who sent it, where it is known.
            is_kept: Whether it comes again after a crash, until it is decided.
        """
        answer = (
            Answer(status="invalid", error=f"line: {lost}")
            if line is None
            else self._answer(
                *(line, read_at),
                early=early,
                default_id=default_id,
                producer=producer,
                is_kept=is_kept,
            )
        )
        self._counts[answer.status] += 1
        if producer is not None:
            counts = self._producers.setdefault(producer, collections.Counter())
            counts[answer.status] += 1
        if answer.status == "accepted":
            log.debug("signal taken: id=%s", answer.id)
        else:
            self._log_refusal(answer, producer)
        return answer

    def _answer(  # noqa: PLR0911 - one return an answer, in the order of the table
        self,
        line: bytes,
        read_at: float,
        *,
        early: bool,
        default_id: str | None,
        producer: str | None,
        is_kept: bool,
    ) -> Answer:
        try:
            signal = parse_signal(line, self._live.mask, default_id=default_id)
        except InvalidSignalError as exc:
            return Answer(status="invalid", error=str(exc), id=exc.signal_id)
        if self.phase is Phase.STOPPING:
            return Answer(status="stopping", id=signal.id, signal=signal)
        if self.phase is Phase.STANDBY:
            return Answer(status="standby", id=signal.id, signal=signal)
        if self.phase is Phase.STARTING and not early:
            return Answer(status="starting", id=signal.id, signal=signal)
        key = None if signal.id is None else (self._live.now.mode, signal.id)
        if key is not None and key in self._taken_ids:
            return Answer(status="repeated", id=signal.id, signal=signal)
        if not self._rows.healthy:
            reason = "the database cannot be written"
            return Answer(
                status="overloaded", id=signal.id, reason=reason, signal=signal
            )
        if self._orders.is_full:
            return Answer(status="overloaded", id=signal.id, signal=signal)
        if key is not None:
            self._taken_ids.add(key)
        sequence = next(self._numbers)
        term = self._live.term
        taken = TakenSignal(signal, read_at, sequence, term, producer, is_kept)
        self._orders.hand_in(taken)
        return Answer(status="accepted", id=signal.id, signal=signal, sequence=sequence)

    def _log_refusal(self, answer: Answer, producer: str | None) -> None:
        """Log why a line was not taken, a limited number of times a minute."""
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
        words = f"{answer.status}: {why}" if why else answer.status
        if producer is not None:
            words = f"{words} (from {producer})"
        level = logging.INFO if answer.status == "repeated" else logging.WARNING
        log.log(level, "signal not taken, id=%s, %s", answer.id, words)
        if self._logged == _LOGGED_PER_WINDOW:
            log.warning("further lines that are not taken are only counted for a while")
