"""How close snexec is to a floor that commits a row first, beside its goals."""

from __future__ import annotations

from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from tabulate import tabulate

from snexec.bench.exit_report import Line
from snexec.bench.stats import shown
from snexec.latency import percentile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from snexec.bench.pairs import Pairs, Side

_NOTE = """\
The floor that commits a row first, in {language}: as the floor, but that the lines of one
read are one transaction of the ledger's own table before their POSTs leave. Both were
measured in {turns} turns each, one after the other; who went first changed."""
_MOST = {"p50Us": 1.2, "p99Us": 1.3, "burstMs": 1.2}


def lines_of(pairs: Pairs, burst: int) -> list[Line]:
    """Return every figure of both, with its goal."""

    def line(name: str, label: str, figure: Callable[[Side], float]) -> Line:
        return Line(
            name=name,
            label=label,
            value=figure(pairs.snexec),
            beside=figure(pairs.floor),
            most=_MOST[name],
        )

    return [
        *(
            line(
                f"p{percent}Us",
                f"signal to POST, p{percent}, µs",
                partial(_latency, percent),
            )
            for percent in (50, 99)
        ),
        line("burstMs", f"{burst} at once: last POST, ms", _burst),
    ]


def report_pairs(pairs: Pairs, burst: int) -> str:
    """Return them as a table, and what it means."""
    turns = len(pairs.floor.bursts_ms)
    shown_table = table(lines_of(pairs, burst), pairs.language)
    return "\n\n".join(
        [shown_table, _NOTE.format(language=pairs.language, turns=turns)]
    )


def fields_of(pairs: Pairs, burst: int) -> dict[str, object]:
    """Return them as the fields of a JSON object."""
    figures = {line.name: line.fields() for line in lines_of(pairs, burst)}
    return {"language": pairs.language, "figures": figures}


def table(lines: Iterable[Line], language: str) -> str:
    """Return figures and goals as a table, beside a floor in a language."""
    return tabulate(
        map(_cells, lines),
        ("", "snexec", f"row first,\nin {language}", "ratio", "goal", ""),
        tablefmt="simple",
        disable_numparse=True,
        colalign=("left", *["right"] * 4, "left"),
    )


def _cells(line: Line) -> tuple[str, ...]:
    numbers = (line.value, line.beside, line.ratio, line.most)
    return (line.label, *map(shown, numbers), "" if line.is_met else "missed")


def _latency(percent: int, side: Side) -> float:
    return percentile(side.latencies_us, percent)


def _burst(side: Side) -> float:
    return median(side.bursts_ms)
