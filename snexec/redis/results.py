"""Events, added to a stream for whoever waits for them; nothing waits for it (SPEC 13)."""

from __future__ import annotations

import collections
import logging
from typing import TYPE_CHECKING

import trio

from snexec.errors import RedisCommandError

if TYPE_CHECKING:
    from snexec.events import Event
    from snexec.redis.client import Session

log = logging.getLogger("Redis")

_MOST_WAITING = 10_000
_AT_ONCE = 100  # then others get their turn
_REFUSED_SECONDS = 1.0
_GATHER_SECONDS = 0.02  # orders that are leaving go first


class Results:
    """Adds every event of the feed to a stream.

    Args:
        stream: Its name.
        most: About how many of the latest it keeps.

    Attributes:
        dropped: Events that were not added, as too many waited.
    """

    def __init__(self, stream: str, *, most: int) -> None:
        self._stream = stream
        self._most = most
        self._waiting: collections.deque[Event] = collections.deque()
        self._news = trio.Event()
        self._is_refused = False
        self.dropped = 0

    def happened(self, event: Event) -> None:
        """Have an event added; the oldest is dropped where too many wait."""
        if len(self._waiting) >= _MOST_WAITING:
            self._waiting.popleft()
            self.dropped += 1
            if self.dropped == 1:
                log.warning(
                    "%s: events are dropped and counted, as too many wait", self._stream
                )
        self._waiting.append(event)
        self._news.set()

    async def run(self, session: Session) -> None:
        """Add events as they come, until cancelled or the session fails."""
        while True:
            while not self._waiting:
                self._news = trio.Event()
                await self._news.wait()
                await trio.sleep(_GATHER_SECONDS)
            await self.add(session)

    async def add(self, session: Session) -> None:
        """Add some of those that wait; what a lost session leaves is added by the next."""
        count = min(len(self._waiting), _AT_ONCE)
        some = [self._waiting.popleft() for _ in range(count)]
        lines = [event.line().rstrip() for event in some]
        try:
            await session.add_all(self._stream, b"event", lines, most=self._most)
        except RedisCommandError as exc:
            if not self._is_refused:
                log.error(  # noqa: TRY400 - the server's words say it all
                    "%s takes no events, they are dropped and counted: %s",
                    *(self._stream, exc),
                )
            self._is_refused = True
            self.dropped += count
            await trio.sleep(_REFUSED_SECONDS)
        except BaseException:
            self._waiting.extendleft(reversed(some))
            raise
        else:
            self._is_refused = False
