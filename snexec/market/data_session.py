"""What is said on one connection of market data (SPEC 12.4, ALPACA-EXITS 2.1)."""

from __future__ import annotations

import json
import logging
import math
from typing import TYPE_CHECKING, Any

import trio

from snexec.errors import StreamClosedError, StreamError, StreamRefusedError
from snexec.stream import keep_pinging, limit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from snexec.market.tick_frames import Message, TickReader
    from snexec.market.watched import Watched
    from snexec.settings import Credentials
    from snexec.stream import SignsOfLife
    from snexec.stream.connection import Socket

log = logging.getLogger("MarketData")

_ANSWER_SECONDS = 10.0
_PING_EVERY_SECONDS = 10.0
_PONG_SECONDS = 10.0
_SHORT_FRAME = 2048  # bytes; a tick has 130
LINGER_SECONDS = 300.0  # a slot that is given back may be refused for 90 s

_REFUSED = frozenset({402, 406, 409})
_BAD_SYMBOL, _TOO_MANY, _BAD_ACTION = 400, 405, 410
_ABOUT_SYMBOLS = frozenset({_BAD_SYMBOL, _TOO_MANY, _BAD_ACTION})
_CHANNELS = ("trades", "quotes")
_ANY_NUMBER = 1_000_000


class DataSession:
    """The conversation on one connection: keys, symbols as they come and go, ticks.

    Args:
        socket: The open connection.
        credentials: The keys.
        watched: What to ask for; the newest stay out where not all may be asked for.
        reader: Hands on what is said of symbols.
        life: Records when the other side was heard.
        has_statuses: Whether this endpoint reports halts.
        heard: Called after each part of a frame that spoke of a symbol.
        told: What was said already that is said once; it outlives the connection.

    Attributes:
        served: The symbols that this connection has.
    """

    def __init__(
        self,
        socket: Socket,
        credentials: Credentials,
        watched: Watched,
        *,
        reader: TickReader,
        life: SignsOfLife,
        has_statuses: bool,
        heard: Callable[[], None],
        told: set[object],
    ) -> None:
        self.served: dict[str, None] = {}  # which takes less memory than a set
        self._socket = socket
        self._credentials = credentials
        self._watched = watched
        self._reader = reader
        self._life = life
        self._channels = (*_CHANNELS, *(["statuses"] if has_statuses else []))
        self._heard = heard
        self._room = _ANY_NUMBER  # symbols, until one more is refused
        self._unknown: set[str] = set()  # symbols that this endpoint does not take
        self._told = told
        self._answered = trio.Event()
        self._refused: int | None = None  # with which code, where it was

    async def begin(self) -> None:
        """Authenticate.

        Raises:
            StreamRefusedError: Market data is not for us now.
            StreamClosedError: The connection was closed.
            StreamError: It says something else.
            TooSlowError: It did not answer.
        """
        await self._success("connected")
        key, secret = self._credentials.values()
        await self._send({"action": "auth", "key": key, "secret": secret})
        await self._success("authenticated")
        log.debug("authenticated")

    async def run(self) -> None:
        """Keep asking for what is watched, and take ticks, until nothing is.

        Raises:
            BaseExceptionGroup: With what ended the connection; the same kinds as
                ``begin``.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ping, name="ping market data")
            nursery.start_soon(self._read, name="ticks")
            await self._ask_for_what_is_watched()
            nursery.cancel_scope.cancel(reason="nothing is watched")

    async def _ask_for_what_is_watched(self) -> None:
        watched = self._watched
        while True:
            changed = watched.changed
            self._unknown = {each for each in self._unknown if each in watched}
            await self._leave([each for each in self.served if each not in watched])
            await self._join(self._missing())
            self._say_what_stays_out(self._missing())
            with trio.move_on_after(math.inf if watched else LINGER_SECONDS) as idle:
                await changed.wait()
            if idle.cancelled_caught:
                return

    def _missing(self) -> list[str]:
        settled = self.served.keys() | self._unknown
        return [each for each in self._watched if each not in settled]

    async def _leave(self, symbols: list[str]) -> None:
        if symbols:
            await self._ask("unsubscribe", symbols)

    async def _join(self, symbols: list[str]) -> None:
        """Ask for symbols, the oldest first, as many as there is room for."""
        symbols = symbols[: max(0, self._room - len(self.served))]
        if not symbols:
            return
        refused = await self._ask("subscribe", symbols)
        if refused is None:
            return
        if len(symbols) > 1:
            half = len(symbols) // 2
            await self._join(symbols[:half])
            await self._join(symbols[half:])
        elif refused == _TOO_MANY:
            self._room = len(self.served)
        else:
            self._unknown.add(symbols[0])
            if symbols[0] not in self._told:
                self._told.add(symbols[0])
                log.warning(
                    "%s is not on this feed (%d): its price stays with the poll",
                    symbols[0],
                    refused,
                )

    def _say_what_stays_out(self, symbols: list[str]) -> None:
        if symbols and _TOO_MANY not in self._told:
            self._told.add(_TOO_MANY)
            log.warning(
                "one connection takes no more than %d symbols (405): the prices of the"
                " newest positions, now %s, stay with the poll",
                len(self.served),
                ", ".join(symbols),
            )

    async def _ask(self, action: str, symbols: Iterable[str]) -> int | None:
        """Ask for a change; return the code of its refusal, None if it is made."""
        names = list(symbols)
        self._answered, self._refused = trio.Event(), None
        await self._send({"action": action, **dict.fromkeys(self._channels, names)})
        with limit(_ANSWER_SECONDS, f"no answer to {action}"):
            await self._answered.wait()
        return self._refused

    async def _read(self) -> None:
        while True:
            # No frame is kept while the next is waited for: one may name every symbol.
            await self._read_frame(await self._socket.hand_on(self._read_short))

    def _read_short(self, frame: str | bytes) -> bool:
        """Read a frame in the step in which it comes, if little is said in it."""
        if len(frame) > _SHORT_FRAME:
            return False
        for part in self._reader.split(frame):
            self._take_part(part)
        self._life.heard()
        return True

    async def _read_frame(self, frame: str | bytes) -> None:
        self._life.heard()
        for number, part in enumerate(self._reader.split(frame)):
            if number:
                await trio.lowlevel.checkpoint()
            self._take_part(part)

    def _take_part(self, part: list[Message]) -> None:
        reader, before = self._reader, self._reader.ticks
        for message in reader.take(part):
            self._take(message)
        if reader.ticks != before:
            self._heard()

    def _take(self, message: Message) -> None:
        match message["T"]:
            case "subscription":
                told = message.get("trades")
                names = told if isinstance(told, list) else []
                self.served = {
                    self._watched.own(name) or name: None
                    for name in names
                    if isinstance(name, str) and name != "*"
                }
                self._answered.set()
            case "error":
                code = _code(message)
                if code not in _ABOUT_SYMBOLS:
                    raise self._error(message)
                self._refused = code
                self._answered.set()
            case _:
                log.debug("%s", self._reader.shown(message))

    async def _success(self, word: str) -> None:
        """Wait until it is said that a step is done.

        Raises:
            StreamRefusedError: It is said that it will not be.
        """
        with limit(_ANSWER_SECONDS, f"not {word}"):
            while True:
                for message in self._reader.read(await self._socket.get_message()):
                    if message["T"] == "error":
                        raise self._error(message)
                    if message.get("msg") == word:
                        return

    def _error(self, message: Message) -> StreamError:
        code, words = _code(message), self._reader.shown(message.get("msg"))
        if code in _REFUSED:
            return StreamRefusedError(code, words)
        return StreamClosedError(f"by error {code} {words}")

    async def _ping(self) -> None:
        await keep_pinging(
            *(self._socket, self._life),
            every_seconds=_PING_EVERY_SECONDS,
            pong_seconds=_PONG_SECONDS,
            log=log,
        )

    async def _send(self, message: dict[str, Any]) -> None:
        with limit(_ANSWER_SECONDS, "nothing can be sent"):
            await self._socket.send_message(json.dumps(message))


def _code(message: Message) -> int:
    code = message.get("code")
    return code if isinstance(code, int) and 0 <= code < 1000 else 0
