"""One endpoint of market data: a connection that is kept while it is wanted (SPEC 12.4)."""

from __future__ import annotations

import logging
import math
from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple

import trio

from snexec.errors import StreamRefusedError, StreamRejectedError
from snexec.market.data_session import DataSession
from snexec.market.silence import Silence
from snexec.market.tick_frames import TickReader
from snexec.market.watched import Watched
from snexec.stream import Keeper

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from snexec.clock import Clock
    from snexec.market.ticks import PriceSink
    from snexec.settings import Credentials, LiveSettings
    from snexec.stream.connection import Socket

log = logging.getLogger("MarketData")

# A burst of ticks comes as one frame; a tick has 130 bytes.
_FRAME_BYTES = 1024 * 1024
_REFUSED_SECONDS = (60.0, 300.0, 900.0, 3600.0)
_LONGEST_PAUSE_SECONDS = 60.0
_CROWDED = 429
_ADVICE = {
    402: "the keys are not taken: check them",
    406: "another program holds the one connection that a user has, or did just now:"
    ' stop it, or set exits.price_source = "snapshots"',
    409: "the data plan does not have this feed: set exits.feed to one that it has",
}

LineState = Literal["off", "idle", "connecting", "open", "refused", "waiting"]


class Place(NamedTuple):
    """Where an endpoint is, and with which keys."""

    address: str
    credentials: Credentials


class DataLine:
    """Keeps the connection to one endpoint while there is something to ask it for.

    Args:
        name: Of the endpoint, for log lines.
        live: The delays.
        place: Says where it is; None while it is not wanted, or has no keys.
        sink: Takes what it says.
        lost: Called when the connection has ended after it was open.
        has_statuses: Whether it reports halts.
        tls: Makes the context that verifies a wss:// host.
        clock: For the log.

    Attributes:
        watched: The symbols; whoever changes them does so by ``set``.
        state: ``off`` is not wanted, ``idle`` wants a symbol first.
    """

    def __init__(
        self,
        name: str,
        live: LiveSettings,
        place: Callable[[], Place | None],
        sink: PriceSink,
        *,
        lost: Callable[[], None],
        has_statuses: bool,
        tls: Callable[[], ssl.SSLContext],
        clock: Clock,
    ) -> None:
        self.watched = Watched()
        self._name = name
        self._live = live
        self._place = place
        self._lost = lost
        self._has_statuses = has_statuses
        self._reader = TickReader(sink, self.watched, clock=clock, mask=live.mask)
        self._keeper = Keeper(
            *(f"market data ({name})", tls),
            log=log,
            clock=clock,
            mask=live.mask,
            frame_bytes=_FRAME_BYTES,
        )
        self._silence = Silence()
        self._session: DataSession | None = None
        self.state: LineState = "off"
        self._failures = self._refusals = 0
        self._told: set[object] = set()  # what is said once
        self._used: Place | None = None

    def serves(self, symbol: str) -> bool:
        """Return whether ticks of a symbol come over it now."""
        return self._session is not None and symbol in self._session.served

    def settings_changed(self) -> None:
        """Use what the settings say now; the connection goes only if they move it."""
        if self._place() != self._used or self.state in {"refused", "waiting"}:
            self._failures = self._refusals = 0
            self._told.clear()
            self._keeper.restart()

    def restart(self) -> None:
        """Replace the connection, if one is open."""
        if self._session is not None:
            self._keeper.restart()

    def poll_moved(self, symbol: str) -> None:
        """Hear that the poll's price of a symbol has moved while its market is open."""
        if self.serves(symbol) and self._silence.moved():
            log.warning(
                "%s: open but silent while the poll's prices move; replacing the"
                " connection",
                self._name,
            )
            self._keeper.restart()

    def market_closed(self) -> None:
        """Hear that nothing needs to come now."""
        self._silence.begun()

    async def run(self) -> None:
        """Keep the connection, until cancelled. A fault of the broker's never raises."""
        await self._keeper.run(self._attempt, self._restart_delay)

    def _restart_delay(self) -> float:
        return self._live.now.stream.restart_delay_sec

    async def _attempt(self) -> None:
        """Connect once, as soon as that is wanted; then wait for the next attempt."""
        self._keeper.life.expect_within(math.inf)
        self._used = place = self._place()
        if place is None:
            self.state = "off"
            await trio.sleep_forever()  # until the settings change
        self.state = "idle"
        while not self.watched:
            await self.watched.changed.wait()
        self.state = "connecting"
        log.debug("connecting to %s", place.address)
        ended = await self._keeper.follow(place.address, partial(self._speak, place))
        if ended:
            await self._keeper.pause(self._delay_after(ended))

    async def _speak(self, place: Place, socket: Socket) -> None:
        session = DataSession(
            *(socket, place.credentials, self.watched),
            reader=self._reader,
            life=self._keeper.life,
            has_statuses=self._has_statuses,
            heard=self._heard,
            told=self._told,
        )
        await session.begin()
        self.state, self._session = "open", session
        self._silence.begun()
        self._failures = 0
        self._keeper.logged_fault = True
        log.info("%s: market data is open", self._name)
        try:
            await session.run()
        finally:
            self._session = None
            self._lost()

    def _heard(self) -> None:
        self._silence.ticked()
        self._refusals = 0
        self._reader.worked()
        self._keeper.faults.worked()

    def _delay_after(self, ended: list[Exception]) -> float:
        for exc in ended:
            crowded = (
                isinstance(exc, StreamRejectedError) and exc.status_code == _CROWDED
            )
            if crowded or isinstance(exc, StreamRefusedError):
                self.state = "refused"
                steps = _REFUSED_SECONDS
                delay = steps[min(self._refusals, len(steps) - 1)]
                self._refusals += 1
                if isinstance(exc, StreamRefusedError):
                    self._say_refused(exc)
                return delay
        self.state = "waiting"
        first = self._live.now.stream.reconnect_delay_sec
        pause: float = min(first * 2 ** min(self._failures, 16), _LONGEST_PAUSE_SECONDS)
        self._failures += 1
        return max(first, pause)

    def _say_refused(self, exc: StreamRefusedError) -> None:
        self._keeper.logged_fault = exc.code not in self._told
        if self._keeper.logged_fault:
            self._told.add(exc.code)
            log.warning(
                "%s: market data is refused (%s): %s; prices come by the poll, and it is"
                " tried again ever less often, down to once an hour",
                self._name,
                exc,
                _ADVICE[exc.code],
            )
