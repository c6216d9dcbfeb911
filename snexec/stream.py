"""The trading stream: connect, authenticate, listen, and start again (SPEC 7)."""

from __future__ import annotations

import json
import logging
import math
import sys
from enum import Enum
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

import trio
from pydantic_core import from_json

from snexec.clock import SystemClock
from snexec.errors import (
    StreamClosedError,
    StreamError,
    StreamRejectedError,
    leaves,
    reasons,
)
from snexec.logs import printable
from snexec.repeats import Repeats
from snexec.timeouts import limit

if TYPE_CHECKING:
    from collections.abc import Callable
    from ssl import SSLContext

    from snexec.accounts import Endpoint
    from snexec.clock import Clock
    from snexec.connection import Socket
    from snexec.events import EventFeed
    from snexec.fills import Fills
    from snexec.settings import Mode, StreamSettings

log = logging.getLogger("TradingWs")

_ANSWER_SECONDS = 10.0
_PING_EVERY_SECONDS = 10.0
_PONG_SECONDS = 10.0  # with the above, a half-open connection lasts 20 s at most
_STAND_DOWN_SECONDS = 60.0
# By when there is a sign of life, at the latest; more than every wait above, added up.
_ATTEMPT_SECONDS = 120.0
_QUIET_SECONDS = 45.0
_OVERDUE_SECONDS = 30.0
_SYSTEM_CLOCK = SystemClock()
_EVENTS = frozenset({"fill", "partial_fill", "rejected"})

StreamState = Literal["disabled", "connecting", "authorized", "unauthorized", "waiting"]


class _End(Enum):
    """Why an attempt ended, which decides when the next one comes."""

    LOST = "lost"
    UNAUTHORIZED = "unauthorized"
    CROWDED = "crowded"


class _UnauthorizedError(Exception):
    """The broker does not take these keys."""


class TradingStream:
    """Follows one account's order events, the current mode's.

    Attributes:
        state_since: When the state changed last; this and the others on Trio's clock,
            and None before the stream runs.
        away_since: Since when it is not authorized; None while it is.
        heard_at: When the broker was last heard, be it a pong.
        event_at: When the last event of an order came.

    Args:
        endpoint: Tells where the current mode trades; asked before each connection.
        tls: Makes the context that verifies a wss:// host.
        authorized: Called each time the broker feeds the stream.
    """

    def __init__(
        self,
        *,
        settings: StreamSettings,
        endpoint: Callable[[], Endpoint],
        tls: Callable[[], SSLContext],
        fills: Fills,
        feed: EventFeed,
        authorized: Callable[[], None],
        clock: Clock = _SYSTEM_CLOCK,
    ) -> None:
        self._settings = settings
        self._endpoint = endpoint
        self._tls = tls
        self._fills = fills
        self._feed = feed
        self._authorized = authorized
        self._scope = trio.CancelScope()
        self._failures = 0
        self._mode: Mode | None = None
        self._authorized_at: float | None = None
        self._decided = trio.Event()
        self._faults = Repeats("stream", log=log, clock=clock)
        self._frames = Repeats("frames of the stream", log=log, clock=clock)
        self._told_fault = True
        self._due = math.inf
        self._handing_over = False
        self.state: StreamState = "connecting"
        self.state_since: float | None = None
        self.away_since: float | None = None
        self.heard_at: float | None = None
        self.event_at: float | None = None

    def restart(self) -> None:
        """Close the connection, or stop waiting for the next; connect anew."""
        self._failures = 0
        self._faults.reset()
        if self._mode is not None:
            self._set_state("connecting", self._mode)
        self._scope.cancel(reason="the stream restarts")

    async def wait_decided(self) -> None:
        """Wait until the stream is fed for the first time, or is known not to be."""
        await self._decided.wait()

    def replace_starved(self, mode: Mode, placed_at: float) -> None:
        """Replace a connection that has not told of an order placed then."""
        since = self._authorized_at
        if self.state != "authorized" or self._mode != mode:
            return
        if since is not None and since < placed_at:
            log.warning(
                "the connection is open but no longer fed: an order was settled by a"
                " look-up only; replacing it"
            )
            self.restart()

    def is_hung(self) -> bool:
        """Tell whether a sign of life is overdue.

        Each step says by when the next one comes, as every wait has its limit. While
        an event is handed over, the writer is waited for, and the writer answers for
        itself.
        """
        return not self._handing_over and trio.current_time() > self._due

    async def run(self) -> None:
        """Keep a connection, until cancelled. A fault of the broker's never raises."""
        self.state_since = self.away_since = trio.current_time()
        while True:
            self._expect_within(_ATTEMPT_SECONDS)
            with trio.CancelScope() as self._scope:
                await self._attempt()
            if self._scope.cancelled_caught:
                delay = self._settings.restart_delay_sec
                self._expect_within(delay + _OVERDUE_SECONDS)
                await trio.sleep(delay)

    async def _attempt(self) -> None:
        """Connect once and follow; then wait until the next attempt is due."""
        endpoint = self._endpoint()
        self._mode = endpoint.mode
        if endpoint.credentials is None:
            log.warning("No API key — trading stream disabled")
            self._set_state("disabled", endpoint.mode)
            self._expect_within(math.inf)
            await trio.sleep_forever()
        delay = self._delay_after(await self._follow_once(endpoint), endpoint.mode)
        told = logging.INFO if self._told_fault else logging.DEBUG
        log.log(told, "next try in %.3g s", delay)
        self._expect_within(delay + _OVERDUE_SECONDS)
        await trio.sleep(delay)

    def _delay_after(self, end: _End, mode: Mode) -> float:
        if end is _End.UNAUTHORIZED:
            self._set_state("unauthorized", mode)
            return _STAND_DOWN_SECONDS
        self._set_state("waiting", mode)
        if end is _End.CROWDED:
            return _STAND_DOWN_SECONDS
        first = self._settings.reconnect_delay_sec
        delay: float = min(first * 2 ** min(self._failures, 16), _STAND_DOWN_SECONDS)
        self._failures += 1
        return max(first, delay)

    async def _follow_once(self, endpoint: Endpoint) -> _End:
        self._set_state("connecting", endpoint.mode)
        self._expect_within(_ATTEMPT_SECONDS)
        log.debug("connecting to %s (%s)", endpoint.stream_url, endpoint.mode)
        end = _End.LOST
        try:
            await self._connect_and_follow(endpoint)
        except* _UnauthorizedError as group:
            end = _End.UNAUTHORIZED
            self._told_fault = self._faults.failed(f"unauthorized: {reasons(group)}")
            if self._told_fault:
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
            self._told_fault = self._faults.failed(f"failed: {reasons(group)}")
            if self._told_fault:
                log.exception("connection failed")
        return end

    def _warn(self, fault: str) -> None:
        self._told_fault = self._faults.failed(fault)
        if self._told_fault:
            log.warning("%s", fault)

    async def _connect_and_follow(self, endpoint: Endpoint) -> None:
        attempt = self._scope
        if "snexec.connection" not in sys.modules:
            # What it brings along is a tenth of a start; signals need not wait for it.
            await trio.to_thread.run_sync(import_module, "snexec.connection")
        from snexec.connection import open_connection  # noqa: PLC0415

        async with open_connection(endpoint.stream_url, self._tls) as socket:
            # A restart from now on ends this block only, and the connection is closed
            # in good order before the next one opens.
            try:
                with trio.CancelScope() as self._scope:
                    await self._follow(socket, endpoint)
            finally:
                following, self._scope = self._scope, attempt
        if following.cancelled_caught:
            attempt.cancel(reason="the stream restarts")
            await trio.lowlevel.checkpoint()

    async def _follow(self, socket: Socket, endpoint: Endpoint) -> None:
        """Authenticate, listen, and take events until the connection ends."""
        await self._authenticate(socket, endpoint)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ping, socket, name="ping the stream")
            self._failures = 0
            self._authorized_at = trio.current_time()
            self._set_state("authorized", endpoint.mode)
            self._note_heard()
            self._faults.worked()
            self._authorized()
            while True:
                try:
                    message = self._parse(await socket.get_message())
                except StreamClosedError as exc:
                    self._told_fault = True
                    log.warning("connection closed: %s", exc)
                    break
                self._note_heard()
                if message is not None:
                    self._frames.worked()
                self._handing_over = True
                try:
                    await self._take(message, endpoint.mode)
                finally:
                    self._handing_over = False
                self._expect_within(_QUIET_SECONDS)
            nursery.cancel_scope.cancel(reason="the connection ended")

    async def _authenticate(self, socket: Socket, endpoint: Endpoint) -> None:
        assert endpoint.credentials is not None  # noqa: S101 - the caller checked
        key, secret = endpoint.credentials.values()
        await _send(socket, {"action": "auth", "key": key, "secret": secret})
        data = await self._answer(socket, "authorization", endpoint.mode)
        if data.get("status") != "authorized":
            raise _UnauthorizedError(_shown(data.get("message") or data.get("status")))
        log.info("Authenticated — subscribed to trade_updates")
        if data.get("message"):
            log.debug("the broker adds: %s", _shown(data["message"]))
        await _send(
            socket, {"action": "listen", "data": {"streams": ["trade_updates"]}}
        )
        while True:
            data = await self._answer(socket, "listening", endpoint.mode)
            streams = data.get("streams")
            if isinstance(streams, list) and "trade_updates" in streams:
                return
            log.warning("the broker listens to %s only", _shown(streams))

    async def _answer(self, socket: Socket, stream: str, mode: Mode) -> dict[str, Any]:
        """Wait for the answer on one stream; pass what else comes to its handler."""
        with limit(_ANSWER_SECONDS, f"no {stream} answer"):
            while True:
                message = self._parse(await socket.get_message())
                if message is None:
                    continue
                if message["stream"] == stream:
                    return _data(message)
                await self._take(message, mode)

    async def _take(self, message: dict[str, Any] | None, mode: Mode) -> None:
        if message is None:
            return
        match message["stream"]:
            case "trade_updates":
                self.event_at = trio.current_time()
                await self._take_update(_data(message), mode)
            case "authorization" if _is_refusal(data := _data(message)):
                raise _UnauthorizedError(_shown(data.get("message") or data["status"]))
            case "authorization" | "listening":
                log.debug("%s: %s", message["stream"], _shown(message.get("data")))
            case other if self._frames.failed("of an unknown stream"):
                log.warning(
                    "a frame of an unknown stream, passed over: %s", _shown(other)
                )
            case _:
                pass

    async def _take_update(self, data: dict[str, Any], mode: Mode) -> None:
        event: Any = data.get("event")
        order: Any = data.get("order")
        handled = isinstance(event, str) and event in _EVENTS
        if not handled:
            log.debug("event %s: nothing to do", _shown(event))
            return
        order_id = _text(order.get("id")) if isinstance(order, dict) else None
        if order_id is None:
            log.warning("a %s without an order id, passed over", event)
            return
        symbol = _text(order.get("symbol"))
        client_order_id = _text(order.get("client_order_id"))
        execution_id = _text(data.get("execution_id"))
        if event == "rejected":
            await self._fills.on_rejected_event(
                order_id,
                symbol,
                _text(data.get("reason")),
                mode=mode,
                client_order_id=client_order_id,
                execution_id=execution_id,
            )
            return
        await self._fills.on_fill_event(
            event,
            order_id,
            order.get("filled_qty"),
            order.get("filled_avg_price"),
            symbol,
            mode=mode,
            client_order_id=client_order_id,
            execution_id=execution_id,
        )

    async def _ping(self, socket: Socket) -> None:
        """Notice a half-open connection, and close it."""
        while True:
            await trio.sleep(_PING_EVERY_SECONDS)
            with trio.move_on_after(_PONG_SECONDS) as waiting:
                try:
                    await socket.ping()
                except StreamClosedError:
                    return
                self._note_heard()
            if waiting.cancelled_caught:
                log.warning("no pong within %g s", _PONG_SECONDS)
                await socket.aclose()
                return

    def _parse(self, frame: str | bytes) -> dict[str, Any] | None:
        """Read a text or binary frame; None, and a log line, for what is no message."""
        try:
            message = _read(frame)
        except (ValueError, RecursionError) as exc:
            if self._frames.failed("not JSON"):
                log.warning("a frame that is not JSON, passed over (%s)", exc)
            return None
        if not isinstance(message, dict) or not isinstance(message.get("stream"), str):
            if self._frames.failed("of an unexpected shape"):
                log.warning(
                    "a frame of an unexpected shape, passed over: %s", _shown(message)
                )
            return None
        return message

    def _note_heard(self) -> None:
        self.heard_at = trio.current_time()
        self._expect_within(_QUIET_SECONDS)

    def _expect_within(self, seconds: float) -> None:
        self._due = trio.current_time() + seconds

    def _set_state(self, state: StreamState, mode: Mode) -> None:
        if state != "authorized":
            self._authorized_at = None
        if state != "connecting":
            self._decided.set()
        if state != self.state:
            if state == "authorized":
                self.away_since = None
            elif self.state == "authorized":
                self.away_since = trio.current_time()
            self.state = state
            self.state_since = trio.current_time()
            self._feed.publish(
                "stream", reason=state, more={"state": state, "mode": mode}
            )


def _read(frame: str | bytes) -> Any:  # noqa: ANN401 - any JSON
    """Read JSON, in half the time wherever it is as it should be."""
    try:
        return from_json(frame, cache_strings="keys")
    except ValueError:
        return json.loads(frame)  # it may carry half a character


def _is_refusal(data: dict[str, Any]) -> bool:
    status = data.get("status")
    return isinstance(status, str) and status != "authorized"


async def _send(socket: Socket, message: dict[str, Any]) -> None:
    with trio.fail_after(_ANSWER_SECONDS):
        await socket.send_message(json.dumps(message))


def _data(message: dict[str, Any]) -> dict[str, Any]:
    data = message.get("data")
    if isinstance(data, dict):
        return data
    log.warning("a %s frame without data, passed over", message["stream"])
    return {}


def _text(value: object) -> str | None:
    """Return a text that a row can hold: JSON may carry half a character."""
    if not isinstance(value, str) or not value:
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        return None
    return value


def _shown(value: object) -> str:
    try:
        text = value if isinstance(value, str) else repr(value)
    except ValueError:  # an integer of too many digits
        text = type(value).__name__
    text = printable(text)
    return text if len(text) <= 200 else text[:200] + "…"
