"""What is worth telling, in words (README, "Notifications").

Nothing here waits or delivers: ``notify`` does.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

import trio

from snexec.clock import timestamp
from snexec.logs import printable, roughly
from snexec.model import EXIT_EVENTS, MODES
from snexec.ops.exit_words import exit_words, signed_dollars
from snexec.ops.lease_words import changes_hands, lease_words
from snexec.risk import exits_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from snexec.clock import Clock
    from snexec.events import Event
    from snexec.model import Mode
    from snexec.ops.health import Health
    from snexec.settings import NotifyKind

_NAMED_SYMBOLS = 5
_MAX_EVENTS = 100  # in one message, with all their fields
_MAX_TEXT_CHARS = 1000

_PLURALS: dict[NotifyKind, str] = {
    "start": "starts",
    "stop": "stops",
    "limit": "limits reached",
    "fill": "fills",
    "partial_fill": "partial fills",
    "rejected": "orders rejected",
    "refused": "orders refused",
    "missed": "orders missed",
    "outage": "stream outages",
    "unhealthy": "changes of health",
    "mode": "changes of mode",
    "halt": "changes of the kill switch",
    "lease": "changes of the lease",
    "exit": "sells decided",
    "exit_placed": "sells placed",
    "exit_refused": "sells refused",
    "exit_unknown": "sells of unknown outcome",
    "exit_fill": "sells filled",
    "closed": "positions closed",
    "exit_blocked": "positions that cannot be sold",
    "exits_blind": "changes of sight",
    "external": "positions sold by others",
    "split": "splits",
    "oversold": "positions oversold",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """One thing worth telling.

    Attributes:
        at: When it happened, as events carry it.
        moment: When it was noticed, on Trio's clock.
        account: The account it is about, if any.
        dollars: What was bought, in dollars; a burst is summed up by it.
        won: What a position that was closed has won, in dollars; likewise.
        fields: The event's own fields, for programs.
    """

    kind: NotifyKind
    text: str
    at: str
    moment: float = field(default_factory=trio.current_time)
    symbol: str | None = None
    account: str | None = None
    dollars: Decimal = Decimal(0)
    won: Decimal | None = None
    fields: dict[str, object]

    @property
    def chars(self) -> int:
        """How many characters it holds, roughly."""
        return len(self.text) + sum(len(str(each)) for each in self.fields.values())


def notice_of(event: Event, account: Callable[[Mode], str]) -> Notice | None:
    """Return the notice of an event of the feed, or None if it is not worth one.

    Args:
        event: What happened.
        account: Names a mode's account.
    """
    match event.event:
        case "fill" | "partial_fill" as kind:
            text, dollars = _bought(event)
            return _notice(kind, text, event, account, dollars=dollars)
        case "rejected" | "refused" as kind:
            why = f": {event.reason}" if event.reason else ""
            return _notice(kind, f"{event.symbol} {kind}{why}", event, account)
        case "settled" if event.reason not in {None, "alpaca_rejected"}:
            text = f"{event.symbol}: {event.reason}"
            return _notice("missed", text, event, account)
        case "mode" | "start" | "stop" as kind:
            return _notice(kind, _of_run(event, account), event, account)
        case "halt" | "resume" as what:
            ends = "no longer halted"
            text = _halted(event) if what == "halt" else ends
            return _notice("halt", text, event, account)
        case _:
            of = _of_lease if event.event == "lease" else _of_exit
            return of(event, account)


def _of_run(event: Event, account: Callable[[Mode], str]) -> str:
    mode = event.more.get("mode")
    if event.event == "mode":
        return f"mode is {mode} now ({event.reason})"
    if event.event == "stop":
        return f"stopping: {event.reason}"
    name = account(mode) if mode in MODES else "mode not known"
    why = f"; {event.reason}" if event.reason else ""
    return f"started, takes signals ({name}){why}"


def _halted(event: Event) -> str:
    reach = exits_words(stops_all=event.more.get("all") is True)
    return f"HALTED, {reach}: {event.reason}"


def _of_lease(event: Event, account: Callable[[Mode], str]) -> Notice | None:
    if not changes_hands(event.more):
        return None  # whoever has it has said so
    words = lease_words(json.loads(event.line()))
    return _notice("lease", words, event, account)


def _of_exit(event: Event, account: Callable[[Mode], str]) -> Notice | None:
    kind = next((kind for kind in EXIT_EVENTS if kind == event.event), None)
    words = None if kind is None else exit_words(json.loads(event.line()))
    if kind is None or words is None:
        return None
    pnl = event.more.get("pnl")
    won = Decimal(str(pnl)) if isinstance(pnl, int | float) else None
    text = words if event.symbol is None else f"{event.symbol}: {words}"
    return _notice(kind, text, event, account, won=won)


def _bought(event: Event) -> tuple[str, Decimal]:
    shares, price = event.more.get("shares"), event.more.get("entryPrice")
    is_whole = event.event == "fill"
    name = "Bought" if is_whole else "Partly bought"
    if not isinstance(shares, float) or not isinstance(price, float):
        return f"{name} {event.symbol}, how much is not known yet", Decimal(0)
    if not is_whole:
        # The shares are the account's, perhaps not this order's alone.
        at = f"{name} {event.symbol} at {price:.6g}"
        return f"{at}, the account holds {shares:.9g} shares", Decimal(0)
    dollars = Decimal(str(shares)) * Decimal(str(price))
    text = f"{name} {event.symbol}: {shares:.9g} shares at {price:.6g}"
    return f"{text}, ${dollars:,.2f}", dollars


def _notice(
    kind: NotifyKind,
    text: str,
    event: Event,
    account: Callable[[Mode], str],
    *,
    dollars: Decimal = Decimal(0),
    won: Decimal | None = None,
) -> Notice:
    mode = event.more.get("mode")
    return Notice(
        kind=kind,
        text=text,
        at=event.at,
        symbol=event.symbol,
        account=account(mode) if event.symbol and mode in MODES else None,
        dollars=dollars,
        won=won,
        fields=json.loads(event.line()),
    )


class HealthNotices:
    """What is worth telling of the daemon's health: long outages, parts that are unwell.

    Args:
        outage_seconds: How long the stream may be away before that is an outage.
        outages_wanted: Whether outages are told as such. If not, an outage is one of
            the parts that are unwell.
    """

    def __init__(
        self,
        *,
        health: Health,
        clock: Clock,
        outage_seconds: float,
        outages_wanted: bool,
    ) -> None:
        self._health = health
        self._clock = clock
        self._outage_seconds = outage_seconds
        self._outages_wanted = outages_wanted
        self._in_outage = False
        self._unwell: set[str] = set()

    def look(self) -> Iterator[Notice]:
        """Yield a notice of each thing that has changed since the last look."""
        away = self._health.stream_away_seconds()
        if away > self._outage_seconds and not self._in_outage:
            self._in_outage = True
            yield self._notice(
                "outage",
                f"no trading stream for {roughly(away)}: fills are confirmed by"
                " look-ups only",
            )
        elif away == 0 and self._in_outage:
            self._in_outage = False
            yield self._notice("outage", "the trading stream is back")
        problems = self._health.problems()
        if self._outages_wanted:
            problems.pop("stream", None)
        problems.pop("recovery", None)  # every start begins like that
        if problems.keys() != self._unwell:
            said = "; ".join(f"{part}: {what}" for part, what in problems.items())
            text = f"unhealthy: {said}" if said else "healthy again"
            yield self._notice("unhealthy", text)
            self._unwell = set(problems)

    def _notice(self, kind: NotifyKind, text: str) -> Notice:
        at = timestamp(self._clock.now())
        fields: dict[str, object] = {"event": kind, "at": at, "reason": text}
        return Notice(kind=kind, text=text, at=at, fields=fields)


def message_of(
    notices: Sequence[Notice], *, dropped: int, mask: Callable[[str], str]
) -> dict[str, object]:
    """Return one message for everything that came together, without secrets.

    Args:
        notices: At least one, oldest first.
        dropped: How many more there were.
        mask: Removes the secrets from a text.
    """
    texts = [_summary(group) for group in _grouped(notices)]
    if dropped:
        texts.append(f"and {dropped} more, which were not kept")
    text = f"snexec: {'; '.join(texts)}"
    kinds = list(dict.fromkeys(notice.kind for notice in notices))
    message: dict[str, object] = {
        "text": _shortened(printable(mask(text))),
        "event": kinds[0] if len(kinds) == 1 else "several",
        "at": notices[-1].at,
        "count": len(notices) + dropped,
        "events": [notice.fields for notice in notices[:_MAX_EVENTS]],
    }
    return {key: _masked(value, mask) for key, value in message.items()}


def _grouped(notices: Iterable[Notice]) -> Iterable[list[Notice]]:
    """Group the notices that one summary can cover."""
    groups: dict[tuple[str, str | None], list[Notice]] = {}
    for notice in notices:
        groups.setdefault((notice.kind, notice.account), []).append(notice)
    return groups.values()


def _summary(notices: Sequence[Notice]) -> str:
    first, last = notices[0], notices[-1]
    account = "" if first.account is None else f" ({first.account})"
    if len(notices) == 1 or first.symbol is None:
        return last.text + account
    symbols = list(dict.fromkeys(notice.symbol or "?" for notice in notices))
    named = ", ".join(symbols[:_NAMED_SYMBOLS])
    if len(symbols) > _NAMED_SYMBOLS:
        named += ", …"
    text = f"{len(notices)} {_PLURALS[first.kind]}{account}: {named}"
    if dollars := sum(notice.dollars for notice in notices):
        text += f", ${dollars:,.2f}"
    if won := [each.won for each in notices if each.won is not None]:
        text += f", P&L {signed_dollars(sum(won))}"
    return f"{text} in {math.ceil(last.moment - first.moment) or 1} s"


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_TEXT_CHARS else text[:_MAX_TEXT_CHARS] + "…"


def _masked(value: object, mask: Callable[[str], str]) -> object:
    match value:
        case str():
            return mask(value)
        case dict():
            return {key: _masked(inner, mask) for key, inner in value.items()}
        case list():
            return [_masked(inner, mask) for inner in value]
        case _:
            return value
