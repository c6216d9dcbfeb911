"""Entries until they are decided, and decided ones until that is acknowledged (SPEC 13)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import trio

if TYPE_CHECKING:
    from snexec.events import Event
    from snexec.redis.entries import Entry

# With these, the broker has spoken, and its word is in the row.
_DECIDED = frozenset(
    {"placed", "refused", "fill", "partial_fill", "rejected", "settled"}
)
# A signal that was skipped so may still be traded, here or on another host.
_STAYS = frozenset({"stopping", "standby"})


class Dead(NamedTuple):
    """An entry that can never be traded.

    Attributes:
        reason: Why.
    """

    entry: Entry
    reason: str


class Undecided:
    """Knows which entries are not decided, by what is heard of their signals.

    Attributes:
        decided: The ids of entries to acknowledge.
        dead: Entries to put aside before they are acknowledged.
    """

    def __init__(self) -> None:
        self._entries: dict[str, tuple[int, str]] = {}
        self._by_sequence: dict[int, str] = {}
        self._by_signal: dict[str, str] = {}
        self._left: set[str] = set()  # for the next daemon that is active
        self._news = trio.Event()
        self._fewer = trio.Event()
        self._somebody_waits = False
        self.decided: dict[str, None] = {}  # in order, each once
        self.dead: dict[str, Dead] = {}

    def __len__(self) -> int:
        """Return how many are not decided."""
        return len(self._entries)

    def knows(self, entry_id: str) -> bool:
        """Return whether an entry was taken, and is not acknowledged yet.

        Delivered to us again, it would count as a repetition of itself.
        """
        return (
            entry_id in self._entries
            or entry_id in self.decided
            or entry_id in self.dead
            or entry_id in self._left
        )

    def taken(self, entry_id: str, sequence: int, signal_id: str) -> None:
        """Wait for what becomes of an entry's signal."""
        self._entries[entry_id] = (sequence, signal_id)
        self._by_sequence[sequence] = self._by_signal[signal_id] = entry_id

    def decide(self, entry_id: str) -> None:
        """Have an entry acknowledged."""
        self._drop(entry_id)
        self.decided[entry_id] = None
        self._news.set()

    def bury(self, entry: Entry, reason: str) -> None:
        """Have an entry put aside, and then acknowledged."""
        self.dead[entry.id] = Dead(entry, reason)
        self._news.set()

    def happened(self, event: Event) -> None:
        """Hear what became of a signal."""
        if event.event != "skipped" and event.event not in _DECIDED:
            return
        entry_id = self._by_sequence.get(event.sequence or 0)
        if entry_id is None:
            entry_id = self._by_signal.get(event.signal_id or "")
        if entry_id is None:
            return
        if event.event == "skipped" and event.reason in _STAYS:
            self._drop(entry_id)
            self._left.add(entry_id)
        else:
            self.decide(entry_id)

    async def wait_fewer_than(self, count: int) -> None:
        """Wait until fewer are not decided."""
        while len(self) >= count:
            self._somebody_waits = True
            await self._fewer.wait()

    async def wait_news(self) -> None:
        """Wait until there is something to acknowledge."""
        while not self.decided and not self.dead:
            self._news = trio.Event()
            await self._news.wait()

    def acknowledged(self, entry_ids: list[str]) -> None:
        """Forget entries whose acknowledgement the server has confirmed."""
        for entry_id in entry_ids:
            self.decided.pop(entry_id, None)

    def _drop(self, entry_id: str) -> None:
        sequence, signal_id = self._entries.pop(entry_id, (0, ""))
        self._by_sequence.pop(sequence, None)
        if self._somebody_waits:
            self._somebody_waits = False
            self._fewer.set()
            self._fewer = trio.Event()
        if self._by_signal.get(signal_id) == entry_id:
            del self._by_signal[signal_id]
