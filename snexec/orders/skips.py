"""Signals that are not traded: counted, told, and said in the log (SPEC 5, 6)."""

from __future__ import annotations

import collections
import logging
import math
from typing import TYPE_CHECKING, Literal, get_args

import trio

from snexec.logs import about
from snexec.risk import COUNTED_REASONS, Reason

if TYPE_CHECKING:
    from snexec.events import EventFeed
    from snexec.intake import TakenSignal
    from snexec.signals import Signal

log = logging.getLogger("TradeExecutor")

_WARN_EVERY_SECONDS = 60.0

_OwnReason = Literal["symbol_open", "repeated", "stale", "stopping", "not_written"]
SkipReason = Reason | _OwnReason
SKIP_REASONS: tuple[SkipReason, ...] = (*get_args(Reason), *get_args(_OwnReason))


class Skips:
    """Tells of each signal that was taken and is not traded.

    Args:
        max_age_seconds: How old a signal may be when its order leaves.

    Attributes:
        counts: How many signals were skipped for each reason.
    """

    def __init__(self, *, feed: EventFeed, max_age_seconds: float) -> None:
        self._feed = feed
        self._max_age_seconds = max_age_seconds
        self._warned_at: dict[SkipReason, float] = {}
        self.counts: collections.Counter[SkipReason] = collections.Counter()

    def is_stale(self, taken: TakenSignal) -> bool:
        """Tell whether a signal is too old to be traded."""
        return trio.current_time() - taken.read_at > self._max_age_seconds

    def warn_stale(self, taken: TakenSignal, why: str) -> None:
        """Log that a signal was too old."""
        log.warning(
            "%s signal=%s is not traded: it is older than %g s (%s)",
            taken.signal.symbol,
            taken.signal.id,
            self._max_age_seconds,
            why,
            extra=_about(taken),
        )

    def tell_stopping(self, taken: TakenSignal) -> None:
        """Tell that a signal is not traded as the daemon stops."""
        log.warning(
            "%s signal=%s is not traded: the daemon stops",
            taken.signal.symbol,
            taken.signal.id,
            extra=_about(taken),
        )
        self.skip(taken, "stopping")

    def skip(self, taken: TakenSignal, reason: SkipReason) -> None:
        """Count and tell a signal that is not traded."""
        self.counts[reason] += 1
        signal = taken.signal
        log.debug(
            "%s signal=%s skipped: %s",
            signal.symbol,
            signal.id,
            reason,
            extra=_about(taken),
        )
        if reason in COUNTED_REASONS:
            self._warn_of_limit(signal, reason)
        self._feed.publish(
            "skipped",
            signal_id=signal.id,
            symbol=signal.symbol,
            reason=reason,
            sequence=taken.sequence,
        )

    def _warn_of_limit(self, signal: Signal, reason: SkipReason) -> None:
        """Say that a limit is reached, once a minute at most: feeds may run away."""
        now = trio.current_time()
        if now - self._warned_at.get(reason, -math.inf) < _WARN_EVERY_SECONDS:
            return
        self._warned_at[reason] = now
        log.warning(
            "%s signal=%s is not traded: %s (%d signals so far, told once a minute)",
            signal.symbol,
            signal.id,
            reason,
            self.counts[reason],
        )


def _about(taken: TakenSignal) -> dict[str, object]:
    return about(symbol=taken.signal.symbol, signal_id=taken.signal.id)
