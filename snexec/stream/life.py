"""Signs of life: when the stream was heard, and by when it should be heard again."""

from __future__ import annotations

import math

import trio

QUIET_SECONDS = 45.0


class SignsOfLife:
    """When the last ones came, and by when the next one is due, on Trio's clock.

    Every wait of the stream has a limit, so each of its steps says by when the next
    sign is due. While an event is being handed over, the stream waits for the writer,
    which is watched by itself; nothing is overdue then.

    Attributes:
        heard_at: When the broker was last heard, be it a pong.
        event_at: When the last event of an order came.
        handing_over: Whether an event is being handed over.
    """

    def __init__(self) -> None:
        self.heard_at: float | None = None
        self.event_at: float | None = None
        self.handing_over = False
        self._due = math.inf

    def expect_within(self, seconds: float) -> None:
        """Say within how many seconds the next sign is due."""
        self._due = trio.current_time() + seconds

    def heard(self) -> None:
        """Record that the broker was heard."""
        self.heard_at = now = trio.current_time()
        self._due = now + QUIET_SECONDS

    def is_overdue(self) -> bool:
        """Return whether the next sign should have come."""
        return not self.handing_over and trio.current_time() > self._due
