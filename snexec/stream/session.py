"""What is said on one connection of the trading stream (SPEC 7, ALPACA 3)."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import trio

from snexec.broker import MAX_CLIENT_ORDER_ID_CHARS, MAX_ORDER_ID_CHARS, moment
from snexec.errors import StreamClosedError, StreamUnauthorizedError
from snexec.stream.frames import text_of
from snexec.stream.life import QUIET_SECONDS
from snexec.stream.pings import keep_pinging
from snexec.stream.timeouts import limit

if TYPE_CHECKING:
    from snexec.broker import Endpoint
    from snexec.stream.connection import Socket
    from snexec.stream.frames import FrameReader
    from snexec.stream.life import SignsOfLife
    from snexec.stream.updates import TradeUpdates

log = logging.getLogger("TradingWs")

_ANSWER_SECONDS = 10.0
_PING_EVERY_SECONDS = 10.0
_PONG_SECONDS = 10.0  # with the above, a half-open connection lasts 20 s at most
# A longer one would make every look-up fail that it is in.
_LONGEST = {
    "id": MAX_ORDER_ID_CHARS,
    "client_order_id": MAX_CLIENT_ORDER_ID_CHARS,
    "symbol": 64,  # longer than any that the broker has
    "side": 64,
}
_EVENTS = frozenset({"fill", "partial_fill", "rejected"})
_ENDS_OF_SELLS = frozenset({"canceled", "expired"})  # of a buy a look-up says them


class Session:
    """The conversation on one connection: keys, what to listen to, events.

    Args:
        socket: The open connection.
        endpoint: The account; it must have keys.
        updates: Takes the events of orders.
        life: Records when the broker was heard.
    """

    def __init__(
        self,
        socket: Socket,
        endpoint: Endpoint,
        *,
        frames: FrameReader,
        updates: TradeUpdates,
        life: SignsOfLife,
    ) -> None:
        self._socket = socket
        self._endpoint = endpoint
        self._frames = frames
        self._updates = updates
        self._life = life

    async def begin(self) -> None:
        """Authenticate, and ask for the events of orders.

        Raises:
            StreamUnauthorizedError: The broker does not accept the keys.
            StreamClosedError: It closed the connection.
            TooSlowError: It did not answer.
        """
        credentials = self._endpoint.credentials
        assert credentials is not None  # noqa: S101 - the caller checked
        key, secret = credentials.values()
        await self._send({"action": "auth", "key": key, "secret": secret})
        data = await self._answer("authorization")
        if data.get("status") != "authorized":
            raise StreamUnauthorizedError(
                self._frames.shown(data.get("message") or data.get("status"))
            )
        log.info("Authenticated — subscribed to trade_updates")
        if data.get("message"):
            log.debug("the broker adds: %s", self._frames.shown(data["message"]))
        await self._send({"action": "listen", "data": {"streams": ["trade_updates"]}})
        with limit(_ANSWER_SECONDS, "no listening answer"):
            while True:
                data = await self._answer("listening")
                streams = data.get("streams")
                if isinstance(streams, list) and "trade_updates" in streams:
                    return
                log.warning(
                    "the broker listens to %s only", self._frames.shown(streams)
                )

    async def take_events(self) -> None:
        """Take events until the connection ends.

        Raises:
            BaseExceptionGroup: With a StreamUnauthorizedError, if the broker no longer
                accepts the keys.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ping, name="ping the stream")
            while True:
                try:
                    message = self._frames.read(await self._socket.get_message())
                except StreamClosedError as exc:
                    log.warning("connection closed: %s", exc)
                    break
                self._life.heard()
                if message is None:
                    continue
                self._life.handing_over = True
                try:
                    await self._take(message)
                finally:
                    self._life.handing_over = False
                self._life.expect_within(QUIET_SECONDS)
            nursery.cancel_scope.cancel(reason="the connection ended")

    async def _answer(self, stream: str) -> dict[str, Any]:
        """Wait for the answer on one stream; handle whatever else comes meanwhile."""
        with limit(_ANSWER_SECONDS, f"no {stream} answer"):
            while True:
                message = self._frames.read(await self._socket.get_message())
                if message is None:
                    continue
                if message["stream"] == stream:
                    return self._frames.data_of(message)
                await self._take(message)

    async def _take(self, message: dict[str, Any]) -> None:
        match message["stream"]:
            case "trade_updates":
                self._life.event_at = trio.current_time()
                await self._take_update(self._frames.data_of(message))
            case "authorization" if _is_refusal(data := self._frames.data_of(message)):
                raise StreamUnauthorizedError(
                    self._frames.shown(data.get("message") or data["status"])
                )
            case "authorization" | "listening":
                log.debug(
                    "%s: %s", message["stream"], self._frames.shown(message.get("data"))
                )
            case other:
                self._frames.pass_over(other)

    async def _take_update(self, data: dict[str, Any]) -> None:
        mode = self._endpoint.mode
        event: Any = data.get("event")
        order: Any = data.get("order")
        order = order if isinstance(order, dict) else {}
        handled = isinstance(event, str) and (
            event in _EVENTS
            or (event in _ENDS_OF_SELLS and order.get("side") == "sell")
        )
        if not handled:
            log.debug("event %s: nothing to do", self._frames.shown(event))
            return
        for name, longest in _LONGEST.items():
            told = order.get(name)
            if isinstance(told, str) and len(told) > longest:
                log.warning(
                    "a %s whose order's %s is longer than %d characters, passed over",
                    *(event, name, longest),
                )
                return
        order_id = text_of(order.get("id"))
        if order_id is None:
            log.warning("a %s without an order id, passed over", event)
            return
        symbol, side = text_of(order.get("symbol")), text_of(order.get("side"))
        client_order_id = text_of(order.get("client_order_id"))
        execution_id = text_of(data.get("execution_id"))
        if event == "rejected":
            await self._updates.on_rejected_event(
                order_id,
                symbol,
                text_of(data.get("reason")),
                mode=mode,
                client_order_id=client_order_id,
                execution_id=execution_id,
                filled_qty=order.get("filled_qty"),
                filled_avg_price=order.get("filled_avg_price"),
                side=side,
            )
            return
        numbers = order.get("filled_qty"), order.get("filled_avg_price")
        if event in _ENDS_OF_SELLS:
            await self._updates.on_sell_ended_event(
                *(event, order_id, *numbers, symbol),
                mode=mode,
                client_order_id=client_order_id,
                execution_id=execution_id,
                at=moment(order.get("filled_at")),
            )
            return
        await self._updates.on_fill_event(
            *(event, order_id, *numbers, symbol),
            mode=mode,
            client_order_id=client_order_id,
            execution_id=execution_id,
            side=side,
            at=moment(data.get("timestamp")) if side == "sell" else None,
        )

    async def _ping(self) -> None:
        await keep_pinging(
            *(self._socket, self._life),
            every_seconds=_PING_EVERY_SECONDS,
            pong_seconds=_PONG_SECONDS,
            log=log,
        )

    async def _send(self, message: dict[str, Any]) -> None:
        with trio.fail_after(_ANSWER_SECONDS):
            await self._socket.send_message(json.dumps(message))


def _is_refusal(data: dict[str, Any]) -> bool:
    status = data.get("status")
    return isinstance(status, str) and status != "authorized"
