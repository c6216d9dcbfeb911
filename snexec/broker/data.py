"""Alpaca's market data over REST: its own host, its own budget (ALPACA-EXITS 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snexec.broker.budget import Purpose, RateBudget
from snexec.broker.client import import_look_ups
from snexec.broker.replies import ReplyReader
from snexec.errors import NotSentError, RateLimitedError
from snexec.logs import SecretMask
from snexec.threads import in_own_thread

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from snexec.broker.endpoint import DataEndpoint
    from snexec.broker.lookups import LookUps
    from snexec.clock import Clock

REQUESTS_A_MINUTE = 200  # of a free plan; the broker's headers say it if there are more
_CONNECT_SHARE = 0.9  # of the time that a whole request may take


class DataClient:
    """Asks market data, within a budget of its own.

    Each question has a connection of its own, so there is nothing to close.

    Args:
        endpoint: Where, and with which keys; it must have some.
        timeout_seconds: How long a whole question may take.
        clock: For the broker's dates.
        tls: Makes the context that verifies an https:// host.

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
        self._headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "APCA-API-KEY-ID": key,
            "APCA-API-SECRET-KEY": secret,
        }
        self._timeout_seconds = timeout_seconds
        self._tls = tls
        mask = SecretMask()
        mask.learn([key, secret])
        self._replies = ReplyReader(mask=mask, budget=self.budget, clock=clock)
        self._look_ups: LookUps | None = None

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
            look_ups = self._look_ups or await self._begin()
            reply, problem, sent = await look_ups.ask("GET", path)
        finally:
            budget.finish(reply.headers if reply is not None else None)
        try:
            return self._replies.content(reply, problem, sent=sent)
        except RateLimitedError as exc:
            budget.block(exc.wait_seconds)
            raise

    async def _begin(self) -> LookUps:
        try:
            make = await in_own_thread("import of look-ups", import_look_ups)
        except (OSError, ImportError) as exc:
            raise NotSentError(str(exc)) from None
        secure = self.endpoint.url.startswith("https:")
        self._look_ups = self._look_ups or make(
            self.endpoint.url,
            headers=self._headers,
            timeout_seconds=self._timeout_seconds,
            dial_seconds=_CONNECT_SHARE * self._timeout_seconds,
            ssl_context=self._tls() if secure else None,
        )
        return self._look_ups
