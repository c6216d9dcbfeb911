"""One client per mode; a replaced one stays open while its orders need it (SPEC 5)."""

from __future__ import annotations

import resource
import ssl
from typing import TYPE_CHECKING, NamedTuple

import trio

from snexec.broker.budget import RateBudget
from snexec.broker.client import AlpacaClient
from snexec.broker.endpoint import SIMULATED_KEYS, DataEndpoint, Endpoint
from snexec.broker.lease import Held, Lease
from snexec.broker.tls import tls_context
from snexec.model import ACCOUNTS
from snexec.settings import credentials_for

if TYPE_CHECKING:
    from snexec.broker.budget import Purpose
    from snexec.broker.data import DataClient
    from snexec.broker.simulated import BuiltInExchange
    from snexec.clock import Clock
    from snexec.model import AccountName
    from snexec.settings import LiveSettings, Settings


_FILES_A_CONNECTION = 4  # may be open for each that is kept warm


class BudgetStatus(NamedTuple):
    """An account's request budget.

    Attributes:
        left: Requests that may still be made in this minute.
        limit: Requests a minute.
    """

    left: int
    limit: int


class Accounts:
    """Owns the REST clients of every account, one a mode.

    Args:
        live: Where they are and how patient to be, as the settings say now.
        clock: For the broker's dates.
        exchange: The simulated one, where it answers for the broker.
        tls: The context that verifies the broker; without one it is made when needed.
    """

    def __init__(
        self,
        live: LiveSettings,
        clock: Clock,
        *,
        exchange: BuiltInExchange | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._clock = clock
        self._environ = live.environ
        self._exchange = exchange
        self._tls = tls
        self._nursery: trio.Nursery | None = None
        settings = live.now
        self._held = {
            mode: self._hold(self._endpoint(mode, settings), settings)
            for mode in ACCOUNTS
        }
        self._keep_warm(settings)

    @property
    def simulated(self) -> bool:
        """Whether the simulated exchange answers for the broker."""
        return self._exchange is not None

    def name_of(self, mode: AccountName) -> str:
        """Name an account as a person would."""
        return f"simulated {mode}" if self.simulated else mode

    def status(self) -> dict[AccountName, BudgetStatus]:
        """Return each account's request budget."""
        budgets = {mode: self.budget(mode) for mode in ACCOUNTS}
        return {
            mode: BudgetStatus(budget.left, budget.limit)
            for mode, budget in budgets.items()
        }

    def endpoint(self, mode: AccountName) -> Endpoint:
        """Return where a mode trades now."""
        return self._held[mode].endpoint

    def has_keys(self, mode: AccountName) -> bool:
        """Return whether there are keys for a mode; the simulated exchange gives some."""
        return self._held[mode].endpoint.credentials is not None

    def data_endpoint(
        self, mode: AccountName, *, url: str, stream_url: str
    ) -> DataEndpoint:
        """Return where market data comes from, with a mode's keys or else another's.

        Args:
            mode: Whose keys are taken first; market data takes those of either.
            url: Its REST base URL, unless the simulated exchange answers.
            stream_url: The base URL of its streams, likewise.
        """
        if self._exchange is not None:
            url = self._exchange.data_url
            stream_url = "ws" + url.removeprefix("http")
        keys = [self.endpoint(each).credentials for each in (mode, *ACCOUNTS)]
        return DataEndpoint(url, stream_url, next(filter(None, keys), None))

    def data_client(
        self, endpoint: DataEndpoint, *, timeout_seconds: float
    ) -> DataClient:
        """Return a client of market data, with a budget that nobody else uses."""
        from snexec.broker.data import DataClient  # noqa: PLC0415 - needed by few

        return DataClient(
            endpoint, timeout_seconds=timeout_seconds, clock=self._clock, tls=self.tls
        )

    def budget(self, mode: AccountName) -> RateBudget:
        """Return the request budget of a mode's account."""
        return self._held[mode].client.budget

    def lease(self, mode: AccountName) -> Lease:
        """Lend the client of a mode; it stays open until the last lease ends."""
        return Lease(self._held[mode])

    def try_take(self, mode: AccountName, purpose: Purpose) -> Lease | None:
        """Lend the client of a mode with one request of its budget, if there is one."""
        if not self.budget(mode).try_take(purpose):
            return None
        return Lease(self._held[mode], purpose)

    def begin_anew(self, uncounted_seconds: float) -> None:
        """After a gap: trust no idle connection, and no budget of another minute.

        Args:
            uncounted_seconds: As many of the gap's as Trio's clock has not counted.
        """
        for held in self._held.values():
            held.client.budget.age(uncounted_seconds)
            held.client.renew_connections()

    def reconfigure(self, settings: Settings) -> bool:
        """Use the endpoints of new settings from now on.

        Returns:
            Whether anything changed.

        Raises:
            ConfigError: The keys of a mode cannot be used; nothing has changed.
            OSError: The certificates cannot be read; nothing has changed.
        """
        endpoints = [self._endpoint(mode, settings) for mode in ACCOUNTS]
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
        """Return the context that verifies the broker; it is made once, when needed."""
        if self._tls is None:
            self._tls = tls_context(self._environ)
        return self._tls

    async def run(self) -> None:
        """Keep the clients' connections open, until cancelled."""
        try:
            async with trio.open_nursery() as self._nursery:
                for held in self._held.values():
                    self._start(held)
                await trio.sleep_forever()
        finally:
            self._nursery = None  # new settings may still arrive while the daemon stops

    def _start(self, held: Held) -> None:
        if self._nursery is not None:
            name = f"connections of {held.endpoint.mode}"
            self._nursery.start_soon(self._run_client, held, name=name)

    async def _run_client(self, held: Held) -> None:
        with held.scope:
            await held.client.run()

    def _keep_warm(self, settings: Settings) -> None:
        connections = settings.alpaca.warm_connections
        limit, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if limit != resource.RLIM_INFINITY:
            # The stream, clients and the database need open files as well.
            connections = min(connections, limit // _FILES_A_CONNECTION)
        for mode, held in self._held.items():
            held.client.keep_warm(connections if mode == settings.mode else 0)

    def _endpoint(self, mode: AccountName, settings: Settings) -> Endpoint:
        if self._exchange is not None:
            return Endpoint(
                mode=mode, url=self._exchange.urls[mode], credentials=SIMULATED_KEYS
            )
        return Endpoint(
            mode=mode,
            url=settings.base_url(mode),
            credentials=credentials_for(mode, settings, self._environ),
        )

    def _hold(self, endpoint: Endpoint, settings: Settings) -> Held:
        secure = endpoint.url.startswith("https:")
        client = AlpacaClient(
            mode=endpoint.mode,
            base_url=endpoint.url,
            credentials=endpoint.credentials,
            budget=RateBudget(
                per_minute=settings.alpaca.rate_limit_per_min, clock=self._clock
            ),
            timeout_seconds=settings.alpaca.order_timeout_sec,
            clock=self._clock,
            ssl_context=self.tls() if secure else None,
        )
        return Held(endpoint, client)
