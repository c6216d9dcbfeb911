"""When the broker is asked for orders that no row knows (SPEC 11, "The sweep")."""

from __future__ import annotations

import collections
import logging
import math
import sqlite3
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import trio

from snexec.broker import Purpose
from snexec.errors import BrokerError, RefusedError
from snexec.logs import Repeats
from snexec.model import ACCOUNTS
from snexec.reconciliation.rebuild import Found

if TYPE_CHECKING:
    from snexec.broker import Accounts
    from snexec.ledger import Ledger, Unsettled
    from snexec.model import AccountName
    from snexec.reconciliation.rebuild import Rebuild
    from snexec.reconciliation.unsettled import UnsettledOrders
    from snexec.settings import LiveSettings

log = logging.getLogger("Recovery")

_AGAIN_SECONDS = 3600.0
_LEAST = timedelta(days=1)
_MOST_FOR_NEWEST_ROW = timedelta(days=7)
_MARGIN = timedelta(minutes=10)  # the broker's clock is not ours
_FIRST_RETRY_SECONDS = 1.0
_WAITED_FOR = 4  # tries; a broker that is away holds the start by its rows anyway
_WAITED_FOR_ALONE = 1  # where no row is waited for
_ALONE_SECONDS = 2.0


class Sweep:
    """Looks at each account: at the start, when it is asked to, and once an hour.

    Args:
        live: The current mode, and how patient to be.
        accounts: The accounts that have keys.
        ledger: Says when its rows end.
        unsettled: Whose orders were placed when; tells the start that it is done.
        rebuild: Does it.
    """

    def __init__(
        self,
        live: LiveSettings,
        accounts: Accounts,
        ledger: Ledger,
        unsettled: UnsettledOrders,
        rebuild: Rebuild,
    ) -> None:
        self._live = live
        self._accounts = accounts
        self._ledger = ledger
        self._unsettled = unsettled
        self._rebuild = rebuild
        self._asked = {mode: trio.Event() for mode in ACCOUNTS}
        self._never_done = set(ACCOUNTS)
        self._waited_for: float = _WAITED_FOR
        # Looks that left out nothing: when each began, if that is to be noted.
        self._whole: dict[AccountName, datetime | None] = {}
        self._unconcluded: collections.Counter[AccountName] = collections.Counter()
        self._failures = {
            mode: Repeats(f"the list of orders ({mode})", log=log, clock=ledger.clock)
            for mode in ACCOUNTS
        }

    def load(self, rows: list[Unsettled], *, is_shared: bool = False) -> None:
        """Have the start wait for the current mode's, if it waits for its rows.

        And where the last run on the file did not end in good order, or the file is a
        copy of another: what it does not know of may be bought again. Where another host
        may have ordered, the start waits for as long as that takes.
        """
        mode = self._live.now.mode
        if self._accounts.simulated:
            return
        if is_shared:
            self._waited_for = math.inf
            self._unsettled.expect_sweep(mode)
            return
        if any(row.mode == mode for row in rows):
            self._unsettled.expect_sweep(mode)
        elif mode not in self._ledger.complete and self._accounts.has_keys(mode):
            self._waited_for = _WAITED_FOR_ALONE
            self._unsettled.expect_sweep(mode, seconds=_ALONE_SECONDS)

    def ask(self, mode: AccountName) -> None:
        """Look at an account as soon as possible."""
        self._asked[mode].set()

    async def run(self) -> None:
        """Look when it is time, until cancelled; a simulated account is a fresh one."""
        if self._accounts.simulated:
            return
        async with trio.open_nursery() as nursery:
            for mode in ACCOUNTS:
                name = f"sweep of {mode}"
                nursery.start_soon(self._run_account, mode, nursery, name=name)

    async def _run_account(self, mode: AccountName, nursery: trio.Nursery) -> None:
        while True:
            asked = self._asked[mode] = trio.Event()
            try:
                await self._sweep(mode, nursery)
            except Exception:
                # The rows that are there are compared all the same.
                log.exception(
                    "the orders of %s could not be compared with the rows; the next"
                    " sweep tries again",
                    mode,
                )
            self._unsettled.swept(mode)
            await self._note(mode)
            with trio.move_on_after(_AGAIN_SECONDS):
                await asked.wait()

    async def _sweep(self, mode: AccountName, nursery: trio.Nursery) -> None:
        """Look at an account, as often as it takes to be answered."""
        since, pause = self._since(mode), _FIRST_RETRY_SECONDS
        tries = 0
        while self._accounts.has_keys(mode):
            found, began = Found(mode), self._ledger.clock.now()
            tries += 1
            try:
                await self._rebuild.look(found, since, Purpose.ROUTINE)
            except BrokerError as exc:
                if self._failures[mode].failed(str(exc)):
                    log.warning(
                        "the orders of %s cannot be listed (%s): whether it has one"
                        " that no row knows is not known",
                        mode,
                        exc,
                    )
                if isinstance(exc, RefusedError):
                    return  # `snexec check` says more of its keys
                if tries == self._waited_for:
                    self._unsettled.swept(mode)
            else:
                self._failures[mode].worked()
                self._never_done.discard(mode)
                ledger = self._ledger
                is_new = ledger.newest_row_at is None and not ledger.writer.applied
                is_new = is_new and not found.rows
                if not found.lost:
                    # A new file says as much by itself.
                    self._whole[mode] = None if is_new else began
                return
            finally:
                if found.rows or found.older or found.sells or found.left:
                    self._unconcluded[mode] += 1
                    name = f"positions that the sweep of {mode} asks for"
                    nursery.start_soon(self._conclude, found, name=name)
            await trio.sleep(pause)
            pause = min(2 * pause, self._live.now.alpaca.reconcile_interval_sec)

    async def _conclude(self, found: Found) -> None:
        try:
            await self._rebuild.conclude(found, Purpose.ROUTINE)
        except Exception:
            # The rows are there; the other account, and the daemon, go on.
            log.exception(
                "the rows written for %s stay open, sold or not: check names those to"
                " settle",
                found.mode,
            )
            return
        if found.lost:
            self._whole.pop(found.mode, None)
        self._unconcluded[found.mode] -= 1
        await self._note(found.mode)

    async def _note(self, mode: AccountName) -> None:
        """Note in the file that it knows every order, for a start from a copy of it.

        The newest row is no proof: there are new ones before all old ones are found.
        """
        if mode not in self._whole or self._unconcluded[mode]:
            return
        began = self._whole.pop(mode)
        self._ledger.complete.add(mode)
        if began is None:
            return
        try:
            await self._ledger.writer.write(
                lambda store: store.found.note_swept(mode, began)
            )
        except (sqlite3.Error, trio.ClosedResourceError) as exc:  # or it ends
            log.debug("that %s was swept is not noted: %s", mode, exc)

    def _since(self, mode: AccountName) -> datetime:
        """Return how far back to look: a day, and to the oldest order not settled.

        The first time also to the newest row, or to the last sweep that was done: a
        file that was put back ends there.
        """
        now, trio_now = self._ledger.clock.now(), trio.current_time()
        since = now - _LEAST
        for order in self._unsettled:
            if order.mode == mode:
                age = timedelta(seconds=trio_now - order.placed_at)
                since = min(since, now - age)
        if mode in self._never_done:
            earliest, newest = now - _MOST_FOR_NEWEST_ROW, self._ledger.newest_row_at
            ends = earliest
            if newest is not None:
                newest = min(newest, self._ledger.swept_at.get(mode) or newest)
            if newest is not None and newest > earliest.timestamp():
                ends = min(datetime.fromtimestamp(newest, UTC), now)
            since = min(since, ends)
        return since - _MARGIN
