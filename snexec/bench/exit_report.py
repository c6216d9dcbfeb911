"""What ``bench exits`` found, beside its goals (SPEC 12.11): a table, and JSON."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from functools import partial
from os import cpu_count
from statistics import median
from typing import TYPE_CHECKING

from tabulate import tabulate

from snexec import __version__
from snexec.bench.exit_rounds import CONFIRM_TICKS, POLL_SECONDS, TICKS_PER_SECOND
from snexec.latency import percentile

if TYPE_CHECKING:
    from collections.abc import Callable

    from snexec.bench.exit_rounds import ExitRound, ExitRun

    Figure = Callable[[ExitRound], float]
    Samples = Callable[[ExitRound], list[float]]

_MOST_CPU = 0.20
_MOST_RULE_MS = 5.0
_MOST_ROW_BYTES = 2048.0
_MOST_BESIDE = 1.15
_MOST_START = 1.05  # "no slower", as far as starts can be told apart
_ROUND_TRIP_SECONDS = 0.1  # one, and the daemon's time for all positions
_HEADS = ("", "snexec", "beside", "ratio", "goal", "")
_NOTES = """\
Medians of {rounds}. Whatever else this machine does is in them: trust no single run,
and the ratios before the figures, as both sides of each were measured in turns.
Trigger: with {rows} rows watched, the bid of one falls below its stop, and 15 ms later
one print comes, in a frame of its own: from before that frame is sent to the sell's POST
at the broker. A signal follows each after 30 ms: from before its line is written.
Tick to rule: of the same ticks, less what the row says from the rule to the wire.
At once: one frame of {rows} prints, all of them below their stops, against {rows} signals
in one write, on the same daemon.
Ticks: prints and quotes of all symbols in turns, in a frame each 5 ms; {rate:,.0f} a
second were sent. Processor time is of the whole daemon, idle beside it.
Beside ticks, beside polls: signals one at a time in blocks with the load and without, in
turns; the polls, each {poll:g} s, are switched by SIGHUP.
Moved: what positions show falls below the stop at another moment between two polls each
time; the slowest of {moves}. The goal is {confirm} polls and {trip:g} s.
Start: to the first signal taken, with {closed:,} closed rows and without, in turns.
Memory: {memory_rows:,} rows more, with a bid and four prints each, 100 in a frame; and
what reading positions, of as many, leaves behind; beside a daemon with the same rows, but
for 100 all of them closed. Python takes 1 MB at once, so few rows would be none or twice.
The broker and the market data are two processes that do little else but note the time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One figure.

    Attributes:
        beside: What it is compared with; None where the goal is a number of its own.
        most: The goal: of the ratio, or of the figure where nothing is beside it.
    """

    name: str
    label: str
    value: float
    beside: float | None
    most: float | None

    @property
    def ratio(self) -> float | None:
        """The figure over what is beside it."""
        return self.value / self.beside if self.beside else None

    @property
    def is_met(self) -> bool:
        """Whether the goal is reached, as shown: to two digits after the point."""
        if self.most is None:
            return True
        ratio = self.ratio
        return round(self.value if ratio is None else ratio, 2) <= self.most

    def fields(self) -> dict[str, object]:
        """Return it as the fields of a JSON object."""
        return {
            "value": round(self.value, 3),
            "beside": None if self.beside is None else round(self.beside, 3),
            "ratio": None if self.ratio is None else round(self.ratio, 3),
            "goal": self.most,
            "met": self.is_met,
        }


def lines_of(run: ExitRun) -> list[Line]:
    """Return every figure of a run, in the order of the goals."""
    rows, full = run.sizes.rows, median(run.full_starts_ms)

    def line(
        name: str,
        label: str,
        value: Figure,
        beside: Figure | None = None,
        most: float | None = None,
    ) -> Line:
        other = None if beside is None else median(map(beside, run.rounds))
        own = median(map(value, run.rounds))
        return Line(name=name, label=label, value=own, beside=other, most=most)

    def percentiles(
        name: str, label: str, value: Samples, beside: Samples, *most: float | None
    ) -> list[Line]:
        return [
            line(
                f"{name}P{percent}Us",
                f"{label}, p{percent}, µs; {'signal' if 'rigger' in name else 'without'}",
                partial(_percentile, percent, value),
                partial(_percentile, percent, beside),
                goal,
            )
            for percent, goal in zip((50, 99), most, strict=True)
        ]

    return [
        *percentiles("trigger", "trigger to POST", _triggers, _signals, 1.0, 1.3),
        line(
            "atOnceMs",
            f"{rows} stops at once: last POST, ms; signals",
            lambda each: each.fall_ms,
            lambda each: each.burst_ms,
            1.5,
        ),
        line("lost", "of them lost", lambda each: each.lost, most=0.0),
        line(
            "cpuShare",
            f"CPU at {TICKS_PER_SECOND:,} ticks/s, of a core",
            lambda each: each.cpu,
            most=_MOST_CPU,
        ),
        line("idleCpuShare", "CPU without ticks", lambda each: each.idle_cpu),
        line(
            "tickToRuleP99Ms",
            "tick to rule among them, p99, ms",
            lambda each: percentile(each.busy.rules_us, 99) / 1e3,
            most=_MOST_RULE_MS,
        ),
        *percentiles(
            *("triggerAmongTicks", "trigger among them"),
            _busy_triggers,
            _busy_signals,
            *(None, None),
        ),
        *percentiles(
            *("signalBesideTicks", "signal beside ticks"),
            lambda each: each.ticks.beside,
            lambda each: each.ticks.without,
            *(_MOST_BESIDE, _MOST_BESIDE),
        ),
        *percentiles(
            *("signalBesidePolls", "signal beside polls"),
            lambda each: each.polls.beside,
            lambda each: each.polls.without,
            *(_MOST_BESIDE, _MOST_BESIDE),
        ),
        Line(
            name="movedToPostSec",
            label="positions: moved to POST, slowest, s",
            value=max(max(each.moves_sec) for each in run.rounds),
            beside=None,
            most=POLL_SECONDS * CONFIRM_TICKS + _ROUND_TRIP_SECONDS,
        ),
        Line(
            name="rowBytes",
            label="memory a watched row, bytes",
            value=run.row_bytes,
            beside=None,
            most=_MOST_ROW_BYTES,
        ),
        Line(
            name="startMs",
            label=f"start, {run.sizes.closed:,} closed rows, ms; none",
            value=full,
            beside=median(run.starts_ms),
            most=_MOST_START,
        ),
    ]


def report_exits(run: ExitRun) -> str:
    """Return the whole report of a run."""
    title = (
        f"snexec {__version__} exits on {platform.system()} {platform.machine()},"
        f" Python {platform.python_version()}, {cpu_count()} CPUs,"
        f" load {run.load:.2f}, disk of {run.disk}"
    )
    table = tabulate(
        [_cells(line) for line in lines_of(run)],
        _HEADS,
        tablefmt="simple",
        disable_numparse=True,
        colalign=("left", *["right"] * 4, "left"),
    )
    sizes = run.sizes
    notes = _NOTES.format(
        rounds="1 round" if sizes.rounds == 1 else f"{sizes.rounds} rounds",
        rows=sizes.rows,
        rate=median(each.tick_rate for each in run.rounds),
        poll=POLL_SECONDS,
        confirm=CONFIRM_TICKS,
        trip=_ROUND_TRIP_SECONDS,
        moves=sizes.moves * sizes.rounds,
        closed=sizes.closed,
        memory_rows=sizes.memory_rows,
    )
    return "\n\n".join([title, table, notes])


def fields_of(run: ExitRun) -> dict[str, object]:
    """Return everything as the fields of a JSON object."""
    return {
        "version": __version__,
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
            "cpus": cpu_count(),
            "load": round(run.load, 2),
            "disk": str(run.disk),
        },
        "rounds": run.sizes.rounds,
        "ticksPerSec": round(median(each.tick_rate for each in run.rounds)),
        "figures": {line.name: line.fields() for line in lines_of(run)},
    }


def _cells(line: Line) -> tuple[str, ...]:
    goal = ""
    if line.most is not None:
        goal = _number(line.most) + ("" if line.beside is None else " x")
    numbers = (line.value, line.beside, line.ratio)
    return (
        line.label,
        *("" if each is None else _number(each) for each in numbers),
        goal,
        "" if line.is_met else "missed",
    )


def _percentile(percent: int, samples: Samples, each: ExitRound) -> float:
    return percentile(samples(each), percent)


def _triggers(each: ExitRound) -> list[float]:
    return each.quiet.triggers_us


def _signals(each: ExitRound) -> list[float]:
    return each.quiet.signals_us


def _busy_triggers(each: ExitRound) -> list[float]:
    return each.busy.triggers_us


def _busy_signals(each: ExitRound) -> list[float]:
    return each.busy.signals_us


def _number(value: float) -> str:
    """Return a number with about three significant digits."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
