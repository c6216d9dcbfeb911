"""What ``bench far`` found, beside its goals: a table, and JSON."""

from __future__ import annotations

import platform
from os import cpu_count
from statistics import median
from typing import TYPE_CHECKING

from snexec import __version__
from snexec.bench.exit_report import Line
from snexec.bench.far_rounds import ROUND_TRIP_SECONDS
from snexec.bench.pair_report import table

if TYPE_CHECKING:
    from snexec.bench.far_rounds import FarRun

_MOST_MORE_MS = 0.5
_MOST_BURST = 1.3
_NOTES = """\
Medians of {turns} turns each; who went first changed. The stand-in broker is {trip:g} ms of
round trip away, by TLS, with as many connections open as orders may be placed at once.
Row first: a program in C that commits the rows of the lines of one read as one
transaction of the ledger's own table, and then sends their POSTs."""


def lines_of(run: FarRun) -> list[Line]:
    """Return every figure, with its goal."""
    ours, floor, sizes = run.pairs.snexec, run.pairs.floor, run.sizes
    first, least = (median(side.latencies_us) / 1e3 for side in (ours, floor))
    silence = f"first order after {sizes.silence_seconds:g} s of silence"
    return [
        Line(
            name="firstMs",
            label=f"{silence}, ms",
            value=first,
            beside=least,
            most=None,
        ),
        Line(
            name="firstMoreMs",
            label="more than row first, ms",
            value=first - least,
            beside=None,
            most=_MOST_MORE_MS,
        ),
        Line(
            name="burstMs",
            label=f"{sizes.burst} at once: last POST, ms",
            value=median(ours.bursts_ms),
            beside=median(floor.bursts_ms),
            most=_MOST_BURST,
        ),
    ]


def report_far(run: FarRun) -> str:
    """Return the whole report of a run."""
    title = (
        f"snexec {__version__} far from its broker, on {platform.system()}"
        f" {platform.machine()}, Python {platform.python_version()}, {cpu_count()} CPUs,"
        f" load {run.load:.2f}"
    )
    notes = _NOTES.format(turns=run.sizes.turns, trip=ROUND_TRIP_SECONDS * 1e3)
    return "\n\n".join([title, table(lines_of(run), run.pairs.language), notes])


def fields_of(run: FarRun) -> dict[str, object]:
    """Return everything as the fields of a JSON object."""
    return {
        "version": __version__,
        "turns": run.sizes.turns,
        "roundTripMs": ROUND_TRIP_SECONDS * 1e3,
        "figures": {line.name: line.fields() for line in lines_of(run)},
    }
