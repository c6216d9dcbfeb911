"""One daemon of a group is active at a time: a key that it holds, and renews (SPEC 13)."""

from __future__ import annotations

import logging
import math
import secrets
from typing import TYPE_CHECKING, Literal

import trio

from snexec.errors import RedisLostError

if TYPE_CHECKING:
    from datetime import datetime

    from snexec.clock import Clock
    from snexec.events import EventFeed
    from snexec.redis.client import Session
    from snexec.risk import Active
    from snexec.settings import RedisSettings

log = logging.getLogger("Redis")

LeaseState = Literal["none", "active", "standby"]

_RENEWALS = 3  # in the time that it holds
_LOOKS = 20  # of a standby, in that time
_SAFE = 0.8  # of that time: nothing leaves in the rest of it
_UNRENEWED = 0.6  # of that time is left: whoever renews it has more
_UPTIME_SECONDS = 1.0  # a server's uptime is in whole seconds
LEASE_RELEASED = "-"  # its value once it was given up in good order
_RELEASED_SECONDS = 30 * 86_400.0


class Lease:
    """Takes the lease, keeps it, and says when it is lost.

    Each daemon's value begins with its consumer's name, and ends in a word of its own.
    A key that is gone too early (the server has forgotten it) is taken only once nobody
    can count on it any more.

    Args:
        settings: Of which group it is, and for how long it holds.
        active: Is told until when this daemon may order.
        feed: Where each change is published.
        clock: The wall clock.

    Attributes:
        holder: Which host is active, as far as is known; None while an earlier run of
            this one still has the lease.
    """

    def __init__(
        self, settings: RedisSettings, active: Active, feed: EventFeed, clock: Clock
    ) -> None:
        self._name = settings.name
        self._seconds = settings.lease_sec
        self._key = lease_key(settings)
        self._value = f"{self._name} {secrets.token_hex(8)}"
        self._active = active
        self._feed = feed
        self._clock = clock
        self._not_before = -math.inf
        self._forgets_until = -math.inf
        self._left = math.inf
        self._twin_is_named = False
        self._is_held = False
        self._is_lost = False
        self._taken = trio.Event()
        self._lost = trio.Event()
        self._seen: str | None = None  # who has it, at the last look
        self.holder: str | None = None
        active.stand_by()

    @property
    def state(self) -> LeaseState:
        """Whether this daemon is active."""
        return "active" if self._is_held and not self._active.is_over() else "standby"

    async def wait_taken(self) -> None:
        """Wait until this daemon is active for the first time."""
        await self._taken.wait()

    async def wait_lost(self) -> None:
        """Wait until it was active and is not any more; that never ends again."""
        await self._taken.wait()
        while not self._is_lost:
            if self._active.is_over():
                self._lose("it was not renewed in time")
                return
            # A renewal moves the deadline; only Trio's clock can be waited for.
            with trio.move_on_at(min(self._active.until, trio.current_time() + 1.0)):
                await self._lost.wait()

    async def run(self, session: Session) -> None:
        """Take it as soon as that may be, and keep it, until cancelled or lost."""
        uptime = float((await session.info("server"))["uptime_in_seconds"])
        young = self._seconds + _UPTIME_SECONDS - uptime
        self._forgets_until = trio.current_time() + young
        while not self._is_lost:
            since = trio.current_time(), self._clock.now()
            with trio.move_on_after(self._seconds / _RENEWALS) as patience:
                pause = await self._keep(session, since)
            if patience.cancelled_caught:
                raise RedisLostError("no answer about the lease in time")
            await trio.sleep(pause)
        await trio.sleep_forever()

    async def release(self, session: Session) -> None:
        """Give it up in good order: nothing of ours is under way any more."""
        if self._is_held and not self._active.is_over():
            self._active.stand_by()
            await session.release_lease(
                self._key, self._value, LEASE_RELEASED, seconds=_RELEASED_SECONDS
            )

    async def _keep(self, session: Session, since: tuple[float, datetime]) -> float:
        """Renew it, or take it if that may be; return when to look again."""
        if self._is_held:
            if self._active.is_over():
                self._lose("it was not renewed in time")
                return 0.0
            who = await self._take(session, self._value)
            is_ours = who == self._value
            if not is_ours or self._active.is_over():  # by now
                late = "it was not renewed in time"
                self._lose(late if is_ours else f"{_name_of(who)} has it")
                return 0.0
            self._active.hold(self._seconds * _SAFE, since=since)
            return self._seconds / _RENEWALS
        who, left = await session.lease(self._key)
        if not self._may_take(who, left):
            return min(self._seconds / _LOOKS, max(left, 0.01))
        if await self._take(session, who) != self._value:
            return self._seconds / _LOOKS
        self._active.hold(self._seconds * _SAFE, since=since)
        self._is_held = True
        self.holder = self._name
        log.warning("the lease is ours: %s is active from now on", self._name)
        self._say("active", by=self._name)
        self._taken.set()
        return self._seconds / _RENEWALS

    def _may_take(self, who: str, left: float) -> bool:
        """Return whether nobody can be active, by who has it and for how long still."""
        now = trio.current_time()
        # A server that has lost its last second may not know who has it since, nor for how
        # long it was renewed.
        is_sure = now >= self._forgets_until
        if who == LEASE_RELEASED:
            return is_sure
        if not who:
            return is_sure and now >= self._not_before
        name = _name_of(who)
        if name != self._seen:
            self._see(name, left)
        self._not_before = now + left
        if name != self._name:
            return False
        # Ours from before a crash, unless somebody goes on renewing it.
        if left > self._left and not self._twin_is_named:
            self._twin_is_named, self.holder = True, name
            log.error(
                "another daemon of this group calls itself %s: give each a name of its"
                " own ([redis] consumer)",
                name,
            )
        self._left = left
        return is_sure and left < self._seconds * _UNRENEWED

    def _see(self, name: str, left: float) -> None:
        """Say who has it, which is news."""
        self._seen, self.holder = name, None
        if name == self._name:
            log.info(
                "standby: an earlier run of %s still has the lease (for %.1f s)",
                *(name, left),
            )
            return
        self.holder = name
        log.info("standby: %s is active", name)
        self._say("standby", by=name)

    async def _take(self, session: Session, instead_of: str) -> str:
        return await session.take_lease(
            self._key, self._value, seconds=self._seconds, instead_of=instead_of
        )

    def _lose(self, why: str) -> None:
        if self._is_lost:
            return
        self._active.stand_by()
        self._is_lost = True
        self.holder = None
        log.warning("the lease is lost (%s): nothing is ordered any more", why)
        self._say("standby", by=None, reason=why)
        self._lost.set()

    def _say(
        self, state: LeaseState, *, by: str | None, reason: str | None = None
    ) -> None:
        more = {"lease": state, "by": by, "host": self._name}
        self._feed.publish("lease", more, reason=reason)


def lease_key(settings: RedisSettings) -> str:
    """Return the key of a group's lease."""
    return f"{settings.stream}:{settings.group}:lease"


def _name_of(value: str) -> str:
    return value.partition(" ")[0]
