"""One WebSocket of the trading stream: authentication, subscription, frames."""

import json
from collections.abc import Callable

import trio
from starlette.websockets import WebSocket

from snexec.exchange.connections import connection_of
from snexec.exchange.faults import StreamFaults

# A client that is this many frames behind is cut off.
FRAMES_WAITING_MAX = 20_000

_DEPRECATED = (
    "this authentication format is being deprecated. Please use the format: "
    '{"action": "auth", "key": "x", "secret": "x"}'
)
_AVAILABLE = ("trade_updates",)

# A frame, a close code, or an event that is set once everything before it is written.
Outgoing = bytes | str | int | trio.Event


class Session:
    """Speaks Alpaca's stream protocol with one client."""

    def __init__(
        self,
        websocket: WebSocket,
        faults: Callable[[], StreamFaults],
        knows_key: Callable[[str], bool],
    ) -> None:
        self.connection = connection_of(websocket)
        self.starved = False
        self._websocket = websocket
        self._faults = faults
        self._knows_key = knows_key
        self._authorized = False
        self._listening = False
        self._frames_send, self._frames = trio.open_memory_channel[Outgoing](
            FRAMES_WAITING_MAX
        )

    @property
    def fed(self) -> bool:
        """Whether events are sent to this client."""
        return self._listening and not self.starved

    async def run(self) -> None:
        """Serve the client until it leaves, is closed or is refused."""
        await self._websocket.accept()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write, nursery.cancel_scope)
            await self._read()
            nursery.cancel_scope.cancel()

    def push(self, item: Outgoing, *, raw: bool = False) -> None:
        """Queue something to be written.

        Args:
            item: A frame, or a close code.
            raw: Whether the frame keeps its kind whatever the faults say.
        """
        if isinstance(item, bytes) and not raw and self._faults().text_frames:
            item = item.decode()
        try:
            self._frames_send.send_nowait(item)
        except trio.WouldBlock:
            self.connection.close()

    async def flush(self) -> None:
        """Wait until everything queued is written."""
        written = trio.Event()
        self.push(written)
        await written.wait()

    async def _write(self, session: trio.CancelScope) -> None:
        async for item in self._frames:
            match item:
                case bytes():
                    await self._websocket.send_bytes(item)
                case str():
                    await self._websocket.send_text(item)
                case int():
                    await self._websocket.close(item)
                    session.cancel()
                case trio.Event():
                    item.set()

    async def _read(self) -> None:
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            try:
                request = json.loads(message.get("bytes") or message.get("text") or "")
            except ValueError:
                request = None
            if not self._answer(request):
                # The writer ends the session once the refusal is out.
                self.push(1000)
                await trio.sleep_forever()

    def _answer(self, request: object) -> bool:
        """Answer a message; False if that ends the connection."""
        if not isinstance(request, dict):
            refusal = {"action": "", "message": "code=400, message=Bad Request"}
            refusal["status"] = "unauthorized"
            self._reply({"stream": "authorization", "data": refusal})
            return False
        data = request.get("data")
        fields = data if isinstance(data, dict) else {}
        match request.get("action"):
            case "auth":
                return self._authenticate(request.get("key"), request.get("secret"))
            case "authenticate":
                return self._authenticate(
                    fields.get("key_id"), fields.get("secret_key"), legacy=True
                )
            case "listen":
                return self._listen(fields.get("streams"))
            case action:
                self._reply_error(f"unknown action: {action}")
                return False

    def _authenticate(
        self, key: object, secret: object, *, legacy: bool = False
    ) -> bool:
        faults = self._faults()
        if faults.ignore_auth:
            return True
        reply = {"action": "authenticate", "status": "authorized"}
        known = isinstance(key, str) and key and isinstance(secret, str) and secret
        if not known or faults.unauthorized or not self._knows_key(str(key)):
            reply["status"] = "unauthorized"
            reply["message"] = "code=401, message=Unauthorized"
        elif legacy:
            reply["message"] = _DEPRECATED
        self._reply({"stream": "authorization", "data": reply})
        self._authorized = reply["status"] == "authorized"
        return self._authorized

    def _listen(self, streams: object) -> bool:
        if not self._authorized:
            refusal = {"status": "unauthorized", "action": "listen"}
            self._reply({"stream": "authorization", "data": refusal})
            return False
        faults = self._faults()
        if faults.ignore_listen:
            return True
        wanted = streams if isinstance(streams, list) else []
        effective = [name for name in _AVAILABLE if name in wanted]
        if faults.withhold_trade_updates:
            effective = []
        self._listening = bool(effective)
        self._reply({"stream": "listening", "data": {"streams": effective}})
        return True

    def _reply_error(self, message: str) -> None:
        self._reply({"action": "error", "data": {"error_message": message}})

    def _reply(self, message: dict[str, object]) -> None:
        self.push(json.dumps(message, separators=(",", ":")).encode())
