"""Rows rebuilt from what the broker has, when the operator asks for it (SPEC 13)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from snexec.broker import Purpose

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from snexec.ops.wings import Wings
    from snexec.reconciliation import Rebuilt

LOOKS_BACK = timedelta(days=7)
PATIENCE_SECONDS = 120.0  # for what each account's orders have come to


async def rebuild(wings: Wings, since: datetime | None) -> dict[str, object]:
    """Rebuild within the daemon, and return the fields of its answer."""
    if not wings.ledger.healthy:
        return {"status": "refused", "error": "the database cannot be written"}
    since = since or wings.ledger.clock.now() - LOOKS_BACK
    return described(
        await wings.reconciler.rebuild.rebuild(
            since, purpose=Purpose.ROUTINE, patience_seconds=PATIENCE_SECONDS
        )
    )


def described(accounts: Iterable[Rebuilt]) -> dict[str, object]:
    """Return what was done as the fields of an answer."""
    accounts = list(accounts)
    return {
        "rows": [
            {
                "tradeId": row.trade_id,
                "symbol": row.symbol,
                "mode": row.mode,
                "orderId": row.order_id,
                "status": row.status,
                "exitReason": row.reason,
                "shares": row.shares,
                "entryPrice": row.entry_price,
                "settled": row.is_settled,
            }
            for account in accounts
            for row in account.rows
        ],
        "asked": [account.mode for account in accounts],
        "problems": {each.mode: each.problem for each in accounts if each.problem},
    }
