"""Things that happen later: one task runs them all, in order of time."""

import heapq
from collections.abc import Callable

import trio

# Many steps may fall due at once; others get a turn after this many.
_STEPS_BETWEEN_TURNS = 20


class Timeline:
    """Calls functions at their time, and sleeps in between."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._sooner = trio.Event()

    def after(self, delay_sec: float, call: Callable[[], None]) -> None:
        """Call a function this many seconds from now."""
        self._count += 1
        entry = (trio.current_time() + delay_sec, self._count, call)
        heapq.heappush(self._due, entry)
        if self._due[0] is entry:
            self._sooner.set()

    async def run(self) -> None:
        """Call what falls due until cancelled; an exception of a call ends it."""
        while True:
            done = 0
            while self._due and self._due[0][0] <= trio.current_time():
                heapq.heappop(self._due)[2]()
                done += 1
                if done % _STEPS_BETWEEN_TURNS == 0:
                    await trio.lowlevel.checkpoint()
            self._sooner = trio.Event()
            deadline = self._due[0][0] if self._due else float("inf")
            with trio.move_on_at(deadline):
                await self._sooner.wait()
