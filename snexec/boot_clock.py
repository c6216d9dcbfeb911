"""Trio's clock in the daemon: it goes on while the machine sleeps (SPEC 11, Time)."""

from __future__ import annotations

import time

import trio

# Linux counts sleep in the first; macOS, which has no such clock, in the second.
_COUNTS_SLEEP: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
# Trio waits by a clock that stands still in sleep, so it looks at this one so often.
_LONGEST_WAIT_SECONDS = 1.0


class BootClock(trio.abc.Clock):
    """Counts all time since the machine was started, asleep or not.

    Whatever came due in the machine's sleep is noticed within a second of its end. What a
    virtual machine does not see while it is paused is in no clock but the wall clock's,
    once that is put right: ``snexec.ops.gaps`` looks for it.
    """

    def start_clock(self) -> None:
        """Do nothing: it has been running since the machine was started."""

    def current_time(self) -> float:
        """Return seconds since the machine was started."""
        return time.clock_gettime(_COUNTS_SLEEP)

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Return for how many seconds to wait before looking at this clock again."""
        return min(deadline - self.current_time(), _LONGEST_WAIT_SECONDS)
