"""A run: rounds of daemon and floor in turns, so that both meet the same conditions."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from snexec.bench import measure
from snexec.bench.brokers import StandIn, built_in_exchange, stand_in
from snexec.bench.pairs import measure_pairs
from snexec.bench.subjects import Places, daemon, floor
from snexec.errors import StartError, first_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from snexec.bench.brokers import Broker
    from snexec.bench.pairs import Pairs
    from snexec.bench.subjects import Subject
    from snexec.settings import Settings

    Opening = Callable[[Places, Broker], AbstractContextManager[Subject]]

_MAX_CONNECTIONS = 512  # no burst needs more, and a process may open about 1,000 files


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """How much is measured in a run.

    Attributes:
        rounds: How often everything is measured at the stand-in broker.
        exchange_rounds: How many of these rounds measure at the built-in exchange too.
        singles: Signals one at a time, in each round.
        burst: Signals at once.
        fills: Fill events at once; not fewer than ``burst``.
        foreign: Fill events of other programs' orders, which come among as many.
        commits: Raw SQLite commits.
        turns: Of daemon and the floor that commits a row, each.
    """

    rounds: int
    exchange_rounds: int
    singles: int
    burst: int
    fills: int
    foreign: int
    commits: int
    turns: int


FULL = Sizes(
    rounds=3,
    exchange_rounds=1,
    singles=300,
    burst=500,
    fills=2000,
    foreign=10_000,
    commits=100,
    turns=6,
)
QUICK = Sizes(
    rounds=1,
    exchange_rounds=1,
    singles=20,
    burst=50,
    fills=100,
    foreign=500,
    commits=20,
    turns=1,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What one program did in one round.

    Attributes:
        ready_ms: Milliseconds from the start of its process until it took signals.
        fills: None for a program without rows, and where fills cannot be ordered.
        fills_among: The same, among fills of other programs' orders.
        memory_ready_mb: Resident memory when it was ready, in MiB.
        memory_end_mb: Resident memory after everything was measured, in MiB.
    """

    ready_ms: float
    singles: measure.Singles
    burst: measure.Burst
    fills: measure.FillRun | None
    fills_among: measure.FillRun | None
    memory_ready_mb: float
    memory_end_mb: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """One round; ``at_exchange`` is empty if the exchange was not measured.

    Attributes:
        at_stand_in: Figures of ``snexec`` and of the ``floor``.
        at_exchange: The same at the built-in exchange.
        commits_us: Raw SQLite commits, in microseconds each.
    """

    at_stand_in: dict[str, Figures]
    at_exchange: dict[str, Figures]
    commits_us: list[float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """Everything that was measured, and with what; there is at least one round.

    Attributes:
        load: The machine's load before the run, over one minute, as ``uptime`` shows it.
        connections: Orders at once, and the floor's connections.
        disk: The folder that the databases were in.
        pairs: Daemon and the floor that commits a row first, in turns.
    """

    load: float
    sizes: Sizes
    connections: int
    disk: Path
    rounds: list[Round]
    pairs: Pairs


def run(settings: Settings, sizes: Sizes, tell: Callable[[str], None]) -> Run:
    """Measure, and leave nothing behind.

    Args:
        settings: The user's: ``max_in_flight`` and the disk of ``database`` are used.
            Everything else is the bench's own.
        sizes: How much to measure.
        tell: Called with what is being measured.

    Raises:
        StartError: Something could not be measured.
        KeyboardInterrupt: SIGINT or SIGTERM came.
    """
    load = os.getloadavg()[0]
    rounds: list[Round] = []
    with measured(), places_of(settings) as places:
        for number in range(1, sizes.rounds + 1):
            tell(f"round {number} of {sizes.rounds}")
            rounds.append(_round(places, sizes, number))
        tell("in turns with a floor that commits a row first")
        pairs = measure_pairs(
            places,
            turns=sizes.turns,
            singles=-(-sizes.singles // sizes.turns),
            burst=sizes.burst,
        )
        connections, disk = places.connections, places.disk.parent
    return Run(
        load=load,
        sizes=sizes,
        connections=connections,
        disk=disk,
        rounds=rounds,
        pairs=pairs,
    )


def _round(places: Places, sizes: Sizes, number: int) -> Round:
    programs: dict[str, Opening] = {"snexec": daemon, "floor": floor}
    at_stand_in: dict[str, Figures] = {}
    at_exchange: dict[str, Figures] = {}
    for name, opening in programs.items():
        with (
            stand_in(places.folder) as broker,
            opening(places, broker) as subject,
        ):
            at_stand_in[name] = _measure(subject, broker, sizes)
    commits_us = measure.commits(places.disk, sizes.commits)
    for name, opening in programs.items():
        if number > sizes.exchange_rounds:
            break
        with (
            built_in_exchange(places.folder) as exchange,
            opening(places, exchange) as subject,
        ):
            at_exchange[name] = _measure(subject, exchange, sizes)
    return Round(
        at_stand_in=at_stand_in, at_exchange=at_exchange, commits_us=commits_us
    )


def _measure(subject: Subject, broker: Broker, sizes: Sizes) -> Figures:
    # Only the stand-in fills orders on demand.
    filling = broker if isinstance(broker, StandIn) and subject.rows else None
    memory_ready_mb = subject.program.memory_mb()
    singles = measure.singles(subject, broker, sizes.singles)
    if filling is not None:
        # Otherwise the daemon would look these orders up while the next are measured.
        measure.fills(subject, filling)
    burst = measure.burst(subject, broker, sizes.burst)
    fills: measure.FillRun | None = None
    fills_among: measure.FillRun | None = None
    if filling is not None:
        measure.place(subject, broker, sizes.fills - sizes.burst)
        fills = measure.fills(subject, filling)
        measure.place(subject, broker, sizes.fills)
        fills_among = measure.fills(subject, filling, foreign=sizes.foreign)
    return Figures(
        ready_ms=subject.ready_ms,
        singles=singles,
        burst=burst,
        fills=fills,
        fills_among=fills_among,
        memory_ready_mb=memory_ready_mb,
        memory_end_mb=subject.program.memory_mb(),
    )


@contextmanager
def measured() -> Iterator[None]:
    """Measure in a block that SIGINT and SIGTERM interrupt, and that fails in one way.

    Raises:
        StartError: Something could not be measured.
        KeyboardInterrupt: SIGINT or SIGTERM came.
    """
    try:
        with _interruptible():
            yield
    except (
        OSError,
        HTTPException,
        sqlite3.Error,
        subprocess.SubprocessError,
    ) as exc:
        reason = first_words(exc) or type(exc).__name__
        raise StartError(f"bench: {reason}") from exc


@contextmanager
def places_of(settings: Settings) -> Iterator[Places]:
    """Make the folders of a run; remove them, with everything in them, at its end."""
    database = Path(settings.database)
    with ExitStack() as stack:
        folder = tempfile.TemporaryDirectory(prefix="snexec-bench-")
        folder_path = Path(stack.enter_context(folder))
        try:
            disk = tempfile.TemporaryDirectory(
                prefix=f"{database.name}-bench-", dir=database.parent
            )
        except OSError:  # the user's own may not exist yet, or not be writable
            disk_path = folder_path
        else:
            disk_path = Path(stack.enter_context(disk))
        yield Places(
            folder=folder_path,
            disk=disk_path,
            connections=min(settings.intake.max_in_flight, _MAX_CONNECTIONS),
        )


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM interrupt as Ctrl-C does, and ignore every signal after the first."""
    numbers = (signal.SIGINT, signal.SIGTERM)

    def interrupt(_number: int, _frame: object) -> NoReturn:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)  # cleaning up takes seconds at most
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
