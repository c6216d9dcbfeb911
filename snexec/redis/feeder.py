"""Redis as the rest of the daemon sees it: a feeder, one session after the other (SPEC 13)."""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

import trio

from snexec.clock import timestamp
from snexec.errors import RedisCommandError, RedisError, RedisLostError
from snexec.logs import Repeats
from snexec.redis.acks import Acknowledger
from snexec.redis.lease import Lease
from snexec.redis.reader import Reader
from snexec.redis.results import Results
from snexec.redis.undecided import Undecided
from snexec.settings import redis_address
from snexec.threads import in_own_thread

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable

    from snexec.clock import Clock
    from snexec.events import EventFeed
    from snexec.intake import Intake
    from snexec.redis.client import Session
    from snexec.redis.lease import LeaseState
    from snexec.risk import Active
    from snexec.settings import LiveSettings, RedisSettings

log = logging.getLogger("Redis")

_CLIENT = "snexec.redis.client"
_FIRST_RETRY_SECONDS = 0.1
_LONGEST_RETRY_SECONDS = 30.0
_WORKS_SECONDS = 3.0  # a session that lasts so long was a good one
_LOOK_SECONDS = 2.0  # between two looks at the group
_GOODBYE_SECONDS = 1.0
_CLOCKS_DIFFER_SECONDS = 2.0
_CLAIMED_SECONDS = 8 * 86_400.0


class RedisStatus(NamedTuple):
    """How the stream is.

    Attributes:
        connected: Whether the server answers.
        since: Since when, or since when not.
        pending: Entries that the group was given and has not decided, at the last look.
        lag: Entries that it was not given yet; None where the server does not know.
        again: Entries that were delivered again, since the start.
        dead: Entries that were put aside, likewise.
        dropped: Events that no stream got.
        lease: Whether this daemon is the active one of several.
        holder: Who is active, as far as is known.
    """

    connected: bool
    since: str
    pending: int | None
    lag: int | None
    again: int
    dead: int
    dropped: int
    lease: LeaseState = "none"
    holder: str | None = None


class RedisFeeder:
    """Feeds the intake from a stream, and acknowledges what is decided.

    Args:
        settings: Where, and as whom.
        live: The environment, which may hold the address; how many signals may wait.
        tls: Makes the context that verifies the server.
        intake: Takes the lines.
        feed: Says what became of them, and what is to be added to ``results``.
        clock: The wall clock.
        active: Is told until when this daemon may order.

    Attributes:
        lease: Which of several hosts is active; None where there is only one.
    """

    name = "redis"

    def __init__(
        self,
        settings: RedisSettings,
        live: LiveSettings,
        tls: Callable[[], ssl.SSLContext],
        intake: Intake,
        feed: EventFeed,
        *,
        clock: Clock,
        active: Active,
    ) -> None:
        self._settings = settings
        self._address = redis_address(settings, live.environ)
        self._tls = tls
        self._mask = live.mask
        self._clock = clock
        self._intake = intake
        self._undecided = Undecided()
        self._acks = Acknowledger(settings, self._undecided)
        # At most half of what may wait, so that other feeders find room.
        most = max(live.now.intake.max_pending // 2, 1)
        self._reader = Reader(settings, intake, self._undecided, clock, most=most)
        feed.follow(self._undecided.happened)
        self.lease: Lease | None = None
        if settings.lease_sec > 0:
            self.lease = Lease(settings, active, feed, clock)
            intake.stand_by()
        self._results: Results | None = None
        if settings.results is not None:
            self._results = Results(settings.results, most=settings.results_max_length)
            feed.follow(self._results.happened)
        self._faults = Repeats("redis", log=log, clock=clock)
        self._is_connected = False
        self._since = timestamp(clock.now())
        self._pending: int | None = None
        self._lag: int | None = None
        self._clock_is_named = False

    def status(self) -> RedisStatus:
        """Return how the stream is."""
        return RedisStatus(
            connected=self._is_connected,
            since=self._since,
            pending=self._pending,
            lag=self._lag,
            again=self._reader.again,
            dead=self._acks.dead,
            dropped=0 if self._results is None else self._results.dropped,
            lease="none" if self.lease is None else self.lease.state,
            holder=None if self.lease is None else self.lease.holder,
        )

    async def run(self) -> None:
        """Keep a session, until cancelled; a fault of the server's never raises."""
        if _CLIENT not in sys.modules:
            # A fifth of a second, for which no order has to wait.
            await in_own_thread("import of coredis", lambda: import_module(_CLIENT))
        failures = 0
        try:
            while True:
                began = trio.current_time()
                try:
                    await self._hold_session(self._speak)
                except (RedisLostError, RedisCommandError) as exc:
                    # Where this is ended, the driver's last words are about that.
                    await trio.lowlevel.checkpoint_if_cancelled()
                    self._note_fault(exc)
                self._note_connection(connected=False)
                if trio.current_time() - began > _WORKS_SECONDS:
                    failures = 0
                pause = _FIRST_RETRY_SECONDS * 2 ** min(failures, 16)
                failures += 1
                await trio.sleep(min(pause, _LONGEST_RETRY_SECONDS))
        finally:
            await self._say_goodbye()

    async def _hold_session(self, speak: Callable[[Session], Awaitable[None]]) -> None:
        from snexec.redis.client import hold_session  # noqa: PLC0415 - side door

        settings = self._settings
        await hold_session(
            *(self._address, self._tls, speak),
            stream=settings.stream,
            group=settings.group,
            consumer=settings.name,
        )

    async def _speak(self, session: Session) -> None:
        await session.make_group()
        await self._look_at_clock(session)
        self._note_connection(connected=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._acks.run, session, name="acknowledgements")
            nursery.start_soon(self._watch, session, name="state of the stream")
            if self.lease is not None:
                nursery.start_soon(self.lease.run, session, name="lease")
            if self._results is not None:
                nursery.start_soon(self._results.run, session, name="results")
            nursery.start_soon(self._reader.run, session, name="entries")

    async def _watch(self, session: Session) -> None:
        while True:
            status = await session.status()
            self._pending, self._lag = status
            await trio.sleep(_LOOK_SECONDS)

    async def _look_at_clock(self, session: Session) -> None:
        """Warn once of a server whose clock is not ours: by its time entries are old."""
        ahead = await session.time() - self._clock.now().timestamp()
        if abs(ahead) > _CLOCKS_DIFFER_SECONDS and not self._clock_is_named:
            self._clock_is_named = True
            log.warning(
                "the clock of %s is %.1f s %s ours: entries look that much %s, and are"
                " not corrected",
                self._address,
                abs(ahead),
                *(("ahead of", "younger") if ahead > 0 else ("behind", "older")),
            )

    async def _say_goodbye(self) -> None:
        """Acknowledge what was decided last."""
        if self._undecided.decided or self._undecided.dead:
            await self._try(self._acks.acknowledge)

    async def _try(self, speak: Callable[[Session], Awaitable[None]]) -> None:
        """Say something in a session of its own, if the server is there."""
        with trio.move_on_after(_GOODBYE_SECONDS, shield=True):
            try:
                await self._hold_session(speak)
            except RedisError as exc:
                log.debug("the server does not hear the last words: %s", exc)

    async def give_up_lease(self) -> None:
        """Let another host be active; the last thing that a stop in good order does."""
        if self.lease is not None and self.lease.state == "active":
            await self._try(self.lease.release)

    async def claim(self, what: str) -> bool | None:
        """Note for all hosts that this one does what only one of them is to do.

        Args:
            what: Its name, by which it may be done again after 8 days.

        Returns:
            Whether no other host has; None where the server does not say.
        """
        if self.lease is None:
            return True
        settings, who = self._settings, self._settings.name
        key = f"{settings.stream}:{settings.group}:{what}"
        found: list[str] = []

        async def take(session: Session) -> None:
            found.append(
                await session.take_lease(
                    key, who, seconds=_CLAIMED_SECONDS, instead_of=who
                )
            )

        try:
            await self._hold_session(take)
        except RedisError as exc:
            log.debug("it is not known whether another host has %s: %s", what, exc)
            return None
        return found == [who]

    def _note_connection(self, *, connected: bool) -> None:
        if connected:
            self._faults.worked()
        if connected == self._is_connected:
            return
        self._is_connected = connected
        self._since = timestamp(self._clock.now())
        if connected:
            settings = self._settings
            log.info(
                "%s: signals come from %s, group %s, as %s",
                *(self._address, settings.stream, settings.group, settings.name),
            )

    def _note_fault(self, error: RedisError) -> None:
        fault = self._mask.apply(str(error))
        if self._faults.failed(fault):
            log.warning(
                "%s: %s; entries stay in the stream until it answers again",
                *(self._address, fault),
            )


def feeder_of(
    live: LiveSettings,
    tls: Callable[[], ssl.SSLContext],
    intake: Intake,
    feed: EventFeed,
    *,
    clock: Clock,
    active: Active,
) -> RedisFeeder | None:
    """Return the feeder that ``[redis]`` asks for; None without that section.

    Raises:
        ConfigError: Nothing says where Redis is.
    """
    settings = live.now.redis
    if settings is None:
        return None
    return RedisFeeder(settings, live, tls, intake, feed, clock=clock, active=active)
