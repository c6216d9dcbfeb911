"""Today's session: which day it is, and when it opened (SPEC 12.8a)."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import trio

from snexec.broker import Purpose
from snexec.errors import BrokerError, RateLimitedError
from snexec.logs import Repeats
from snexec.model import MODES

if TYPE_CHECKING:
    from datetime import date

    from snexec.broker import Accounts
    from snexec.broker.calendar import TradingDay
    from snexec.clock import Clock
    from snexec.market.hours import MarketHours, View
    from snexec.model import Mode

log = logging.getLogger("Market")

_FIRST_PAUSE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 300.0
_NEW_YORK = (timedelta(hours=-5), timedelta(hours=-4))


class TradingSession(NamedTuple):
    """A day of the broker's calendar.

    Attributes:
        day: The one that is open now; while the market is closed, the next one.
        opened_at: When it opened, in seconds since the epoch; None before that, or if
            the calendar does not say it.
    """

    day: date
    opened_at: float | None


class SessionCalendar:
    """Asks for each day's opening once, as soon as the clock says that it is open.

    Args:
        hours: Says which day it is; without its word there is no session.
        accounts: Who is asked; any account's calendar is the market's.
        clock: For the log.
    """

    def __init__(self, hours: MarketHours, accounts: Accounts, clock: Clock) -> None:
        self._hours = hours
        self._accounts = accounts
        self._known: tuple[date, TradingDay | None] | None = None
        self._found: tuple[View, TradingSession] | None = None
        self._faults = Repeats("calendar", log=log, clock=clock)

    def session(self, view: View) -> TradingSession:
        """Return the session that the broker's clock speaks of."""
        found = self._found  # it is asked for at each price
        if found is None or found[0] is not view:
            found = self._found = view, self._find(view)
        return found[1]

    def _find(self, view: View) -> TradingSession:
        day = _day_of(view)
        known = self._known
        if not view.is_open or known is None or known[0] != day or known[1] is None:
            return TradingSession(day, None)
        # The clock's own zone: a day has one, as it never changes at those hours.
        zone = view.changes_at.tzinfo
        opened = datetime.combine(day, known[1].open, zone)
        if view.changes_at.utcoffset() not in _NEW_YORK or opened > view.said_at:
            return TradingSession(day, None)
        return TradingSession(day, opened.timestamp())

    async def run(self) -> None:
        """Ask whenever it is needed, until cancelled."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            view = self._view()
            if view is None or not view.is_open or self._knows(_day_of(view)):
                pause = _FIRST_PAUSE_SECONDS
                await self._hours.wait_said()
            elif not await self._ask(_day_of(view)):
                await trio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _knows(self, day: date) -> bool:
        return self._known is not None and self._known[0] == day

    def _mode(self) -> Mode | None:
        known = (mode for mode in MODES if self._hours.view(mode) is not None)
        return next(known, None)

    def _view(self) -> View | None:
        for mode in MODES:
            if (view := self._hours.view(mode)) is not None:
                return view
        return None

    async def _ask(self, day: date) -> bool:
        """Ask once, and return whether that was answered."""
        mode, problem = self._mode(), "the rate limit leaves no request"
        lease = None
        if mode is not None:
            lease = self._accounts.try_take(mode, Purpose.RECOVERY)
        if lease is not None:
            with lease:
                try:
                    days = await lease.use().trading_days(day, day)
                except RateLimitedError as exc:
                    lease.client.budget.block(exc.wait_seconds)
                    problem = str(exc)
                except BrokerError as exc:
                    problem = str(exc)
                else:
                    found = [each for each in days if each.date == day]
                    self._known = (day, found[0] if found else None)
                    self._found = None
                    self._faults.worked()
                    return True
        if self._faults.failed(problem):
            log.warning(
                "today's opening is not known (%s): prices without a time count from"
                " the first poll of this session on",
                problem,
            )
        return False


def _day_of(view: View) -> date:
    """Return the day that is open, or opens next, by the broker's clock."""
    return (view.said_at if view.is_open else view.changes_at).date()
