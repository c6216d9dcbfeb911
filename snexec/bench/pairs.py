"""Daemon and the floor that commits a row first, in turns, a few seconds apart."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from snexec.bench import measure
from snexec.bench.brokers import stand_in
from snexec.bench.row_floor import build
from snexec.bench.subjects import daemon, row_floor

if TYPE_CHECKING:
    from snexec.bench.brokers import StandIn
    from snexec.bench.subjects import Places, Subject


@dataclass(frozen=True, slots=True)
class Side:
    """What one of the two did.

    Attributes:
        latencies_us: Signal to POST, one at a time, of all turns; microseconds.
        bursts_ms: From each burst to its last POST, milliseconds.
    """

    latencies_us: list[float] = field(default_factory=list)
    bursts_ms: list[float] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pairs:
    """What both did, turn by turn.

    Attributes:
        language: What the floor is written in.
    """

    language: str
    snexec: Side
    floor: Side


def measure_pairs(places: Places, *, turns: int, singles: int, burst: int) -> Pairs:
    """Measure both, each at a stand-in broker of its own.

    Args:
        places: Where they may write.
        turns: How many each has; who goes first changes.
        singles: Signals one at a time, in each turn.
        burst: Signals at once, in each turn.
    """
    built = build(places.folder)
    ours, floors = Side(), Side()
    with ExitStack() as stack:
        enter = stack.enter_context
        broker, other = (
            enter(stand_in(places.folder, name)) for name in ("broker", "other-broker")
        )
        both = [
            (ours, enter(daemon(places, broker)), broker),
            (floors, enter(row_floor(places, other.port, built.command)), other),
        ]
        for turn in range(turns):
            for side, subject, its_broker in both if turn % 2 == 0 else both[::-1]:
                _measure(side, subject, its_broker, singles=singles, burst=burst)
    return Pairs(language=built.language, snexec=ours, floor=floors)


def _measure(
    side: Side, subject: Subject, broker: StandIn, *, singles: int, burst: int
) -> None:
    side.latencies_us.extend(measure.singles(subject, broker, singles).latencies_us)
    side.bursts_ms.append(measure.burst(subject, broker, burst).last_post_ms)
    if subject.rows is not None:
        # Otherwise the daemon would look these orders up while others are measured.
        measure.fills(subject, broker)
