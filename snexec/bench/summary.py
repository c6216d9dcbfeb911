"""The rounds of a run summed up, for a table and for JSON."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from itertools import chain
from os import cpu_count
from statistics import median
from typing import TYPE_CHECKING

from snexec import __version__
from snexec.bench.pair_report import fields_of as pair_fields
from snexec.bench.stats import bucket_counts, bucket_edges
from snexec.latency import percentile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from snexec.bench.rounds import Figures, Run

PERCENTS = (50, 90, 99)


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """One program at one broker: medians, except where a median would hide something.

    Attributes:
        latency_us: Signal to POST, one at a time, by percent; microseconds.
        burst_ms: From a burst to its last POST, milliseconds.
        signals: Signals of all bursts together.
        lost: How many of them gave no POST.
        out_of_order: How many POSTs would have to go for the rest to be in the order of
            the signals; None where the broker cannot say.
        rows_per_sec: Rows settled a second when fills come at once; None without rows.
        rows_per_sec_among: The same, among fills of other programs' orders.
        lookups: Requests about an order during all those fills, which slow them down.
        cpu_singles: Processor seconds for 1,000 signals one at a time.
        cpu_burst: Processor seconds for 1,000 signals at once.
        ready_ms: From the start of the process until it took signals, milliseconds.
        memory_ready_mb: Resident memory then, in MiB.
        memory_end_mb: Resident memory after everything, in MiB.
    """

    latency_us: dict[int, float]
    burst_ms: float
    signals: int
    lost: int
    out_of_order: int | None
    rows_per_sec: float | None
    rows_per_sec_among: float | None
    lookups: int
    cpu_singles: float
    cpu_burst: float
    ready_ms: float
    memory_ready_mb: float
    memory_end_mb: float

    def fields(self) -> dict[str, object]:
        """Return the summary as the fields of a JSON object."""
        fills = None
        if self.rows_per_sec is not None:
            fills = {
                "rowsPerSec": round(self.rows_per_sec),
                "rowsPerSecAmongForeign": round(self.rows_per_sec_among or 0),
                "lookups": self.lookups,
            }
        return {
            "signalToPostUs": _percentile_fields(self.latency_us),
            "burst": {
                "lastPostMs": round(self.burst_ms, 3),
                "signals": self.signals,
                "lost": self.lost,
                "outOfOrder": self.out_of_order,
            },
            "fills": fills,
            "cpuSecPer1000": {
                "oneAtATime": round(self.cpu_singles, 4),
                "burst": round(self.cpu_burst, 4),
            },
            "startToReadyMs": round(self.ready_ms, 1),
            "memoryMb": {
                "ready": round(self.memory_ready_mb, 1),
                "end": round(self.memory_end_mb, 1),
            },
        }


def summarize(rounds: Sequence[Figures]) -> Summary:
    """Sum up what one program did; there is at least one round."""

    def typical(figure: Callable[[Figures], float]) -> float:
        return median(figure(each) for each in rounds)

    disorder = [each.burst.out_of_order for each in rounds]
    fills = [each.fills for each in rounds if each.fills is not None]
    among = [each.fills_among for each in rounds if each.fills_among is not None]
    return Summary(
        latency_us=_percentiles([each.singles.latencies_us for each in rounds]),
        burst_ms=typical(lambda each: each.burst.last_post_ms),
        signals=sum(each.burst.signals for each in rounds),
        lost=sum(each.burst.lost for each in rounds),
        out_of_order=None if None in disorder else sum(filter(None, disorder)),
        rows_per_sec=median(run.rows_per_sec for run in fills) if fills else None,
        rows_per_sec_among=median(run.rows_per_sec for run in among) if among else None,
        lookups=sum(run.lookups for run in fills + among),
        cpu_singles=typical(lambda each: each.singles.cpu_sec_per_1000),
        cpu_burst=typical(lambda each: each.burst.cpu_sec_per_1000),
        ready_ms=typical(lambda each: each.ready_ms),
        memory_ready_mb=typical(lambda each: each.memory_ready_mb),
        memory_end_mb=typical(lambda each: each.memory_end_mb),
    )


class RunSummary:
    """Everything that a run found.

    Attributes:
        stand_in: ``snexec`` and the ``floor`` at the stand-in broker.
        exchange: The same at the built-in exchange.
        commit_us: One raw SQLite commit, by percent; microseconds.
        edges: Of the histogram of signal to POST at the stand-in; microseconds.
        counts: That histogram, of all rounds together, by program.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        names = list(run.rounds[0].at_stand_in)
        self.stand_in = {
            name: summarize([each.at_stand_in[name] for each in run.rounds])
            for name in names
        }
        at_exchange = [each.at_exchange for each in run.rounds if each.at_exchange]
        self.exchange = {
            name: summarize([figures[name] for figures in at_exchange])
            for name in names
        }
        self.commit_us = _percentiles([each.commits_us for each in run.rounds])
        samples = {
            name: [
                latency
                for each in run.rounds
                for latency in each.at_stand_in[name].singles.latencies_us
            ]
            for name in names
        }
        self.edges = bucket_edges(chain.from_iterable(samples.values()))
        self.counts = {
            name: bucket_counts(latencies, self.edges)
            for name, latencies in samples.items()
        }

    @property
    def machine(self) -> dict[str, object]:
        """What the run was measured on."""
        return {
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
            "cpus": cpu_count(),
            "load": round(self.run.load, 2),
            "disk": str(self.run.disk),
        }

    def fields(self) -> dict[str, object]:
        """Return everything as the fields of a JSON object."""
        sizes = self.run.sizes
        return {
            "version": __version__,
            "machine": self.machine,
            "sizes": {
                "rounds": sizes.rounds,
                "exchangeRounds": sizes.exchange_rounds,
                "oneAtATime": sizes.singles,
                "burst": sizes.burst,
                "fills": sizes.fills,
                "foreign": sizes.foreign,
                "commits": sizes.commits,
                "connections": self.run.connections,
            },
            "standIn": {name: each.fields() for name, each in self.stand_in.items()},
            "exchange": {name: each.fields() for name, each in self.exchange.items()},
            "rowFirst": pair_fields(self.run.pairs, sizes.burst),
            "commitUs": _percentile_fields(self.commit_us),
            "histogramUs": {"edges": self.edges, **self.counts},
            "rounds": [
                {
                    name: summarize([figures]).fields()
                    for name, figures in each.at_stand_in.items()
                }
                for each in self.run.rounds
            ],
        }


def _percentiles(rounds: Sequence[Sequence[float]]) -> dict[int, float]:
    return {
        percent: median(percentile(samples, percent) for samples in rounds)
        for percent in PERCENTS
    }


def _percentile_fields(values: dict[int, float]) -> dict[str, float]:
    return {f"p{percent}": round(value, 1) for percent, value in values.items()}
