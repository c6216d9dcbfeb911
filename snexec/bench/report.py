"""The result of a run as text: a table, a histogram, and what they mean."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tabulate import tabulate

from snexec import __version__
from snexec.bench.pair_report import report_pairs
from snexec.bench.stats import bar, shown
from snexec.bench.summary import PERCENTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from snexec.bench.summary import RunSummary, Summary

    Figure = Callable[[Summary], float | None]

_BAR_WIDTH = 30
_HEADS = ("", "snexec", "floor", "ratio", "snexec at\nexchange", "floor at\nexchange")

_NOTES = """\
Medians of {rounds}; at the built-in exchange, of {exchange_rounds}. Whatever else this
machine does is in them: trust no single run.
Floor: the least that a program must do. A blocking loop in a process of its own reads
a line from a Unix socket, parses the JSON and writes a prepared POST to a connection
that is open (of {connections}, in turns). It keeps no row; snexec commits one before an
order leaves, and with one commit the floor's p50 would be {with_commit_us:.0f} µs.
Both are measured at a stand-in broker, a process that does little but note when each
POST came. The built-in exchange does what a broker does for an order, which takes it
{exchange_ms:.2f} ms here: a burst there measures the exchange."""
_LOOKUPS_NOTE = """
Placing the orders to fill took more than 5 s, so look-ups of them slowed the fills."""


def report(summary: RunSummary) -> str:
    """Return the whole report of a run."""
    run, machine = summary.run, summary.machine
    title = (
        f"snexec {__version__} on {machine['system']}, Python {machine['python']},"
        f" {machine['cpus']} CPUs, load {machine['load']}, disk of {machine['disk']}"
    )
    notes = _NOTES.format(
        rounds=_rounds(run.sizes.rounds),
        exchange_rounds=_rounds(run.sizes.exchange_rounds),
        connections=run.connections,
        with_commit_us=summary.stand_in["floor"].latency_us[50] + summary.commit_us[50],
        exchange_ms=summary.exchange["floor"].burst_ms / run.sizes.burst,
    )
    if summary.stand_in["snexec"].lookups:
        notes += _LOOKUPS_NOTE
    pairs = report_pairs(run.pairs, run.sizes.burst)
    return "\n\n".join([title, _table(summary), pairs, _histogram(summary), notes])


def _table(summary: RunSummary) -> str:
    sizes = summary.run.sizes
    rows: list[tuple[str, Figure]] = [
        (f"signal to POST, p{percent}, µs", partial(_latency, percent))
        for percent in PERCENTS
    ]
    rows += [
        (f"{sizes.burst} at once: last POST, ms", lambda s: s.burst_ms),
        ("POSTs lost, of all bursts", lambda s: s.lost),
        ("POSTs out of order", lambda s: s.out_of_order),
        (f"{sizes.fills:,} fills to rows, rows/s", lambda s: s.rows_per_sec),
        ("fills beside foreign events, rows/s", lambda s: s.rows_per_sec_among),
        ("CPU of 1,000 signals singly, s", lambda s: s.cpu_singles),
        ("CPU of 1,000 signals at once, s", lambda s: s.cpu_burst),
        ("start to ready, ms", lambda s: s.ready_ms),
        ("memory when ready, MiB", lambda s: s.memory_ready_mb),
        ("memory at the end, MiB", lambda s: s.memory_end_mb),
    ]
    lines = [_line(summary, *row) for row in rows]
    lines += [
        (f"one SQLite commit, p{percent}, µs", "", shown(took_us), "", "", "")
        for percent, took_us in summary.commit_us.items()
    ]
    return tabulate(
        lines,
        _HEADS,
        tablefmt="simple",
        disable_numparse=True,
        colalign=("left", *["right"] * 5),
    )


def _line(summary: RunSummary, label: str, figure: Figure) -> tuple[str, ...]:
    ours, floor = (figure(summary.stand_in[name]) for name in ("snexec", "floor"))
    ratio = ours / floor if ours and floor else None
    there = [figure(summary.exchange[name]) for name in ("snexec", "floor")]
    return (label, *map(shown, [ours, floor, ratio, *there]))


def _histogram(summary: RunSummary) -> str:
    lines = []
    for place, (low, high) in enumerate(
        zip(summary.edges[:-1], summary.edges[1:], strict=True)
    ):
        line = [f"{low:,.0f} to {high:,.0f}"]
        for counts in summary.counts.values():
            line += [str(counts[place] or "")]
            line += [bar(counts[place], max(counts), _BAR_WIDTH)]
        lines.append(line)
    heads = ["µs", *(head for name in summary.counts for head in ("", name))]
    table = tabulate(lines, heads, tablefmt="plain", disable_numparse=True)
    return "Signal to POST, one at a time, all rounds together:\n\n" + table


def _latency(percent: int, summary: Summary) -> float:
    return summary.latency_us[percent]


def _rounds(count: int) -> str:
    return "1 round" if count == 1 else f"{count} rounds"
