"""Alpaca's REST endpoints for one account."""

import json
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import trio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from snexec.exchange import queries, usual
from snexec.exchange.account import Account, OrderPost
from snexec.exchange.activities import parse_activity_query
from snexec.exchange.assets import position_symbol
from snexec.exchange.errors import (
    ApiError,
    not_found,
    rate_limited,
    refusal,
    unauthorized_key,
)
from snexec.exchange.faults import RestFault, fault_reply, lose_reply
from snexec.exchange.keys import key_of
from snexec.exchange.market import calendar
from snexec.exchange.validation import parse_body, parse_order, parse_part

_CONFIGURATIONS = "/v2/account/configurations"
Endpoint = Callable[[Request], Awaitable[Response]]

_UNAUTHORIZED_HTML = (
    "<html>\r\n<head><title>401 Authorization Required</title></head>\r\n<body>\r\n"
    "<center><h1>401 Authorization Required</h1></center>\r\n<hr><center>nginx</center>"
    "\r\n</body>\r\n</html>\r\n"
)


class Rest:
    """Answers REST requests, unless the account's faults say otherwise."""

    def __init__(
        self, account: Account, now_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._account = account
        self._now_ns = now_ns

    def routes(self) -> list[BaseRoute]:
        """Return the routes to mount at the account's base."""
        return [
            self._route("POST", "/v2/orders", self._submit),
            self._route("GET", "/v2/orders", self._list_orders),
            self._route("GET", "/v2/orders:by_client_order_id", self._find_client),
            self._route("GET", "/v2/orders/{order_id}", self._find),
            self._route("DELETE", "/v2/orders/{order_id}", self._cancel),
            self._route("GET", "/v2/positions", self._list_positions),
            self._route("DELETE", "/v2/positions", self._close_positions),
            self._route("GET", "/v2/positions/{symbol:path}", self._position),
            self._route("DELETE", "/v2/positions/{symbol:path}", self._close_position),
            self._route("GET", "/v2/account/activities", self._list_activities),
            self._route("GET", "/v2/account/activities/{kind}", self._list_activities),
            self._route("GET", "/v2/account", self._show_account),
            self._route("GET", _CONFIGURATIONS, self._configurations),
            self._route("PATCH", _CONFIGURATIONS, self._configure),
            self._route("GET", "/v2/account/portfolio/history", self._history),
            self._route("DELETE", "/v2/orders", self._cancel_all),
            self._route("GET", "/v2/assets", self._list_assets),
            self._route("GET", "/v2/clock", self._clock),
            self._route("GET", "/v2/calendar", self._calendar),
            self._route("GET", "/v2/assets/{symbol:path}", self._asset),
            self._route(None, "/{rest:path}", self._unknown),
        ]

    def _route(self, method: str | None, path: str, endpoint: Endpoint) -> Route:
        label = f"{method} {path}" if method else "other"
        methods = [method] if method else _ALL_METHODS

        async def guarded(request: Request) -> Response:
            try:
                return await self._guard(request, label, endpoint)
            except ClientDisconnect:
                return Response()

        return Route(path, guarded, methods=methods)

    async def _guard(
        self, request: Request, label: str, endpoint: Endpoint
    ) -> Response:
        """Record the request, then apply the faults, the keys and the rate limit."""
        account = self._account
        account.counts[label] += 1
        if label == "POST /v2/orders":
            account.posts.append(_post_record(await request.body()))
        path = request.scope["path"].removeprefix(request.scope["root_path"])
        fault = account.rest_faults.take(request.method, path)
        if fault is None:
            response = await self._respond(request, endpoint)
        else:
            response = await self._meet(fault, request, endpoint)
        response.headers["X-Request-ID"] = uuid4().hex
        if fault is None or fault.rate_headers:
            response.headers.update(account.rate.headers())
        return response

    async def _meet(
        self, fault: RestFault, request: Request, endpoint: Endpoint
    ) -> Response:
        await trio.sleep(fault.delay_sec)
        if fault.after_work and fault.how != "delay":
            await self._respond(request, endpoint)
        match fault.how:
            case "delay":
                return await self._respond(request, endpoint)
            case "respond" | "rate_limit":
                return fault_reply(fault)
            case how:
                return await lose_reply(how, request)

    async def _respond(self, request: Request, endpoint: Endpoint) -> Response:
        key = key_of(request)
        if key is None:
            return _no_key(request)
        try:
            if not self._account.knows_key(key):
                raise unauthorized_key()
            if not self._account.rate.take():
                raise rate_limited()
            return await endpoint(request)
        except ApiError as exc:
            return _json(exc.body, exc.status)

    async def _submit(self, request: Request) -> Response:
        fields = parse_body(await request.body())
        account = self._account
        symbol = str(fields.get("symbol"))
        behaviour = account.behaviours.take(symbol, str(fields.get("side")))
        if behaviour.refuse is not None:
            raise refusal(
                behaviour.refuse,
                symbol,
                behaviour.refuse_message,
                behaviour.refuse_code,
            )
        if behaviour.lose == "before_accept":
            return await lose_reply(behaviour.lose_how, request)
        order, over = account.accept(parse_order(fields), behaviour)
        response = _json(order.to_reply())
        if behaviour.fill_before_reply:
            await over.wait()
            await account.feed.flush()
        await trio.sleep(behaviour.reply_delay_sec)
        if behaviour.lose == "after_accept":
            return await lose_reply(behaviour.lose_how, request)
        return response

    async def _list_orders(self, request: Request) -> Response:
        query = queries.parse_order_query(request.query_params)
        return _json(queries.list_orders(self._account.book, query))

    async def _find(self, request: Request) -> Response:
        order = self._account.book.find(request.path_params["order_id"])
        return _json(order.to_reply())

    async def _find_client(self, request: Request) -> Response:
        client_order_id = request.query_params.get("client_order_id", "")
        return _json(self._account.book.find_client(client_order_id).to_reply())

    async def _cancel(self, request: Request) -> Response:
        self._account.cancel(request.path_params["order_id"])
        return Response(status_code=204)

    async def _list_positions(self, _request: Request) -> Response:
        return _json(queries.positions(self._account.book))

    async def _position(self, request: Request) -> Response:
        symbol = request.path_params["symbol"]
        if self._account.misses_position(symbol):
            raise queries.no_position()
        return _json(queries.position(self._account.book, symbol))

    async def _close_position(self, request: Request) -> Response:
        symbol, params = request.path_params["symbol"], request.query_params
        held = queries.held(self._account.book, symbol)
        order = self._account.close_position(symbol, parse_part(params, held.qty))
        return _json(order.to_reply())

    async def _close_positions(self, request: Request) -> Response:
        account = self._account
        if request.query_params.get("cancel_orders") == "true":
            for order in account.book.open_orders():
                account.cancel(order.id)
        answers: list[object] = []
        for held in account.book.positions.all():
            answer: dict[str, object] = {"symbol": position_symbol(held.symbol)}
            try:
                order = account.close_position(held.symbol)
                answer |= {"status": 200, "body": order.to_reply()}
            except ApiError as exc:
                answer |= {"status": exc.status, "body": exc.body}
            answers.append(answer)
        return _json(answers, 207)

    async def _list_activities(self, request: Request) -> Response:
        kind = request.path_params.get("kind")
        query = parse_activity_query(request.query_params, kind)
        return _json(self._account.activities.list(query))

    async def _show_account(self, _request: Request) -> Response:
        return _json(queries.account(self._account.book))

    async def _clock(self, _request: Request) -> Response:
        return _json(queries.clock(self._now_ns(), self._account.market))

    async def _calendar(self, request: Request) -> Response:
        return _json(calendar(request.query_params))

    async def _asset(self, request: Request) -> Response:
        symbol = request.path_params["symbol"]
        behaviour = self._account.behaviours.of(symbol)
        if behaviour.refuse == 422 and behaviour.refuse_message is None:
            raise queries.asset_not_found(symbol)
        return _json(queries.asset(symbol))

    async def _list_assets(self, request: Request) -> Response:
        return _json(usual.assets(self._account.book, request.query_params))

    async def _configurations(self, _request: Request) -> Response:
        return _json(self._account.configurations.show())

    async def _configure(self, request: Request) -> Response:
        fields = parse_body(await request.body())
        return _json(self._account.configurations.change(fields))

    async def _history(self, request: Request) -> Response:
        return _json(usual.portfolio_history(self._account.book, request.query_params))

    async def _cancel_all(self, _request: Request) -> Response:
        answers: list[object] = []
        for order in self._account.book.open_orders():
            try:
                self._account.cancel(order.id)
                answers.append({"id": order.id, "status": 200})
            except ApiError as exc:
                answers.append({"id": order.id, "status": exc.status, "body": exc.body})
        return _json(answers, 207)

    async def _unknown(self, _request: Request) -> Response:
        raise not_found("endpoint not found")


_ALL_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def _json(body: object, status: int = 200) -> Response:
    text = json.dumps(body, separators=(",", ":"))
    return Response(text, status_code=status, media_type="application/json")


def _no_key(request: Request) -> Response:
    if request.url.path.endswith("/v2/clock"):
        return HTMLResponse(_UNAUTHORIZED_HTML, 401)
    response = _json({"message": "unauthorized."}, 401)
    response.headers["WWW-Authenticate"] = "Basic"
    return response


def _post_record(body: bytes) -> OrderPost:
    arrived_ns = time.monotonic_ns()
    try:
        fields: Any = json.loads(body)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        fields = {}

    def text(name: str) -> str | None:
        value = fields.get(name)
        return None if value is None else str(value)[:256]

    return OrderPost(
        client_order_id=text("client_order_id"),
        symbol=text("symbol"),
        notional=text("notional"),
        arrived_ns=arrived_ns,
    )
