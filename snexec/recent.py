"""What was seen recently, in bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

K = TypeVar("K", bound="Hashable")


class Recent(Generic[K]):
    """Remembers at least the last ``count`` different keys, and at most twice as many.

    Two sets used in turns take half the memory of one that forgets its oldest key each
    time, and the keys' 64-bit hashes a third of what the keys would take. The chance
    that a new key is mistaken for one of ten thousand is below one in 10^15.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._newer: set[int] = set()
        self._older: set[int] = set()

    def __contains__(self, key: K) -> bool:
        hashed = hash(key)
        return hashed in self._newer or hashed in self._older

    def add(self, key: K) -> None:
        """Remember a key as the newest."""
        self._newer.add(hash(key))
        if len(self._newer) >= self._count:
            self._older, self._newer = self._newer, set()
