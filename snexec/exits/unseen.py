"""Time in which nobody watched: the machine slept, or was paused (SPEC 11, 12.3, 12.4).

What was seen before it confirms nothing after it, and nobody was blind in it. A pause of a
virtual machine is in no clock but the wall clock's, once that is put right: it counts for
how long a position is held, which goes by time in the world.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snexec.exits.prices import Instant

_LONGEST_SECONDS = 10.0  # between two moments of a monitor that looks each second


class Unseen:
    """Notices such time when it is over."""

    def __init__(self) -> None:
        self._last: Instant | None = None

    def since_last(self, now: Instant) -> float | None:
        """Return what Trio's clock has not counted of it, in seconds; None if none was.

        A wall clock that is set back is none.
        """
        last, self._last = self._last, now
        if last is None:
            return None
        passed = now.elapsed - last.elapsed
        uncounted = max(0.0, now.wall - last.wall - passed)
        return uncounted if passed + uncounted > _LONGEST_SECONDS else None
