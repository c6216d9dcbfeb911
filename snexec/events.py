"""The feed of what happens, for anyone who follows it (SPEC 6)."""

from __future__ import annotations

import json
import logging
from collections import deque
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

from snexec.clock import timestamp
from snexec.logs import SecretMask
from snexec.model import ExitEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from snexec.clock import Clock

log = logging.getLogger("Events")

_MOST_PRODUCERS = 10_000  # of orders, the latest ones

_NOTHING: Mapping[str, object] = MappingProxyType({})

EventName = Literal[
    "placed",
    "skipped",
    "refused",
    "partial_fill",
    "fill",
    "rejected",
    "settled",
    ExitEvent,
    "mode",
    "stream",
    "halt",
    "resume",
    "lease",
    "start",  # signals are taken
    "stop",
]


class Event(NamedTuple):
    """One thing that happened.

    Attributes:
        moment: When it happened; formatted only when asked for, as in a flood of fills
            hardly anyone asks.
        sequence: The signal's place in this run, if the event is about a signal.
        more: Further fields of the JSON object.
        is_about_symbol: Whether a refusal or rejection is about its symbol, and no other
            one's; not in the JSON object.
    """

    event: EventName
    moment: datetime
    signal_id: str | None = None
    trade_id: str | None = None
    symbol: str | None = None
    reason: str | None = None
    more: Mapping[str, object] = _NOTHING
    sequence: int | None = None
    is_about_symbol: bool = False

    @property
    def at(self) -> str:
        """When it happened, formatted as in rows."""
        return timestamp(self.moment)

    def line(self) -> bytes:
        """Return the event as a JSON line."""
        values = {
            "event": self.event,
            "at": self.at,
            "signalId": self.signal_id,
            "tradeId": self.trade_id,
            "symbol": self.symbol,
            "reason": self.reason,
            **self.more,
        }
        return json.dumps(values, separators=(",", ":")).encode() + b"\n"


class EventFeed:
    """Hands every event to every follower, in order, and never waits for one.

    Args:
        clock: Gives events their time.
        mask: Knows the secrets: no event holds one, whoever put it there.
    """

    def __init__(self, *, clock: Clock, mask: SecretMask | None = None) -> None:
        self._clock = clock
        self._mask = mask or SecretMask()
        # Each with the names of the events that it follows; without any, all.
        self._followers: dict[Callable[[Event], None], tuple[EventName, ...]] = {}
        self._by_name: dict[EventName, tuple[Callable[[Event], None], ...]] = {}
        self._waiting: deque[Event] = deque()  # the first is being handed on
        self._producers: dict[str | None, str] = {}  # by the row's id

    def publish(
        self,
        event: EventName,
        more: Mapping[str, object] | None = None,
        *,
        then: EventName | None = None,
        signal_id: str | None = None,
        trade_id: str | None = None,
        symbol: str | None = None,
        reason: str | None = None,
        sequence: int | None = None,
        is_about_symbol: bool = False,
    ) -> None:
        """Call every follower; ``more`` holds further fields of the JSON object.

        What a follower publishes meanwhile comes behind, so that a cause is heard before
        its effect; so does the event ``then``, of which the same is to be said.
        """
        names = (event,) if then is None else (event, then)
        if not any(map(self._followers_of, names)):
            return
        more = more or _NOTHING
        if self._producers and trade_id in self._producers:
            more = {**more, "producer": self._producers[trade_id]}
        if not self._mask.are_clean((signal_id, symbol, reason, *more.values())):
            signal_id, symbol, reason = map(
                self._mask.if_any, (signal_id, symbol, reason)
            )
            more = {name: self._mask.within(value) for name, value in more.items()}
        published = Event(
            event=event,
            moment=self._clock.now(),
            signal_id=signal_id,
            trade_id=trade_id,
            symbol=symbol,
            reason=reason,
            sequence=sequence,
            more=more,
            is_about_symbol=is_about_symbol,
        )
        is_meanwhile = bool(self._waiting)
        self._waiting.append(published)
        if then is not None:
            self._waiting.append(published._replace(event=then))
        if is_meanwhile:
            return
        try:
            while self._waiting:
                self._hand_on(self._waiting[0])
                self._waiting.popleft()
        finally:
            self._waiting.clear()

    def remember_producer(self, trade_id: str, producer: str) -> None:
        """Name who sent its signal in each further event of an order."""
        if len(self._producers) >= _MOST_PRODUCERS:
            del self._producers[next(iter(self._producers))]
        self._producers[trade_id] = producer

    def follow(self, follower: Callable[[Event], None], *names: EventName) -> None:
        """Call a function with every event from now on, or with those of some names."""
        self._followers[follower] = names
        self._by_name.clear()

    def unfollow(self, follower: Callable[[Event], None]) -> None:
        """Stop calling it."""
        self._followers.pop(follower, None)
        self._by_name.clear()

    def _followers_of(self, event: EventName) -> tuple[Callable[[Event], None], ...]:
        found = self._by_name.get(event)
        if found is None:
            found = self._by_name[event] = tuple(
                follower
                for follower, names in self._followers.items()
                if not names or event in names
            )
        return found

    def _hand_on(self, event: Event) -> None:
        for follower in self._followers_of(event.event):
            try:
                follower(event)
            except Exception:
                # The publisher still has an order to see to, and the rows of others.
                log.exception(
                    "an event did not reach one of its followers: %s", event.event
                )
