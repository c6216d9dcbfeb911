"""A notifier that records its messages, and places that messages are delivered to."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import trio

from snexec.logs.mask import SecretMask
from snexec.ops.notify import Notify
from tests.fakes import Rig, make_settings
from tests.ops.bench import Bench

TOKEN = "T0k3nT0k3n"
MESSAGE: dict[str, object] = {
    "text": "snexec: Bought AAPL",
    "event": "fill",
    "count": 1,
}
SAVE = """
import json, os, sys
with open(sys.argv[1], "w") as file:
    json.dump([sys.argv[2:], json.load(sys.stdin), dict(os.environ)], file)
"""


class Told(Notify):
    """Notifications that are recorded instead of being delivered."""

    def __init__(self, rig: Rig, **values: object) -> None:
        self.bench = Bench(rig)
        self.mask = SecretMask()
        self.mask.learn(["s3cr3t-value"])
        self.deadline = float("inf")
        self.messages: list[tuple[float, dict[str, Any]]] = []
        self.tries = 0
        self.problem: Exception | None = None
        self.seconds = 0.0
        super().__init__(
            settings=make_settings(notify={"command": ["x"], **values}).notify,
            health=self.bench.health,
            clock=rig.clock,
            mask=self.mask.apply,
            tls=ssl.create_default_context,
            latest=lambda: self.deadline,
            account=lambda mode: mode,
        )
        rig.feed.follow(self.happened)
        self.feed = rig.feed

    def _make_targets(
        self,
    ) -> dict[str, Callable[[dict[str, object]], Awaitable[None]]]:
        return {"notify.command": self._record}

    async def _record(self, message: dict[str, object]) -> None:
        self.tries += 1
        await trio.sleep(self.seconds)
        if self.problem is not None:
            raise self.problem
        self.messages.append((trio.current_time(), message))

    def texts(self) -> list[str]:
        return [message["text"] for _, message in self.messages]

    def fill(self, symbol: str, dollars: float = 100.0, mode: str = "paper") -> None:
        more = {"shares": dollars / 10, "entryPrice": 10.0, "mode": mode}
        self.feed.publish("fill", more, symbol=symbol, trade_id=f"sn-{symbol}")


class Hook:
    """A web server that takes messages, or does not."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.answer = b"HTTP/1.1 204 No Content\r\n\r\n"

    async def serve(self, stream: trio.abc.Stream) -> None:
        try:
            data = b""
            while b"\r\n\r\n" not in data or not data.endswith(b"}"):
                chunk = await stream.receive_some()
                if not chunk:
                    return
                data += chunk
            self.requests.append(bytes(data))
            if not self.answer:
                await trio.sleep_forever()
            await stream.send_all(self.answer)
        except trio.BrokenResourceError:
            return


async def open_hook(
    nursery: trio.Nursery, context: ssl.SSLContext | None = None
) -> tuple[Hook, str]:
    hook = Hook()
    if context is None:
        listeners = await nursery.start(trio.serve_tcp, hook.serve, 0)
        port = listeners[0].socket.getsockname()[1]
        return hook, f"http://127.0.0.1:{port}/hooks/{TOKEN}"
    secure = partial(trio.serve_ssl_over_tcp, hook.serve, 0, context, host="127.0.0.1")
    listeners = await nursery.start(secure)
    port = listeners[0].transport_listener.socket.getsockname()[1]
    return hook, f"https://127.0.0.1:{port}/hooks/{TOKEN}"
