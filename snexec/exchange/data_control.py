"""Control of market data over HTTP and JSON, under /control/data.

| request | does |
| --- | --- |
| POST print | `{"symbol", "price", "conditions", "size"}` prints what moves no price |
| POST take-back | `{"symbol", "price"}` corrects a symbol's last print; without a price it is canceled |
| PUT halts | `{"symbol", "halted"}` halts or reopens a symbol, for both accounts |
| POST announce | an `Announcement` of a corporate action, which it does not carry out |
| PUT, DELETE feeds/PATH | sets or clears the `DataFaults` of `v2/iex`, say |
| POST drop/PATH | breaks the connections of one by TCP reset |
| GET feeds | reads back who is connected, and to what |
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from snexec.exchange.announcements import Announcement, Announcements
from snexec.exchange.controls import control_route, parse
from snexec.exchange.data_stream import DataFaults, DataFeed
from snexec.exchange.prices import Prices
from snexec.exchange.tape import Tape

_Price = Annotated[Decimal, Field(gt=0, allow_inf_nan=False)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Print(_Body):
    symbol: str
    price: _Price
    conditions: tuple[str, ...] = ("@",)
    size: float = Field(default=100.0, gt=0, allow_inf_nan=False)


class _TakeBack(_Body):
    symbol: str
    price: _Price | None = None


class _Halt(_Body):
    symbol: str
    halted: bool


class DataControl:
    """The controls of what the market prints, and of who gets it."""

    def __init__(
        self,
        tape: Tape,
        prices: Prices,
        announcements: Announcements,
        feeds: Mapping[str, DataFeed],
    ) -> None:
        self._tape = tape
        self._prices = prices
        self._announcements = announcements
        self._feeds = feeds

    def routes(self) -> list[BaseRoute]:
        """Return the routes to mount under /control/data."""
        return [
            control_route("POST", "/print", self._print),
            control_route("POST", "/take-back", self._take_back),
            control_route("PUT", "/halts", self._set_halt),
            control_route("POST", "/announce", self._announce),
            control_route("PUT", "/feeds/{path:path}", self._set_faults),
            control_route("DELETE", "/feeds/{path:path}", self._clear_faults),
            control_route("POST", "/drop/{path:path}", self._drop),
            control_route("GET", "/feeds", self._read),
        ]

    async def _print(self, request: Request) -> None:
        asked = await parse(request, _Print)
        self._tape.print_odd(asked.symbol, asked.price, asked.conditions, asked.size)

    async def _take_back(self, request: Request) -> None:
        asked = await parse(request, _TakeBack)
        self._tape.take_back(asked.symbol, asked.price)

    async def _set_halt(self, request: Request) -> None:
        asked = await parse(request, _Halt)
        if asked.halted:
            self._prices.halts.halt(asked.symbol)
        else:
            self._prices.halts.resume(asked.symbol)
        self._tape.halted(asked.symbol, halted=asked.halted)

    async def _announce(self, request: Request) -> None:
        self._announcements.add(await parse(request, Announcement))

    async def _set_faults(self, request: Request) -> object:
        return self._set(request, await parse(request, DataFaults))

    async def _clear_faults(self, request: Request) -> object:
        return self._set(request, DataFaults())

    def _set(self, request: Request, faults: DataFaults) -> object:
        feed = self._feeds.get(request.path_params["path"])
        if feed is None:
            return Response(status_code=404)
        feed.faults = faults
        return None

    async def _drop(self, request: Request) -> object:
        feed = self._feeds.get(request.path_params["path"])
        if feed is None:
            return Response(status_code=404)
        feed.drop()
        return None

    async def _read(self, _request: Request) -> object:
        return {
            path: {"connections": feed.connections, "trades": feed.subscribed}
            for path, feed in self._feeds.items()
        }
