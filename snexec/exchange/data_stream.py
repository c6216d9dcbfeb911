"""Market data over a WebSocket: authentication, subscription, ticks (ALPACA-EXITS 2.1)."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import get_args

import trio
from pydantic import BaseModel, ConfigDict, Field
from starlette.websockets import WebSocket

from snexec.exchange.assets import canonical
from snexec.exchange.connections import connection_of
from snexec.exchange.data_rest import spell
from snexec.exchange.tape import Channel, Message, Tape

_AUTH_SEC = 10.0
_FRAMES_WAITING_MAX = 20_000
_CHANNELS = get_args(Channel)
_ERRORS = {
    400: "invalid syntax",
    401: "not authenticated",
    402: "auth failed",
    403: "already authenticated",
    404: "auth timeout",
    405: "symbol limit exceeded",
    406: "connection limit exceeded",
    407: "slow client",
    409: "insufficient subscription",
    410: "invalid subscribe action",
    500: "internal error",
}


class DataFaults(BaseModel):
    """How market data misbehaves until set otherwise.

    Attributes:
        refuse: The error code that authentication is answered with, such as 402 or 409.
        stall: Nothing is sent to those who have subscribed; pings are answered.
        symbols_max: How many symbols one connection may subscribe to.
        single_connection: Whether a second connection is refused with 406.
        slot_hold_sec: Seconds for which the slot stays taken after a close.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    refuse: int | None = Field(default=None, ge=400, le=599)
    stall: bool = False
    symbols_max: int = Field(default=30, ge=1)
    single_connection: bool = True
    slot_hold_sec: float = Field(default=0.0, ge=0)


class DataFeed:
    """One endpoint of market data, such as ``iex``.

    Args:
        tape: What is printed.
        knows_key: Whether a key is authorized.

    Attributes:
        faults: How it misbehaves.
    """

    def __init__(self, tape: Tape, knows_key: Callable[[str], bool]) -> None:
        self.faults = DataFaults()
        self._tape = tape
        self._knows_key = knows_key
        self._sessions: set[_Session] = set()
        self._held_until = 0.0

    @property
    def subscribed(self) -> list[str]:
        """The symbols whose trades somebody gets, in the order of the alphabet."""
        symbols = (session.symbols["trades"] for session in self._sessions)
        return sorted(set().union(*symbols))

    @property
    def connections(self) -> int:
        """How many WebSockets are open."""
        return len(self._sessions)

    async def serve(self, websocket: WebSocket) -> None:
        """Serve one WebSocket from its upgrade to its end."""
        session = _Session(websocket, self)
        self._sessions.add(session)
        self._tape.followers.add(session.follow)
        try:
            await session.run()
        finally:
            self._tape.followers.discard(session.follow)
            self._sessions.discard(session)
            if session.authenticated:
                self._held_until = trio.current_time() + self.faults.slot_hold_sec

    def drop(self) -> None:
        """Break every connection without a close frame, by TCP reset."""
        for session in self._sessions:
            session.connection.reset()

    def refuses(self, key: object, secret: object) -> int | None:
        """Return the error that answers an authentication; None if it is fine."""
        if self.faults.refuse is not None:
            return self.faults.refuse
        if not (isinstance(key, str) and key and secret and self._knows_key(key)):
            return 402
        taken = any(session.authenticated for session in self._sessions)
        held = trio.current_time() < self._held_until
        return 406 if self.faults.single_connection and (taken or held) else None


class _Session:
    """Speaks the protocol of market data with one client."""

    def __init__(self, websocket: WebSocket, feed: DataFeed) -> None:
        self.connection = connection_of(websocket)
        self.authenticated = False
        self.symbols: dict[str, set[str]] = {channel: set() for channel in _CHANNELS}
        self._websocket = websocket
        self._feed = feed
        self._load: Callable[[bytes], object] = json.loads
        self._dump: Callable[[list[Message]], bytes | str] = _as_json
        if websocket.headers.get("content-type") == "application/msgpack":
            # Only the official SDK asks for it, and brings it along.
            with suppress(ModuleNotFoundError):
                from snexec.exchange import packing  # noqa: PLC0415

                self._load, self._dump = packing.unpack, packing.pack
        self._frames_send, self._frames = trio.open_memory_channel[bytes | str | None](
            _FRAMES_WAITING_MAX
        )

    def follow(self, channel: Channel, symbol: str, message: Message) -> None:
        """Send a tick, if it was subscribed to."""
        wanted = self.symbols[channel]
        if (symbol in wanted or "*" in wanted) and not self._feed.faults.stall:
            self._send([message])

    async def run(self) -> None:
        """Serve the client until it leaves or is refused."""
        await self._websocket.accept()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write, nursery.cancel_scope)
            self._send([{"T": "success", "msg": "connected"}])
            await self._read()
            nursery.cancel_scope.cancel()

    async def _write(self, session: trio.CancelScope) -> None:
        async for frame in self._frames:
            if isinstance(frame, bytes):
                await self._websocket.send_bytes(frame)
            elif frame is not None:
                await self._websocket.send_text(frame)
            else:
                await self._websocket.close(1000)
                session.cancel()

    async def _read(self) -> None:
        with trio.CancelScope(deadline=trio.current_time() + _AUTH_SEC) as waiting:
            while True:
                message = await self._websocket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                data = message.get("bytes") or (message.get("text") or "").encode()
                if not self._answer(self._parse(data)):
                    break
                if self.authenticated:
                    waiting.deadline = float("inf")
        if waiting.cancelled_caught:
            self._refuse(404)
        self._put(None)
        await trio.sleep_forever()  # the writer ends the session once that is out

    def _parse(self, data: bytes) -> object:
        try:
            return self._load(data)
        except ValueError:
            return None

    def _answer(self, request: object) -> bool:
        """Answer a message; False if that ends the connection."""
        if not isinstance(request, dict):
            return self._refuse(400)
        action = request.get("action")
        if action == "auth":
            return self._authenticate(request.get("key"), request.get("secret"))
        if not self.authenticated:
            self._refuse(401)
            return False
        if action in ("subscribe", "unsubscribe"):
            return self._subscribe(request, leave=action == "unsubscribe")
        return self._refuse(410)

    def _authenticate(self, key: object, secret: object) -> bool:
        if self.authenticated:
            return self._refuse(403)
        error = self._feed.refuses(key, secret)
        if error is not None:
            self._refuse(error)
            return False
        self.authenticated = True
        self._send([{"T": "success", "msg": "authenticated"}])
        return True

    def _subscribe(self, request: dict[object, object], *, leave: bool) -> bool:
        changed = {channel: set(names) for channel, names in self.symbols.items()}
        for channel, names in changed.items():
            asked = request.get(channel) or []
            if not isinstance(asked, list) or not all(
                isinstance(name, str) for name in asked
            ):
                return self._refuse(400)
            asked = {canonical(name) for name in asked}
            changed[channel] = names - asked if leave else names | asked
        if len(set().union(*changed.values())) > self._feed.faults.symbols_max:
            return self._refuse(405)
        self.symbols = changed
        lists = {channel: sorted(names) for channel, names in changed.items()}
        follow = {"corrections": lists["trades"], "cancelErrors": lists["trades"]}
        empty: dict[str, list[str]] = {
            name: [] for name in ("bars", "updatedBars", "dailyBars", "lulds")
        }
        self._send([{"T": "subscription", **lists, **follow, **empty}])
        return True

    def _refuse(self, code: int) -> bool:
        message = _ERRORS.get(code, "internal error")
        self._send([{"T": "error", "code": code, "msg": message}])
        return True

    def _send(self, messages: list[Message]) -> None:
        self._put(self._dump(messages))

    def _put(self, frame: bytes | str | None) -> None:
        try:
            self._frames_send.send_nowait(frame)
        except trio.WouldBlock:
            self.connection.close()  # Alpaca's 407: a client that is too slow


def _as_json(messages: list[Message]) -> str:
    return json.dumps(messages, separators=(",", ":"), default=spell)
