"""Warm connections to the broker: requests leave at once, in the order of the calls.

No request is ever written twice.
"""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import trio

from snexec.broker.dial import connect
from snexec.broker.readers import Readers
from snexec.broker.request import Request
from snexec.broker.wire import Connection
from snexec.errors import first_words, no_connection

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable

    from snexec.broker.request import Listener

_DIALS_AT_ONCE = 4  # in the background
_MOST_DIALS = 64  # for orders that need a connection, of which 500 may come at once
# Where the server is quick, what waits for longer than those take finds one that is free
# again sooner than another is opened. Where it is not, more are opened after this long.
_ENOUGH_SECONDS = 0.1
_DIALS_PER_SECOND = 2.0  # for a server that closes what was just opened
_FIRST_PAUSE_SECONDS = 1.0
_MOST_RETIRED = 64  # a broker that refuses thousands must not use up all files
_LONGEST_PAUSE_SECONDS = 60.0  # between two tries, while the server does not answer


class Pool:
    """Connections to one server, some of them opened before they are needed.

    Args:
        url: The server's base URL, http:// or https://.
        tls: The context that verifies an https:// server.
        dial_seconds: How long a connection may take to open.
    """

    def __init__(
        self, url: str, *, tls: ssl.SSLContext | None, dial_seconds: float
    ) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if tls else 80)
        self._tls = tls
        self._dial_seconds = dial_seconds
        self._connections: set[Connection] = set()
        self._retired: dict[Connection, None] = {}  # the oldest first
        self._idle: list[Connection] = []
        self._waiting: collections.deque[Request] = collections.deque()
        self._dialing = 0
        self._unreachable = False  # when it was last dialed or used
        self._warm = 0
        self._dial_tokens = 0.0
        self._short_since: float | None = None  # when requests began to wait
        self._changed = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._readers = Readers()

    def keep_warm(self, connections: int) -> None:
        """Keep this many connections open from now on."""
        self._dial_tokens += max(0, connections - self._warm)
        self._warm = connections
        self._changed.set()

    def renew(self) -> None:
        """Open others in place of the idle ones, at which the server may have hung up."""
        idle = tuple(self._idle)
        self._dial_tokens += len(idle)
        for connection in idle:
            connection.close("it is older than a gap")

    def submit(self, data: bytes, listener: Listener | None = None) -> Request:
        """Send a request as soon as a connection is free, in the order of the calls.

        Args:
            data: The whole request.
            listener: Hears of it. Asked whether it is withheld just before it would
                leave, but only where it had to wait.
        """
        request = Request(data, listener)
        self._waiting.append(request)
        self._send_waiting()
        if not request.sent:
            request.waited = True
            if self._short_since is None:
                self._short_since = trio.current_time()
            if self._nursery is not None and self._dialing < _MOST_DIALS:
                # One of its own, as what is being opened already may lead nowhere.
                self._start_dialing()
        return request

    async def run(self) -> None:
        """Keep connections open, until cancelled; then close them all."""
        try:
            async with trio.open_nursery() as self._nursery:
                self.start_soon(self._readers.run)
                for _ in range(min(len(self._waiting), _MOST_DIALS)):
                    self._dial_for_waiting()
                await self._keep_warm()
        finally:
            self._nursery = None
            for connection in (*self._connections, *self._retired):
                connection.close("the daemon stops")
            self._readers.close()
            while self._next_waiting() is not None:
                self._waiting.popleft().end(problem="the daemon stops")

    def start_soon(self, task: Callable[[], Awaitable[None]]) -> None:
        """Run a connection's task beside the others."""
        assert self._nursery is not None  # noqa: S101 - it has connections
        self._nursery.start_soon(task)

    def free(self, connection: Connection) -> None:
        """Take a connection that can carry a request."""
        self._idle.append(connection)
        self._send_waiting()

    def retire(self, connection: Connection) -> None:
        """Take a connection that carries no more requests; others may take its place."""
        self._connections.discard(connection)
        self._retired[connection] = None
        if len(self._retired) > _MOST_RETIRED:
            next(iter(self._retired)).close("others listen in its place")
        self._dial_tokens += 1  # it was of use, so another in its place is no storm
        self._dial_for_waiting()
        self._changed.set()

    def lost(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        if connection in self._retired:
            del self._retired[connection]
            return
        self._connections.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if connection.died_young:
            # Not replaced at once, or we would storm a server that refuses this way.
            self._unreachable = True
        else:
            self._dial_for_waiting()
        self._changed.set()

    def _send_waiting(self) -> None:
        # The connection that was used last: the others may grow old, and are replaced.
        while (request := self._next_waiting()) and self._idle:
            if request.is_withheld():
                request.end(problem="it is withheld")
            elif self._idle.pop().send(request):
                self._waiting.popleft()

    def _next_waiting(self) -> Request | None:
        while self._waiting and self._waiting[0].done.is_set():
            self._waiting.popleft()  # given up
        if self._waiting:
            return self._waiting[0]
        self._short_since = None
        return None

    def _dial_for_waiting(self) -> None:
        """Open another connection, if more requests wait than are being opened."""
        self._next_waiting()
        is_short = min(len(self._waiting), _MOST_DIALS) > self._dialing
        if self._nursery is not None and is_short:
            self._start_dialing()

    def _start_dialing(self) -> None:
        self._dialing += 1
        self.start_soon(self._dial)

    async def _dial(self) -> None:
        """Open a connection."""
        try:
            try:
                with trio.fail_after(self._dial_seconds):
                    sock = await connect(self._host, self._port, self._tls)
                connection = Connection(sock, self, self._readers)
            finally:
                self._dialing -= 1
                self._changed.set()
        except (OSError, ValueError, trio.TooSlowError) as exc:
            self._unreachable = True
            self._fail_waiting(_reason(exc, self._dial_seconds))
            return
        self._unreachable = False
        self._connections.add(connection)
        self.free(connection)
        if connection.died_young:
            self._fail_waiting("the server closes connections as they open")
        if self._short_since is not None:
            await trio.sleep_until(self._short_since + _ENOUGH_SECONDS)
            self._dial_for_waiting()

    def _fail_waiting(self, problem: str) -> None:
        """End the requests that have waited longest, unless other connections may do."""
        others = self._dialing + len(self._connections)
        while (request := self._next_waiting()) and len(self._waiting) > others:
            request.end(problem=problem)

    async def _keep_warm(self) -> None:
        since, pause = trio.current_time(), _FIRST_PAUSE_SECONDS
        while True:
            self._changed = trio.Event()
            now = trio.current_time()
            earned = (now - since) * _DIALS_PER_SECOND
            self._dial_tokens, since = min(self._dial_tokens + earned, self._warm), now
            if self._missing() <= 0 or self._dialing >= _DIALS_AT_ONCE:
                await self._changed.wait()
            elif self._unreachable:
                with trio.move_on_after(pause) as rest:
                    await self._changed.wait()
                if rest.cancelled_caught:
                    pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
                    self._start_dialing()
            elif self._dial_tokens < 1:
                await trio.sleep((1 - self._dial_tokens) / _DIALS_PER_SECOND)
            else:
                pause = _FIRST_PAUSE_SECONDS
                self._dial_tokens -= 1
                self._start_dialing()

    def _missing(self) -> int:
        return self._warm - len(self._connections) - self._dialing


def _reason(exc: Exception, seconds: float) -> str:
    if isinstance(exc, trio.TooSlowError):
        return no_connection(seconds)
    return first_words(exc) or type(exc).__name__
