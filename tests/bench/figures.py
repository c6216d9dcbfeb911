"""A run that was never made, with figures that are easy to sum up."""

from __future__ import annotations

from pathlib import Path

from snexec.bench.measure import Burst, FillRun, Singles
from snexec.bench.pairs import Pairs, Side
from snexec.bench.rounds import QUICK, Figures, Round, Run
from snexec.bench.summary import RunSummary


def made_up_figures(latency_us: float, out_of_order: int | None) -> Figures:
    return Figures(
        ready_ms=400.0,
        singles=Singles(
            latencies_us=[latency_us, 2 * latency_us], cpu_sec_per_1000=0.5
        ),
        burst=Burst(
            signals=50,
            last_post_ms=25.0,
            lost=1,
            out_of_order=out_of_order,
            cpu_sec_per_1000=0.25,
        ),
        fills=FillRun(events=100, rows_per_sec=2000.0, lookups=3),
        fills_among=FillRun(events=100, rows_per_sec=1000.0, lookups=0),
        memory_ready_mb=40.0,
        memory_end_mb=48.5,
    )


def made_up_run(*latencies_us: float) -> RunSummary:
    rounds = [
        Round(
            at_stand_in={
                "snexec": made_up_figures(latency_us, 2),
                "floor": made_up_figures(100.0, 0),
            },
            at_exchange={
                "snexec": made_up_figures(latency_us, None),
                "floor": made_up_figures(100.0, None),
            },
            commits_us=[250.0],
        )
        for latency_us in latencies_us
    ]
    return RunSummary(
        Run(
            load=0.5,
            sizes=QUICK,
            connections=64,
            disk=Path("/data"),
            rounds=rounds,
            pairs=made_up_pairs(),
        )
    )


def made_up_pairs() -> Pairs:
    return Pairs(
        language="C",
        snexec=Side(latencies_us=[600.0, 600.0, 900.0], bursts_ms=[30.0, 33.0, 90.0]),
        floor=Side(latencies_us=[500.0, 500.0, 600.0], bursts_ms=[20.0, 30.0, 40.0]),
    )
