"""Frames of market data, any of which may be nonsense (SPEC 12.4, ALPACA-EXITS 2.1)."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from snexec.logs import Repeats
from snexec.market.ticks import (
    Cancel,
    Correction,
    Status,
    exact,
    moment,
    price_of,
    print_of,
    quote_of,
    word,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from snexec.clock import Clock
    from snexec.logs import SecretMask
    from snexec.market.ticks import PriceSink

log = logging.getLogger("MarketData")

Message = dict[str, Any]

# What is said about the connection, not about a symbol.
_CONTROL = frozenset({"success", "error", "subscription"})
_CORRECTED = {"p": "cp", "c": "cc", "i": "ci"}
_HALTED = frozenset({"2", "H", "P"})
_RESUMED = frozenset({"3", "T"})
_SHOWN_CHARS = 200
_AT_ONCE = 16  # messages


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


# The standard library's own scanner is in C, too, and keeps the text of a number.
_decode = json.JSONDecoder(parse_float=exact, parse_constant=_no_number).decode


class TickReader:
    """Hands on what frames say of the symbols that are watched; passes over the rest.

    Faults are logged once, and then in sums.

    Args:
        sink: Takes it, in the order in which it came.
        watched: The symbols, in their canonical spelling; read at each tick.
        clock: For the log.
        mask: Knows the secrets, which a frame may echo.

    Attributes:
        ticks: How many things were handed on so far.
    """

    def __init__(
        self,
        sink: PriceSink,
        watched: Container[str],
        *,
        clock: Clock,
        mask: SecretMask,
    ) -> None:
        self.ticks = 0
        self._sink = sink
        self._watched = watched
        self._mask = mask
        self._faults = Repeats("frames of market data", log=log, clock=clock)
        self._takers: dict[str, Callable[[str, Message], bool]] = {
            "t": self._print,
            "q": self._quote,
            "c": self._correction,
            "x": self._cancel,
            "s": self._status,
        }

    def read(self, frame: str | bytes) -> list[Message]:
        """Hand on what a frame says of symbols.

        Returns:
            What it says about the connection, in its order.
        """
        return [each for part in self.split(frame) for each in self.take(part)]

    def split(self, frame: str | bytes) -> list[list[Message]]:
        """Read a frame, and return it in parts, each to be taken in one step.

        Between them others have their turn: what a crash sells leaves while the rest of
        the frame is still to be taken, and no signal waits for all of it.
        """
        try:
            text = frame if isinstance(frame, str) else frame.decode()
            messages = _decode(text)
        except (ValueError, RecursionError) as exc:
            self._pass_over("that is not JSON", exc)
            return []
        if type(messages) is not list:
            return [[messages]]
        if len(messages) <= _AT_ONCE:
            return [messages]
        starts = range(0, len(messages), _AT_ONCE)
        return [messages[start : start + _AT_ONCE] for start in starts]

    def take(self, messages: list[Message]) -> list[Message]:
        """Hand on a part of a frame; see ``read``."""
        about_connection: list[Message] = []
        for message in messages:
            kind = message.get("T") if type(message) is dict else None
            if type(kind) is not str:
                self._pass_over("of an unexpected shape", message)
            elif (take := self._takers.get(kind)) is not None:
                symbol = message.get("S")
                if type(symbol) is not str:
                    self._pass_over("without a symbol", message)
                elif symbol in self._watched:
                    if take(symbol, message):
                        self.ticks += 1
                    else:
                        self._pass_over("that cannot be read", message)
            elif kind in _CONTROL:
                about_connection.append(message)
            else:
                self._pass_over("of an unknown kind", message)
        return about_connection

    def worked(self) -> None:
        """Note that frames come as they should."""
        self._faults.worked()

    def shown(self, value: object) -> str:
        """Return something that came in a form fit for a log line."""
        try:
            text = value if isinstance(value, str) else repr(value)
        except ValueError:  # an integer of too many digits
            text = type(value).__name__
        return self._mask.shown(text, _SHOWN_CHARS)

    def _print(self, symbol: str, message: Message) -> bool:
        tick = print_of(symbol, message)
        if tick is not None:
            self._sink.print_(tick)
        return tick is not None

    def _quote(self, symbol: str, message: Message) -> bool:
        tick = quote_of(symbol, message)
        if tick is not None:
            self._sink.quote(tick)
        return tick is not None

    def _correction(self, symbol: str, message: Message) -> bool:
        trade_id = word(message.get("oi"))
        renamed = {name: message.get(given) for name, given in _CORRECTED.items()}
        corrected = print_of(symbol, message | renamed)
        price, exchange = price_of(message.get("op")), word(message.get("x"))
        if trade_id:
            self._sink.correction(
                Correction(symbol, trade_id, exchange, price, corrected)
            )
        return bool(trade_id)

    def _cancel(self, symbol: str, message: Message) -> bool:
        trade_id = word(message.get("i"))
        price, exchange = price_of(message.get("p")), word(message.get("x"))
        if trade_id:
            self._sink.canceled(Cancel(symbol, trade_id, exchange, price))
        return bool(trade_id)

    def _status(self, symbol: str, message: Message) -> bool:
        code, reason = word(message.get("sc")), word(message.get("rc"))
        at = moment(message.get("t"))
        state: Literal["halted", "resumed"] | None = None
        if code in _HALTED or code in _RESUMED:
            state = "halted" if code in _HALTED else "resumed"
        if code:
            self._sink.status(Status(symbol, state, code, reason, at))
        return bool(code)

    def _pass_over(self, what: str, found: object) -> None:
        if self._faults.failed(what):
            log.warning("a frame %s, passed over: %s", what, self.shown(found))
