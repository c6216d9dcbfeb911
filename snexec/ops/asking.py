"""Asks the daemon's own accounts for the operator, within recovery's share of requests."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from snexec.broker import Purpose
from snexec.errors import BrokerError, NoAccountError, RateLimitedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from snexec.broker import Accounts, AlpacaClient
    from snexec.model import Mode

_ASK_SECONDS = 6.0  # a question; two are less than a client waits for its answer


@asynccontextmanager
async def client_of(accounts: Accounts, mode: Mode) -> AsyncIterator[AlpacaClient]:
    """Take an account's client for one question.

    Raises:
        NoAccountError: There are no keys for it.
        BrokerError: It does not answer, or not in time.
    """
    if not accounts.has_keys(mode):
        raise NoAccountError(f"there are no keys for {mode}")
    try:
        with trio.fail_after(_ASK_SECONDS), accounts.lease(mode) as lease:
            await lease.take(Purpose.RECOVERY)
            try:
                yield lease.use()
            except RateLimitedError as exc:
                lease.client.budget.block(exc.wait_seconds)
                raise
    except trio.TooSlowError:
        raise BrokerError(f"no answer within {_ASK_SECONDS:g} s") from None
