"""The exchange as a whole: two accounts behind one loopback port."""

import random
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Literal

import trio
from starlette.routing import BaseRoute, Mount, Router, WebSocketRoute

from snexec.exchange.account import Account
from snexec.exchange.announcements import Announcements
from snexec.exchange.assets import canonical
from snexec.exchange.connections import serve
from snexec.exchange.control_routes import control_routes
from snexec.exchange.data_control import DataControl
from snexec.exchange.data_rest import DataRest
from snexec.exchange.data_stream import DataFeed
from snexec.exchange.price_file import PriceFile
from snexec.exchange.prices import Prices
from snexec.exchange.ratelimit import RateWindow
from snexec.exchange.request_log import RequestLog
from snexec.exchange.rest import Rest
from snexec.exchange.settings import ExchangeSettings
from snexec.exchange.tape import Tape

# A burst of orders may open hundreds of connections at once.
_BACKLOG = 1024
# As Alpaca spells their paths; `test` is the one that never closes.
_DATA_FEEDS = ("v2/iex", "v2/test", "v1beta3/crypto/us")


class Exchange:
    """Serves Alpaca's trading API on loopback, while its `run` is awaited.

    Args:
        settings: How it behaves.
        now_ns: The time of day, in nanoseconds since the epoch.
        log_request: Takes a line for each request, if anybody wants them.

    Attributes:
        paper: The account at the root of the port.
        live: The account below `/live`.
        tape: What the market prints.
        announcements: What corporations are about to do.
        data_feeds: The streams of market data below `/data`, by their path.
        stories: For how many seconds symbols do something by themselves once they are
            bought.
    """

    def __init__(
        self,
        settings: ExchangeSettings,
        *,
        now_ns: Callable[[], int] = time.time_ns,
        log_request: Callable[[str], None] | None = None,
    ) -> None:
        # Nothing here is a secret, and a seed must repeat it.
        rng = random.Random(settings.seed)  # noqa: S311
        self._prices = Prices(rng)
        self._now_ns = now_ns
        self.paper = Account(settings, prices=self._prices, rng=rng, now_ns=now_ns)
        self.live = Account(settings, prices=self._prices, rng=rng, now_ns=now_ns)
        self.tape = Tape(self._prices, now_ns=now_ns)
        self.announcements = Announcements(now_ns)
        self.data_feeds = {
            name: DataFeed(self.tape, self._knows_key) for name in _DATA_FEEDS
        }
        self.stories = {
            canonical(symbol): behaviour.story_sec
            for symbol, behaviour in settings.symbols.items()
            if behaviour.story_sec is not None
        }
        self._data_rate = RateWindow(settings.rate_limit_per_min, now_ns)
        self._base: str | None = None
        self._log_request = log_request

    @property
    def paper_url(self) -> str:
        """Base URL of the paper account, known once started."""
        if self._base is None:
            raise RuntimeError("the exchange has not been started")
        return self._base

    @property
    def live_url(self) -> str:
        """Base URL of the live account, known once started."""
        return f"{self.paper_url}/live"

    @property
    def data_url(self) -> str:
        """Base URL of market data, known once started."""
        return f"{self.paper_url}/data"

    def account(self, name: Literal["paper", "live"]) -> Account:
        """Return an account by its name."""
        return self.paper if name == "paper" else self.live

    def follow_prices(self, path: Path) -> PriceFile:
        """Return what keeps symbols at the prices of a file, while it is run."""
        return PriceFile(path, self._prices)

    def quote(self, symbol: str, price: Decimal) -> None:
        """Set a symbol's last price, in USD, for both accounts.

        Raises:
            ValueError: The price is not a positive number.
        """
        self._prices.quote(symbol, price)

    async def run(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until cancelled.

        Args:
            host: Address to listen on.
            port: TCP port; 0 is any free one.
            task_status: Started once connections are accepted.

        Raises:
            OSError: The port cannot be listened on.
        """
        listeners = await trio.open_tcp_listeners(port, host=host, backlog=_BACKLOG)
        bound_port = listeners[0].socket.getsockname()[1]
        shown_host = f"[{host}]" if ":" in host else host
        self._base = f"http://{shown_host}:{bound_port}"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.paper.run, name="exchange paper account")
            nursery.start_soon(self.live.run, name="exchange live account")
            app: object = self._app()
            if self._log_request is not None:
                app = RequestLog(self._app(), self._log_request)
            nursery.start_soon(serve, app, listeners, name="exchange server")
            task_status.started()

    def _app(self) -> Router:
        accounts = {"paper": self.paper, "live": self.live}
        data_control = DataControl(
            self.tape, self._prices, self.announcements, self.data_feeds
        )
        return Router(
            [
                Mount("/control/data", routes=data_control.routes()),
                Mount("/control", routes=control_routes(accounts, self._prices)),
                Mount("/data", routes=self._data_routes()),
                Mount("/live", routes=self._account_routes(self.live)),
                *self._account_routes(self.paper),
            ],
            redirect_slashes=False,
        )

    def _data_routes(self) -> list[BaseRoute]:
        streams: list[BaseRoute] = [
            WebSocketRoute(f"/{name}", feed.serve)
            for name, feed in self.data_feeds.items()
        ]
        rest = DataRest(self.tape, self.announcements, self._knows_key, self._data_rate)
        return [*streams, *rest.routes()]

    def _knows_key(self, key: str) -> bool:
        """Return whether a key of either account is authorized for market data."""
        return self.paper.knows_key(key) or self.live.knows_key(key)

    def _account_routes(self, account: Account) -> list[BaseRoute]:
        # Some clients set a slash behind it.
        streams: list[BaseRoute] = [
            WebSocketRoute(path, account.feed.serve) for path in ("/stream", "/stream/")
        ]
        return [*streams, *Rest(account, self._now_ns).routes()]
