"""The simulated exchange in the fake broker's place, on Trio's clock: no socket between."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Mapping
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from snexec.broker.answers import BrokerOrder
from snexec.broker.bodies import sell_body
from snexec.errors import (
    DuplicateOrderError,
    NotFoundError,
    RefusedError,
    UnknownOutcomeError,
)
from snexec.exchange.account import Account
from snexec.exchange.errors import ApiError
from snexec.exchange.market import Market
from snexec.exchange.prices import Prices
from snexec.exchange.settings import ExchangeSettings
from snexec.exchange.validation import parse_body, parse_order
from snexec.stream.connection import Socket
from snexec.stream.frames import FrameReader
from snexec.stream.life import SignsOfLife
from snexec.stream.session import Session
from tests.fakes import AskedOrder, FakeClient, TrioClock

if TYPE_CHECKING:
    from snexec.broker.sent import OutgoingSell, SentOrder
    from snexec.errors import BrokerError
    from snexec.exchange.order import Order
    from snexec.model import Side
    from tests.fakes import Rig


class VenueClient(FakeClient):
    """An account whose orders are the exchange's.

    Attributes:
        account: It.
        loses: How many replies to orders are lost from now on, after they were taken.
        misses: How many orders are lost on the way to the exchange from now on.
    """

    account: Account
    loses = 0
    misses = 0

    def send_sell(self, sell: OutgoingSell) -> SentOrder:
        body = sell_body(sell)
        sell.left()
        self.budget.finish(None)
        return AskedOrder(partial(self._sold, body), sell)

    async def cancel(self, order_id: str) -> None:
        self.budget.finish(None)
        await trio.sleep(self.seconds)
        try:
            self.account.cancel(order_id)
        except ApiError as exc:
            raise _error(exc) from exc

    async def order(
        self,
        *,
        client_order_id: str,
        order_id: str | None,
        symbol: str | None = None,  # noqa: ARG002 - the book knows
        side: Side = "buy",  # noqa: ARG002 - likewise
    ) -> BrokerOrder:
        self.budget.finish(None)
        await trio.sleep(self.seconds)
        book = self.account.book
        try:
            if order_id is not None:
                return _read(book.find(order_id))
            return _read(book.find_client(client_order_id))
        except ApiError as exc:
            raise _error(exc) from exc

    async def _sold(self, body: bytes) -> BrokerOrder:
        await trio.sleep(self.seconds)
        if self.misses:
            self.misses -= 1
            raise UnknownOutcomeError("reset")
        fields = parse_body(body)
        behaviour = self.account.behaviours.take(str(fields["symbol"]), "sell")
        if behaviour.refuse is not None:
            raise RefusedError(
                status_code=behaviour.refuse, body="", reason="not today"
            )
        try:
            order, _over = self.account.accept(parse_order(fields), behaviour)
        except ApiError as exc:
            raise _error(exc) from exc
        if self.loses:
            self.loses -= 1
            raise UnknownOutcomeError("the reply was lost")
        await trio.sleep(self.seconds)
        return _read(order)


class Venue:
    """An exchange; lives of a daemon come and go beside it.

    Attributes:
        account: Its paper account.
        stream_is_up: Whether events reach the daemon.
        most_live: How many sells were ever live at once.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        clock = TrioClock()
        self.prices = Prices(random.Random(1))  # noqa: S311 - a seed must repeat it
        self.account = Account(
            ExchangeSettings(fill_delay_sec=0.01, partial_fill_ratio=0.0),
            prices=self.prices,
            rng=random.Random(1),  # noqa: S311 - likewise
            now_ns=lambda: int(clock.now().timestamp() * 1e9),
        )
        self.stream_is_up = True
        self.most_live = 0
        self.is_open = True
        self._send: trio.MemorySendChannel[Mapping[str, Any]] | None = None
        self._rig: Rig | None = None
        self.account.feed.publish = self._publish  # type: ignore[method-assign]
        nursery.start_soon(self.account.run)
        self.open()

    def serve(self, rig: Rig, nursery: trio.Nursery) -> VenueClient:
        """Answer a rig from now on, and send it what happens."""
        client = rig.paper
        client.__class__ = VenueClient
        assert isinstance(client, VenueClient)
        client.account, self._rig = self.account, rig
        self._send, events = trio.open_memory_channel[Mapping[str, Any]](1000)
        rig.market.open = self.is_open
        nursery.start_soon(_stream, rig, events)
        return client

    def hold(self, quantity: str, *, symbol: str = "AAPL", price: str = "100") -> None:
        """Have the account hold what a row has bought."""
        self.prices.quote(symbol, Decimal(price))
        amount = Decimal(quantity)
        self.account.book.positions.buy(symbol, amount, amount * Decimal(price))

    def print(self, price: str, symbol: str = "AAPL") -> None:
        """Have it trade at a price."""
        self.prices.quote(symbol, Decimal(price))

    def open(self) -> None:
        """Open the market; the broker's clock says so."""
        self._set_market(is_open=True)

    def close(self) -> None:
        """Close it: what was placed for the session expires."""
        self._set_market(is_open=False)

    @property
    def orders(self) -> list[Order]:
        """Every order, the oldest first."""
        return list(self.account.book.orders())

    @property
    def told(self) -> list[tuple[str, str]]:
        """Each order's id of ours, and its status."""
        return [(each.client_order_id, each.status) for each in self.orders]

    @property
    def live(self) -> list[str]:
        """The ids of ours of the orders that may still trade."""
        return [each.client_order_id for each in self.orders if not each.terminal]

    def find(self, exit_id: str) -> Order:
        """Return an order by its id of ours."""
        return self.account.book.find_client(exit_id)

    def held(self, symbol: str = "AAPL") -> Decimal:
        """Return what the account holds."""
        return self.account.book.positions.qty(symbol)

    def _set_market(self, *, is_open: bool) -> None:
        self.is_open = is_open
        if self._rig is not None:
            self._rig.market.open = is_open
        self.account.market = Market(is_open=is_open)

    def _publish(self, event: Mapping[str, object]) -> None:
        self.most_live = max(self.most_live, len(self.live))
        if self.stream_is_up and self._send is not None:
            with contextlib.suppress(trio.BrokenResourceError):
                self._send.send_nowait(json.loads(json.dumps(event)))


async def _stream(
    rig: Rig, events: trio.MemoryReceiveChannel[Mapping[str, Any]]
) -> None:
    session = Session(
        Unsent(),
        rig.accounts.endpoint("paper"),
        frames=FrameReader(rig.clock),
        updates=rig.fills,
        life=SignsOfLife(),
    )
    async with events:
        async for event in events:
            await session._take_update(dict(event))


class Unsent(Socket):
    """A connection on which nothing is said here: events are handed over as read."""

    def __init__(self) -> None:
        """Have none."""


def _read(order: Order) -> BrokerOrder:
    return BrokerOrder.model_validate_json(json.dumps(order.to_reply()))


def _error(exc: ApiError) -> BrokerError:
    body, said = json.dumps(dict(exc.body)), str(exc.body["message"])
    if exc.status == 404:
        return NotFoundError(status_code=404, body=body, reason=said)
    kind = DuplicateOrderError if "must be unique" in said else RefusedError
    return kind(status_code=exc.status, body=body, reason=said)
