"""Wall-clock time, passed in so that tests can set it.

It dates rows and events, and the brakes and the broker's own dates go by it. Elapsed time
is ``trio.current_time()``, which counts the machine's sleep (``snexec.boot_clock``), or
``time.perf_counter`` for how long a commit takes, which may be in a thread.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """A source of the time of day."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""
        return datetime.now(UTC)


def timestamp(moment: datetime) -> str:
    """Format a time as it is in rows and events: ISO 8601, UTC, milliseconds, Z."""
    return f"{moment.astimezone(UTC).isoformat(timespec='milliseconds')[:-6]}Z"
