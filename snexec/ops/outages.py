"""The times without a trading stream, and what look-ups made good (SPEC 8).

A follower of the event feed like any other: the stream knows nothing of it.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from snexec.events import Event

log = logging.getLogger("TradingWs")

_LOOKUP_SECONDS = 10.0  # after which the orders of an outage have been asked about
_WORTH_TELLING_SECONDS = 1.0  # a restart on a change of mode is not


@dataclass(slots=True, eq=False, kw_only=True)
class _Outage:
    """One time without a stream; times as events carry them."""

    began: str
    began_at: float
    ended: str | None = None
    ended_at: float = -math.inf
    seconds: float = 0.0
    settled: int = 0


class Outages:
    """Counts what look-ups settled for each time without a stream.

    Attributes:
        count: Those that are over, the start included.

    Args:
        began: When the daemon started, which is without a stream too.
    """

    def __init__(self, *, began: str) -> None:
        self._latest = _Outage(began=began, began_at=trio.current_time())
        # As many as there are outages in ten seconds, which are few.
        self._end_send, self._ended = trio.open_memory_channel[_Outage](math.inf)
        self._placed_since: set[str | None] = set()  # the end, while it matters
        self.count = 0

    async def run(self) -> None:
        """Log each time without a stream once look-ups have had their turn."""
        async for outage in self._ended:
            await trio.sleep_until(outage.ended_at + _LOOKUP_SECONDS)
            if outage.settled or outage.seconds >= _WORTH_TELLING_SECONDS:
                log.warning(
                    "there was no stream from %s to %s (%.1f s); look-ups settled %d"
                    " orders for it",
                    outage.began,
                    outage.ended,
                    outage.seconds,
                    outage.settled,
                )

    def happened(self, event: Event) -> None:
        """Note an event of the feed."""
        if event.event == "stream":
            if event.reason == "authorized":
                self._end(event.at)
            elif self._latest.ended is not None:
                self._latest = _Outage(began=event.at, began_at=trio.current_time())
                self._placed_since.clear()
        elif event.event == "placed":
            if self._is_over():
                self._placed_since.clear()
            elif self._latest.ended is not None:
                self._placed_since.add(event.trade_id)
        elif (
            event.event == "settled"
            and event.more.get("source") == "lookup"
            and not self._is_over()
            and event.trade_id not in self._placed_since
        ):
            self._latest.settled += 1

    def status(self) -> dict[str, object]:
        """Return what ``status`` shows; ``to`` is null while there is no stream."""
        return {
            "count": self.count,
            "from": self._latest.began,
            "to": self._latest.ended,
            "settledByLookup": self._latest.settled,
        }

    def _is_over(self) -> bool:
        """Tell whether its orders have been asked about."""
        since = trio.current_time() - self._latest.ended_at
        return self._latest.ended is not None and since > _LOOKUP_SECONDS

    def _end(self, at: str) -> None:
        if self._latest.ended is None:
            self._latest.ended = at
            self._latest.ended_at = trio.current_time()
            self._latest.seconds = trio.current_time() - self._latest.began_at
            self.count += 1
            self._end_send.send_nowait(self._latest)
