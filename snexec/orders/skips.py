"""Signals that are not traded: counted, published and logged (SPEC 5, 6)."""

from __future__ import annotations

import collections
import logging
import math
from typing import TYPE_CHECKING

import trio

from snexec.logs import about
from snexec.model import counted
from snexec.risk import COUNTED_REASONS

if TYPE_CHECKING:
    from snexec.events import EventFeed
    from snexec.orders.freshness import Freshness
    from snexec.orders.intent import SkipReason
    from snexec.signals import Signal, TakenSignal

log = logging.getLogger("TradeExecutor")

_WARN_EVERY_SECONDS = 60.0
# What of a signal a reason is about: as the feed names it, and as the signal does.
_SAID: dict[str, dict[str, str]] = {
    "tier_disabled": {"catalystTier": "catalyst_tier"},
    "no_stars": {"catalystTier": "catalyst_tier", "aiConfidence": "ai_confidence"},
    "share_price": {"priceAtSignal": "price_at_signal"},
    "float_shares": {"floatShares": "float_shares"},
    "relative_volume": {"relativeVolume": "relative_volume"},
}


class Skips:
    """Reports each signal that was taken and is not traded.

    Args:
        feed: Hears of each one.
        freshness: Which of them are too old.

    Attributes:
        counts: How many signals were skipped for each reason.
    """

    def __init__(self, *, feed: EventFeed, freshness: Freshness) -> None:
        self._feed = feed
        self._freshness = freshness
        self._warned_at: dict[SkipReason, float] = {}
        self.counts: collections.Counter[SkipReason] = collections.Counter()

    def is_stale(self, taken: TakenSignal) -> bool:
        """Return whether a signal is too old to be traded."""
        return self._freshness.is_stale(taken.read_at)

    def skip(self, taken: TakenSignal, reason: SkipReason, *, why: str = "") -> None:
        """Count and report a signal that is not traded.

        Args:
            taken: The signal.
            reason: As the feed carries it.
            why: What held it up, where it waited too long.
        """
        signal = taken.signal
        if reason == "stale" and self._freshness.is_from_before_a_gap(taken.read_at):
            log.warning(
                "%s signal=%s is not traded: it came before the gap, or in it",
                signal.symbol,
                signal.id,
                extra=_about(taken),
            )
        elif reason == "stale" and why:
            log.warning(
                "%s signal=%s is not traded: it is older than %g s (%s)",
                signal.symbol,
                signal.id,
                self._freshness.max_age_seconds,
                why,
                extra=_about(taken),
            )
        elif reason == "mode_changed":
            log.warning(
                "%s signal=%s is not traded: it was taken in %s, before the mode changed",
                signal.symbol,
                signal.id,
                taken.term.mode,
                extra=_about(taken),
            )
        elif reason == "standby":
            log.warning(
                "%s signal=%s is not traded here: the lease was lost before it could be",
                signal.symbol,
                signal.id,
                extra=_about(taken),
            )
        elif reason == "stopping":
            log.warning(
                "%s signal=%s is not traded: the daemon stops",
                signal.symbol,
                signal.id,
                extra=_about(taken),
            )
        self.counts[reason] += 1
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
            _more(taken, reason) or None,
            signal_id=signal.id,
            symbol=signal.symbol,
            reason=reason,
            sequence=taken.sequence,
        )

    def _warn_of_limit(self, signal: Signal, reason: SkipReason) -> None:
        """Warn that a limit is reached, once a minute at most: a feed may run away."""
        now = trio.current_time()
        if now - self._warned_at.get(reason, -math.inf) < _WARN_EVERY_SECONDS:
            return
        self._warned_at[reason] = now
        log.warning(
            "%s signal=%s is not traded: %s (%s so far, logged once a minute)",
            signal.symbol,
            signal.id,
            reason,
            counted(self.counts[reason], "signal"),
        )


def _more(taken: TakenSignal, reason: SkipReason) -> dict[str, object]:
    """Return what the feed says besides: of the signal, what the reason is about."""
    said: dict[str, object] = {
        name: getattr(taken.signal, attribute)
        for name, attribute in _SAID.get(reason, {}).items()
    }
    if reason == "stale":
        said["ageSec"] = round(trio.current_time() - taken.read_at, 3)
    if taken.producer is not None:
        said["producer"] = taken.producer
    return said


def _about(taken: TakenSignal) -> dict[str, object]:
    return about(symbol=taken.signal.symbol, signal_id=taken.signal.id)
