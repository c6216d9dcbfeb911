"""Keeps what became of signals, from the feed, behind the orders (SPEC 15)."""

from __future__ import annotations

import collections
import json
from typing import TYPE_CHECKING

import trio

from snexec.ledger import Decision

if TYPE_CHECKING:
    from snexec.events import Event, EventName
    from snexec.ops.wings import Wings
    from snexec.settings import Settings

_GATHER_SECONDS = 2.0  # a burst is written once its orders have left
_MANY = 2500  # each takes 1 kB, so more than these do not wait for the flood's end
_MOST_WAITING = 10_000  # as many as are kept
_AT_ONCE = 100
_PAUSE_SECONDS = 0.05
_PAUSE_OF_MANY_SECONDS = 0.005
OUTCOMES: tuple[EventName, ...] = ("skipped", "placed", "refused")
_FIGURES = (
    *("notional", "orderId", "httpStatus", "wireMs", "replyMs"),
    *("catalystTier", "aiConfidence", "priceAtSignal", "floatShares"),
    *("relativeVolume", "ageSec"),
)
# Which keys of [bot] a reason is about: their values are figures too.
_LIMITS: dict[str, tuple[str, ...]] = {
    "tier_disabled": ("enabled_catalyst_tiers",),
    "share_price": ("max_share_price",),
    "float_shares": ("max_float_shares",),
    "relative_volume": ("min_relative_volume",),
    "max_positions": ("max_concurrent_positions",),
    "daily_loss": ("daily_loss_limit_usd",),
    "win_rate": ("min_win_rate", "min_win_rate_trades"),
    "brake_symbol_cooldown": ("symbol_cooldown_sec",),
    "brake_orders_per_minute": ("max_orders_per_minute",),
    "brake_orders_per_day": ("max_orders_per_day",),
    "brake_notional_per_day": ("max_notional_per_day_usd",),
}


class SignalLog:
    """Writes decisions a while after they were made, a few at a time.

    An order that leaves meanwhile waits for one such part at most: of a burst, neither the
    loop nor the writer has it all at once.

    Args:
        wings: Its ledger writes them; its settings say the mode of what is skipped.
    """

    def __init__(self, wings: Wings) -> None:
        self._wings = wings
        self._waiting: collections.deque[tuple[Event, Settings]] = collections.deque()
        self._arrived, self._many = trio.Event(), trio.Event()

    def happened(self, event: Event) -> None:
        """Keep an event that decides about a signal, one of ``OUTCOMES``."""
        if len(self._waiting) < _MOST_WAITING:
            self._waiting.append((event, self._wings.live.now))
            self._arrived.set()
            if len(self._waiting) >= _MANY:
                self._many.set()

    async def run(self) -> None:
        """Write what has come, until cancelled, and then the rest."""
        try:
            while True:
                await self._arrived.wait()
                with trio.move_on_after(_GATHER_SECONDS):
                    await self._many.wait()
                self._arrived, self._many = trio.Event(), trio.Event()
                while self._waiting:
                    self._write(_AT_ONCE)
                    is_flood = len(self._waiting) >= _MANY
                    await trio.sleep(
                        _PAUSE_OF_MANY_SECONDS if is_flood else _PAUSE_SECONDS
                    )
        finally:
            self._write(_MOST_WAITING)

    def _write(self, most: int) -> None:
        count = min(most, len(self._waiting))
        decisions = [_decision(*self._waiting.popleft()) for _ in range(count)]
        if decisions:
            self._wings.ledger.log_signals(decisions)


def _decision(event: Event, settings: Settings) -> Decision:
    """Return an event as it is kept, with the settings that were in force."""
    more = {name: event.more[name] for name in _FIGURES if name in event.more}
    for name in _LIMITS.get(event.reason or "", ()):
        more[name] = getattr(settings.bot, name)
    return Decision(
        at=event.at,
        signal_id=event.signal_id,
        symbol=event.symbol,
        mode=str(event.more.get("mode") or settings.mode),
        outcome=event.event,
        reason=event.reason,
        figures=json.dumps(more, default=float) if more else None,
    )
