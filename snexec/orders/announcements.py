"""What is said of sells as they leave: once no more of them do, in the order of events.

A line and an event take as long as to plan a sell and to send it: where many leave at once,
the last would leave a third later.
"""

from __future__ import annotations

import collections
import math
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

    from snexec.ledger import NewExit

_QUIET_SECONDS = 0.01  # without another one
_MOST_SECONDS = 0.5  # however many there are
_SAID_AT_ONCE = 8  # then others have their turn


class Announcements:
    """Waits for a quiet moment, then says what there is to say."""

    def __init__(self) -> None:
        self._waiting: collections.deque[Callable[[], None]] = collections.deque()
        self._since = self._latest = -math.inf
        self._wake = trio.lowlevel.ParkingLot()
        self._scope = trio.CancelScope()

    def add(self, say: Callable[[], None]) -> None:
        """Have something said soon."""
        self._latest = trio.current_time()
        if not self._waiting:
            self._since = self._latest
            self._wake.unpark()
        self._waiting.append(say)

    def say_all(self) -> None:
        """Say at once what waits, as something is said that comes after it."""
        while self._waiting:
            self._waiting.popleft()()

    async def run(self) -> None:
        """Say what there is to say, until closed."""
        with self._scope:
            while True:
                if not self._waiting:
                    await self._wake.park()
                due = min(self._latest + _QUIET_SECONDS, self._since + _MOST_SECONDS)
                if trio.current_time() < due:
                    await trio.sleep_until(due)
                    continue
                for _ in range(min(_SAID_AT_ONCE, len(self._waiting))):
                    self._waiting.popleft()()
                await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Say what still waits, and end ``run``."""
        self.say_all()
        self._scope.cancel(reason="no sell is under way")


def decision(new: NewExit) -> dict[str, object]:
    """Return what is said of a sell that is decided: how much, and by what."""
    price = new.trigger_price
    said: dict[str, object] = {
        "shares": float(new.quantity),
        "triggerPrice": None if price is None else float(price),
        "triggerSource": new.trigger_source,
    }
    if new.reason == "manual":
        said["by"] = new.trigger_source  # which is who asked for it
    return said
