"""What every way to closed needs: the desk, the market, how often it was tried (SPEC 12.5)."""

from __future__ import annotations

import collections
import math
from typing import TYPE_CHECKING, Protocol

import trio

from snexec.assets import asset_class
from snexec.exits.tries import MOST_TRIES_A_SESSION
from snexec.exits.way_clear import WayClear
from snexec.settings import ExitSettings
from snexec.trading_days import day_of_trade

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from snexec.broker import Accounts
    from snexec.events import EventFeed
    from snexec.exits.position import Position
    from snexec.ledger import Applied, ExitReason, Ledger
    from snexec.model import Mode
    from snexec.orders import OrderDesk
    from snexec.reconciliation import Fate, Reconciler
    from snexec.settings import LiveSettings

_LOOK_SECONDS = 1.0  # at the market, and at `halt-all`
_REMEMBERED_FILLS = 2048  # a position lags for seconds
_DEFAULTS = ExitSettings()  # for `close`, where there is no [exits]


class Hours(Protocol):
    """The market's hours, by the broker's clock."""

    def is_open(self, mode: Mode) -> bool | None:
        """Return whether it is open; None where that is not known now."""

    def is_being_asked(self, mode: Mode) -> bool:
        """Return whether that is not known, and the answer is on its way."""

    def want(self, mode: Mode) -> None:
        """Ask for it for a while, also where nothing is watched."""


class Guard(Protocol):
    """What goes by ``[exits]``, where there is one."""

    def look_now(self, mode: Mode) -> None:
        """Look as soon as possible for what others sold on an account (SPEC 12.7)."""

    def still_holds(self, row_id: str, reason: str) -> bool | None:
        """Ask a rule anew; None while nothing is known that it could be asked with."""

    def is_set(self, reason: str) -> bool:
        """Return whether a rule is set; what is no rule's is."""

    def fate(self, exit_id: str) -> Fate:
        """Say what is to be done with a stop that never reached the broker (12.6)."""


class Means:
    """What all ways share.

    Args:
        live: How patient to be.
        accounts: Where a buy that is in the way is canceled.
        ledger: Its clock says which day it is; its rows, why a stop is canceled.
        reconciler: Asks what became of what is canceled.
        orders: The desk that sells.
        hours: While the market is closed nothing leaves.
        feed: Where positions that cannot be sold are published.

    Attributes:
        way: Cancels what is in a sell's way.
    """

    def __init__(  # noqa: PLR0917 - wings, in the order of the floors
        self,
        live: LiveSettings,
        accounts: Accounts,
        ledger: Ledger,
        reconciler: Reconciler,
        orders: OrderDesk,
        hours: Hours,
        feed: EventFeed,
    ) -> None:
        self._live = live
        self._hours = hours
        self._clock = ledger.clock
        self.orders = orders
        self.feed = feed
        self.way = WayClear(accounts, ledger, reconciler)
        self._guard: Guard | None = None
        self._bought_at: collections.OrderedDict[str, float] = collections.OrderedDict()
        self._tries: collections.Counter[str] = collections.Counter()
        self._stop_failures: collections.Counter[str] = collections.Counter()
        self._tries_on: date | None = None

    @property
    def settings(self) -> ExitSettings:
        """How patient to be."""
        return self._live.now.exits or _DEFAULTS

    # What goes by ``[exits]``.

    def guard_by(self, guard: Guard) -> None:
        """Ask somebody about rules, stops and others' sales from now on."""
        self._guard = guard

    def is_set(self, reason: ExitReason) -> bool:
        """Return whether what a row is sold for is still set, where there are rules."""
        return self._guard is None or self._guard.is_set(reason)

    def still_holds(self, row_id: str, reason: ExitReason) -> bool | None:
        """Return whether what a row is sold for still holds; None where that is open."""
        if reason == "manual":
            return True
        return self._guard is not None and self._guard.still_holds(row_id, reason)

    def fate_of_stop(self, exit_id: str) -> Fate:
        """Say what is to be done with a stop that never reached the broker."""
        return "drop" if self._guard is None else self._guard.fate(exit_id)

    def look_outside(self, mode: Mode) -> None:
        """Have it looked as soon as possible for what others sold on an account."""
        if self._guard is not None:
            self._guard.look_now(mode)

    # The market, and the kill switch.

    def is_market_closed(self, position: Position) -> bool:
        """Return whether a sell has to wait for the market; not where nobody knows.

        At a start, and at a change, it waits until the broker's clock has answered.
        """
        if asset_class(position.symbol).around_the_clock:
            return False
        is_open = self._hours.is_open(position.mode)
        return is_open is False or self.is_market_asked(position)

    def want_hours(self, position: Position) -> None:
        """Have its market's hours asked for: a sell depends on them."""
        if not asset_class(position.symbol).around_the_clock:
            self._hours.want(position.mode)

    def is_market_asked(self, position: Position) -> bool:
        """Return whether the broker is just asked whether its market is open."""
        is_coin = asset_class(position.symbol).around_the_clock
        return not is_coin and self._hours.is_being_asked(position.mode)

    async def wait_for_open(self, position: Position) -> None:
        """Wait until a position's market is open."""
        self.want_hours(position)
        while self.is_market_closed(position):
            await trio.sleep(_LOOK_SECONDS)
            self.want_hours(position)

    async def wait_for_orders(self) -> None:
        """Wait until no `halt-all` keeps sells back."""
        while self.orders.is_all_halted:  # noqa: ASYNC110 - a file, not a task
            await trio.sleep(_LOOK_SECONDS)

    def since_bought(self, row_id: str) -> float:
        """Return the seconds since a row's buy was filled last, as far as that is known."""
        at = self._bought_at.get(row_id)
        return math.inf if at is None else trio.current_time() - at

    def tries(self, row_id: str) -> int:
        """Return how many sells of a row were planned in this session."""
        self._begin_session()
        return self._tries[row_id]

    def has_tries(self, row_id: str) -> bool:
        """Return whether a sell of a row may be planned in this session."""
        return self.tries(row_id) < MOST_TRIES_A_SESSION

    def tried(self, row_id: str) -> None:
        """Note that a sell of a row was planned."""
        self._begin_session()
        self._tries[row_id] += 1

    def stop_failures(self, row_id: str) -> int:
        """Return how many stops of a row came to nothing in this session."""
        self._begin_session()
        return self._stop_failures[row_id]

    def stop_failed(self, row_id: str) -> None:
        """Note that a stop of a row came to nothing; it takes no try from its sells."""
        self._begin_session()
        self._stop_failures[row_id] += 1

    def load_tries(self, tries: Mapping[str, int], stops: Mapping[str, int]) -> None:
        """Take over what an earlier run has tried in this session.

        Args:
            tries: How many sells of each row it planned.
            stops: How many stops of each came to nothing.
        """
        self._begin_session()
        self._tries.update(tries)
        self._stop_failures.update(stops)

    def bought(self, applied: Applied) -> None:
        """Note when a row's buy was filled."""
        if applied.outcome in {"fill", "partial_fill"} and applied.changed:
            self._bought_at[applied.trade_id] = trio.current_time()
            self._bought_at.move_to_end(applied.trade_id)
            if len(self._bought_at) > _REMEMBERED_FILLS:
                self._bought_at.popitem(last=False)
        self.way.heard_of_buy(applied)

    def closed(self, row_id: str) -> None:
        """Forget a row that is closed."""
        self._tries.pop(row_id, None)
        self._stop_failures.pop(row_id, None)
        self._bought_at.pop(row_id, None)

    def _begin_session(self) -> None:
        """Count from 0 on each day of the broker's calendar, which is New York's."""
        today = day_of_trade(self._clock.now())
        if today != self._tries_on:
            self._tries_on = today
            self._tries.clear()
            self._stop_failures.clear()
