"""Whether the stream shows signs of life, for whoever watches it."""

from __future__ import annotations

import math

import trio

QUIET_SECONDS = 45.0


class SignsOfLife:
    """When the last ones came, and by when the next one is due, on Trio's clock.

    Each step of the stream says by when there is the next one, as every wait has its
    limit. While an event is handed over, the writer is waited for, and the writer
    answers for itself.

    Attributes:
        heard_at: When the broker was last heard, be it a pong.
        event_at: When the last event of an order came.
        handing_over: Whether an event is.
    """

    def __init__(self) -> None:
        self.heard_at: float | None = None
        self.event_at: float | None = None
        self.handing_over = False
        self._due = math.inf

    def expect_within(self, seconds: float) -> None:
        """Say how long it may take until the next sign."""
        self._due = trio.current_time() + seconds

    def heard(self) -> None:
        """Note that the broker was heard."""
        self.heard_at = trio.current_time()
        self.expect_within(QUIET_SECONDS)

    def is_overdue(self) -> bool:
        """Tell whether the next sign should have come."""
        return not self.handing_over and trio.current_time() > self._due
