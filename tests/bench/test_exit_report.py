from __future__ import annotations

from pathlib import Path

import pytest

from snexec.bench.exit_measure import Pairs
from snexec.bench.exit_report import Line, fields_of, report_exits
from snexec.bench.exit_rounds import QUICK, Compared, ExitRound, ExitRun


def made_up_run() -> ExitRun:
    pairs = Pairs(
        triggers_us=[800.0, 900.0], signals_us=[1000.0, 1000.0], rules_us=[300.0]
    )
    compared = Compared(without=[1000.0], beside=[1200.0])
    only = ExitRound(
        quiet=pairs,
        busy=pairs,
        ticks=compared,
        cpu=0.125,
        idle_cpu=0.01,
        tick_rate=2000.0,
        fall_ms=90.0,
        lost=0,
        burst_ms=50.0,
        polls=compared,
        moves_sec=[2.5, 4.0],
    )
    return ExitRun(
        load=0.5,
        sizes=QUICK,
        disk=Path("/data"),
        rounds=[only],
        starts_ms=[400.0],
        full_starts_ms=[410.0],
        row_bytes=1500.0,
    )


def test_each_figure_stands_beside_its_goal_and_what_is_missed_is_named() -> None:
    lines = report_exits(made_up_run()).splitlines()

    cells = [line.split() for line in lines]
    p50 = ["trigger", "to", "POST,", "p50,", "µs;", "signal"]
    assert [*p50, "800", "1,000", "0.80", "1.00", "x"] in cells
    burst = ["50", "stops", "at", "once:", "last", "POST,", "ms;", "signals"]
    assert [*burst, "90.0", "50.0", "1.80", "1.50", "x", "missed"] in cells
    assert ["memory", "a", "watched", "row,", "bytes", "1,500", "2,048"] in cells
    assert all(len(line) <= 90 for line in lines)


def test_json_has_every_figure_by_its_name() -> None:
    found = fields_of(made_up_run())["figures"]

    assert isinstance(found, dict)
    assert found["signalBesideTicksP99Us"] == {
        "value": 1200.0,
        "beside": 1000.0,
        "ratio": 1.2,
        "goal": 1.15,
        "met": False,
    }
    assert found["movedToPostSec"]["value"] == 4.0


@pytest.mark.parametrize(
    ("value", "beside", "most", "is_met"),
    [
        (1.004, None, 1.0, True),  # as it is shown
        (1.006, None, 1.0, False),
        (300.0, 200.0, 1.5, True),
        (303.0, 200.0, 1.5, False),
        (99.0, None, None, True),
    ],
)
def test_a_goal_is_for_the_ratio_where_something_is_beside(
    value: float, beside: float | None, most: float | None, is_met: bool
) -> None:
    line = Line(name="x", label="x", value=value, beside=beside, most=most)
    assert line.is_met is is_met
