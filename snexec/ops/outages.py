"""The times without a trading stream, and what look-ups settled meanwhile (SPEC 8).

Follows the event feed like any other follower: the stream knows nothing of it.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from snexec.model import counted

if TYPE_CHECKING:
    from snexec.events import Event

log = logging.getLogger("TradingWs")

_LOOKUP_SECONDS = 10.0  # by then every order of an outage has been looked up
_WORTH_TELLING_SECONDS = 1.0  # a restart on a change of mode is shorter
_SWITCH_SECONDS = 10.0  # a change of mode that takes longer has lost the stream


@dataclass(slots=True, eq=False, kw_only=True)
class _Outage:
    """One time without a stream; ``began`` and ``ended`` are as events carry them.

    Attributes:
        by_switch: Whether it began with a change of mode.
    """

    began: str
    began_at: float
    by_switch: bool = False
    ended: str | None = None
    ended_at: float = -math.inf
    seconds: float = 0.0
    settled: int = 0


class Outages:
    """Counts what look-ups settled for each time without a stream.

    Attributes:
        count: How many are over, including the one at the start, but no short one that a
            change of mode takes.

    Args:
        began: When the daemon started, as it starts without a stream.
    """

    def __init__(self, *, began: str) -> None:
        self._latest = _Outage(began=began, began_at=trio.current_time())
        # It holds the outages that ended in the last ten seconds, which are few.
        self._end_send, self._ended = trio.open_memory_channel[_Outage](math.inf)
        self._lost = self._latest  # the latest that counts
        self._switching = False
        # Its end, and not settled yet; while that matters.
        self._placed_since: set[str | None] = set()
        self.count = 0

    async def run(self) -> None:
        """Log each outage once its orders have been looked up."""
        async for outage in self._ended:
            await trio.sleep_until(outage.ended_at + _LOOKUP_SECONDS)
            if outage.settled or outage.seconds >= _WORTH_TELLING_SECONDS:
                log.warning(
                    "there was no stream from %s to %s (%.1f s); look-ups settled"
                    " %s for it",
                    outage.began,
                    outage.ended,
                    outage.seconds,
                    counted(outage.settled, "order"),
                )

    def happened(self, event: Event) -> None:
        """Record an event of the feed."""
        if event.event == "mode":
            self._switching = self._latest.ended is not None
        elif event.event == "stream":
            if event.reason == "authorized":
                self._end(event.at)
            elif self._latest.ended is not None:
                self._latest = _Outage(
                    began=event.at,
                    began_at=trio.current_time(),
                    by_switch=self._switching,
                )
                self._placed_since.clear()
            self._switching = False
        elif event.event == "placed":
            if self._is_over():
                self._placed_since.clear()
            elif self._latest.ended is not None:
                self._placed_since.add(event.trade_id)
        elif event.event == "settled":
            if event.trade_id in self._placed_since:
                self._placed_since.remove(event.trade_id)
            elif event.more.get("source") == "lookup" and not self._is_over():
                self._latest.settled += 1

    def status(self) -> dict[str, object]:
        """Return the latest outage for ``status``; ``to`` is None while it lasts."""
        shown = self._latest
        if shown.ended is not None and self.count > 1:
            shown = self._lost
        return {
            "count": self.count,
            "from": shown.began,
            "to": shown.ended,
            "settledByLookup": shown.settled,
        }

    def _is_over(self) -> bool:
        """Return whether the orders of the latest outage have all been looked up."""
        since = trio.current_time() - self._latest.ended_at
        return self._latest.ended is not None and since > _LOOKUP_SECONDS

    def _end(self, at: str) -> None:
        if self._latest.ended is None:
            self._latest.ended = at
            self._latest.ended_at = trio.current_time()
            self._latest.seconds = trio.current_time() - self._latest.began_at
            if not self._latest.by_switch or self._latest.seconds > _SWITCH_SECONDS:
                self._lost = self._latest
                self.count += 1
            self._end_send.send_nowait(self._latest)
