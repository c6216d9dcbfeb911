"""Alpaca's market data over REST: its own host, its own budget (ALPACA-EXITS 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snexec.broker.budget import Purpose, RateBudget
from snexec.broker.lookups import LookUps
from snexec.broker.replies import ReplyReader
from snexec.errors import RateLimitedError
from snexec.logs import SecretMask

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from snexec.broker.endpoint import DataEndpoint
    from snexec.clock import Clock

REQUESTS_A_MINUTE = 200  # of a free plan; the broker's headers say it if there are more


class DataClient:
    """Asks market data, within a budget of its own.

    Each question has a connection of its own, so there is nothing to close.

    Args:
        endpoint: Where, and with which keys; it must have some.
        timeout_seconds: How long a whole question may take.
        clock: For the broker's dates.
        tls: Gives the context that verifies an https:// host.

    Attributes:
        endpoint: As given.
        budget: The requests of this minute.
    """

    def __init__(
        self,
        endpoint: DataEndpoint,
        *,
        timeout_seconds: float,
        clock: Clock,
        tls: Callable[[], ssl.SSLContext],
    ) -> None:
        assert endpoint.credentials is not None  # noqa: S101 - the caller checked
        self.endpoint = endpoint
        self.budget = RateBudget(per_minute=REQUESTS_A_MINUTE, clock=clock)
        key, secret = endpoint.credentials.values()
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "APCA-API-KEY-ID": key,
            "APCA-API-SECRET-KEY": secret,
        }
        self._look_ups = LookUps(
            endpoint.url,
            headers=headers,
            timeout_seconds=timeout_seconds,
            tls=tls() if endpoint.url.startswith("https:") else None,
        )
        mask = SecretMask()
        mask.learn([key, secret])
        self._replies = ReplyReader(mask=mask, budget=self.budget, clock=clock)

    async def get(self, path: str) -> bytes:
        """Ask a question, and return the body of the 200.

        Raises:
            RateLimitedError: The budget leaves no request now, or the broker says so.
            RefusedError: The broker refuses, and that is final.
            NotSentError: The broker could not be asked.
            UnknownOutcomeError: There is no whole answer.
        """
        budget = self.budget
        if not budget.try_take(Purpose.START):
            wait = budget.seconds_until(Purpose.START)
            raise RateLimitedError("no request is left this minute", wait_seconds=wait)
        reply, problem, sent = None, "", False
        try:
            reply, problem, sent = await self._look_ups.ask("GET", path)
        finally:
            budget.finish(reply.headers if reply is not None else None)
        try:
            return self._replies.content(reply, problem, sent=sent)
        except RateLimitedError as exc:
            budget.block(exc.wait_seconds)
            raise
