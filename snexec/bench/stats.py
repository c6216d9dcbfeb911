"""Histograms of what was measured, and its numbers as text."""

from __future__ import annotations

import bisect
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Seven buckets a decade: fine enough to show two humps, and a tail still fits the screen.
_STEPS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)


def bucket_edges(samples: Iterable[float]) -> list[float]:
    """Return round edges, from one not above the smallest sample to one above them all.

    Samples are positive; without samples there are no edges.
    """
    known = sorted(samples)
    if not known:
        return []
    # One more decade at both ends, as a logarithm may be rounded up or down.
    first_decade = math.floor(math.log10(known[0])) - 1
    last_decade = math.floor(math.log10(known[-1])) + 1
    edges = [
        step * 10.0**decade
        for decade in range(first_decade, last_decade + 1)
        for step in _STEPS
    ]
    first = bisect.bisect_right(edges, known[0]) - 1
    return edges[first : bisect.bisect_right(edges, known[-1]) + 1]


def bucket_counts(samples: Iterable[float], edges: Sequence[float]) -> list[int]:
    """Count the samples from each edge to below the next; none lies outside."""
    counts = [0] * max(len(edges) - 1, 0)
    for sample in samples:
        counts[bisect.bisect_right(edges, sample) - 1] += 1
    return counts


def bar(count: int, largest: int, width: int) -> str:
    """Return a bar of a histogram; any count but 0 can be seen."""
    return "#" * math.ceil(width * count / largest) if count else ""


def shown(value: float | None) -> str:
    """Return a number with about three significant digits; nothing for none."""
    if value is None:
        return ""
    if value == int(value) or value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
