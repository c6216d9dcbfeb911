"""How long commits take: counts in buckets, as a histogram is made of."""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

_BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5)


class CommitTimes(NamedTuple):
    """How long the commits of this run took, in seconds.

    Attributes:
        bounds: The upper bound of each bucket but the last, which has none.
        counts: Commits in each bucket.
        total: What all of them took.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float


class CommitTimer:
    """Counts commits by how long they took; one thread at a time."""

    def __init__(self) -> None:
        self._counts = [0] * (len(_BOUNDS) + 1)
        self._total = 0.0

    def add(self, seconds: float) -> None:
        """Count one commit."""
        self._counts[bisect_left(_BOUNDS, seconds)] += 1
        self._total += seconds

    def times(self) -> CommitTimes:
        """Return what was counted so far."""
        return CommitTimes(_BOUNDS, tuple(self._counts), self._total)
