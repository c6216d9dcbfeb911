"""How long orders took, counted from each signal's line: milliseconds, monotonic."""

from __future__ import annotations

import collections
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import trio

if TYPE_CHECKING:
    from collections.abc import Sequence

_FOLLOWED_ORDERS = 2048  # an order that has no fill by then is not timed any more
_SUMMARISED_ORDERS = 1000
_PERCENTS = (50, 90, 99)


class Times(NamedTuple):
    """The times known of one order, each in milliseconds since its line was read.

    Attributes:
        wire_ms: Until its request was handed to the kernel.
        reply_ms: Until the broker's answer to it was read.
        fill_ms: Until its final fill was known.
    """

    wire_ms: float | None = None
    reply_ms: float | None = None
    fill_ms: float | None = None


@dataclass(slots=True, eq=False)
class _Watch:
    read_at: float
    wire_ms: float | None = None
    reply_ms: float | None = None
    fill_ms: float | None = None

    def ms(self, at: float) -> float:
        return round((at - self.read_at) * 1000, 3)


class Latencies:
    """Times the orders of this run, in bounded memory."""

    def __init__(self) -> None:
        self._watches: dict[str, _Watch] = {}
        self._latest: dict[str, collections.deque[float]] = {
            name: collections.deque(maxlen=_SUMMARISED_ORDERS)
            for name in ("wireMs", "replyMs", "fillMs")
        }

    def begin(self, trade_id: str, *, read_at: float) -> None:
        """Time an order whose line was read at ``read_at``, on Trio's clock."""
        if len(self._watches) >= _FOLLOWED_ORDERS:
            del self._watches[next(iter(self._watches))]
        self._watches[trade_id] = _Watch(read_at)

    def forget(self, trade_id: str) -> None:
        """Stop timing an order that turned out not to exist."""
        self._watches.pop(trade_id, None)

    def sent(self, trade_id: str) -> None:
        """Note that an order's request is on the wire; only the first call counts."""
        watch = self._watches.get(trade_id)
        if watch is not None and watch.wire_ms is None:
            watch.wire_ms = watch.ms(trio.current_time())
            self._latest["wireMs"].append(watch.wire_ms)

    def replied(self, trade_id: str, *, at: float) -> Times:
        """Note when the broker's acceptance was read, and return the times known."""
        watch = self._watches.get(trade_id)
        if watch is not None and watch.reply_ms is None:
            watch.reply_ms = watch.ms(at)
            self._latest["replyMs"].append(watch.reply_ms)
        return self._times(trade_id)

    def filled(self, trade_id: str | None) -> Times:
        """Note that an order's final fill is known, and return the times known."""
        watch = self._watches.get(trade_id or "")
        if watch is not None and watch.fill_ms is None:
            watch.fill_ms = watch.ms(trio.current_time())
            self._latest["fillMs"].append(watch.fill_ms)
        return self._times(trade_id)

    def status(self) -> dict[str, dict[str, float | int | None]]:
        """Return percentiles over the latest orders, for ``status``."""
        return {
            name: {
                **{f"p{p}": percentile(ms, p) if ms else None for p in _PERCENTS},
                "count": len(ms),
            }
            for name, ms in self._latest.items()
        }

    def _times(self, trade_id: str | None) -> Times:
        watch = self._watches.get(trade_id or "")
        if watch is None:
            return Times()
        times = Times(
            wire_ms=watch.wire_ms, reply_ms=watch.reply_ms, fill_ms=watch.fill_ms
        )
        if None not in {times.wire_ms, times.reply_ms, times.fill_ms}:
            del self._watches[trade_id or ""]
        return times


def percentile(samples: Sequence[float], percent: float) -> float:
    """Return the smallest sample that ``percent`` of all samples do not exceed.

    Raises:
        ValueError: There are no samples.
    """
    if not samples:
        raise ValueError("no samples")
    rank = math.ceil(len(samples) * percent / 100)
    return sorted(samples)[max(rank, 1) - 1]
