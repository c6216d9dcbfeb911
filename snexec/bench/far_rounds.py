"""Orders for a broker that is a round trip away, by TLS: daemon and floor in turns."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from snexec.bench import measure
from snexec.bench.brokers import stand_in
from snexec.bench.far import HOST, far_away, make_certificate
from snexec.bench.pairs import Pairs, Side
from snexec.bench.rounds import measured, places_of
from snexec.bench.row_floor import build
from snexec.bench.subjects import daemon, row_floor
from snexec.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Callable

    from snexec.bench.brokers import StandIn
    from snexec.bench.subjects import Places, Subject
    from snexec.settings import Settings

ROUND_TRIP_SECONDS = 0.02
_APART_SECONDS = 0.3  # between the first orders of the two
_OPENING_SECONDS = 3.0  # for all connections to be open


@dataclass(frozen=True, kw_only=True, slots=True)
class FarSizes:
    """How much is measured.

    Attributes:
        turns: Of daemon and floor, each.
        silence_seconds: How long nothing comes before the first order of a turn.
        burst: Signals at once.
    """

    turns: int
    silence_seconds: float
    burst: int


FULL = FarSizes(turns=10, silence_seconds=7.0, burst=100)
QUICK = FarSizes(turns=1, silence_seconds=1.0, burst=50)


@dataclass(frozen=True, kw_only=True, slots=True)
class FarRun:
    """What was measured, and with what.

    Attributes:
        load: The machine's load before the run, over one minute.
        pairs: First orders after a silence, and bursts.
    """

    load: float
    sizes: FarSizes
    pairs: Pairs


def run_far(settings: Settings, sizes: FarSizes, tell: Callable[[str], None]) -> FarRun:
    """Measure, and leave nothing behind; arguments are those of ``rounds.run``.

    Raises:
        StartError: Something could not be measured; there is no C compiler with
            OpenSSL's headers, or no ``openssl``.
        KeyboardInterrupt: SIGINT or SIGTERM came.
    """
    load = os.getloadavg()[0]
    with measured(), places_of(settings) as places:
        return FarRun(load=load, sizes=sizes, pairs=_measure(places, sizes, tell))


def _measure(places: Places, sizes: FarSizes, tell: Callable[[str], None]) -> Pairs:
    built = build(places.folder, tls=True)
    if built.language != "C":
        raise StartError("bench far: needs a C compiler with OpenSSL's headers")
    places = replace(places, trusts=make_certificate(places.folder))
    ours, floors = Side(), Side()
    with ExitStack() as stack:
        enter = stack.enter_context
        near = [enter(stand_in(places.folder, name)) for name in ("broker", "other")]
        ports = [
            enter(far_away(places.folder, each.port, ROUND_TRIP_SECONDS))
            for each in near
        ]
        url = f"https://{HOST}:{ports[0]}"
        both = [
            (ours, enter(daemon(places, near[0], url=url)), near[0]),
            (floors, enter(row_floor(places, ports[1], built.command)), near[1]),
        ]
        time.sleep(_OPENING_SECONDS)
        for turn in range(sizes.turns):
            tell(f"turn {turn + 1} of {sizes.turns}")
            in_turn = both if turn % 2 == 0 else both[::-1]
            time.sleep(sizes.silence_seconds)
            for side, subject, broker in in_turn:
                side.latencies_us.append(measure.first(subject, broker))
                time.sleep(_APART_SECONDS)
            for side, subject, broker in in_turn:
                side.bursts_ms.append(_burst(subject, broker, sizes.burst))
    return Pairs(language=built.language, snexec=ours, floor=floors)


def _burst(subject: Subject, broker: StandIn, count: int) -> float:
    found = measure.burst(subject, broker, count)
    if subject.rows is not None:
        measure.fills(subject, broker)
    return found.last_post_ms
