"""Keeps what became of signals, from the feed, behind the orders (SPEC 15)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import trio

from snexec.ledger import Decision

if TYPE_CHECKING:
    from snexec.events import Event
    from snexec.ops.wings import Wings

_GATHER_SECONDS = 2.0  # a burst is one write, once its orders have left
_MOST_WAITING = 10_000  # as many as are kept
_OUTCOMES = frozenset({"skipped", "placed", "refused"})
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
    """Writes decisions a while after they were made.

    Args:
        wings: Its ledger writes them; its settings say the mode of what is skipped.
    """

    def __init__(self, wings: Wings) -> None:
        self._wings = wings
        self._waiting: list[Decision] = []
        self._arrived = trio.Event()

    def happened(self, event: Event) -> None:
        """Note an event of the feed, if it decides about a signal."""
        if event.event not in _OUTCOMES or len(self._waiting) >= _MOST_WAITING:
            return
        more = {name: event.more[name] for name in _FIGURES if name in event.more}
        settings = self._wings.live.now
        for name in _LIMITS.get(event.reason or "", ()):
            more[name] = getattr(settings.bot, name)
        mode = event.more.get("mode") or settings.mode
        self._waiting.append(
            Decision(
                at=event.at,
                signal_id=event.signal_id,
                symbol=event.symbol,
                mode=str(mode),
                outcome=event.event,
                reason=event.reason,
                figures=json.dumps(more, default=float) if more else None,
            )
        )
        self._arrived.set()

    async def run(self) -> None:
        """Write what has come, until cancelled, and then the rest."""
        try:
            while True:
                await self._arrived.wait()
                await trio.sleep(_GATHER_SECONDS)
                self._write()
        finally:
            self._write()

    def _write(self) -> None:
        if not self._waiting:
            return
        decisions, self._waiting = self._waiting, []
        self._arrived = trio.Event()
        self._wings.ledger.log_signals(decisions)
