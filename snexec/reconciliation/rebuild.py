"""Rows written for orders of ours that no row knows (SPEC 8, 11, 13).

Recovery goes from rows to orders; this goes the other way. A row may be missing where an
older file was put back, or where an order counted as refused and was not.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

import trio

from snexec.assets import asset_class, canonical_symbol
from snexec.broker import OrderPages, Purpose
from snexec.errors import BrokerError, RateLimitedError, UnknownOutcomeError
from snexec.ledger import FoundOrder, is_ours
from snexec.logs import OrderLog
from snexec.model import ACCOUNTS
from snexec.reconciliation.holdings import holdings

if TYPE_CHECKING:
    from datetime import datetime

    from snexec.broker import Accounts, ListedOrder
    from snexec.ledger import Ending, FoundRow, Ledger, Store
    from snexec.model import AccountName
    from snexec.reconciliation.unsettled import UnsettledOrders

log = logging.getLogger("Recovery")
order_log = OrderLog(log)

_ASKED_AT_ONCE = 100  # ids in one change, which an order's row may have to wait for
_PAUSE_SECONDS = 1.0  # before a page that did not come whole is asked for in parts
_DUST = Decimal("1e-9")  # rows hold floats


@dataclass(slots=True, eq=False)
class Found:
    """What one look at an account found.

    Attributes:
        rows: The ids of the rows that were written.
        older: Orders that bought, and how much, the newest first: a newer one of their
            symbol was found too, so the position says whether they were sold.
    """

    mode: AccountName
    rows: list[str] = field(default_factory=list)
    older: list[tuple[FoundOrder, Decimal | None]] = field(default_factory=list)


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
    """

    def __init__(
        self, accounts: Accounts, ledger: Ledger, unsettled: UnsettledOrders
    ) -> None:
        self._accounts = accounts
        self._writer = ledger.writer
        self._unsettled = unsettled
        self._waiting: set[str] = set()  # as `Found.older`, of every look

    async def rebuild(self, since: datetime, *, purpose: Purpose) -> list[Rebuilt]:
        """Look at each account with keys, and wait until all is in the rows."""
        modes = [mode for mode in ACCOUNTS if self._accounts.has_keys(mode)]
        return [await self._rebuild(mode, since, purpose) for mode in modes]

    async def _rebuild(
        self, mode: AccountName, since: datetime, purpose: Purpose
    ) -> Rebuilt:
        found, problem = Found(mode), ""
        try:
            try:
                await self.look(found, since, purpose)
            except BrokerError as exc:
                problem = str(exc)
            await self.conclude(found, purpose)
        finally:
            self._wait_no_more(found)
        return Rebuilt(mode, await self._read(found.rows), problem)

    async def look(self, found: Found, since: datetime, purpose: Purpose) -> None:
        """Write the row of each order of ours that has none.

        Args:
            found: Gets what was found, also where an error is raised.
            since: How far back to look.
            purpose: What the requests are for.

        Raises:
            BrokerError: The list did not come whole.
        """
        listed: dict[str, ListedOrder] = {}
        problem: BrokerError | None = None
        try:
            await self._list(found.mode, since, purpose, listed)
        except BrokerError as exc:
            problem = exc
        await self._take_over(found, listed)
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

    async def conclude(self, found: Found, purpose: Purpose) -> None:
        """Settle what was found, and close what the account does not hold any more."""
        try:
            await self._unsettled.wait_answered(found.rows)
            bought = [row for row in await self._read(found.rows) if _has_bought(row)]
            symbols = {
                *(row.symbol for row in bought),
                *(order.symbol for order, _quantity in found.older),
            }
            held = await holdings(self._accounts, found.mode, symbols, purpose)
            for row in bought:
                left = held[row.symbol]
                if left == 0:
                    await self._close(row)
                elif left is not None:
                    held[row.symbol] = max(left - Decimal(str(row.shares)), Decimal(0))
            for order, quantity in found.older:
                left = held[order.symbol]
                is_sold = left is not None and left < _least(order, quantity)
                await self._adopt(found, order._replace(is_sold=is_sold))
                if not is_sold and left is not None and quantity is not None:
                    held[order.symbol] = max(left - quantity, Decimal(0))
            await self._unsettled.wait_answered(found.rows)
        finally:
            self._wait_no_more(found)

    def _wait_no_more(self, found: Found) -> None:
        self._waiting -= {order.trade_id for order, _quantity in found.older}

    async def _list(
        self,
        mode: AccountName,
        since: datetime,
        purpose: Purpose,
        listed: dict[str, ListedOrder],
    ) -> None:
        pages = OrderPages(since, is_ours)
        with self._accounts.lease(mode) as lease:
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
                    listed.update((each.client_order_id, each) for each in page)
        for name in pages.unreadable:
            log.error(
                "%s lists order %s of ours, and what it says of it cannot be read: look"
                " whether a row has it",
                mode,
                name,
            )
        if pages.has_gap:
            log.warning(
                "%s lists more orders of one time than a page holds: some may not have"
                " been seen",
                mode,
            )

    async def _take_over(self, found: Found, listed: dict[str, ListedOrder]) -> None:
        unknown = [listed[each] for each in await self._unknown(list(listed))]
        symbols: set[str] = set()
        # The newest first: what the account holds of a symbol is rather that one's.
        for each in sorted(unknown, key=lambda one: one.placed_at, reverse=True):
            order = _found_order(found.mode, each)
            if order.ending is None:
                if order.symbol in symbols and each.is_final:
                    found.older.append((order, each.filled_qty))
                    self._waiting.add(order.trade_id)
                    continue
                symbols.add(order.symbol)
            await self._adopt(found, order)

    async def _unknown(self, trade_ids: list[str]) -> list[str]:
        unknown: list[str] = []
        for at in range(0, len(trade_ids), _ASKED_AT_ONCE):
            unknown += await self._writer.write(
                _Question(trade_ids[at : at + _ASKED_AT_ONCE])
            )
        return [each for each in unknown if each not in self._waiting]

    async def _read(self, trade_ids: list[str]) -> list[FoundRow]:
        def read(store: Store) -> list[FoundRow | None]:
            return [store.found.row(each) for each in trade_ids]

        return [row for row in await self._writer.write(read) if row is not None]

    async def _adopt(self, found: Found, order: FoundOrder) -> None:
        adoption = _Adoption(self._unsettled, order)
        self._writer.put(adoption)
        await adoption.over.wait()
        if adoption.row is not None:
            found.rows.append(order.trade_id)

    async def _close(self, row: FoundRow) -> None:
        closed = await self._writer.write(lambda store: store.found.close(row.trade_id))
        if closed is not None:
            log.warning(
                "%s trade=%s: the account holds none of it any more; its row is closed"
                " (rebuilt)",
                row.symbol,
                row.trade_id,
            )


@dataclass(slots=True)
class _Question:
    """Which of some ids no row has."""

    trade_ids: list[str]

    def __call__(self, store: Store) -> list[str]:
        return store.found.unknown(self.trade_ids)


class _Adoption:
    """The change that writes the row of an order, and has the order followed.

    Attributes:
        row: The row that was written; None if there was one, or it cannot be written.
        over: Set once that is decided.
    """

    def __init__(self, unsettled: UnsettledOrders, order: FoundOrder) -> None:
        self._unsettled = unsettled
        self._order = order
        self.row: FoundRow | None = None
        self.over = trio.Event()

    def apply(self, store: Store) -> FoundRow | None:
        """Write the row, unless there is one by now."""
        return store.found.adopt(self._order)

    def done(self, row: FoundRow | None) -> None:
        """Say so, and ask about the order as about any that is not settled."""
        self.row = row
        self.over.set()
        if row is None:
            return
        order = self._order
        order_log.error(
            order,
            "the broker has order %s of ours that no row knows: its row is written, %s",
            order.order_id,
            row.status if row.reason is None else f"{row.status} ({row.reason})",
        )
        if not row.is_settled:
            self._unsettled.found(order, is_missed=row.status == "missed")

    def failed(self, error: Exception) -> None:
        """Log that the row cannot be written."""
        self.over.set()
        order_log.error(
            self._order,
            "the broker has order %s of ours that no row knows, and its row cannot be"
            " written (%s): what it bought is held by no row; look at the account",
            self._order.order_id,
            error,
        )


def _found_order(mode: AccountName, listed: ListedOrder) -> FoundOrder:
    try:
        symbol = canonical_symbol(listed.symbol)
    except ValueError:
        symbol = listed.symbol  # a pair such as ETH/BTC, which was ordered once
    return FoundOrder(
        trade_id=listed.client_order_id,
        symbol=symbol,
        mode=mode,
        order_id=listed.id,
        notional=listed.notional,
        placed_at=listed.placed_at,
        ending=_ending(listed),
    )


def _ending(listed: ListedOrder) -> Ending | None:
    """Return how an order ended that has bought nothing; None if it may have."""
    if listed.filled_qty is None or not listed.filled_qty.is_zero():
        return None
    match listed.status:
        case "canceled" | "expired" | "rejected" as how:
            return how
        case _:
            return None


def _has_bought(row: FoundRow) -> bool:
    return row.is_settled and row.shares is not None and row.status != "closed"


def _least(order: FoundOrder, quantity: Decimal | None) -> Decimal:
    """Return what the account has to hold at least if an order was not sold."""
    if quantity is None:
        return _DUST
    return quantity * (1 - asset_class(order.symbol).largest_fee) - _DUST
