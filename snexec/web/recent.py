"""The latest events of this run, for who begins to look (SPEC 14)."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snexec.events import Event

MOST = 100


class Recent:
    """Remembers the latest events, and how many there were.

    Attributes:
        sequence: Of the latest one.
    """

    def __init__(self) -> None:
        self.sequence = 0
        self._events: collections.deque[Event] = collections.deque(maxlen=MOST)

    def happened(self, event: Event) -> None:
        """Remember an event; nothing is made of it before somebody looks."""
        self.sequence += 1
        self._events.append(event)

    def since(self, sequence: int, *, most: int = MOST) -> list[tuple[int, Event]]:
        """Return the events after one, oldest first; of many only the newest."""
        count = min(self.sequence - sequence, most, len(self._events))
        if count <= 0:
            return []
        first = self.sequence - count + 1
        return list(enumerate(list(self._events)[-count:], first))
