"""One client per mode, and the old one for as long as its orders need it (SPEC 5)."""

from __future__ import annotations

import math
import os
import ssl
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio
from pydantic import SecretStr

from snexec.broker import AlpacaClient, tls_context
from snexec.budget import RateBudget
from snexec.settings import MODES, Credentials, credentials_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from snexec.clock import Clock
    from snexec.settings import Mode, Settings

_SIMULATED_KEYS = Credentials(
    key=SecretStr("simulated"), secret=SecretStr("simulated-secret")
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """Where a mode trades, and with which keys.

    Attributes:
        url: REST base URL, without a trailing slash.
    """

    mode: Mode
    url: str
    credentials: Credentials | None

    @property
    def stream_url(self) -> str:
        """The trading stream's URL (SPEC 7)."""
        return "ws" + self.url.removeprefix("http") + "/stream"


@dataclass(slots=True, eq=False)
class _Held:
    endpoint: Endpoint
    client: AlpacaClient
    leases: int = 0
    retired: bool = False


class Accounts:
    """Owns the REST clients of both modes.

    Args:
        simulated_urls: The built-in exchange's URLs, when it answers for both modes.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        clock: Clock,
        environ: Mapping[str, str] = os.environ,
        simulated_urls: Mapping[Mode, str] | None = None,
    ) -> None:
        self._clock = clock
        self._environ = environ
        self._simulated_urls = simulated_urls
        self._tls: ssl.SSLContext | None = None
        self._retired_send, self._retired = trio.open_memory_channel[_Held](math.inf)
        self._held = {
            mode: self._hold(self._endpoint(mode, settings), settings) for mode in MODES
        }

    def endpoint(self, mode: Mode) -> Endpoint:
        """Return where a mode trades now."""
        return self._held[mode].endpoint

    def budget(self, mode: Mode) -> RateBudget:
        """Return the request budget of a mode's account."""
        return self._held[mode].client.budget

    @contextmanager
    def lease(self, mode: Mode) -> Iterator[AlpacaClient]:
        """Lend the client of a mode; it stays open until the last lease ends."""
        held = self._held[mode]
        held.leases += 1
        try:
            yield held.client
        finally:
            held.leases -= 1
            if held.retired and held.leases == 0:
                self._retired_send.send_nowait(held)

    def reconfigure(self, settings: Settings) -> bool:
        """Trade at the endpoints of new settings from now on.

        Returns:
            Whether anything changed.

        Raises:
            ConfigError: The keys of a mode cannot be used; nothing has changed.
            OSError: The certificates cannot be read; nothing has changed.
        """
        endpoints = [self._endpoint(mode, settings) for mode in MODES]
        new = [
            self._hold(endpoint, settings)
            for endpoint in endpoints
            if endpoint != self._held[endpoint.mode].endpoint
        ]
        for held in new:
            mode = held.endpoint.mode
            old, self._held[mode] = self._held[mode], held
            old.retired = True
            if old.leases == 0:
                self._retired_send.send_nowait(old)
        return bool(new)

    def tls(self) -> ssl.SSLContext:
        """Return the context that verifies the broker; made once, when first needed."""
        if self._tls is None:
            self._tls = tls_context(self._environ)
        return self._tls

    async def run(self) -> None:
        """Close retired clients, until cancelled; then close all."""
        try:
            async for held in self._retired:
                await held.client.aclose()
        finally:
            with trio.move_on_after(1, shield=True):
                for held in self._held.values():
                    await held.client.aclose()

    def _endpoint(self, mode: Mode, settings: Settings) -> Endpoint:
        if self._simulated_urls is not None:
            return Endpoint(
                mode=mode, url=self._simulated_urls[mode], credentials=_SIMULATED_KEYS
            )
        return Endpoint(
            mode=mode,
            url=settings.base_url(mode),
            credentials=credentials_for(mode, settings, self._environ),
        )

    def _hold(self, endpoint: Endpoint, settings: Settings) -> _Held:
        secure = endpoint.url.startswith("https:")
        client = AlpacaClient(
            mode=endpoint.mode,
            base_url=endpoint.url,
            credentials=endpoint.credentials,
            budget=RateBudget(
                per_minute=settings.alpaca.rate_limit_per_min, clock=self._clock
            ),
            timeout_seconds=settings.alpaca.order_timeout_sec,
            max_connections=settings.intake.max_in_flight,
            clock=self._clock,
            ssl_context=self.tls() if secure else False,
        )
        return _Held(endpoint, client)
