"""What every way to closed needs, and the stops beside it (SPEC 12.5, 12.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import trio

from snexec.exits.market_wait import MarketWait
from snexec.exits.session_tries import SessionTries
from snexec.exits.way_clear import WayClear
from snexec.settings import ExitSettings

if TYPE_CHECKING:
    from snexec.broker import Accounts
    from snexec.events import EventFeed
    from snexec.exits.market_wait import Hours
    from snexec.ledger import ExitReason, Ledger
    from snexec.model import Mode
    from snexec.orders import OrderDesk
    from snexec.reconciliation import Fate, Reconciler
    from snexec.settings import LiveSettings

_LOOK_SECONDS = 1.0  # at `halt-all`
_DEFAULTS = ExitSettings()  # for `close`, where there is no [exits]


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
        market: Whether a sell has to wait for it.
        tries: How often each row was tried in this session.
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
        self.orders = orders
        self.feed = feed
        self.way = WayClear(accounts, ledger, reconciler)
        self.market = MarketWait(hours, ledger.clock)
        self.tries = SessionTries(ledger.clock)
        self._guard: Guard | None = None

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

    # What happens.

    async def wait_for_orders(self) -> None:
        """Wait until no `halt-all` keeps sells back."""
        while self.orders.is_all_halted:  # noqa: ASYNC110 - a file, not a task
            await trio.sleep(_LOOK_SECONDS)
