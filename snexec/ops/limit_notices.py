"""What is worth telling of the limits: that one of them has stopped trading, and until when."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import trio

from snexec.ops.notices import Notice

if TYPE_CHECKING:
    from snexec.events import Event

_AGAIN_SECONDS = 3600.0
_UNTIL: dict[str, str] = {
    "no_keys": "there are keys for its mode: snexec check",
    "max_positions": "a position is closed (max_concurrent_positions)",
    "daily_loss": "midnight in New York (daily_loss_limit_usd)",
    "win_rate": "trades that are still open win enough, or snexec resume begins a new"
    " window (min_win_rate)",
    "brake_orders_per_minute": "a minute has passed (max_orders_per_minute)",
    "brake_orders_per_day": "midnight in New York (max_orders_per_day)",
    "brake_notional_per_day": "midnight in New York (max_notional_per_day_usd)",
}


class LimitNotices:
    """Notices that a limit stops what is bought: at first, then hourly."""

    def __init__(self) -> None:
        self._told_at: dict[str, float] = {}

    def notice_of(self, event: Event) -> Notice | None:
        """Return the notice of a skipped signal, or None if it is not worth one."""
        reason = event.reason or ""
        if event.event != "skipped" or reason not in _UNTIL:
            return None
        now = trio.current_time()
        if now - self._told_at.get(reason, -math.inf) < _AGAIN_SECONDS:
            return None
        self._told_at[reason] = now
        return Notice(
            kind="limit",
            text=f"{event.symbol} is not bought, {reason}: nothing is until"
            f" {_UNTIL[reason]}",
            at=event.at,
            fields=json.loads(event.line()),
        )
