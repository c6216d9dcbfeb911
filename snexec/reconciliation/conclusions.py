"""What became of the shares of rows that were found: kept, or sold meanwhile (SPEC 8, 11)."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import TYPE_CHECKING

from snexec.model import ACCOUNTS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from snexec.ledger import FoundRow, Ledger, Store
    from snexec.model import AccountName

log = logging.getLogger("Recovery")


class Conclusions:
    """Closes what is sold; what is not known yet it remembers, as the file does.

    Args:
        ledger: The rows.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._left: dict[AccountName, set[str]] = {mode: set() for mode in ACCOUNTS}
        self._under_way: set[str] = set()

    def load(self) -> None:
        """Take over the rows that an earlier run has not concluded."""
        for mode, rows in self._ledger.unconcluded.items():
            self._left[mode] |= set(rows)

    def add(self, row: FoundRow) -> None:
        """Have a row that was just written concluded, unless it is."""
        if not is_over(row):
            self._left[row.mode].add(row.trade_id)

    def left(self, mode: AccountName, *, besides: Iterable[str]) -> list[str]:
        """Return the rows of a mode that nobody is at, besides these."""
        return sorted(self._left[mode] - self._under_way - set(besides))

    def begin(self, trade_ids: Iterable[str]) -> None:
        """Note that these rows are about to be concluded."""
        self._under_way.update(trade_ids)

    def end(self, trade_ids: Iterable[str]) -> None:
        """Note that they are, or cannot be now."""
        self._under_way.difference_update(trade_ids)

    async def conclude(
        self, rows: list[FoundRow], held: dict[str, Decimal | None]
    ) -> None:
        """Close each row whose shares are gone, and keep the others.

        Args:
            rows: Rows of one account.
            held: What it holds of each symbol, None where that is not known; less by
                what is kept afterwards.
        """
        kept = [row for row in rows if is_over(row) and not has_bought(row)]
        # The newest first: what the account holds of a symbol is rather that one's.
        for row in sorted(rows, key=lambda one: str(one.created_at), reverse=True):
            if not has_bought(row):
                continue
            left = held[row.symbol]
            if left == 0:
                await self._close(row)
            elif left is not None:
                claim = Decimal(str(row.shares)) - row.sold
                held[row.symbol] = max(left - claim, Decimal(0))
                kept.append(row)
        if kept:
            await self._keep(kept[0].mode, [row.trade_id for row in kept])

    async def _close(self, row: FoundRow) -> None:
        closed = await self._ledger.writer.write(
            lambda store: store.found.close(row.trade_id)
        )
        if closed is not None:
            self._left[row.mode].discard(row.trade_id)
            log.warning(
                "%s trade=%s: the account holds none of it any more; its row is closed"
                " (rebuilt)",
                row.symbol,
                row.trade_id,
            )

    async def _keep(self, mode: AccountName, trade_ids: list[str]) -> None:
        """Note that the account holds what rows bought, or that they bought nothing."""

        def keep(store: Store) -> set[str]:
            return {each for each in trade_ids if store.found.keep(each)}

        self._left[mode] -= await self._ledger.writer.write(keep)


def has_bought(row: FoundRow) -> bool:
    """Return whether a row says finally that it holds something."""
    return row.is_settled and row.shares is not None and row.status != "closed"


def is_over(row: FoundRow) -> bool:
    """Return whether its order changes nothing in a row any more."""
    return row.is_settled or row.status == "closed"
