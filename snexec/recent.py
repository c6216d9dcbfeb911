"""What was seen lately, in a bounded memory."""

from __future__ import annotations

from typing import Generic, TypeVar

K = TypeVar("K")


class Recent(Generic[K]):
    """Remembers at least the last ``count`` different keys, and at most twice as many.

    Two sets in turns take half the memory of one that forgets its oldest key each time.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._newer: set[K] = set()
        self._older: set[K] = set()

    def __contains__(self, key: K) -> bool:
        return key in self._newer or key in self._older

    def add(self, key: K) -> None:
        """Remember a key as the newest."""
        self._newer.add(key)
        if len(self._newer) >= self._count:
            self._older, self._newer = self._newer, set()
