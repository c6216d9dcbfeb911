"""Until when this daemon may order: of several hosts, one at a time does (SPEC 13)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from datetime import datetime

    from snexec.clock import Clock


class Active:
    """A deadline, which every order looks at last, as at the kill switch.

    It is counted by Trio's clock, which goes on while the machine sleeps or this process
    stands still, and by the wall clock, which alone knows of a virtual machine's pause.

    Args:
        wall: The wall clock.

    Attributes:
        until: The deadline on Trio's clock; infinite where nobody else may order.
    """

    def __init__(self, wall: Clock) -> None:
        self._wall = wall
        self._wall_until = math.inf
        self.until = math.inf

    def is_over(self) -> bool:
        """Return whether another one may order now."""
        if self.until == math.inf:
            return False
        return (
            trio.current_time() >= self.until
            or self._wall.now().timestamp() >= self._wall_until
        )

    def hold(self, seconds: float, *, since: tuple[float, datetime]) -> None:
        """Be active for so long.

        Args:
            seconds: The time.
            since: From when on, by Trio's clock and by the wall clock.
        """
        elapsed, wall = since
        self.until = elapsed + seconds
        self._wall_until = wall.timestamp() + seconds

    def stand_by(self) -> None:
        """Be active no more."""
        self.until = -math.inf
