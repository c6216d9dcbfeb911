"""How often something may happen, so that no flood of it takes the orders' time."""

from __future__ import annotations

import trio


class Pace:
    """Lets so many through at once, and then so many a second; the others wait.

    Args:
        burst: How many at once.
        per_second: How many a second after that.
    """

    def __init__(self, *, burst: int, per_second: float) -> None:
        self._most = burst / per_second  # seconds ahead of the pace
        self._step = 1 / per_second
        self._free_at = 0.0  # on Trio's clock: when all of the burst is there again

    async def turn(self) -> None:
        """Wait for one's turn."""
        now = trio.current_time()
        self._free_at = max(self._free_at, now) + self._step
        await trio.sleep(max(0.0, self._free_at - now - self._most))
