"""Whether what was read is still news: young, and not from before a gap (SPEC 11)."""

from __future__ import annotations

import math

import trio

LOOK_SECONDS = 1.0
# What is read so soon after a gap has lain in a socket or a pipe, nobody knows how long.
_BUFFERED_SECONDS = 0.25


class Freshness:
    """Knows how old a signal may be, and when the last gap ended.

    A gap is time in which nothing ran, and longer than a signal may be old: whatever came
    before it is not what the market knows now. ``snexec.ops.gaps`` looks each second, and
    the look at an order just before it leaves notices what is longer than that.

    Args:
        max_age_seconds: How old a signal may be when its order leaves.
    """

    def __init__(self, max_age_seconds: float) -> None:
        self.max_age_seconds = max_age_seconds
        self._looked_at = math.inf  # nothing is missed before somebody looks
        self._fresh_from = -math.inf

    def is_stale(self, read_at: float) -> bool:
        """Return whether what was read at a time, on Trio's clock, is too old."""
        now = trio.current_time()
        if now - self._looked_at > self.max_age_seconds + LOOK_SECONDS:
            self.begin_anew()
        return now - read_at > self.max_age_seconds or read_at < self._fresh_from

    def is_from_before_a_gap(self, read_at: float) -> bool:
        """Return whether what was read at a time may have come before the last gap."""
        return read_at < self._fresh_from

    def is_gap(self, seconds: float) -> bool:
        """Return whether so long a time between two looks is a gap."""
        return seconds > self.max_age_seconds + LOOK_SECONDS

    def looked(self) -> None:
        """Note that somebody has looked for a gap now."""
        self._looked_at = trio.current_time()

    def begin_anew(self) -> None:
        """Take all that was read until now, and lay ready to be read, for stale."""
        self._fresh_from = trio.current_time() + _BUFFERED_SECONDS
