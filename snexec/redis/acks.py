"""What is decided is acknowledged, many at a time and behind the orders (SPEC 13)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from snexec.errors import RedisCommandError

if TYPE_CHECKING:
    from snexec.redis.client import Session
    from snexec.redis.undecided import Dead, Undecided
    from snexec.settings import RedisSettings

log = logging.getLogger("Redis")

_GATHER_SECONDS = 0.005  # so that a burst is acknowledged at once
_AT_ONCE = 1000
_MOST_DEAD = 100_000  # entries in the dead stream, about


class Acknowledger:
    """Acknowledges what is decided, and puts aside what can never be.

    Args:
        settings: The stream, and who reads it.
        undecided: Knows what is decided.

    Attributes:
        dead: How many entries were put aside.
    """

    def __init__(self, settings: RedisSettings, undecided: Undecided) -> None:
        self._settings = settings
        self._undecided = undecided
        self.dead = 0

    async def run(self, session: Session) -> None:
        """Acknowledge whatever is decided, until cancelled or the session fails."""
        while True:
            await self._undecided.wait_news()
            await trio.sleep(_GATHER_SECONDS)
            await self.acknowledge(session)

    async def acknowledge(self, session: Session) -> None:
        """Acknowledge what is decided by now."""
        undecided = self._undecided
        for entry_id, dead in list(undecided.dead.items()):
            is_put_aside = await self._put_aside(session, dead)
            del undecided.dead[entry_id]
            if is_put_aside:
                undecided.decide(entry_id)
        decided = list(undecided.decided)
        for at in range(0, len(decided), _AT_ONCE):
            some = decided[at : at + _AT_ONCE]
            await session.acknowledge(some)
            undecided.acknowledged(some)

    async def _put_aside(self, session: Session, dead: Dead) -> bool:
        """Add an entry to the dead stream; if that is refused, it stays pending."""
        entry, settings = dead.entry, self._settings
        ours = {
            b"entry": entry.id.encode(),
            b"reason": dead.reason.encode(errors="replace"),
            b"deliveries": str(entry.deliveries).encode(),
            b"by": settings.name.encode(),
        }
        fields = {**dict(entry.fields), **ours}
        try:
            await session.add(settings.dead, fields, most=_MOST_DEAD)
        except RedisCommandError as exc:
            log.error(  # noqa: TRY400 - the server's words say it all
                "entry %s of %s (%s) cannot be added to %s, and stays pending: %s",
                *(entry.id, settings.stream, dead.reason, settings.dead, exc),
            )
            return False
        self.dead += 1
        log.warning(
            "entry %s of %s goes to %s: %s",
            *(entry.id, settings.stream, settings.dead, dead.reason),
        )
        return True
