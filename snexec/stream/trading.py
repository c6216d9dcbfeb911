"""The trading stream: a connection that is kept, and replaced when lost (SPEC 7)."""

from __future__ import annotations

import logging
import math
import sys
from enum import Enum
from importlib import import_module
from typing import TYPE_CHECKING, Literal, NamedTuple

import trio

from snexec.clock import SystemClock
from snexec.errors import (
    StreamClosedError,
    StreamError,
    StreamRejectedError,
    StreamUnauthorizedError,
    leaves,
    reasons,
)
from snexec.logs import Repeats
from snexec.stream.frames import FrameReader
from snexec.stream.life import SignsOfLife
from snexec.stream.session import Session
from snexec.threads import in_own_thread

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
# By when there must be a sign of life; longer than all waits of an attempt together.
_ATTEMPT_SECONDS = 120.0
_OVERDUE_SECONDS = 30.0
_SHOWN_CHARS = 500
_SYSTEM_CLOCK = SystemClock()
_CONNECTION = "snexec.stream.connection"

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
        self._attempt_scope = trio.CancelScope()
        self._following_scope: trio.CancelScope | None = None  # on an open connection
        self._failures = 0
        self._mode: Mode | None = None
        self._authorized_at: float | None = None
        self._decided = trio.Event()
        self._faults = Repeats("stream", log=log, clock=clock)
        self._frames = FrameReader(clock, live.mask)
        self._logged_fault = True
        self._life = SignsOfLife()
        self._state: StreamState = "connecting"
        self._state_since: float | None = None
        self._away_since: float | None = None

    def restart(self) -> None:
        """Close the connection, or stop waiting for the next one; then connect again."""
        self._failures = 0
        self._faults.reset()
        self._life.expect_within(_ATTEMPT_SECONDS)
        if self._mode is not None:
            self._set_state("connecting", self._mode)
        # An open connection is closed in good order before the next one opens: its
        # block ends, and the attempt only after that.
        scope = self._following_scope or self._attempt_scope
        scope.cancel(reason="the stream restarts")

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
        while True:
            self._life.expect_within(_ATTEMPT_SECONDS)
            with trio.CancelScope() as self._attempt_scope:
                await self._attempt()
            if self._attempt_scope.cancelled_caught:
                delay = self._live.now.stream.restart_delay_sec
                self._life.expect_within(delay + _OVERDUE_SECONDS)
                await trio.sleep(delay)

    async def _attempt(self) -> None:
        """Connect once and follow; then wait until the next attempt is due."""
        endpoint = self._accounts.endpoint(self._live.now.mode)
        self._mode = endpoint.mode
        if endpoint.credentials is None:
            log.warning("No API key — trading stream disabled")
            self._set_state("disabled", endpoint.mode)
            self._life.expect_within(math.inf)
            await trio.sleep_forever()
        delay = self._delay_after(await self._follow_once(endpoint), endpoint.mode)
        level = logging.INFO if self._logged_fault else logging.DEBUG
        log.log(level, "next try in %.3g s", delay)
        self._life.expect_within(delay + _OVERDUE_SECONDS)
        await trio.sleep(delay)

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
        self._life.expect_within(_ATTEMPT_SECONDS)
        log.debug("connecting to %s (%s)", endpoint.stream_url, endpoint.mode)
        end = _End.LOST
        try:
            await self._connect_and_follow(endpoint)
        except* StreamUnauthorizedError as group:
            end = _End.UNAUTHORIZED
            self._logged_fault = self._faults.failed(f"unauthorized: {reasons(group)}")
            if self._logged_fault:
                log.error(  # noqa: TRY400 - the broker's word, not a fault of ours
                    "the broker does not take the %s keys (%s): check them; next try"
                    " in a minute or when the settings change",
                    endpoint.mode,
                    reasons(group),
                )
        except* StreamRejectedError as group:
            statuses = {exc.status_code for exc in leaves(group)}
            if 429 in statuses:
                end = _End.CROWDED
            self._warn(f"connection refused: HTTP {', '.join(map(str, statuses))}")
        except* StreamClosedError as group:
            self._warn(f"connection closed: {reasons(group)}")
        except* (StreamError, OSError, trio.BrokenResourceError) as group:
            self._warn(f"no connection: {reasons(group)}")
        except* trio.TooSlowError as group:
            self._warn(f"no connection: {reasons(group)}")
        except* Exception as group:  # an error never ends the daemon
            self._logged_fault = self._faults.failed(f"failed: {reasons(group)}")
            if self._logged_fault:
                log.exception("connection failed")
        return end

    def _warn(self, fault: str) -> None:
        fault = self._live.mask.shown(fault, _SHOWN_CHARS)
        self._logged_fault = self._faults.failed(fault)
        if self._logged_fault:
            log.warning("%s", fault)

    async def _connect_and_follow(self, endpoint: Endpoint) -> None:
        if _CONNECTION not in sys.modules:
            # To import it takes a tenth of a start; signals need not wait for that.
            await in_own_thread(
                "import of the stream", lambda: import_module(_CONNECTION)
            )
        from snexec.stream.connection import open_connection  # noqa: PLC0415

        following = trio.CancelScope()
        try:
            async with open_connection(
                endpoint.stream_url, self._accounts.tls
            ) as socket:
                self._following_scope = following
                try:
                    with following:
                        await self._follow(socket, endpoint)
                finally:
                    self._following_scope = None
        finally:
            # Even if the connection ended by itself at the same moment.
            if following.cancel_called:
                self._attempt_scope.cancel(reason="the stream restarts")
        await trio.lowlevel.checkpoint_if_cancelled()

    async def _follow(self, socket: Socket, endpoint: Endpoint) -> None:
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
        self._life.heard()
        self._faults.worked()
        await session.take_events()
        self._logged_fault = True

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
