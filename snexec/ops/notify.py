"""Telling somebody what happens: a command, a webhook (README, "Notifications").

A follower of the event feed that never holds anything up: what happens is put into a
bounded queue, and one task delivers it. What comes in a burst goes out as one message.

Own code and not Apprise: a POST and a process are all that is needed, and whoever wants
Apprise's hundred services names it as the command: ``["apprise", "-c", FILE, "-b"]``.
"""

from __future__ import annotations

import collections
import json
import logging
import math
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Literal

import trio

from snexec.clock import timestamp
from snexec.logs import Repeats, printable, roughly
from snexec.model import MODES
from snexec.ops.couriers import NotDeliveredError, Webhook, run_command

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from snexec.clock import Clock
    from snexec.events import Event
    from snexec.model import Mode
    from snexec.ops.health import Health
    from snexec.settings import NotifyKind, NotifySettings

log = logging.getLogger("Notify")

_MAX_WAITING = 1000  # beyond that only counted; one message names a few anyway
_GATHER_SECONDS = 1.0  # what comes together goes out together
_PAUSE_SECONDS = 5.0  # between two messages, at least
_DELIVERY_SECONDS = 10.0
_RETRY_SECONDS = (1.0, 5.0)  # pauses before the second and the third try
_FAREWELL_SECONDS = 2.0  # for what waits when the daemon stops
_LOOK_SECONDS = 5.0  # how often the health is looked at
_NAMED_SYMBOLS = 5
_MAX_EVENTS = 100  # in one message, with all their fields
_MAX_TEXT_CHARS = 1000

_PLURALS: dict[NotifyKind, str] = {
    "fill": "fills",
    "partial_fill": "partial fills",
    "rejected": "orders rejected",
    "refused": "orders refused",
    "missed": "orders missed",
    "outage": "stream outages",
    "unhealthy": "changes of health",
    "mode": "changes of mode",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """One thing worth telling.

    Attributes:
        at: When it happened, as events carry it; ``moment`` is the same on Trio's clock.
        account: Which one it is about, if any.
        dollars: What was bought, for the sum of a burst.
        fields: The event's own, for programs.
    """

    kind: NotifyKind
    text: str
    at: str
    moment: float
    symbol: str | None = None
    account: str | None = None
    dollars: Decimal = Decimal(0)
    fields: dict[str, object]


class Notify:
    """Delivers notices, one message at a time.

    Args:
        tls: Makes the context that verifies the webhook's host.
        mask: Takes secrets out of a text.
        latest: Tells until when, on Trio's clock, a stop may take.
        account: Names the account of a mode.

    Attributes:
        counts: Deliveries by how they ended.
    """

    def __init__(
        self,
        *,
        settings: NotifySettings,
        health: Health,
        clock: Clock,
        mask: Callable[[str], str],
        tls: Callable[[], ssl.SSLContext],
        latest: Callable[[], float],
        account: Callable[[Mode], str],
    ) -> None:
        self._settings = settings
        self._health = health
        self._clock = clock
        self._mask = mask
        self._latest = latest
        self._account = account
        self._wanted = frozenset(settings.events)
        self._waiting: collections.deque[Notice] = collections.deque()
        self._dropped = 0
        self._in_hand = 0
        self._arrived = trio.Event()
        self._closing = trio.Event()
        self._work = trio.CancelScope(shield=True)
        url = settings.webhook
        self._webhook = None if url is None else Webhook(url, tls)
        self._targets = self._make_targets()
        self._failures = {
            name: Repeats(name, log=log, clock=clock) for name in self._targets
        }
        self.counts: collections.Counter[Literal["delivered", "failed"]] = (
            collections.Counter()
        )

    def happened(self, event: Event) -> None:
        """Take an event of the feed, if it is worth telling."""
        notice = self._notice_of(event)
        if notice is not None:
            self._put(notice)

    async def run(self) -> None:
        """Deliver until cancelled, and then what waits, for a moment."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._deliver_all, name="deliver notices")
            try:
                await self._watch_health()
            finally:
                now = trio.current_time()
                seconds = min(_FAREWELL_SECONDS, max(0.0, self._latest() - now))
                self._work.deadline = now + seconds
                self._closing.set()

    def _put(self, notice: Notice) -> None:
        if notice.kind not in self._wanted:
            return
        if len(self._waiting) >= _MAX_WAITING:
            self._dropped += 1
            return
        self._waiting.append(notice)
        self._arrived.set()

    # What is worth telling.

    def _notice_of(self, event: Event) -> Notice | None:
        match event.event:
            case "fill" | "partial_fill" as kind:
                text, dollars = self._bought(event)
                return self._notice(kind, text, event, dollars)
            case "rejected" | "refused" as kind:
                why = f": {event.reason}" if event.reason else ""
                return self._notice(kind, f"{event.symbol} {kind}{why}", event)
            case "settled" if event.reason not in {None, "alpaca_rejected"}:
                return self._notice("missed", f"{event.symbol}: {event.reason}", event)
            case "mode":
                text = f"mode is {event.more.get('mode')} now ({event.reason})"
                return self._notice("mode", text, event)
            case "halt" | "resume" as what:
                ends = "no longer halted"
                text = f"HALTED: {event.reason}" if what == "halt" else ends
                return self._notice("halt", text, event)
            case _:
                return None

    def _bought(self, event: Event) -> tuple[str, Decimal]:
        shares, price = event.more.get("shares"), event.more.get("entryPrice")
        name = "Bought" if event.event == "fill" else "Partly bought"
        if not isinstance(shares, float) or not isinstance(price, float):
            return f"{name} {event.symbol}, how much is not known yet", Decimal(0)
        dollars = Decimal(str(shares)) * Decimal(str(price))
        text = f"{name} {event.symbol}: {shares:.9g} shares at {price:.6g}"
        return f"{text}, ${dollars:,.2f}", dollars

    def _notice(
        self,
        kind: NotifyKind,
        text: str,
        event: Event,
        dollars: Decimal = Decimal(0),
    ) -> Notice:
        return Notice(
            kind=kind,
            text=text,
            at=event.at,
            moment=trio.current_time(),
            symbol=event.symbol,
            account=self._account_of(event),
            dollars=dollars,
            fields=json.loads(event.line()),
        )

    def _account_of(self, event: Event) -> str | None:
        mode = event.more.get("mode")
        return self._account(mode) if event.symbol and mode in MODES else None

    async def _watch_health(self) -> None:
        """Put a notice when the stream is away for long, or a part is not well."""
        away_told = False
        told: dict[str, str] = {}
        while True:
            away = self._health.stream_away_seconds()
            if away > self._settings.outage_sec and not away_told:
                away_told = True
                self._put_own(
                    "outage",
                    f"no trading stream for {roughly(away)}: fills are confirmed by"
                    " look-ups only",
                )
            elif away == 0 and away_told:
                away_told = False
                self._put_own("outage", "the trading stream is back")
            problems = self._health.problems()
            if "outage" in self._wanted:
                problems.pop("stream", None)  # told as that
            problems.pop("recovery", None)  # every start begins like that
            if problems.keys() != told.keys():
                said = "; ".join(f"{part}: {what}" for part, what in problems.items())
                text = f"unhealthy: {said}" if said else "healthy again"
                self._put_own("unhealthy", text)
                told = problems
            await trio.sleep(_LOOK_SECONDS)

    def _put_own(self, kind: NotifyKind, text: str) -> None:
        at = timestamp(self._clock.now())
        self._put(
            Notice(
                kind=kind,
                text=text,
                at=at,
                moment=trio.current_time(),
                fields={"event": kind, "at": at, "reason": text},
            )
        )

    # Delivery.

    async def _deliver_all(self) -> None:
        with self._work:
            while await self._next_is_due():
                message = self._message()
                async with trio.open_nursery() as nursery:
                    for name, deliver in self._targets.items():
                        nursery.start_soon(self._deliver, name, deliver, message)
                self._in_hand = 0
                await self._sleep(_PAUSE_SECONDS)
        left = len(self._waiting) + self._dropped + self._in_hand
        if left:
            log.warning("%d notices were not delivered before the stop", left)
        if self._webhook is not None:
            await self._webhook.aclose()

    async def _next_is_due(self) -> bool:
        """Wait for a notice and for those that come with it; False at the end."""
        if not self._waiting:
            self._arrived = trio.Event()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cancel_when, self._closing, nursery.cancel_scope)
                await self._arrived.wait()
                nursery.cancel_scope.cancel(reason="a notice has come")
        if self._waiting:
            await self._sleep(_GATHER_SECONDS)
        return bool(self._waiting)

    async def _sleep(self, seconds: float) -> None:
        """Sleep, but not when the daemon stops."""
        with trio.move_on_after(seconds):
            await self._closing.wait()

    def _message(self) -> dict[str, object]:
        """Take everything that waits, as one message."""
        notices = list(self._waiting)
        self._waiting.clear()
        dropped, self._dropped = self._dropped, 0
        self._in_hand = len(notices) + dropped
        texts = [self._summary(group) for group in _grouped(notices)]
        if dropped:
            texts.append(f"and {dropped} more, which were not kept")
        text = f"snexec: {'; '.join(texts)}"
        kinds = list(dict.fromkeys(notice.kind for notice in notices))
        message: dict[str, object] = {
            "text": _shortened(printable(text)),
            "event": kinds[0] if len(kinds) == 1 else "several",
            "at": notices[-1].at,
            "count": len(notices) + dropped,
            "events": [notice.fields for notice in notices[:_MAX_EVENTS]],
        }
        return {key: self._masked(value) for key, value in message.items()}

    def _masked(self, value: object) -> object:
        match value:
            case str():
                return self._mask(value)
            case dict():
                return {key: self._masked(inner) for key, inner in value.items()}
            case list():
                return [self._masked(inner) for inner in value]
            case _:
                return value

    def _summary(self, notices: Sequence[Notice]) -> str:
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
        return f"{text} in {math.ceil(last.moment - first.moment) or 1} s"

    async def _deliver(
        self,
        name: str,
        deliver: Callable[[dict[str, object]], Awaitable[None]],
        message: dict[str, object],
    ) -> None:
        """Try a bounded number of times, and give up with a word."""
        problem = NotDeliveredError("")
        for pause in (*_RETRY_SECONDS, None):
            problem = NotDeliveredError(f"no end within {_DELIVERY_SECONDS:g} s")
            with trio.move_on_after(_DELIVERY_SECONDS) as limit:
                try:
                    await deliver(message)
                except NotDeliveredError as exc:
                    problem = exc
                except Exception as exc:
                    log.exception("%s failed; trading goes on", name)
                    problem = NotDeliveredError(type(exc).__name__, final=True)
                else:
                    self.counts["delivered"] += 1
                    self._failures[name].worked()
                    return
            if not limit.cancelled_caught and problem.final:
                break
            if pause is not None:
                log.debug("%s: %s; it is tried again", name, problem)
                await self._sleep(pause)
        self.counts["failed"] += 1
        said = printable(self._mask(str(problem)))
        if self._failures[name].failed(said):
            log.warning(
                "%s: a message was not delivered (%s): %s", name, said, message["text"]
            )

    def _make_targets(
        self,
    ) -> dict[str, Callable[[dict[str, object]], Awaitable[None]]]:
        targets: dict[str, Callable[[dict[str, object]], Awaitable[None]]] = {}
        if self._settings.command is not None:
            targets["notify.command"] = partial(run_command, self._settings.command)
        if self._webhook is not None:
            targets["notify.webhook"] = self._webhook.post
        return targets


async def _cancel_when(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel(reason="the daemon stops")


def _grouped(notices: Iterable[Notice]) -> Iterable[list[Notice]]:
    """Put together what one summary can say."""
    groups: dict[tuple[str, str | None], list[Notice]] = {}
    for notice in notices:
        groups.setdefault((notice.kind, notice.account), []).append(notice)
    return groups.values()


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_TEXT_CHARS else text[:_MAX_TEXT_CHARS] + "…"
