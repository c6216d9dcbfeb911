"""Whether what was read is still news: young, and not from before a gap (SPEC 11)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from snexec.clock import Clock


_LOOK_AGAIN_SECONDS = 0.01  # orders of one burst share a look at the wall clock


class Freshness:
    """Knows how old a signal may be, and when the last gap ended.

    A gap is time in which nothing ran, and longer than a signal may be old: whatever came
    before it is not what the market knows now. Most show by the age alone, as Trio's clock
    counts them and what lay unread is dated back (``snexec.intake.unread``). The pause of
    a virtual machine shows by the wall clock alone: ``snexec.ops.gaps`` looks for it each
    second, and each look at an age does as well.

    Args:
        max_age_seconds: How old a signal may be when its order leaves.
    """

    def __init__(self, max_age_seconds: float) -> None:
        self.max_age_seconds = max_age_seconds
        self._fresh_after = -math.inf
        self._wall: Clock | None = None  # nothing is missed before somebody looks
        self._wall_ahead = math.inf  # of Trio's clock, in seconds, at the last look
        self._look_again_at = -math.inf

    def is_stale(self, read_at: float) -> bool:
        """Return whether what was read at a time, on Trio's clock, is too old."""
        now = trio.current_time()
        if self._wall is not None and now >= self._look_again_at:
            self._look_again_at = now + _LOOK_AGAIN_SECONDS
            ahead = self._wall.now().timestamp() - now
            if ahead - self._wall_ahead > self.max_age_seconds:
                self.begin_anew()
        return now - read_at > self.max_age_seconds or read_at <= self._fresh_after

    def is_from_before_a_gap(self, read_at: float) -> bool:
        """Return whether what was read at a time came before the last gap's end."""
        return read_at <= self._fresh_after

    def looked(self, wall: Clock) -> None:
        """Note that somebody has looked for a gap now, by this wall clock too."""
        self._wall = wall
        self._wall_ahead = wall.now().timestamp() - trio.current_time()

    def begin_anew(self) -> None:
        """Take all that was read until now for stale."""
        self._fresh_after = trio.current_time()
