"""A run of ``bench exits``: a few daemons after one another, each with its own rows."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from snexec.bench import exit_measure, measure
from snexec.bench.brokers import market_data, stand_in
from snexec.bench.exit_rows import exits_of, write_rows
from snexec.bench.rounds import measured, places_of
from snexec.bench.stand_in_account import symbol_of
from snexec.bench.subjects import daemon

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from snexec.bench.brokers import MarketData, StandIn
    from snexec.bench.subjects import Places, Subject
    from snexec.settings import Settings

TICKS_PER_SECOND = 2000
POLL_SECONDS, CONFIRM_TICKS = 2.0, 2  # as they are without a key
_SWITCH_SECONDS = 1.0  # for a daemon to change over to other settings


@dataclass(frozen=True, kw_only=True, slots=True)
class ExitSizes:
    """How much is measured.

    Attributes:
        rounds: How often everything but starts and memory is measured.
        rows: That are watched, and at once.
        triggers: Ticks that sell one at a time, and signals beside them.
        signals: One at a time, in each of the blocks.
        blocks: Of signals with and without a load, in turns.
        load_seconds: How long the processor is watched under load.
        moves: Of prices that positions show.
        starts: With closed rows and without, in turns.
        closed: Rows that were sold.
        memory_rows: That are watched where memory is measured, or are closed instead.
    """

    rounds: int
    rows: int
    triggers: int
    signals: int
    blocks: int
    load_seconds: float
    moves: int
    starts: int
    closed: int
    memory_rows: int


FULL = ExitSizes(
    rounds=3,
    rows=500,
    triggers=110,
    signals=60,
    blocks=4,
    load_seconds=5.0,
    moves=10,
    starts=5,
    closed=10_000,
    memory_rows=6_000,
)
QUICK = ExitSizes(
    rounds=1,
    rows=50,
    triggers=15,
    signals=20,
    blocks=1,
    load_seconds=1.0,
    moves=2,
    starts=1,
    closed=1_000,
    memory_rows=500,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """Signals to POSTs in microseconds each, with a load and without, in turns."""

    without: list[float]
    beside: list[float]


@dataclass(frozen=True, kw_only=True, slots=True)
class ExitRound:
    """What was measured in one round.

    Attributes:
        quiet: Triggers and signals in turns, without other ticks.
        busy: The same with all the ticks.
        ticks: Signals with all the ticks, and without.
        cpu: Share of a core with all the ticks.
        idle_cpu: The same without.
        tick_rate: Ticks a second that were sent meanwhile.
        fall_ms: From the frame that sells all rows to the last POST, milliseconds.
        lost: How many of them never came.
        burst_ms: As many signals at once, to the last POST.
        polls: Signals while all positions are polled, and without.
        moves_sec: From a price that positions show to the POST, seconds each.
    """

    quiet: exit_measure.Pairs
    busy: exit_measure.Pairs
    ticks: Compared
    cpu: float
    idle_cpu: float
    tick_rate: float
    fall_ms: float
    lost: int
    burst_ms: float
    polls: Compared
    moves_sec: list[float]


@dataclass(frozen=True, kw_only=True, slots=True)
class ExitRun:
    """Everything that was measured, and with what.

    Attributes:
        load: The machine's load before the run, over one minute.
        disk: The folder that the databases were in.
        starts_ms: Milliseconds to the first signal, with no closed rows.
        full_starts_ms: The same with all of them.
        row_bytes: Resident memory a watched row.
    """

    load: float
    sizes: ExitSizes
    disk: Path
    rounds: list[ExitRound]
    starts_ms: list[float]
    full_starts_ms: list[float]
    row_bytes: float


def run_exits(
    settings: Settings, sizes: ExitSizes, tell: Callable[[str], None]
) -> ExitRun:
    """Measure exits, and leave nothing behind; as ``rounds.run``."""
    load, rounds = os.getloadavg()[0], []
    with measured(), places_of(settings) as places:
        for number in range(1, sizes.rounds + 1):
            tell(f"round {number} of {sizes.rounds}")
            rounds.append(_round(places, sizes))
        tell("starts and memory")
        starts = [_starts(places, sizes) for _ in range(sizes.starts)]
        small, large = (
            _memory(places, 100 + more, closed=2 * sizes.memory_rows - more)
            for more in (0, sizes.memory_rows)
        )
        disk = places.disk.parent
    return ExitRun(
        load=load,
        sizes=sizes,
        disk=disk,
        rounds=rounds,
        starts_ms=[without for without, _ in starts],
        full_starts_ms=[beside for _, beside in starts],
        row_bytes=(large - small) * 2**20 / sizes.memory_rows,
    )


@contextmanager
def _daemon(
    places: Places, source: str, *, held: int, closed: int = 0
) -> Iterator[tuple[Subject, StandIn, MarketData]]:
    """Run a daemon with rows, until the block ends."""
    with stand_in(places.folder) as broker, market_data(places.folder) as data:
        broker.hold(held)
        fill = partial(write_rows, held=held, closed=closed)
        exits = exits_of(source, data)
        with daemon(places, broker, fill=fill, exits=exits) as subject:
            yield subject, broker, data


def _round(places: Places, sizes: ExitSizes) -> ExitRound:
    quiet, busy, ticks, loads = _by_stream(places, sizes)
    fall_ms, lost, burst_ms = _at_once(places, sizes)
    polls, moves_sec = _by_positions(places, sizes)
    (cpu, tick_rate), (idle_cpu, _) = loads
    return ExitRound(
        quiet=quiet,
        busy=busy,
        ticks=ticks,
        cpu=cpu,
        idle_cpu=idle_cpu,
        tick_rate=tick_rate,
        fall_ms=fall_ms,
        lost=lost,
        burst_ms=burst_ms,
        polls=polls,
        moves_sec=moves_sec,
    )


def _by_stream(
    places: Places, sizes: ExitSizes
) -> tuple[
    exit_measure.Pairs,
    exit_measure.Pairs,
    Compared,
    tuple[tuple[float, float], tuple[float, float]],
]:
    symbols = [symbol_of(number) for number in range(sizes.rows + sizes.triggers)]
    kept, sold = symbols[sizes.triggers :], symbols[: sizes.triggers]
    with _daemon(places, "stream", held=len(symbols)) as (subject, broker, data):
        exit_measure.wait_watched(subject, data, symbols)
        quiet = exit_measure.pairs(subject, broker, data, sold)
        exit_measure.settle(subject, broker)
        exit_measure.refresh(data, kept)

        def set_load(*, is_on: bool) -> None:
            data.tick(TICKS_PER_SECOND if is_on else 0)

        ticks = _compared(subject, broker, sizes, set_load)
        exit_measure.refresh(data, kept)
        idle = exit_measure.load(subject, data, sizes.load_seconds)
        set_load(is_on=True)
        loaded = exit_measure.load(subject, data, sizes.load_seconds)
        busy = exit_measure.pairs(subject, broker, data, kept[: sizes.triggers])
    return quiet, busy, ticks, (loaded, idle)


def _at_once(places: Places, sizes: ExitSizes) -> tuple[float, int, float]:
    symbols = [symbol_of(number) for number in range(sizes.rows)]
    with _daemon(places, "stream", held=len(symbols)) as (subject, broker, data):
        exit_measure.wait_watched(subject, data, symbols)
        fall_ms, lost = exit_measure.fall(subject, broker, data, symbols)
        exit_measure.settle(subject, broker)
        burst = measure.burst(subject, broker, len(symbols))
    return fall_ms, lost, burst.last_post_ms


def _by_positions(places: Places, sizes: ExitSizes) -> tuple[Compared, list[float]]:
    with _daemon(places, "positions", held=sizes.rows) as (subject, broker, data):

        def set_load(*, is_on: bool) -> None:
            assert subject.configure is not None  # noqa: S101 - it is a daemon
            subject.configure(exits_of("positions", data, enabled=is_on))
            exit_measure.pause(_SWITCH_SECONDS)

        polls = _compared(subject, broker, sizes, set_load)
        set_load(is_on=True)
        symbols = [symbol_of(number) for number in range(sizes.moves)]
        exit_measure.arm(broker, symbols, (1 + CONFIRM_TICKS) * POLL_SECONDS)
        apart = POLL_SECONDS / sizes.moves
        moves_sec = exit_measure.moves(broker, symbols, apart)
    return polls, moves_sec


def _compared(
    subject: Subject,
    broker: StandIn,
    sizes: ExitSizes,
    set_load: Callable[..., None],
) -> Compared:
    without: list[float] = []
    beside: list[float] = []
    exit_measure.signals(subject, broker, exit_measure.WARM_UP)
    for _ in range(sizes.blocks):
        for figures, is_on in ((without, False), (beside, True)):
            set_load(is_on=is_on)
            figures.extend(exit_measure.signals(subject, broker, sizes.signals))
        set_load(is_on=False)
        exit_measure.settle(subject, broker)
    return Compared(without=without, beside=beside)


def _starts(places: Places, sizes: ExitSizes) -> tuple[float, float]:
    """Start without closed rows, and with them; return milliseconds of each."""
    took: list[float] = []
    for closed in (0, sizes.closed):
        with _daemon(places, "stream", held=sizes.rows, closed=closed) as (subject, *_):
            took.append(subject.ready_ms)
    return took[0], took[1]


def _memory(places: Places, held: int, *, closed: int) -> float:
    """Return the resident memory with so many rows that have prices, in MiB.

    Beside so many closed ones that the database has as many rows whatever is held: what
    SQLite keeps of a larger file, and what reading that leaves free, are no watched row's.
    """
    symbols = [symbol_of(number) for number in range(held)]
    with _daemon(places, "stream", held=held, closed=closed) as (subject, _, data):
        exit_measure.wait_watched(subject, data, symbols)
        exit_measure.refresh(data, symbols)
        exit_measure.pause(_SWITCH_SECONDS)
        return subject.program.memory_mb()
