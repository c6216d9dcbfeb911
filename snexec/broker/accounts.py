"""One client per mode, and the old one for as long as its orders need it (SPEC 5)."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from snexec.broker.budget import RateBudget
from snexec.broker.client import AlpacaClient
from snexec.broker.endpoint import SIMULATED_KEYS, Endpoint
from snexec.broker.tls import tls_context
from snexec.model import MODES
from snexec.settings import credentials_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snexec.broker.budget import Purpose
    from snexec.clock import Clock
    from snexec.model import Mode
    from snexec.settings import Settings


@dataclass(slots=True, eq=False)
class _Held:
    endpoint: Endpoint
    client: AlpacaClient
    leases: int = 0
    retired: bool = False
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)

    def close_if_unused(self) -> None:
        if self.retired and self.leases == 0:
            self.scope.cancel(reason="the client is replaced and no longer used")


class Lease:
    """A client that stays open until the block is left."""

    def __init__(self, held: _Held) -> None:
        self._held = held
        held.leases += 1

    @property
    def client(self) -> AlpacaClient:
        """The account's client."""
        return self._held.client

    def __enter__(self) -> AlpacaClient:
        return self.client

    def __exit__(self, *exc_info: object) -> None:
        self._held.leases -= 1
        self._held.close_if_unused()


class Accounts:
    """Owns the REST clients of both modes.

    Args:
        simulated_urls: The built-in exchange's URLs, when it answers for both modes.
        tls: The context that verifies the broker; without one it is made when needed.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        clock: Clock,
        environ: Mapping[str, str] = os.environ,
        simulated_urls: Mapping[Mode, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._clock = clock
        self._environ = environ
        self._simulated_urls = simulated_urls
        self._tls = tls
        self._nursery: trio.Nursery | None = None
        self._held = {
            mode: self._hold(self._endpoint(mode, settings), settings) for mode in MODES
        }
        self._keep_warm(settings)

    def endpoint(self, mode: Mode) -> Endpoint:
        """Return where a mode trades now."""
        return self._held[mode].endpoint

    def budget(self, mode: Mode) -> RateBudget:
        """Return the request budget of a mode's account."""
        return self._held[mode].client.budget

    def lease(self, mode: Mode) -> Lease:
        """Lend the client of a mode; it stays open until the last lease ends."""
        return Lease(self._held[mode])

    def try_take(self, mode: Mode, purpose: Purpose) -> Lease | None:
        """Lend the client of a mode with one request of its budget, if there is one."""
        return self.lease(mode) if self.budget(mode).try_take(purpose) else None

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
            old.close_if_unused()
            self._start(held)
        self._keep_warm(settings)
        return bool(new)

    def tls(self) -> ssl.SSLContext:
        """Return the context that verifies the broker; made once, when first needed."""
        if self._tls is None:
            self._tls = tls_context(self._environ)
        return self._tls

    async def run(self) -> None:
        """Keep the clients' connections, until cancelled."""
        try:
            async with trio.open_nursery() as self._nursery:
                for held in self._held.values():
                    self._start(held)
                await trio.sleep_forever()
        finally:
            self._nursery = None  # new settings may still come while the daemon stops

    def _start(self, held: _Held) -> None:
        if self._nursery is not None:
            name = f"connections of {held.endpoint.mode}"
            self._nursery.start_soon(self._run_client, held, name=name)

    async def _run_client(self, held: _Held) -> None:
        with held.scope:
            await held.client.run()

    def _keep_warm(self, settings: Settings) -> None:
        for mode, held in self._held.items():
            needed = mode == settings.mode
            held.client.keep_warm(settings.alpaca.warm_connections if needed else 0)

    def _endpoint(self, mode: Mode, settings: Settings) -> Endpoint:
        if self._simulated_urls is not None:
            return Endpoint(
                mode=mode, url=self._simulated_urls[mode], credentials=SIMULATED_KEYS
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
            ssl_context=self.tls() if secure else None,
        )
        return _Held(endpoint, client)
