"""Intents that wait for their turn, up to a limit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from snexec.orders.intent import Intent


class IntentQueue:
    """Holds intents in the order in which they came.

    Attributes:
        pending: How many wait. The next one counts until ``started`` is called.
    """

    def __init__(self, max_pending: int) -> None:
        self._max_pending = max_pending
        # The bound is `max_pending`, kept by counting: an intent leaves the channel
        # before it leaves the queue for an order slot.
        self._send, self._receive = trio.open_memory_channel["Intent"](math.inf)
        self._room = trio.Event()
        self.pending = 0

    @property
    def is_full(self) -> bool:
        """Whether no more may wait."""
        return self.pending >= self._max_pending

    @property
    def room(self) -> int:
        """How many more may wait."""
        return max(self._max_pending - self.pending, 0)

    async def wait_for_room(self) -> None:
        """Wait until another one may be put in."""
        while self.is_full:
            await self._room.wait()

    def put(self, intent: Intent) -> None:
        """Put one behind all the others."""
        self.pending += 1
        self._send.send_nowait(intent)

    def close(self) -> None:
        """Take no more; those that wait are still given out."""
        self._send.close()

    def __aiter__(self) -> AsyncIterator[Intent]:
        """Give out intents as they come, until it is closed and empty."""
        return aiter(self._receive)

    def next_nowait(self) -> Intent | None:
        """Return the next one, if one waits."""
        try:
            return self._receive.receive_nowait()
        except (trio.WouldBlock, trio.EndOfChannel):
            return None

    def started(self) -> None:
        """Note that an intent that was given out waits no longer."""
        self.pending -= 1
        self._room.set()
        self._room = trio.Event()
