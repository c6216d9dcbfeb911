"""The trading stream: a connection that is kept, and replaced when lost (SPEC 7)."""

from __future__ import annotations

import logging
import math
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple

import trio

from snexec.clock import SystemClock
from snexec.errors import StreamRejectedError, StreamUnauthorizedError, reasons
from snexec.stream.frames import FrameReader
from snexec.stream.keeper import Keeper
from snexec.stream.session import Session

if TYPE_CHECKING:
    from snexec.broker import Accounts, Endpoint
    from snexec.clock import Clock
    from snexec.events import EventFeed
    from snexec.model import Mode
    from snexec.settings import LiveSettings
    from snexec.stream.connection import Socket
    from snexec.stream.updates import TradeUpdates

log = logging.getLogger("TradingWs")

_STAND_DOWN_SECONDS = 60.0
_FRAME_BYTES = 32 * 1024  # one has 2 kB
_SYSTEM_CLOCK = SystemClock()

StreamState = Literal["disabled", "connecting", "authorized", "unauthorized", "waiting"]


class StreamStatus(NamedTuple):
    """How the stream is; times are on Trio's clock.

    Attributes:
        state_since: When the state last changed; None before the stream runs.
        away_since: Since when it has not been authorized; None while it is, and before
            the stream runs.
        heard_at: When the broker was last heard, be it a pong; None if never.
        event_at: When the last event of an order came; None if none has.
        is_overdue: Whether the next sign of life should have come.
    """

    state: StreamState
    state_since: float | None
    away_since: float | None
    heard_at: float | None
    event_at: float | None
    is_overdue: bool


class _End(Enum):
    """Why an attempt ended, which decides when the next one comes."""

    LOST = "lost"
    UNAUTHORIZED = "unauthorized"
    CROWDED = "crowded"


class TradingStream:
    """Follows one account's order events, the current mode's.

    Args:
        live: The mode and the delays.
        accounts: Where it trades and with which keys, read before each connection.
        updates: Takes the events.
        feed: Hears of each change of state.
        clock: For the log.
    """

    def __init__(
        self,
        live: LiveSettings,
        accounts: Accounts,
        updates: TradeUpdates,
        feed: EventFeed,
        *,
        clock: Clock = _SYSTEM_CLOCK,
    ) -> None:
        self._live = live
        self._accounts = accounts
        self._updates = updates
        self._feed = feed
        self._failures = 0
        self._mode: Mode | None = None
        self._authorized_at: float | None = None
        self._decided = trio.Event()
        self._keeper = Keeper(
            *("stream", accounts.tls),
            log=log,
            clock=clock,
            mask=live.mask,
            frame_bytes=_FRAME_BYTES,
        )
        self._life = self._keeper.life
        self._frames = FrameReader(clock, live.mask)
        self._state: StreamState = "connecting"
        self._state_since: float | None = None
        self._away_since: float | None = None

    def restart(self) -> None:
        """Close the connection, or stop waiting for the next one; then connect again.

        A stream that has not begun, as that of a standby, is left alone.
        """
        if self._state_since is None:
            return
        self._failures = 0
        if self._mode is not None:
            self._set_state("connecting", self._mode)
        self._keeper.restart()

    @property
    def is_unauthorized(self) -> bool:
        """Whether the broker does not take the keys, and nothing is tried for a while."""
        return self._state == "unauthorized"

    def status(self) -> StreamStatus:
        """Return how the stream is now."""
        return StreamStatus(
            state=self._state,
            state_since=self._state_since,
            away_since=self._away_since,
            heard_at=self._life.heard_at,
            event_at=self._life.event_at,
            is_overdue=self._life.is_overdue(),
        )

    async def wait_decided(self) -> None:
        """Wait until the stream is first fed, or it is known that it is not."""
        await self._decided.wait()

    def replace_starved(self, mode: Mode, placed_at: float) -> None:
        """Replace a connection that did not report an order placed then (Trio's time)."""
        since = self._authorized_at
        if self._state != "authorized" or self._mode != mode:
            return
        if since is not None and since < placed_at:
            log.warning(
                "the connection is open but no longer fed: an order was settled by a"
                " look-up only; replacing it"
            )
            self.restart()

    async def run(self) -> None:
        """Keep a connection, until cancelled. A fault of the broker's never raises."""
        self._state_since = self._away_since = trio.current_time()
        await self._keeper.run(self._attempt, self._restart_delay)

    def _restart_delay(self) -> float:
        return self._live.now.stream.restart_delay_sec

    async def _attempt(self) -> None:
        """Connect once and follow; then wait until the next attempt is due."""
        endpoint = self._accounts.endpoint(self._live.now.mode)
        self._mode = endpoint.mode
        if endpoint.credentials is None:
            log.warning("No API key — trading stream disabled")
            self._set_state("disabled", endpoint.mode)
            self._life.expect_within(math.inf)
            await trio.sleep_forever()
        end = await self._follow_once(endpoint)
        await self._keeper.pause(self._delay_after(end, endpoint.mode))

    def _delay_after(self, end: _End, mode: Mode) -> float:
        if end is _End.UNAUTHORIZED:
            self._set_state("unauthorized", mode)
            return _STAND_DOWN_SECONDS
        self._set_state("waiting", mode)
        if end is _End.CROWDED:
            return _STAND_DOWN_SECONDS
        first = self._live.now.stream.reconnect_delay_sec
        delay: float = min(first * 2 ** min(self._failures, 16), _STAND_DOWN_SECONDS)
        self._failures += 1
        return max(first, delay)

    async def _follow_once(self, endpoint: Endpoint) -> _End:
        self._set_state("connecting", endpoint.mode)
        log.debug("connecting to %s (%s)", endpoint.stream_url, endpoint.mode)
        speak = partial(self._follow, endpoint)
        ended = await self._keeper.follow(endpoint.stream_url, speak)
        for exc in ended:
            if isinstance(exc, StreamRejectedError) and exc.status_code == 429:
                return _End.CROWDED
        refusals = [exc for exc in ended if isinstance(exc, StreamUnauthorizedError)]
        if not refusals:
            return _End.LOST
        self._log_refusal(reasons(ExceptionGroup("", refusals)), endpoint.mode)
        return _End.UNAUTHORIZED

    def _log_refusal(self, words: str, mode: Mode) -> None:
        keeper = self._keeper
        keeper.logged_fault = keeper.faults.failed(f"unauthorized: {words}")
        if keeper.logged_fault:
            log.error(
                "the broker does not take the %s keys (%s): check them; next try"
                " in a minute or when the settings change",
                mode,
                words,
            )

    async def _follow(self, endpoint: Endpoint, socket: Socket) -> None:
        session = Session(
            socket,
            endpoint,
            frames=self._frames,
            updates=self._updates,
            life=self._life,
        )
        await session.begin()
        self._failures = 0
        self._authorized_at = trio.current_time()
        self._set_state("authorized", endpoint.mode)
        self._keeper.works()
        await session.take_events()
        self._keeper.logged_fault = True

    def _set_state(self, state: StreamState, mode: Mode) -> None:
        if state != "authorized":
            self._authorized_at = None
        if state != "connecting":
            self._decided.set()
        if state != self._state:
            if state == "authorized":
                self._away_since = None
            elif self._state == "authorized":
                self._away_since = trio.current_time()
            self._state = state
            self._state_since = trio.current_time()
            self._feed.publish(
                "stream", reason=state, more={"state": state, "mode": mode}
            )
