"""Sells of ours that the broker lists and no row knows, written again (SPEC 12.2, 13).

The rows that they sold come first: a sell whose buy is not settled waits for that.
"""

from __future__ import annotations

import logging
import sqlite3
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Literal

from snexec.ledger import ExitApplied, FoundExit
from snexec.logs import OrderLog
from snexec.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from snexec.broker import ListedOrder
    from snexec.ledger import Store, Writer
    from snexec.model import AccountName

log = logging.getLogger("Recovery")
order_log = OrderLog(log)

_REMEMBERED = 256


class FoundSells:
    """Writes such sells beside their rows.

    Args:
        writer: Writes them.
        hears: Called with what became of each, once it is durable; one that is not
            settled has to be followed.
    """

    def __init__(
        self, writer: Writer, hears: Callable[[ExitApplied], object] | None = None
    ) -> None:
        self._writer = writer
        self._hears = hears
        self._told: Recent[str] = Recent(_REMEMBERED)

    async def unknown(self, exit_ids: Collection[str]) -> list[str]:
        """Return those ids of sells that the file does not have."""
        if not exit_ids:
            return []
        return await self._writer.write(partial(_unknown, list(exit_ids)))

    async def adopt(
        self, mode: AccountName, sells: Sequence[ListedOrder]
    ) -> list[ListedOrder]:
        """Write sells, and close the rows that were sold by them.

        Returns:
            Those that cannot be written before their rows are there and settled.
        """
        waiting: list[ListedOrder] = []
        for each in sorted(sells, key=_placed_at):
            try:
                result = await self._writer.write(
                    partial(_adopt, found_exit(mode, each))
                )
            except sqlite3.Error as exc:
                log.error(  # noqa: TRY400 - the reason says it all
                    "%s lists sell %s of ours, which cannot be written (%s): its row is"
                    " not what the account holds; look at both",
                    mode,
                    each.client_order_id,
                    exc,
                )
                continue
            if isinstance(result, ExitApplied):
                self._report(result)
            elif result != "known":
                waiting.append(each)
        return waiting

    async def conclude(
        self, mode: AccountName, sells: Sequence[ListedOrder]
    ) -> list[str]:
        """Write the sells whose rows are there by now, and name the others.

        Returns:
            The ids of those that have no row.
        """
        names = [each.client_order_id for each in await self.adopt(mode, sells)]
        for name in names:
            if name not in self._told:
                self._told.add(name)
                log.error(
                    "%s lists sell %s of ours, whose row is not there or not settled:"
                    " look further back (snexec rebuild --since)",
                    mode,
                    name,
                )
        return names

    def _report(self, applied: ExitApplied) -> None:
        order_log.error(
            applied,
            "the broker has sell %s of ours that no row knows: it is written, %s sold;"
            " the row is %s",
            applied.order_id,
            applied.sold,
            applied.row_status,
        )
        if self._hears is not None:
            self._hears(applied)


def found_exit(mode: AccountName, listed: ListedOrder) -> FoundExit:
    """Return a listed sell as the file will have it."""
    sold = listed.filled_qty
    return FoundExit(
        id=listed.client_order_id,
        mode=mode,
        order_id=listed.id,
        quantity=listed.quantity or sold or Decimal(0),
        sold=sold or Decimal(0),
        price=listed.price,
        placed_at=listed.placed_at,
        ended=_ended(listed),
        ended_at=listed.filled_at,
        stop_price=listed.stop_price,
    )


def _ended(
    listed: ListedOrder,
) -> Literal["filled", "canceled", "expired", "rejected"] | None:
    """Return how a sell ended; None if it has not, or its numbers cannot be read."""
    sold = listed.filled_qty
    match listed.status:
        case "filled" if sold and listed.price is not None:
            return "filled"
        case "canceled" | "expired" | "rejected" as how if sold is not None:
            return how
        case _:
            return None


def _placed_at(listed: ListedOrder) -> float:
    return listed.placed_at.timestamp()


def _unknown(exit_ids: list[str], store: Store) -> list[str]:
    return store.exits.unknown(exit_ids)


def _adopt(found: FoundExit, store: Store) -> object:
    return store.exits.adopt(found)
