"""Control over HTTP and JSON, under /control/paper and /control/live.

| request | does |
| --- | --- |
| POST quote | `{"symbol", "price"}` sets the last price, for both accounts; with `"fixed": true` all is executed at it until the next quote |
| PUT, DELETE symbols/SYMBOL | sets or clears a symbol's `Behaviour` |
| POST, DELETE rest-faults | adds a `RestFault`, clears all |
| PUT, DELETE stream | sets or clears the `StreamFaults` |
| POST stream/drop | breaks the connections by TCP reset |
| POST stream/close | `{"code"}` closes them with a close frame |
| POST stream/starve, stream/black-hole | starves or silences the current connections |
| POST stream/frame | `{"text"}` or `{"base64"}` sends a frame as it is |
| POST stream/event | sends the body as a `trade_updates` event |
| PUT keys | `{"refused": [...]}`: unauthorized keys, `*` for all |
| PUT rate | `{"limit"}` sets the limit and opens a fresh window |
| PUT cash | `{"cash"}` sets the account's cash |
| PUT path | `{"symbol", "points": [[seconds, price], ...]}` moves the price in time |
| POST corporate-action | an `Action` on what the account holds |
| POST reset | takes the account's orders, positions and activities |
| PUT clock | `{"is_open", "change_sec"}` opens or closes the market, for `change_sec` |
| GET orders, posts, counts, stream | reads back; `?last=N` the newest N orders or posts |
"""

import base64
import time
from collections.abc import Mapping, Reversible
from dataclasses import asdict
from decimal import Decimal
from itertools import islice
from typing import Annotated, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    model_validator,
)
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount

from snexec.exchange.account import Account
from snexec.exchange.controls import control_route, parse
from snexec.exchange.corporate_actions import Action, carry_out
from snexec.exchange.faults import RestFault, StreamFaults
from snexec.exchange.market import Market
from snexec.exchange.prices import Prices
from snexec.exchange.settings import Behaviour

Item = TypeVar("Item")
_EVENT = TypeAdapter(dict[str, object])
Positive = Annotated[Decimal, Field(gt=0, allow_inf_nan=False)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Quote(_Body):
    symbol: str
    price: Positive
    fixed: bool = False


class _Close(_Body):
    code: int = Field(default=1000, ge=1000, le=4999)


class _Frame(_Body):
    text: str | None = None
    base64: str | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "_Frame":
        if (self.text is None) == (self.base64 is None):
            raise ValueError("either text or base64")
        return self

    def frame(self) -> bytes | str:
        if self.text is not None:
            return self.text
        return base64.b64decode(self.base64 or "")


class _Keys(_Body):
    refused: frozenset[str]


class _Rate(_Body):
    limit: int = Field(ge=1)


class _Cash(_Body):
    cash: Decimal = Field(allow_inf_nan=False)


class _Path(_Body):
    symbol: str
    points: list[tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], Positive]]


class _Clock(_Body):
    is_open: bool
    change_sec: float | None = Field(default=None, ge=0, allow_inf_nan=False)


def control_routes(accounts: Mapping[str, Account], prices: Prices) -> list[BaseRoute]:
    """Return the routes to mount under /control."""
    return [
        Mount(f"/{name}", routes=_Control(account, prices).routes())
        for name, account in accounts.items()
    ]


class _Control:
    """The controls of one account; its rate limit does not count them."""

    def __init__(self, account: Account, prices: Prices) -> None:
        self._account = account
        self._prices = prices

    def routes(self) -> list[BaseRoute]:
        return [
            control_route("POST", "/quote", self._quote),
            control_route("PUT", "/symbols/{symbol:path}", self._set_behaviour),
            control_route("DELETE", "/symbols/{symbol:path}", self._clear_behaviour),
            control_route("POST", "/rest-faults", self._add_rest_fault),
            control_route("DELETE", "/rest-faults", self._clear_rest_faults),
            control_route("PUT", "/stream", self._set_stream_faults),
            control_route("DELETE", "/stream", self._clear_stream_faults),
            control_route("POST", "/stream/{deed}", self._act_on_stream),
            control_route("PUT", "/keys", self._set_keys),
            control_route("PUT", "/rate", self._set_rate),
            control_route("PUT", "/cash", self._set_cash),
            control_route("PUT", "/clock", self._set_clock),
            control_route("PUT", "/path", self._set_path),
            control_route("POST", "/corporate-action", self._carry_out),
            control_route("POST", "/reset", self._reset),
            control_route("GET", "/{what}", self._read),
        ]

    async def _quote(self, request: Request) -> None:
        quote = await parse(request, _Quote)
        set_price = self._prices.fix if quote.fixed else self._prices.quote
        set_price(quote.symbol, quote.price)

    async def _set_behaviour(self, request: Request) -> None:
        behaviour = await parse(request, Behaviour)
        self._account.behaviours.set(request.path_params["symbol"], behaviour)

    async def _clear_behaviour(self, request: Request) -> None:
        self._account.behaviours.clear(request.path_params["symbol"])

    async def _add_rest_fault(self, request: Request) -> None:
        self._account.rest_faults.add(await parse(request, RestFault))

    async def _clear_rest_faults(self, _request: Request) -> None:
        self._account.rest_faults.clear()

    async def _set_stream_faults(self, request: Request) -> None:
        self._account.feed.faults = await parse(request, StreamFaults)

    async def _clear_stream_faults(self, _request: Request) -> None:
        self._account.feed.faults = StreamFaults()

    async def _act_on_stream(self, request: Request) -> object:
        feed = self._account.feed
        match request.path_params["deed"]:
            case "drop":
                feed.drop()
            case "close":
                feed.close((await parse(request, _Close)).code)
            case "starve":
                feed.starve()
            case "black-hole":
                feed.black_hole()
            case "frame":
                feed.send_raw((await parse(request, _Frame)).frame())
            case "event":
                feed.publish(await _parse_event(request))
            case _:
                return Response(status_code=404)
        return None

    async def _set_keys(self, request: Request) -> None:
        self._account.refused_keys = (await parse(request, _Keys)).refused

    async def _set_rate(self, request: Request) -> None:
        self._account.rate.limit = (await parse(request, _Rate)).limit
        self._account.rate.restart()

    async def _set_cash(self, request: Request) -> None:
        self._account.set_cash((await parse(request, _Cash)).cash)

    async def _set_clock(self, request: Request) -> None:
        clock = await parse(request, _Clock)
        change = clock.change_sec
        self._account.market = Market(
            is_open=clock.is_open,
            changes_ns=None if change is None else time.time_ns() + int(change * 1e9),
        )

    async def _set_path(self, request: Request) -> None:
        path = await parse(request, _Path)
        self._account.follow_path(path.symbol, path.points)

    async def _carry_out(self, request: Request) -> None:
        action, account = await parse(request, Action), self._account
        carry_out(action, account.book, account.activities, time.time_ns())

    async def _reset(self, _request: Request) -> None:
        self._account.reset()

    async def _read(self, request: Request) -> object:
        account = self._account
        match request.path_params["what"]:
            case "orders":
                orders = _last(request, account.book.orders())
                return [order.to_reply() for order in orders]
            case "posts":
                return [asdict(post) for post in _last(request, account.posts)]
            case "counts":
                return dict(account.counts)
            case "stream":
                return {
                    "connections": account.feed.connections,
                    "listeners": account.feed.listeners,
                    "faults": account.feed.faults.model_dump(),
                }
            case _:
                return Response(status_code=404)


def _last(request: Request, items: Reversible[Item]) -> list[Item]:
    count = request.query_params.get("last")
    newest = list(islice(reversed(items), None if count is None else int(count)))
    return newest[::-1]


async def _parse_event(request: Request) -> dict[str, object]:
    return _EVENT.validate_json(await request.body())
