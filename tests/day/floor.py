"""The daemon and the simulated exchange, both as they are, on a clock that jumps.

Between them there is no socket, and one database file outlives every daemon; what leaves
a daemon that is killed goes on at the exchange. For tests marked ``jumping_time``.
"""

from __future__ import annotations

import json
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from unittest import mock
from urllib.parse import urlsplit

import trio
from trio._core import _run as trio_run

from snexec import app
from snexec.broker.accounts import Accounts
from snexec.broker.answers import read_order
from snexec.broker.budget import RateBudget
from snexec.broker.client import AlpacaClient
from snexec.broker.lease import Held
from snexec.exchange.server import Exchange
from snexec.exchange.settings import ExchangeSettings
from snexec.intake.admission import Phase
from snexec.intake.socket_server import SocketServer
from snexec.intake.stdin import StandardInput
from snexec.ledger import commits as commits_module
from snexec.ledger.commits import Committer
from snexec.ledger.ledger import Ledger
from snexec.ops.rereading import Reread, Rereader
from snexec.ops.systemd import Systemd
from snexec.stages import Opened
from snexec.stream import connection as connection_module
from tests.day.auditor import Auditor
from tests.day.in_process import AppSocket, Questions
from tests.fakes import AskedOrder, TrioClock, live_settings, make_settings, open_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path
    from urllib.parse import SplitResult

    from starlette.types import ASGIApp

    from snexec.broker.answers import BrokerOrder
    from snexec.broker.data import DataClient
    from snexec.broker.endpoint import DataEndpoint, Endpoint
    from snexec.broker.sent import OutgoingOrder, SentOrder
    from snexec.events import Event
    from snexec.exchange.order import Order
    from snexec.intake.admission import Answer
    from snexec.ledger.changes import Batch
    from snexec.ledger.rows import NewTrade
    from snexec.settings import Settings
    from tests.day.auditor import Row

_PLACE = "127.0.0.1:1"  # of the exchange; nothing is ever sent there
_PATIENCE_SECONDS = 3600.0


class PowerCutError(Exception):
    """The process is no more: what it was about to write is not written."""


class Client(AlpacaClient):
    """The daemon's own client, but for its connections."""

    def __init__(self, asked: Questions, life: Life, **more: Any) -> None:  # noqa: ANN401
        super().__init__(**more)
        self._asked = asked
        self._life = life
        self._look_ups = cast("Any", asked)

    async def run(self) -> None:
        await trio.sleep_forever()

    def keep_warm(self, connections: int) -> None:
        pass

    def renew_connections(self) -> None:
        pass

    def _send(self, order: OutgoingOrder, body: bytes) -> SentOrder:
        order.left()
        names = order.client_order_id, order.symbol
        return AskedOrder(partial(self._posted, *names, order.side, body), order)

    async def _posted(
        self,
        client_order_id: str,
        symbol: str,
        side: Any,  # noqa: ANN401 - one of two words
        body: bytes,
    ) -> BrokerOrder:
        reply, problem, sent = await self._asked.ask("POST", "/v2/orders", body)
        if self._life.is_dead:
            await trio.sleep_forever()  # nobody hears it
        self.budget.finish(reply.headers if reply is not None else None)
        content = self._replies.content(reply, problem, sent=sent)
        return read_order(content, client_order_id, symbol=symbol, side=side)


class FloorAccounts(Accounts):
    """The daemon's accounts at an exchange in this process."""

    def __init__(self, *wings: Any, floor: Floor, life: Life, **more: Any) -> None:  # noqa: ANN401
        self._floor = floor
        self._life = life
        super().__init__(*wings, **more)

    def data_client(
        self, endpoint: DataEndpoint, *, timeout_seconds: float
    ) -> DataClient:
        client = super().data_client(endpoint, timeout_seconds=timeout_seconds)
        client._look_ups = cast("Any", self._floor.questions(endpoint.url))
        return client

    def _hold(self, endpoint: Endpoint, settings: Settings) -> Held:
        alpaca = settings.alpaca
        return Held(
            endpoint,
            Client(
                self._floor.questions(endpoint.url),
                self._life,
                mode=endpoint.mode,
                base_url=endpoint.url,
                credentials=endpoint.credentials,
                budget=RateBudget(
                    per_minute=alpaca.rate_limit_per_min, clock=self._clock
                ),
                timeout_seconds=alpaca.order_timeout_sec,
                clock=self._clock,
                ssl_context=None,
            ),
        )


class _NoSocket(SocketServer):
    async def run(self) -> None:
        await trio.sleep_forever()


class _NoInput(StandardInput):
    async def run(self) -> None:
        await trio.sleep_forever()


class _NoLots:
    """Draws what changes nothing of an order."""

    def random(self) -> float:
        return 1.0

    def shuffle(self, _tasks: list[object]) -> None:
        """Leave them as they are."""


@dataclass(eq=False)
class Life:
    """One process of the daemon."""

    floor: Floor
    daemon: app.Daemon = field(init=False)
    is_dead: bool = False
    events: list[Event] = field(default_factory=list)
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    over: trio.Event = field(default_factory=trio.Event)

    async def run(self) -> None:
        """Live, until stopped or killed."""
        floor = self.floor
        store = open_store(floor.database, floor.clock)
        with self.scope:
            try:
                with floor.built_for(self):
                    self.daemon = app.Daemon(
                        Opened(
                            live=live_settings(floor.settings, floor.config),
                            clock=floor.clock,
                            ledger=Ledger(
                                store, path=floor.database, clock=floor.clock
                            ),
                            listener=cast("Any", None),
                            systemd=Systemd({}),
                            report=self,
                        )
                    )
                await self.daemon.run()
            except* (PowerCutError, trio.ClosedResourceError):
                assert self.is_dead
        store._db.close()
        self.over.set()

    # As its report.

    def happened(self, event: Event) -> None:
        """Note an event."""
        self.events.append(event)

    def leaving(self, trade: NewTrade, sequence: int | None) -> None:
        """Take no notice."""

    def answered(self, answer: Answer) -> None:
        raise NotImplementedError("no signal comes by standard input")

    # What is done with it.

    async def until_ready(self) -> None:
        with trio.fail_after(_PATIENCE_SECONDS):
            while self.daemon.wings.intake.phase is not Phase.TAKING:  # noqa: ASYNC110
                await trio.sleep(0.1)

    def send(self, symbol: str, *, price: str = "100", **fields: object) -> str:
        """Send a signal; return the word of the answer."""
        self.floor.quote(symbol, price)
        values: dict[str, object] = {
            "symbol": symbol,
            "catalystCategory": "news",
            "catalystTier": 4,
            "aiConfidence": "high",
            "priceAtSignal": float(price),
            "id": f"n-{symbol}",
            **fields,
        }
        line = json.dumps(values).encode()
        intake = self.daemon.wings.intake
        return intake.take(line, read_at=trio.current_time()).status

    def told(self, event: str) -> list[Event]:
        """Return the events of a kind."""
        return [each for each in self.events if each.event == event]

    async def buy(self, symbol: str = "AAPL", *, price: str = "100") -> Row:
        """Send a signal, and return its row once it is bought."""
        assert self.send(symbol, price=price) == "accepted"
        return await self.floor.until(
            lambda row: bool(row["settledAt"]), symbol=symbol, seconds=120.0
        )

    async def close(self, *symbols: str, at_open: bool = False) -> list[str | None]:
        """Close by hand; return why each was refused, None where it was not."""
        exits = self.daemon.wings.exits
        answers = await exits.close(symbols, at_open=at_open)
        return [answer.error for answer in answers]

    async def reload(self, **sections: object) -> None:
        """Apply other settings, as a SIGHUP does."""
        floor = self.floor
        floor.configure(**cast("Any", sections))
        await self.daemon.operations.reload()

    async def stop(self) -> None:
        """Stop, as by SIGTERM, and wait for the end."""
        self.daemon.stages.stop(why="SIGTERM", seconds=10.0)
        await self.over.wait()

    async def kill(self) -> None:
        """End at once, as by kill -9."""
        self.is_dead = True
        self.scope.cancel(reason="killed")
        await self.over.wait()


class Floor:
    """One exchange, and one daemon after the other.

    Args:
        folder: Where the database and the kill switch lie.
        exchange: How the exchange behaves.
        sections: As in the configuration file; without ``exits`` there is no such section.

    Attributes:
        paper: The account that is traded on.
        auditor: What has watched each order and each execution there.
        requests: Everything that was ever asked of the exchange.
    """

    def __init__(
        self,
        folder: Path,
        *,
        exchange: ExchangeSettings | None = None,
        **sections: dict[str, Any],
    ) -> None:
        self.clock = TrioClock()
        self.database, self.config = folder / "t.db", folder / "config.toml"
        self._sections = sections
        self.configure()
        quiet = ExchangeSettings(
            fill_delay_sec=0.05, partial_fill_ratio=0.0, seed=1, rate_limit_per_min=200
        )
        self.exchange = Exchange(exchange or quiet, now_ns=self._now_ns)
        self.paper = self.exchange.paper
        self.app: ASGIApp = self.exchange._app()
        self.auditor = Auditor(self.paper)
        self.requests: list[str] = []
        self._life: Life | None = None
        self._nursery: trio.Nursery | None = None

    def configure(self, **sections: dict[str, Any]) -> None:
        """Set sections anew; those that are not named stay as they are."""
        self._sections |= sections
        at = f"http://{_PLACE}"
        made = {name: dict(values) for name, values in self._sections.items()}
        if "exits" in made:
            place = {"data_url": f"{at}/data", "data_stream_url": f"ws://{_PLACE}/data"}
            made["exits"] = place | made["exits"]
        broker = {
            "simulate": False,
            "api_key": "PK",
            "api_secret": "s3cr3t",
            "paper_url": at,
            "live_url": f"{at}/live",
        }
        made["alpaca"] = broker | made.get("alpaca", {})
        self.settings = make_settings(**made)

    @asynccontextmanager
    async def life(self) -> AsyncIterator[Life]:
        """Run a daemon; it is stopped at the end of the block, if it lives until then."""
        life = self._life = Life(self)
        assert self._nursery is not None
        self._nursery.start_soon(life.run)
        await trio.testing.wait_all_tasks_blocked()
        await life.until_ready()
        yield life
        if not life.over.is_set():
            await life.stop()

    def quote(self, symbol: str, price: str) -> None:
        """Have a symbol trade at a price."""
        self.exchange.quote(symbol, Decimal(price))

    def orders(self, side: str = "sell") -> list[Order]:
        """Return the account's orders, the oldest first."""
        return [each for each in self.paper.book.orders() if each.side == side]

    def held(self, symbol: str = "AAPL") -> Decimal:
        """Return what the account holds."""
        return self.paper.book.positions.qty(symbol)

    def rows(self) -> dict[str, Row]:
        """Read every row, by its symbol; the last one where there are several."""
        return {row["symbol"]: row for row in self.auditor.rows()}

    def row(self, symbol: str = "AAPL") -> Row:
        """Read a symbol's last row."""
        return self.auditor.rows(symbol)[-1]

    def sells(self) -> dict[str, Row]:
        """Read every sell, by its id."""
        return self.auditor.sells()

    async def until(
        self,
        holds: Callable[[Row], bool],
        *,
        symbol: str = "AAPL",
        seconds: float = 60.0,
    ) -> Row:
        """Return a symbol's row once something holds of it."""
        with trio.move_on_after(seconds):
            while True:
                found = self.auditor.rows(symbol)
                if found and holds(found[-1]):
                    return found[-1]
                await trio.sleep(0.1)
        raise AssertionError(f"not within {seconds:g} s: {self.auditor.rows(symbol)}")

    async def until_closed(self, symbol: str = "AAPL", *, seconds: float = 60.0) -> Row:
        return await self.until(
            lambda row: row["status"] == "closed", symbol=symbol, seconds=seconds
        )

    # How it is put together.

    def questions(self, url: str) -> Questions:
        """Return what asks the exchange below a URL; its requests are noted."""
        asked = Questions(self.app, urlsplit(url).path)
        asked.asked = self.requests
        return asked

    def built_for(self, life: Life) -> ExitStack:
        """Let a daemon build itself with what is here."""
        stack = ExitStack()
        for name, part in {
            "Accounts": partial(FloorAccounts, floor=self, life=life),
            "SocketServer": _NoSocket,
            "StandardInput": _NoInput,
        }.items():
            stack.enter_context(mock.patch.object(app, name, part))
        return stack

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        with ExitStack() as stack, self.auditor.reading(self.database):
            # Where several tasks can go on, the first one does; drawn lots would depend on
            # how many steps a thread of the machine's takes.
            stack.enter_context(mock.patch.object(trio_run, "_r", _NoLots()))
            for place, name, part in (
                (Committer, "with_patience", self._unless_dead("with_patience")),
                (Committer, "_began", self._unless_dead("_began")),
                (
                    commits_module,
                    "time",
                    SimpleNamespace(perf_counter=trio.current_time),
                ),
                (connection_module, "_dial", _dial),
                (connection_module, "wrap_client_stream", self._connect),
                (Rereader, "read", self._read_settings),
            ):
                stack.enter_context(mock.patch.object(place, name, part))
            async with trio.open_nursery() as self._nursery:
                self._nursery.start_soon(self.paper.run)
                self._nursery.start_soon(self.exchange.live.run)
                yield
                self._nursery.cancel_scope.cancel()

    def _now_ns(self) -> int:
        return int(self.clock.now().timestamp() * 1e9)

    def _unless_dead(self, name: str) -> Callable[[Committer, Batch], Any]:
        original = getattr(Committer, name)

        def commit(committer: Committer, batch: Batch) -> Any:  # noqa: ANN401
            if self._life is not None and self._life.is_dead:
                raise PowerCutError
            return original(committer, batch)

        return commit

    async def _connect(
        self,
        nursery: trio.Nursery,
        transport: Any,  # noqa: ANN401
        _host: str,
        path: str,
        **_limits: int,
    ) -> AppSocket:
        transport._stream.socket = socket = AppSocket(self.app, path)
        await socket.open(nursery)
        return socket

    async def _read_settings(self) -> Reread:
        await trio.lowlevel.checkpoint()
        return Reread(self.settings, b"", open_secrets="")


class _Plug(trio.abc.Stream):
    """What a WebSocket would run over."""

    socket: AppSocket | None = None

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        raise NotImplementedError("there are no bytes here")

    async def wait_send_all_might_not_block(self) -> None:
        raise NotImplementedError("there are no bytes here")

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        raise NotImplementedError("there are no bytes here")

    async def aclose(self) -> None:
        if self.socket is not None:
            await self.socket.aclose()


async def _dial(_url: SplitResult, _tls: object) -> trio.abc.Stream:
    await trio.sleep(0.01)
    return _Plug()


@asynccontextmanager
async def open_floor(
    folder: Path,
    *,
    exchange: ExchangeSettings | None = None,
    **sections: dict[str, Any],
) -> AsyncIterator[Floor]:
    """Open an exchange, and have its auditor find nothing when the block ends."""
    floor = Floor(folder, exchange=exchange, **sections)
    async with floor.opened():
        yield floor
        problems: Sequence[str] = floor.auditor.problems()
    assert not problems, "\n".join(problems)
