"""Market data as Alpaca sends it, a sink that records it, and settings that ask for it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import trio

from snexec.errors import StreamClosedError
from snexec.stream.connection import Socket
from snexec.stream.whole_frames import WholeFrames

if TYPE_CHECKING:
    from collections.abc import Iterable

    from snexec.market.data_settings import PriceSource
    from snexec.market.ticks import Cancel, Correction, Print, Quote, Status

_MOST_WAITING = 10_000
AT_TEXT = "2026-01-05T14:30:00.25Z"
AT = 1767623400.25
CONNECTED = [{"T": "success", "msg": "connected"}]
AUTHENTICATED = [{"T": "success", "msg": "authenticated"}]


def trade(symbol: str = "AAPL", price: object = 189.58, **changes: object) -> Any:  # noqa: ANN401 - as JSON
    """Make a trade as the stream sends it."""
    fields = {"T": "t", "S": symbol, "i": 52983525029461, "x": "V", "p": price}
    more = {"s": 100, "c": ["@", "I"], "t": AT_TEXT, "z": "C"}
    return fields | more | changes


def quote(symbol: str = "AAPL", **changes: object) -> Any:  # noqa: ANN401 - as JSON
    """Make a quote as the stream sends it."""
    fields = {"T": "q", "S": symbol, "bx": "V", "bp": 189.57, "bs": 200, "ax": "V"}
    return (
        fields | {"ap": 189.59, "as": 3, "c": ["R"], "t": AT_TEXT, "z": "C"} | changes
    )


def error(code: int, words: str = "no") -> list[dict[str, object]]:
    """Make an error as the stream sends it."""
    return [{"T": "error", "code": code, "msg": words}]


class RecordingSink:
    """Records what market data says."""

    def __init__(self) -> None:
        self.taken: list[Print | Quote | Correction | Cancel | Status] = []
        self.problem: Exception | None = None

    def print_(self, tick: Print) -> None:
        self._take(tick)

    def quote(self, tick: Quote) -> None:
        self._take(tick)

    def correction(self, tick: Correction) -> None:
        self._take(tick)

    def canceled(self, tick: Cancel) -> None:
        self._take(tick)

    def status(self, tick: Status) -> None:
        self._take(tick)

    def _take(self, tick: Print | Quote | Correction | Cancel | Status) -> None:
        if self.problem is not None:
            raise self.problem
        self.taken.append(tick)


@dataclass(frozen=True)
class MadeDataSettings:
    """What ``[exits]`` says of market data."""

    enabled: bool = True
    price_source: PriceSource = "stream"
    feed: str = "iex"
    data_url: str = "http://127.0.0.1:1"
    data_stream_url: str = "ws://127.0.0.1:1"


@dataclass
class Server:
    """Market data on memory: what Alpaca answers, and who is connected.

    Attributes:
        most: How many symbols one connection may have.
        unknown: Symbols that it answers 400 for.
        refuse: The error that authentication is answered with.
        asked: What came, on all connections.
        symbols: What the newest connection has, by channel.
        mute: Whether it answers nothing.
    """

    most: int = 30
    unknown: frozenset[str] = frozenset()
    refuse: int | None = None
    mute: bool = False
    asked: list[dict[str, Any]] = field(default_factory=list)
    symbols: dict[str, set[str]] = field(default_factory=dict)
    socket: MemorySocket | None = None

    def connect(self) -> MemorySocket:
        """Open a connection."""
        self.symbols = {}
        self.socket = MemorySocket(self)
        if not self.mute:
            self.send(CONNECTED)
        return self.socket

    def send(self, frame: object) -> None:
        """Send a frame: JSON, or text or bytes as they are."""
        assert self.socket is not None
        self.socket.put(frame if isinstance(frame, str | bytes) else json.dumps(frame))

    def take(self, message: dict[str, Any]) -> None:
        """Answer a message of the client's."""
        self.asked.append(message)
        if self.mute:
            return
        if message["action"] == "auth":
            self.send(AUTHENTICATED if self.refuse is None else error(self.refuse))
            return
        changed = {name: set(has) for name, has in self.symbols.items()}
        for channel in message.keys() - {"action"}:
            has, named = changed.setdefault(channel, set()), set(message[channel])
            if named & self.unknown:
                self.send(error(400, "invalid syntax"))
                return
            leaves = message["action"] == "unsubscribe"
            changed[channel] = has - named if leaves else has | named
        if len(changed["trades"]) > self.most:
            self.send(error(405, "symbol limit exceeded"))
            return
        self.symbols = changed
        lists = {channel: sorted(has) for channel, has in changed.items()}
        self.send([{"T": "subscription", **lists, "corrections": lists["trades"]}])

    @property
    def requests(self) -> list[tuple[str, list[str]]]:
        """What was asked for, but for the keys."""
        return [
            (message["action"], message["trades"])
            for message in self.asked
            if message["action"] != "auth"
        ]


class MemorySocket(Socket):
    """A connection to a server on memory."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._frames = WholeFrames(1, _MOST_WAITING)
        self._is_closed = False

    def put(self, frame: str | bytes) -> None:
        """Have a frame come."""
        self._frames.add(frame)

    def close(self, words: str = "1006") -> None:
        """Break the connection."""
        self._is_closed = True
        self._frames.end(StreamClosedError(words))

    async def send_message(self, text: str) -> None:
        await trio.lowlevel.checkpoint()
        if self._is_closed:
            raise StreamClosedError("1006")
        self._server.take(json.loads(text))

    async def ping(self) -> None:
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()
        self.close("by us")


def symbols_of(ticks: Iterable[Any]) -> list[str]:
    """Return the symbols that ticks are about, in their order."""
    return [tick.symbol for tick in ticks]
