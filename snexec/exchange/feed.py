"""The trading stream of one account: who is connected, and what they are sent."""

import json
from collections.abc import Callable, Mapping

import trio
from starlette.responses import Response
from starlette.websockets import WebSocket

from snexec.exchange.faults import StreamFaults
from snexec.exchange.session import Session

# A client may reconnect before the server has seen its old connection end.
_SLOT_GRACE_SEC = 0.05
_FLUSH_SEC = 1.0


class Feed:
    """Delivers events to the account's WebSocket, one of which may be open at a time."""

    def __init__(self, knows_key: Callable[[str], bool]) -> None:
        self.faults = StreamFaults()
        self._knows_key = knows_key
        self._sessions: set[Session] = set()
        self._slot_freed = trio.Event()
        self._held_until = 0.0

    @property
    def connections(self) -> int:
        """How many WebSockets are open."""
        return len(self._sessions)

    @property
    def listeners(self) -> int:
        """How many WebSockets have asked for `trade_updates` and receive them."""
        return sum(session.fed for session in self._sessions)

    async def serve(self, websocket: WebSocket) -> None:
        """Serve one WebSocket from its upgrade to its end."""
        status = self.faults.refuse_upgrade
        if status is None and not await self._slot_free():
            status = 429
        if status is not None:
            await websocket.send_denial_response(Response(status_code=status))
            return
        session = Session(websocket, lambda: self.faults, self._knows_key)
        self._sessions.add(session)
        try:
            await session.run()
        finally:
            self._sessions.discard(session)
            self._held_until = trio.current_time() + self.faults.slot_hold_sec
            self._slot_freed.set()

    def publish(self, event: Mapping[str, object]) -> None:
        """Send a `trade_updates` event to everyone who listens."""
        fed = [session for session in self._sessions if session.fed]
        if fed:
            frame = json.dumps(
                {"stream": "trade_updates", "data": event}, separators=(",", ":")
            )
            for session in fed:
                session.push(frame.encode())

    async def flush(self) -> None:
        """Wait until everything published is written, for a second at most."""
        with trio.move_on_after(_FLUSH_SEC):
            for session in list(self._sessions):
                await session.flush()

    def send_raw(self, frame: bytes | str) -> None:
        """Send a frame as it is, text or binary, to everyone connected."""
        for session in self._sessions:
            session.push(frame, raw=True)

    def drop(self) -> None:
        """Break every connection without a close frame, by TCP reset."""
        for session in self._sessions:
            session.connection.reset()

    def close(self, code: int = 1000) -> None:
        """Close every connection with a close frame."""
        for session in self._sessions:
            session.push(code)

    def starve(self) -> None:
        """Send no more events to the current connections; pings are answered."""
        for session in self._sessions:
            session.starved = True

    def black_hole(self) -> None:
        """Silence the current connections altogether; pings are not answered."""
        for session in self._sessions:
            session.connection.freeze()

    async def _slot_free(self) -> bool:
        if not self.faults.single_connection:
            return True
        with trio.move_on_after(_SLOT_GRACE_SEC):
            while self._sessions:
                self._slot_freed = trio.Event()
                await self._slot_freed.wait()
            return trio.current_time() >= self._held_until
        return False
