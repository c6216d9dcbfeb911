"""Rows written for orders of ours that no row knows (SPEC 8, 11, 13).

Recovery goes from rows to orders; this goes the other way. A row may be missing where an
older file was put back, or where an order counted as refused and was not.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import trio

from snexec.assets import asset_class
from snexec.broker import OrderPages, Purpose, read_listed
from snexec.errors import BrokerError, RateLimitedError, UnknownOutcomeError
from snexec.ledger import FoundOrder, is_our_exit, is_ours
from snexec.model import ACCOUNTS
from snexec.recent import Recent
from snexec.reconciliation.adoption import Adoption, found_order
from snexec.reconciliation.conclusions import Conclusions, has_bought
from snexec.reconciliation.holdings import holdings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from snexec.broker import Accounts, ListedOrder
    from snexec.ledger import FoundRow, Ledger, Store
    from snexec.model import AccountName
    from snexec.reconciliation.found_sells import FoundSells
    from snexec.reconciliation.unsettled import UnsettledOrders

log = logging.getLogger("Recovery")

_WRITTEN_AT_ONCE = 50  # rows; with more of them the writer would count as behind
_ASKED_AT_ONCE = 100  # ids in one change, which an order's row may have to wait for
_REMEMBERED_LOST = 256
_PAUSE_SECONDS = 1.0  # before a page that did not come whole is asked for in parts
_DUST = Decimal("1e-9")  # rows hold floats


@dataclass(slots=True, eq=False)
class Found:
    """What one look at an account found.

    Attributes:
        rows: The ids of the rows that were written.
        older: Orders that bought, and how much, the newest first: a newer one of their
            symbol was found too, so the position says whether they were sold.
        sells: Sells of ours that wait for their rows to be there and settled.
        lost: The ids of orders of ours whose row cannot be written.
        left: The ids of rows that an earlier look wrote, and of which it is not known
            whether their shares were sold.
    """

    mode: AccountName
    rows: list[str] = field(default_factory=list)
    older: list[tuple[FoundOrder, Decimal | None]] = field(default_factory=list)
    sells: list[ListedOrder] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


class Rebuilt(NamedTuple):
    """What a rebuild did for an account.

    Attributes:
        rows: The rows that it wrote, as they are now.
        problem: Why it is not complete; empty if it is.
    """

    mode: AccountName
    rows: list[FoundRow]
    problem: str = ""


class Rebuild:
    """Looks at an account, and writes the rows that are missing.

    Args:
        accounts: The accounts to ask.
        ledger: The rows.
        unsettled: Follows the orders that were found.
        sells: Writes the sells that were found.
    """

    def __init__(
        self,
        accounts: Accounts,
        ledger: Ledger,
        unsettled: UnsettledOrders,
        sells: FoundSells,
    ) -> None:
        self._accounts = accounts
        self._sells = sells
        self._writer = ledger.writer
        self._unsettled = unsettled
        self._one_at_a_time = trio.Lock()
        self._waiting: set[str] = set()  # as `Found.older`, of every look
        self._lost: Recent[str] = Recent(_REMEMBERED_LOST)  # and told
        self._conclusions = Conclusions(ledger)
        self._is_shared = False

    def load(self, *, is_shared: bool = False) -> None:
        """Take over the rows that an earlier run has not concluded.

        Args:
            is_shared: Whether another host may have written what is found, so that
                nothing is wrong with it.
        """
        self._is_shared = is_shared
        self._conclusions.load()

    async def rebuild(
        self, since: datetime, *, purpose: Purpose, patience_seconds: float
    ) -> list[Rebuilt]:
        """Look at each account with keys once, as an operator asks for.

        Args:
            since: How far back to look.
            purpose: What the requests are for.
            patience_seconds: How long to wait for each account until what was found is
                settled.
        """
        modes = [mode for mode in ACCOUNTS if self._accounts.has_keys(mode)]
        async with self._one_at_a_time:
            return [
                await self._rebuild(mode, since, purpose, patience_seconds)
                for mode in modes
            ]

    async def _rebuild(
        self, mode: AccountName, since: datetime, purpose: Purpose, patience: float
    ) -> Rebuilt:
        found, problems = Found(mode), list[str]()
        try:
            try:
                await self.look(found, since, purpose)
            except BrokerError as exc:
                problems.append(str(exc))
            with trio.move_on_after(patience) as concluding:
                await self.conclude(found, purpose)
        finally:
            self._wait_no_more(found)
        if concluding.cancelled_caught:
            problems.append(
                f"not all that was found is settled after {patience:g} s; a daemon goes"
                " on with it"
            )
        problems += (
            f"order {each} has no row that can be written" for each in found.lost
        )
        return Rebuilt(mode, await self._read(found.rows), "; ".join(problems))

    async def look(self, found: Found, since: datetime, purpose: Purpose) -> None:
        """Write the row of each order of ours that has none.

        Args:
            found: Gets what was found, also where an error is raised, and otherwise
                what an earlier look has left to conclude.
            since: How far back to look.
            purpose: What the requests are for.

        Raises:
            BrokerError: The list did not come whole.
        """
        unknown: list[ListedOrder] = []
        problem: BrokerError | None = None
        try:
            await self._list(found, since, purpose, unknown)
        except BrokerError as exc:
            problem = exc
        await self._take_over(found, unknown)
        found.sells = await self._sells.adopt(found.mode, found.sells)
        if found.rows:
            log.warning(
                "%s since %s: %d of our orders had no row; each gets the one that is"
                " named above",
                found.mode,
                f"{since:%Y-%m-%d %H:%M} UTC",
                len(found.rows) + len(found.older),
            )
        if problem is not None:
            raise problem
        found.left = self._conclusions.left(found.mode, besides=found.rows)

    async def conclude(self, found: Found, purpose: Purpose) -> None:
        """Settle what was found, and close what the account does not hold any more."""
        names = [*found.rows, *found.left]
        self._conclusions.begin(names)
        try:
            await self._unsettled.wait_answered(names)
            for name in await self._sells.conclude(found.mode, found.sells):
                self._lose(found, name)
            rows = await self._read(names)
            symbols = {
                *(row.symbol for row in rows if has_bought(row)),
                *(order.symbol for order, _quantity in found.older),
            }
            held = await holdings(self._accounts, found.mode, symbols, purpose)
            await self._conclusions.conclude(rows, held)
            for order, quantity in found.older:
                left = held[order.symbol]
                is_sold = left is not None and left < _least(order, quantity)
                await self._adopt(found, [order._replace(is_sold=is_sold)])
                if not is_sold and left is not None and quantity is not None:
                    held[order.symbol] = max(left - quantity, Decimal(0))
            await self._unsettled.wait_answered(found.rows)
        finally:
            self._conclusions.end(names)
            self._wait_no_more(found)

    def _wait_no_more(self, found: Found) -> None:
        self._waiting -= {order.trade_id for order, _quantity in found.older}

    async def _list(
        self,
        found: Found,
        since: datetime,
        purpose: Purpose,
        unknown: list[ListedOrder],
    ) -> None:
        pages = OrderPages(since, is_ours, is_our_exit)
        with self._accounts.lease(found.mode) as lease:
            while not pages.is_over:
                await lease.take(purpose)
                try:
                    page = pages.take(await lease.use().page_of_orders(pages.path))
                except RateLimitedError as exc:
                    lease.client.budget.block(exc.wait_seconds)
                except UnknownOutcomeError:
                    if not pages.ask_for_less():
                        raise
                    await trio.sleep(_PAUSE_SECONDS)
                else:
                    unknown += await self._unknown(found, page)
        if pages.has_gap:
            log.warning(
                "%s lists more orders of one time than a page holds: some may not have"
                " been seen",
                found.mode,
            )

    async def _unknown(
        self, found: Found, page: Mapping[str, Mapping[str, Any]]
    ) -> list[ListedOrder]:
        """Return those buys of a page that no row knows; ask about misnamed ones."""
        names = list(page)
        unknown: list[ListedOrder] = []
        for at in range(0, len(names), _ASKED_AT_ONCE):
            some = names[at : at + _ASKED_AT_ONCE]
            ids = {name: page[name].get("id") for name in some}
            buys = {name: ids[name] for name in some if is_ours(name)}
            without_row, misnamed = await self._writer.write(
                partial(_compare, buys, found.mode)
            )
            for row in misnamed:
                self._dispute(row, ids[row.trade_id])
            without_row += await self._sells.unknown(ids.keys() - buys.keys())
            for name in without_row:
                if (order := read_listed(page[name])) is None:
                    self._report_unreadable(found, name)
                elif name not in buys:
                    found.sells.append(order)
                elif name not in self._waiting:
                    unknown.append(order)
        return unknown

    def _dispute(self, row: FoundRow, order_id: object) -> None:
        """Ask about a row that an event may have given another order's id."""
        log.warning(
            "%s trade=%s: its row names order %s, and %s lists %s: the broker is asked",
            *(row.symbol, row.trade_id, row.order_id, row.mode, order_id),
        )
        self._unsettled.dispute(row)

    def _report_unreadable(self, found: Found, name: str) -> None:
        is_told = name in self._lost
        self._lose(found, name)
        if is_told:
            return
        log.error(
            "%s lists order %s of ours that no row knows, and what it says of it cannot"
            " be read: look at the account",
            found.mode,
            name,
        )

    def _lose(self, found: Found, trade_id: str) -> None:
        found.lost.append(trade_id)
        self._lost.add(trade_id)

    async def _take_over(self, found: Found, unknown: list[ListedOrder]) -> None:
        symbols: set[str] = set()
        at_once: list[FoundOrder] = []
        # The newest first: what the account holds of a symbol is rather that one's.
        for each in sorted(unknown, key=lambda one: one.placed_at, reverse=True):
            order = found_order(found.mode, each)
            if order.ending is None:
                if order.symbol in symbols and each.is_final:
                    found.older.append((order, each.filled_qty))
                    self._waiting.add(order.trade_id)
                    continue
                symbols.add(order.symbol)
            at_once.append(order)
        await self._adopt(found, at_once)

    async def _read(self, trade_ids: list[str]) -> list[FoundRow]:
        def read(store: Store) -> list[FoundRow | None]:
            return [store.found.row(each) for each in trade_ids]

        return [row for row in await self._writer.write(read) if row is not None]

    async def _adopt(self, found: Found, orders: list[FoundOrder]) -> None:
        for at in range(0, len(orders), _WRITTEN_AT_ONCE):
            some = [
                Adoption(
                    *(self._unsettled, order),
                    is_told=order.trade_id in self._lost,
                    is_expected=self._is_shared,
                )
                for order in orders[at : at + _WRITTEN_AT_ONCE]
            ]
            for adoption in some:
                self._writer.put(adoption)
            for adoption in some:
                await adoption.over.wait()
                if adoption.row is not None:
                    found.rows.append(adoption.row.trade_id)
                    self._conclusions.add(adoption.row)
                elif adoption.is_lost:
                    self._lose(found, adoption.order.trade_id)


def _compare(
    order_ids: Mapping[str, object], mode: AccountName, store: Store
) -> tuple[list[str], list[FoundRow]]:
    return store.found.compare(order_ids, mode)


def _least(order: FoundOrder, quantity: Decimal | None) -> Decimal:
    """Return what the account has to hold at least if an order was not sold."""
    if quantity is None:
        return _DUST
    return quantity * (1 - asset_class(order.symbol).largest_fee) - _DUST
