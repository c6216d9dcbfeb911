"""What an account holds of some symbols (ALPACA 2.2, SPEC 12.8a)."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import trio

from snexec.errors import BrokerError, NotFoundError, RateLimitedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from snexec.broker import Accounts, Purpose
    from snexec.model import AccountName

_LAG_SECONDS = 15.0  # positions have been seen to lag 10 s behind their orders
_RETRY_SECONDS = (1.0, 5.0)


async def holdings(
    accounts: Accounts, mode: AccountName, symbols: Iterable[str], purpose: Purpose
) -> dict[str, Decimal | None]:
    """Return what is held of each symbol; None where the broker gives no answer.

    A position that is not there counts as gone only when it is not there later either.
    """
    held = {each: await _ask(accounts, mode, each, purpose) for each in symbols}
    if gone := [symbol for symbol, quantity in held.items() if quantity == 0]:
        await trio.sleep(_LAG_SECONDS)
        for symbol in gone:
            held[symbol] = await _ask(accounts, mode, symbol, purpose)
    return held


async def _ask(
    accounts: Accounts, mode: AccountName, symbol: str, purpose: Purpose
) -> Decimal | None:
    for pause in (*_RETRY_SECONDS, None):
        with accounts.lease(mode) as lease:
            await lease.take(purpose)
            try:
                return await lease.use().position_quantity(symbol)
            except NotFoundError:
                return Decimal(0)
            except RateLimitedError as exc:
                lease.client.budget.block(exc.wait_seconds)
            except BrokerError:
                pass
        if pause is not None:
            await trio.sleep(pause)
    return None
