"""Asks which splits of held symbols are known, before each open (SPEC 12.7)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING

import trio

from snexec.errors import BrokerError
from snexec.exits.splits import SplitDay, fraction_of
from snexec.logs import Repeats
from snexec.trading_days import day_of_trade

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from datetime import date

    from snexec.broker.splits import Split
    from snexec.clock import Clock

log = logging.getLogger("PositionMonitor")

# One is announced at any time, also in the night before it.
_AGAIN_SECONDS = 3600.0
_RETRY_SECONDS = 60.0
_LOOK_SECONDS = 5.0  # for symbols that were not asked for yet
_BACK = timedelta(days=14)  # a daemon that was down for longer asks what happened
_AHEAD = timedelta(days=3)


# Asks for the splits of shares that take effect from one day to another, both included;
# raises BrokerError where there is no readable answer.
SplitSource = Callable[
    ["Collection[str]", "date", "date"], Awaitable["Sequence[Split]"]
]


class KnownSplits:
    """Asks once an hour, and soon for a symbol that was not asked for.

    Args:
        source: Asks market data.
        symbols: Returns the shares of which something is held.
        clock: Says which day it is.
        know: Called with all splits of those that are known.
    """

    def __init__(
        self,
        source: SplitSource,
        symbols: Callable[[], Iterable[str]],
        clock: Clock,
        know: Callable[[Sequence[SplitDay]], None],
    ) -> None:
        self._source = source
        self._symbols = symbols
        self._clock = clock
        self._know = know
        self._failures = Repeats("questions about splits", log=log, clock=clock)

    async def run(self) -> None:
        """Ask when it is time, until cancelled."""
        asked: dict[str, None] = {}  # which takes less memory than a set
        due = trio.current_time()
        while True:
            is_due = trio.current_time() >= due
            if any(is_due or each not in asked for each in self._shares()):
                asked = dict.fromkeys(self._shares())
                is_answered = await self._ask(asked)
                wait = _AGAIN_SECONDS if is_answered else _RETRY_SECONDS
                due = trio.current_time() + wait
            await trio.sleep(_LOOK_SECONDS)

    def _shares(self) -> Iterator[str]:
        return (each for each in self._symbols() if "/" not in each)

    async def _ask(self, symbols: Collection[str]) -> bool:
        today = day_of_trade(self._clock.now())
        try:
            splits = await self._source(sorted(symbols), today - _BACK, today + _AHEAD)
        except BrokerError as exc:
            if self._failures.failed(str(exc)):
                log.warning(
                    "known splits cannot be asked for (%s); the last ones count, and it"
                    " is asked again",
                    exc,
                )
            return False
        self._failures.worked()
        self._know(
            [
                SplitDay(split.symbol, split.day, fraction_of(split.ratio))
                for split in splits
                if split.symbol in symbols
            ]
        )
        return True
