"""When a stream that is open and says nothing is to be replaced (SPEC 12.4)."""

from __future__ import annotations

import math

import trio

PATIENCE_SECONDS = 30.0
_MOST_PATIENCE_SECONDS = 600.0


class Silence:
    """Compares what a stream says with how the poll's prices move.

    A quiet symbol is no fault: the stream is at fault only if the poll sees its symbols
    move all the while. Where the next connection is silent too, patience doubles up to
    ten minutes, since some feeds print a small cap once in minutes.
    """

    def __init__(self) -> None:
        self._patience = PATIENCE_SECONDS
        self._moving_since = math.inf
        self._moved_at = -math.inf

    def ticked(self) -> None:
        """Note that the stream said something of a symbol."""
        self._patience = PATIENCE_SECONDS
        self._moving_since = math.inf

    def begun(self) -> None:
        """Note that the market or the connection has just opened, or has closed."""
        self._moving_since = math.inf

    def moved(self) -> bool:
        """Note that the poll's price of a symbol that the stream has has moved.

        Returns:
            Whether the stream has been silent for too long.
        """
        now = trio.current_time()
        if now - self._moved_at > self._patience:
            self._moving_since = math.inf  # the poll has seen nothing either
        self._moved_at = now
        self._moving_since = min(self._moving_since, now)
        if now - self._moving_since < self._patience:
            return False
        self._patience = min(2 * self._patience, _MOST_PATIENCE_SECONDS)
        self._moving_since = math.inf
        return True
