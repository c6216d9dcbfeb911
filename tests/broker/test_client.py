"""The REST client: what leaves, what comes back, and what that means for an order."""

from __future__ import annotations

import itertools
import json
import socket
import ssl
import struct
import traceback
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import respx
import trio

from snexec.broker import client as broker_module
from snexec.broker.answers import BrokerOrder
from snexec.broker.budget import Purpose, RateBudget
from snexec.broker.client import AlpacaClient, SentOrder
from snexec.broker.pool import Pool
from snexec.broker.tls import tls_context
from snexec.broker.wire import Reply, Request
from snexec.errors import (
    BrokerError,
    DuplicateOrderError,
    NotFoundError,
    NotSentError,
    RateLimitedError,
    RefusedError,
    UnknownOutcomeError,
)
from tests.fakes import CREDENTIALS, KEY, MOMENT, SECRET, FakeClock, make_order

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.conftest import Authority

BASE = "https://paper-api.alpaca.markets"
REPLY: dict[str, object] = {
    "id": "f1a08ee3-8b15-4d31-b04b-944f30a06604",
    "client_order_id": "sn-1",
    "status": "pending_new",
    "filled_qty": "0",
    "filled_avg_price": None,
    "qty": None,
    "notional": "5",
    "legs": None,
    "extended_hours": False,
}
DUPLICATE = {"code": 40010001, "message": "client_order_id must be unique"}
NGINX = "<html><head><title>504 Gateway Time-out</title></head><hr>nginx/1.16.1</html>"


class RoutedPool(Pool):
    """Has a respx route answer the orders too, from the bytes that would leave."""

    def __init__(self, nursery: trio.Nursery) -> None:
        super().__init__(BASE, tls=None, dial_seconds=1.0)
        self._tasks = nursery

    def submit(
        self,
        data: bytes,
        *,
        left: Callable[[], None] | None = None,
        withheld: Callable[[], bool] | None = None,  # noqa: ARG002 - nothing waits here
        ended: Callable[[Request], None] | None = None,
    ) -> Request:
        request = Request(data, left, ended=ended, sent=True)
        self._tasks.start_soon(self._answer, request)
        return request

    async def _answer(self, request: Request) -> None:
        head, _, content = request.data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        method, path, _version = first.split(" ")
        headers = dict(line.split(": ", 1) for line in lines)
        async with httpx.AsyncClient(verify=False) as client:  # noqa: S501 - no network
            answer = await client.request(
                method, f"{BASE}{path}", headers=headers, content=content
            )
        told = {name.lower(): value for name, value in answer.headers.items()}
        request.end(reply=Reply(answer.status_code, told, answer.content, True))


@pytest.fixture
async def make_client(nursery: trio.Nursery) -> Callable[..., AlpacaClient]:
    """Give a function that makes clients; the test's end closes them."""

    def make(url: str = BASE, **changes: Any) -> AlpacaClient:  # noqa: ANN401
        clock = FakeClock()
        values: dict[str, Any] = {
            "mode": "paper",
            "base_url": url,
            "credentials": CREDENTIALS,
            "budget": RateBudget(per_minute=200, clock=clock),
            "timeout_seconds": 5.0,
            "max_connections": 4,
            "clock": clock,
            "ssl_context": None,
        }
        client = AlpacaClient(**values | changes)
        if url == BASE:
            client._pool = RoutedPool(nursery)
        nursery.start_soon(client.run)
        return client

    return make


@pytest.fixture
def client(make_client: Callable[..., AlpacaClient]) -> AlpacaClient:
    """Give a client whose requests a respx route answers."""
    return make_client()


@pytest.fixture
def route(respx_mock: respx.MockRouter) -> respx.Route:
    """Give the route that answers every request."""
    return respx_mock.route()


async def place(client: AlpacaClient) -> BrokerOrder:
    """Place the order of row sn-1, within its budget."""
    assert client.budget.try_take(Purpose.START)
    sent, answered = send(client)
    try:
        await answered.wait()
    finally:
        sent.abandon("cancelled")
    return sent.outcome()


def send(client: AlpacaClient) -> tuple[SentOrder, trio.Event]:
    """Send the order of row sn-1, and return what is set once it is answered."""
    answered = trio.Event()
    sent = client.send_order(
        symbol="AAPL",
        notional="100.00",
        client_order_id="sn-1",
        answered=answered.set,
    )
    return sent, answered


async def look_up(client: AlpacaClient, order_id: str | None = None) -> BrokerOrder:
    """Look row sn-1's order up, within the budget."""
    assert client.budget.try_take(Purpose.START)
    return await client.order(client_order_id="sn-1", order_id=order_id)


async def position(client: AlpacaClient, symbol: str = "AAPL") -> Decimal:
    """Ask for a position, within the budget."""
    assert client.budget.try_take(Purpose.START)
    return await client.position_quantity(symbol)


def with_field(name: str, value: str | None) -> bytes:
    """Make a reply whose field is this JSON text, or missing."""
    fields = {key: json.dumps(told) for key, told in REPLY.items()}
    if value is None:
        del fields[name]
    else:
        fields[name] = value
    return (
        "{" + ",".join(f'"{key}":{text}' for key, text in fields.items()) + "}"
    ).encode()


# What leaves


async def test_an_order_leaves_exactly_as_the_contract_says(
    client: AlpacaClient, route: respx.Route
) -> None:
    route.respond(json=REPLY)
    order = await place(client)
    request = route.calls.last.request
    assert (request.method, str(request.url)) == ("POST", f"{BASE}/v2/orders")
    assert json.loads(request.content) == {
        "symbol": "AAPL",
        "notional": "100.00",
        "side": "buy",
        "type": "market",
        "time_in_force": "day",
        "client_order_id": "sn-1",
    }
    assert request.headers["APCA-API-KEY-ID"] == KEY
    assert request.headers["APCA-API-SECRET-KEY"] == SECRET
    assert request.headers["Content-Type"] == "application/json"
    assert "Authorization" not in request.headers
    assert order == make_order(
        "sn-1", "pending_new", order_id="f1a08ee3-8b15-4d31-b04b-944f30a06604"
    )
    assert (order.filled_qty, order.filled_avg_price) == (Decimal(0), None)


async def test_keys_stand_in_headers_only(
    client: AlpacaClient, route: respx.Route
) -> None:
    route.respond(json=REPLY | {"qty": "1"})
    await place(client)
    await look_up(client)
    await look_up(client, "o-1")
    await position(client)
    for call in route.calls:
        for secret in (KEY, SECRET):
            assert secret not in str(call.request.url)
            assert secret.encode() not in call.request.content
            named = [n for n, v in call.request.headers.items() if secret in v]
            assert len(named) == 1


async def test_a_mode_without_keys_sends_none(
    make_client: Callable[..., AlpacaClient], route: respx.Route
) -> None:
    route.respond(json=REPLY)
    await place(make_client(credentials=None))
    names = {name.lower() for name in route.calls.last.request.headers}
    assert not {name for name in names if name.startswith("apca")}


@pytest.mark.parametrize(
    ("symbol", "path"),
    [
        ("AAPL", b"/v2/positions/AAPL"),
        ("BRK.B", b"/v2/positions/BRK.B"),
        ("BTC/USD", b"/v2/positions/BTC%2FUSD"),
        ("../orders", b"/v2/positions/..%2Forders"),
        ("A?b#c", b"/v2/positions/A%3Fb%23c"),
    ],
)
async def test_a_symbol_is_one_part_of_the_path(
    client: AlpacaClient, route: respx.Route, symbol: str, path: bytes
) -> None:
    route.respond(json={"qty": "1"})
    await position(client, symbol)
    assert route.calls.last.request.url.raw_path == path


@pytest.mark.parametrize(
    ("order_id", "path"),
    [
        ("f1a08ee3-8b15", b"/v2/orders/f1a08ee3-8b15"),
        ("a/../b?c=d", b"/v2/orders/a%2F..%2Fb%3Fc%3Dd"),
        (None, b"/v2/orders:by_client_order_id?client_order_id=sn-1"),
    ],
)
async def test_an_order_is_asked_for_by_its_id(
    client: AlpacaClient, route: respx.Route, order_id: str | None, path: bytes
) -> None:
    route.respond(json=REPLY)
    await look_up(client, order_id)
    request = route.calls.last.request
    assert (request.method, request.url.raw_path) == ("GET", path)


async def test_a_client_order_id_is_quoted(
    client: AlpacaClient, route: respx.Route
) -> None:
    odd = "a&b=c d/é"
    route.respond(json=REPLY | {"client_order_id": odd})
    assert client.budget.try_take(Purpose.START)
    await client.order(client_order_id=odd, order_id=None)
    assert route.calls.last.request.url.params["client_order_id"] == odd


# What comes back: each field that is used

# JSON text → the amount, None where it cannot be one. Never an error.
AMOUNTS: list[tuple[str, str | None]] = [
    ('"0.057436865"', "0.057436865"),
    ('"86.878"', "86.878"),
    ('"1E+2"', "1E+2"),
    ("5", "5"),
    ("5.25", "5.25"),
    ("null", None),
    ('""', None),
    ('" "', None),
    ('"abc"', None),
    ('"0x10"', None),
    ('"NaN"', None),
    ('"sNaN"', None),
    ('"-NaN123"', None),
    ('"inf"', None),
    ('"-Infinity"', None),
    ('"1e999"', None),
    ('"1e-999"', None),
    ('"1e999999999999999999"', None),
    ("1e999", None),
    ('"-1"', None),
    ("-1", None),
    ("-0.5", None),
    ("true", None),
    ("false", None),
    ("[]", None),
    ('["1"]', None),
    ("{}", None),
    (f'"{"9" * 400}"', None),
    ("9" * 400, None),
]


@pytest.mark.parametrize(("text", "expected"), AMOUNTS)
@pytest.mark.parametrize("name", ["filled_qty", "filled_avg_price"])
async def test_an_amount_in_a_reply_is_read_or_left_out(
    client: AlpacaClient, route: respx.Route, name: str, text: str, expected: str | None
) -> None:
    route.respond(content=with_field(name, text))
    order = await place(client)
    number = None if expected is None else Decimal(expected)
    assert getattr(order, name) == number
    assert order.id == REPLY["id"], "it is accepted all the same"


@pytest.mark.parametrize(
    ("text", "expected"), [('"0"', Decimal(0)), ("0", Decimal(0)), ("0.0", Decimal(0))]
)
async def test_no_shares_are_a_quantity_but_no_dollars_are_no_price(
    client: AlpacaClient, route: respx.Route, text: str, expected: Decimal
) -> None:
    route.respond(content=with_field("filled_qty", text))
    assert (await place(client)).filled_qty == expected
    route.respond(content=with_field("filled_avg_price", text))
    assert (await place(client)).filled_avg_price is None


@pytest.mark.parametrize("name", ["filled_qty", "filled_avg_price"])
async def test_a_missing_amount_is_none(
    client: AlpacaClient, route: respx.Route, name: str
) -> None:
    route.respond(content=with_field(name, None))
    assert getattr(await place(client), name) is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(
            (name, text)
            for name in ("id", "client_order_id", "status")
            for text in (None, "null", "5", "1.5", "true", "[]", '["a"]', "{}")
        ),
        ("id", '""'),
        ("id", json.dumps("x" * 257)),
        ("id", r'"\ud800"'),
        ("client_order_id", '""'),
        ("client_order_id", '"sn-2"'),
        ("client_order_id", '"SN-1"'),
        ("client_order_id", '"sn-1 "'),
    ],
)
@pytest.mark.parametrize("ask", [place, look_up])
async def test_a_reply_that_names_no_order_of_ours_says_nothing(
    client: AlpacaClient,
    route: respx.Route,
    ask: Callable[[AlpacaClient], Awaitable[BrokerOrder]],
    name: str,
    text: str | None,
) -> None:
    route.respond(content=with_field(name, text))
    with pytest.raises(UnknownOutcomeError):
        await ask(client)


@pytest.mark.parametrize("status", ["filled", "held", "pending_review", "", "x" * 999])
async def test_any_text_is_a_status(
    client: AlpacaClient, route: respx.Route, status: str
) -> None:
    route.respond(json=REPLY | {"status": status})
    assert (await look_up(client)).status == status


async def test_fields_that_nobody_knows_are_passed_over(
    client: AlpacaClient, route: respx.Route
) -> None:
    route.respond(json=REPLY | {"new_in_2027": [{"deep": 1}], "order_class": 7})
    assert (await place(client)).status == "pending_new"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"5",
        b'"order"',
        b"{}",
        b"{",
        b"\xff\xfe",
        NGINX.encode(),
        b"[" * 100_000,
        b'{"id":' * 50_000,
    ],
    ids=lambda body: body[:12].decode(errors="replace") or "empty",
)
@pytest.mark.parametrize("ask", [place, look_up, position])
async def test_a_200_that_cannot_be_read_is_unknown(
    client: AlpacaClient,
    route: respx.Route,
    ask: Callable[[AlpacaClient], Awaitable[object]],
    body: bytes,
) -> None:
    route.respond(content=body)
    with pytest.raises(UnknownOutcomeError):
        await ask(client)
    assert route.call_count == 1


@pytest.mark.parametrize(
    ("text", "expected"), [*AMOUNTS, ('"0"', None), ("0", None), ("-0.0", None)]
)
async def test_a_positions_quantity_is_above_zero_or_unknown(
    client: AlpacaClient, route: respx.Route, text: str, expected: str | None
) -> None:
    route.respond(content=b'{"qty":' + text.encode() + b"}")
    if expected is None:
        with pytest.raises(UnknownOutcomeError):
            await position(client)
    else:
        assert await position(client) == Decimal(expected)


async def test_a_position_without_a_quantity_is_unknown(
    client: AlpacaClient, route: respx.Route
) -> None:
    route.respond(json={"symbol": "AAPL"})
    with pytest.raises(UnknownOutcomeError):
        await position(client)


# What a status means

FINAL = [400, 401, 403, 404, 405, 406, 409, 410, 411, 413, 414, 415, 418, 422, 451, 499]


@pytest.mark.parametrize("status", FINAL)
async def test_a_final_4xx_is_the_brokers_no(
    client: AlpacaClient, route: respx.Route, status: int
) -> None:
    body = {"code": 40310000, "message": "insufficient buying power"}
    route.respond(status, json=body)
    with pytest.raises(RefusedError) as caught:
        await place(client)
    assert caught.value.status_code == status
    assert json.loads(caught.value.body) == body
    assert caught.value.reason == "insufficient buying power"
    assert str(caught.value) == f"HTTP {status}: insufficient buying power"
    assert isinstance(caught.value, NotFoundError) == (status == 404)
    assert not isinstance(caught.value, DuplicateOrderError)


@pytest.mark.parametrize(
    ("body", "reason", "shown"),
    [
        (b"", "HTTP 403", ""),
        (NGINX.encode(), "HTTP 403", NGINX),
        (b'{"code": 1}', "HTTP 403", '{"code":1}'),
        (b'{"message": null}', "HTTP 403", '{"message":null}'),
        (b'{"message": ["a"]}', "HTTP 403", '{"message":["a"]}'),
        (b'["message"]', "HTTP 403", '["message"]'),
        (b"\xff", "HTTP 403", "\ufffd"),
        (b"[" * 100_000, "HTTP 403", "[" * 2000),
    ],
    ids=str,
)
async def test_a_refusal_without_a_readable_reason_is_one_all_the_same(
    client: AlpacaClient, route: respx.Route, body: bytes, reason: str, shown: str
) -> None:
    route.respond(403, content=body)
    with pytest.raises(RefusedError) as caught:
        await place(client)
    assert (caught.value.reason, caught.value.body) == (reason, shown)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        *((status, "come again") for status in (408, 425)),
        *((status, "internal server error") for status in (500, 501, 503, 599)),
        *((status, "fine") for status in (201, 202, 203, 206, 226)),
    ],
)
@pytest.mark.parametrize("body", ["json", "html"])
async def test_any_other_answer_leaves_the_outcome_unknown(
    client: AlpacaClient, route: respx.Route, status: int, message: str, body: str
) -> None:
    if body == "json":
        route.respond(status, json=REPLY | {"message": message})
    else:
        route.respond(status, html=NGINX)
    with pytest.raises(UnknownOutcomeError, match=f"HTTP {status}"):
        await place(client)
    assert route.call_count == 1


async def test_an_empty_204_is_unknown(
    client: AlpacaClient, route: respx.Route
) -> None:
    route.respond(204)
    with pytest.raises(UnknownOutcomeError, match="HTTP 204"):
        await place(client)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
async def test_a_redirect_is_never_followed(
    client: AlpacaClient, route: respx.Route, status: int
) -> None:
    route.respond(status, headers={"Location": f"{BASE}/v2/elsewhere"})
    with pytest.raises(UnknownOutcomeError, match=f"HTTP {status}"):
        await place(client)
    assert route.call_count == 1


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (422, DUPLICATE, DuplicateOrderError),
        (422, DUPLICATE | {"code": 42210000}, DuplicateOrderError),
        (422, {"message": "notional amount must be >= 1.00"}, RefusedError),
        (400, DUPLICATE, RefusedError),
        (403, DUPLICATE, RefusedError),
    ],
)
async def test_only_a_422_about_the_id_is_a_duplicate(
    client: AlpacaClient,
    route: respx.Route,
    status: int,
    body: dict[str, object],
    kind: type[Exception],
) -> None:
    route.respond(status, json=body)
    with pytest.raises(RefusedError) as caught:
        await place(client)
    assert type(caught.value) is kind


async def test_a_look_up_that_finds_nothing_is_told_apart(
    client: AlpacaClient, route: respx.Route
) -> None:
    route.respond(404, json={"code": 40410000, "message": "order not found"})
    with pytest.raises(NotFoundError, match="order not found"):
        await look_up(client)
    with pytest.raises(NotFoundError):
        await position(client)


async def test_a_question_that_no_file_can_be_opened_for_is_not_sent_and_may_come_again(
    client: AlpacaClient, route: respx.Route, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise OSError(24, "Too many open files", "lookups.py")

    route.respond(json=REPLY)
    with monkeypatch.context() as patch:
        patch.setattr(broker_module, "import_look_ups", fail)
        with pytest.raises(NotSentError, match="Too many open files"):
            await look_up(client)
    assert not route.called
    assert (await look_up(client)).id == REPLY["id"]


# How long a 429 asks to wait

RESET = int(MOMENT.timestamp())


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, 1.0),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0.5"}, 0.5),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "-5"}, 1.0),
        ({"Retry-After": ""}, 1.0),
        ({"Retry-After": "soon"}, 1.0),
        ({"Retry-After": "nan"}, 1.0),
        ({"Retry-After": "inf"}, 1.0),
        ({"Retry-After": "1e999"}, 1.0),
        ({"Retry-After": format_datetime(MOMENT + timedelta(seconds=20))}, 19.877),
        ({"Retry-After": format_datetime(MOMENT - timedelta(seconds=20))}, 1.0),
        ({"Retry-After": "Mon, 05 Jan 99999999999999999999 14:30:00 GMT"}, 1.0),
        ({"X-RateLimit-Reset": str(RESET + 12)}, 11.877),
        ({"X-RateLimit-Reset": str(RESET + 12), "Retry-After": "3"}, 11.877),
        ({"X-RateLimit-Reset": str(RESET - 12)}, 1.0),
        ({"X-RateLimit-Reset": str(RESET - 12), "Retry-After": "3"}, 3.0),
        ({"X-RateLimit-Reset": str(RESET + 999), "Retry-After": "3"}, 3.0),
        ({"X-RateLimit-Reset": "nan"}, 1.0),
        ({"X-RateLimit-Reset": "soon", "Retry-After": "3"}, 3.0),
    ],
)
async def test_a_429_says_how_long_to_wait(
    client: AlpacaClient, route: respx.Route, headers: dict[str, str], wait: float
) -> None:
    route.respond(429, json={"message": "too many requests."}, headers=headers)
    with pytest.raises(RateLimitedError, match="HTTP 429: too many requests") as caught:
        await place(client)
    assert caught.value.wait_seconds == pytest.approx(wait, abs=1e-6)


async def test_answers_tell_the_budget_how_many_are_left(
    client: AlpacaClient, route: respx.Route
) -> None:
    told = {
        "X-RateLimit-Limit": "100",
        "X-RateLimit-Remaining": "1",
        "X-RateLimit-Reset": str(RESET + 30),
    }
    route.respond(403, json={}, headers=told)
    with pytest.raises(RefusedError):
        await place(client)
    assert client.budget.limit == 100
    assert client.budget.try_take(Purpose.START)
    assert not client.budget.try_take(Purpose.START)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-RateLimit-Limit": "9" * 5000},
        {"Date": "Mon, 05 Jan 99999999999999999999 14:30:00 GMT"},
        {"Date": "Mon, 05 Jan 0000 14:30:00 GMT"},
        {"X-RateLimit-Remaining": "\u00b2"},
        {"X-RateLimit-Reset": "\u0662"},
    ],
    ids="-".join,
)
async def test_garbage_headers_never_hide_an_accepted_order(
    client: AlpacaClient, route: respx.Route, headers: dict[str, str]
) -> None:
    told = {
        "X-RateLimit-Limit": "100",
        "X-RateLimit-Remaining": "1",
        "X-RateLimit-Reset": str(RESET + 30),
    } | headers
    raw = [(name.encode(), value.encode()) for name, value in told.items()]
    route.mock(return_value=httpx.Response(200, json=REPLY, headers=raw))
    assert (await place(client)).id == REPLY["id"]


# Secrets


@pytest.mark.parametrize("status", [401, 403, 422, 429, 500])
@pytest.mark.parametrize(
    "form",
    [
        json.dumps({"message": f"bad key {KEY}", "secret": SECRET}),
        json.dumps({"message": f"bad {SECRET}"}).replace("/", "\\/"),
        json.dumps({"message": KEY}).replace("P", "\\u0050"),
        f"<html>{KEY}:{SECRET}</html>",
        "key=" + KEY + "&secret=" + SECRET.replace("/", "%2F").replace("+", "%2B"),
        '{"message": "' + SECRET,
    ],
    ids=["json", "slashes", "unicode", "html", "form", "cut"],
)
async def test_a_secret_that_the_broker_echoes_is_masked(
    client: AlpacaClient, route: respx.Route, status: int, form: str
) -> None:
    route.respond(status, content=form.encode())
    with pytest.raises(BrokerError) as caught:
        await place(client)
    exc = caught.value
    told = [str(exc), repr(exc), *traceback.format_exception(exc)]
    if isinstance(exc, RefusedError):
        told += [exc.body, exc.reason]
    for text in told:
        for secret in (KEY, SECRET, SECRET.replace("/", "\\/"), KEY[1:]):
            assert secret not in text


async def test_a_secret_across_the_end_of_what_is_shown_is_masked(
    client: AlpacaClient, route: respx.Route
) -> None:
    route.respond(403, content=b"x" * 1990 + SECRET.encode())
    with pytest.raises(RefusedError) as caught:
        await place(client)
    assert caught.value.body == "x" * 1990 + "***"


async def test_a_problem_of_the_connection_is_told_without_secrets(
    client: AlpacaClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(
        data: bytes,
        *,
        left: object,
        withheld: object,
        ended: Callable[[Request], None],
    ) -> Request:
        del left, withheld
        request = Request(data, ended=ended, sent=True)
        request.end(problem=f"something with {SECRET} broke")
        return request

    monkeypatch.setattr(client._pool, "submit", fail)
    with pytest.raises(UnknownOutcomeError, match=r"^something with \*\*\* broke$"):
        await place(client)


async def test_a_client_does_not_show_its_keys(
    client: AlpacaClient, route: respx.Route
) -> None:
    route.respond(json=REPLY)
    assert client.budget.try_take(Purpose.START)
    sent, answered = send(client)
    for thing in (client, client._look_ups, client.budget, client._pool, CREDENTIALS):
        for secret in (KEY, SECRET):
            assert secret not in repr(thing)
            assert secret not in str(thing)
    for secret in (KEY, SECRET):
        assert secret not in repr(sent), "an order on its way holds them too"
        assert secret not in repr(vars(sent))
    await answered.wait()


async def test_an_answer_that_names_another_order_does_not_show_the_body(
    client: AlpacaClient, route: respx.Route
) -> None:
    route.respond(json=REPLY | {"id": [KEY], "client_order_id": SECRET})
    with pytest.raises(UnknownOutcomeError) as caught:
        await place(client)
    text = "".join(traceback.format_exception(caught.value))
    assert KEY not in text
    assert SECRET not in text


@pytest.mark.parametrize(
    ("status", "is_taken"), [(200, True), (403, False), (429, False), (500, False)]
)
async def test_an_order_is_taken_by_a_200_alone(
    client: AlpacaClient, route: respx.Route, status: int, is_taken: bool
) -> None:
    route.respond(status, json=REPLY)
    assert client.budget.try_take(Purpose.START)
    sent, answered = send(client)
    assert not sent.is_taken
    await answered.wait()
    assert sent.is_taken is is_taken


# Over real connections


@dataclass
class Server:
    """A TCP server that reads one request after another, and answers as scripted."""

    answer: Callable[[trio.abc.Stream], Awaitable[None]]
    url: str = ""
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0

    async def serve(self, stream: trio.abc.Stream) -> None:
        self.connections += 1
        data = b""
        try:
            while True:
                while not is_whole(data):
                    more = await stream.receive_some()
                    if not more:
                        return
                    data += more
                self.requests.append(data)
                data = b""
                await self.answer(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return


def is_whole(data: bytes) -> bool:
    """Return whether a request is complete."""
    head, found, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    return bool(found) and len(body) >= length


def http(status: str, body: bytes, **headers: str) -> bytes:
    """Make an answer as bytes."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def sends(*parts: bytes) -> Callable[[trio.abc.Stream], Awaitable[None]]:
    """Make an answer of these parts."""

    async def answer(stream: trio.abc.Stream) -> None:
        for part in parts:
            await stream.send_all(part)

    return answer


def sends_and_closes(data: bytes) -> Callable[[trio.abc.Stream], Awaitable[None]]:
    """Make an answer that is the connection's last word."""

    async def answer(stream: trio.abc.Stream) -> None:
        await stream.send_all(data)
        await stream.aclose()

    return answer


async def reset(stream: trio.abc.Stream) -> None:
    """Break the connection off, as a crash does."""
    assert isinstance(stream, trio.SocketStream)
    linger = struct.pack("ii", 1, 0)
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    stream.socket.close()


async def hang(stream: trio.abc.Stream) -> None:
    """Never answer."""
    await stream.receive_some()


async def drip(stream: trio.abc.Stream) -> None:
    """Answer a byte at a time, for much too long."""
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
    for _ in range(9999):
        await stream.send_all(b" ")
        await trio.sleep(0.01)


@pytest.fixture
async def start(
    nursery: trio.Nursery,
) -> Callable[..., Awaitable[Server]]:
    """Give a function that starts a server on a free loopback port."""

    async def start_server(
        answer: Callable[[trio.abc.Stream], Awaitable[None]],
        *,
        on_connect: Callable[[trio.abc.Stream], Awaitable[None]] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> Server:
        server = Server(answer)

        async def handle(stream: trio.SocketStream) -> None:
            if on_connect is not None:
                server.connections += 1
                await on_connect(stream)
            elif tls is not None:
                secured = trio.SSLStream(
                    stream, tls, server_side=True, https_compatible=True
                )
                await server.serve(secured)
            else:
                await server.serve(stream)

        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listeners[0].socket.getsockname()[1]
        server.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        nursery.start_soon(trio.serve_listeners, handle, listeners)
        return server

    return start_server


ACCEPTED = http("200 OK", json.dumps(REPLY).encode())


async def outcome(client: AlpacaClient) -> type[Exception] | str:
    """Place an order, and return the error or the broker's id."""
    with trio.fail_after(10):
        try:
            order = await place(client)
        except BrokerError as exc:
            assert client.budget._in_flight == 0
            return type(exc)
    assert client.budget._in_flight == 0
    return order.id


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (sends(ACCEPTED), REPLY["id"]),
        (sends(*(ACCEPTED[n : n + 1] for n in range(len(ACCEPTED)))), REPLY["id"]),
        (sends_and_closes(ACCEPTED), REPLY["id"]),
        (sends(b"HTTP/1.1 103 Early Hints\r\n\r\n", ACCEPTED), REPLY["id"]),
        (reset, UnknownOutcomeError),
        (hang, UnknownOutcomeError),
        (drip, UnknownOutcomeError),
        (sends_and_closes(b""), UnknownOutcomeError),
        (sends_and_closes(b"HTTP/1.1 200"), UnknownOutcomeError),
        (sends_and_closes(ACCEPTED[:-1]), UnknownOutcomeError),
        (sends_and_closes(b"\x16\x03\x01 not HTTP\r\n\r\n"), UnknownOutcomeError),
        (sends_and_closes(b"HTTP/1.1 200 OK\r\n" * 99_999), UnknownOutcomeError),
        (sends(http("200 OK", b" " * (1 << 20) + b" ")), UnknownOutcomeError),
        (sends(http("504 Gateway Time-out", NGINX.encode())), UnknownOutcomeError),
        (sends(http("307 Moved", b"", Location="/v2/orders")), UnknownOutcomeError),
        (sends(http("403 Forbidden", b"{}")), RefusedError),
        (sends(http("403 Forbidden", b" " * 3_000_000)), RefusedError),
        (
            sends_and_closes(b"HTTP/1.1 403 No\r\nContent-Length: 99\r\n\r\n{"),
            RefusedError,
        ),
        (sends(http("429 Slow down", b"", Retry_After="3")), RateLimitedError),
    ],
    ids=[
        *("accepted", "bytewise", "closed-after", "early-hints", "reset", "hang"),
        *("drip", "closed-unanswered", "cut-status", "cut-body", "not-http"),
        *("endless-head", "over-1-MiB", "504", "307", "403", "403-over-1-MiB"),
        *("403-cut", "429"),
    ],
)
async def test_what_the_connection_does_decides_what_is_known(
    start: Callable[..., Awaitable[Server]],
    make_client: Callable[..., AlpacaClient],
    answer: Callable[[trio.abc.Stream], Awaitable[None]],
    expected: type[Exception] | str,
) -> None:
    server = await start(answer)
    patience = 0.3 if answer in {hang, drip} else 5.0
    client = make_client(server.url, timeout_seconds=patience)
    assert await outcome(client) == expected
    assert len(server.requests) == 1, "an order leaves once"
    assert server.requests[0].startswith(b"POST /v2/orders HTTP/1.1\r\n")


async def test_a_body_of_exactly_a_mebibyte_is_read(
    start: Callable[..., Awaitable[Server]], make_client: Callable[..., AlpacaClient]
) -> None:
    body = json.dumps(REPLY).encode().ljust(1 << 20)
    server = await start(sends(http("200 OK", body)))
    assert await outcome(make_client(server.url)) == REPLY["id"]


async def test_a_connection_that_is_reset_at_once_may_have_carried_the_order(
    start: Callable[..., Awaitable[Server]], make_client: Callable[..., AlpacaClient]
) -> None:
    server = await start(sends(ACCEPTED), on_connect=reset)
    # Whether it left is a matter of microseconds; a storm of connections is not.
    known = await outcome(make_client(server.url))
    assert known in {UnknownOutcomeError, NotSentError}
    assert server.connections == 1


async def test_an_order_may_come_before_the_clients_own_task_runs(
    start: Callable[..., Awaitable[Server]], make_client: Callable[..., AlpacaClient]
) -> None:
    server = await start(sends(ACCEPTED))
    client = make_client(server.url)
    assert client._pool._nursery is None, "it was only just started"
    assert client.budget.try_take(Purpose.START)
    sent, answered = send(client)
    with trio.fail_after(5):
        await answered.wait()
    assert sent.outcome().id == REPLY["id"]
    assert len(server.requests) == 1


async def test_the_end_of_a_client_closes_what_its_questions_opened() -> None:
    client = AlpacaClient(
        mode="paper",
        base_url="http://127.0.0.1:1",
        credentials=CREDENTIALS,
        budget=RateBudget(per_minute=200, clock=FakeClock()),
        timeout_seconds=5.0,
        max_connections=4,
        clock=FakeClock(),
        ssl_context=None,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.run)
        with pytest.raises(NotSentError):
            await look_up(client)
        opened = client._look_ups
        nursery.cancel_scope.cancel()
    assert opened is not None
    assert opened._http.is_closed


async def test_an_order_that_is_cancelled_before_it_left_never_leaves(
    start: Callable[..., Awaitable[Server]], make_client: Callable[..., AlpacaClient]
) -> None:
    server = await start(sends(ACCEPTED))
    client = make_client(server.url)
    with trio.move_on_after(0) as scope:
        await place(client)
    assert scope.cancelled_caught
    assert client.budget._in_flight == 0
    assert await outcome(client) == REPLY["id"]
    assert len(server.requests) == 1, "of the second"


async def test_a_refused_connection_sent_nothing(
    make_client: Callable[..., AlpacaClient],
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    client = make_client(f"http://127.0.0.1:{port}")
    with (
        trio.fail_after(5),
        pytest.raises(NotSentError, match="all attempts to connect"),
    ):
        await place(client)
    assert client.budget._in_flight == 0


async def test_the_time_out_says_itself(
    start: Callable[..., Awaitable[Server]], make_client: Callable[..., AlpacaClient]
) -> None:
    server = await start(hang)
    client = make_client(server.url, timeout_seconds=0.2)
    began = trio.current_time()
    with pytest.raises(UnknownOutcomeError, match=r"no answer within 0\.2 s"):
        await place(client)
    assert 0.2 <= trio.current_time() - began < 2


async def test_each_order_has_its_own_time(
    start: Callable[..., Awaitable[Server]], make_client: Callable[..., AlpacaClient]
) -> None:
    numbers = itertools.count()

    async def answer_the_first(stream: trio.abc.Stream) -> None:
        await (sends(ACCEPTED) if next(numbers) == 0 else hang)(stream)

    server = await start(answer_the_first)
    client = make_client(server.url, timeout_seconds=0.3)
    assert await outcome(client) == REPLY["id"]
    ended: list[float] = []
    async with trio.open_nursery() as nursery:
        for pause in (0.0, 0.1, 0.2):

            async def late(pause: float = pause) -> None:
                await trio.sleep(pause)
                began = trio.current_time()
                assert await outcome_of_many(client) is UnknownOutcomeError
                ended.append(trio.current_time() - began)

            nursery.start_soon(late)
    assert all(0.3 <= seconds < 2 for seconds in ended), ended
    assert client.budget._in_flight == 0
    assert not client._under_way, "an answered order is not kept for its time"


async def outcome_of_many(client: AlpacaClient) -> type[Exception] | None:
    """Place an order beside others, and return the error."""
    try:
        await place(client)
    except BrokerError as exc:
        return type(exc)
    return None


async def test_a_connection_is_used_again(
    start: Callable[..., Awaitable[Server]], make_client: Callable[..., AlpacaClient]
) -> None:
    server = await start(sends(ACCEPTED))
    client = make_client(server.url)
    for _ in range(3):
        assert await outcome(client) == REPLY["id"]
    assert (server.connections, len(server.requests)) == (1, 3)


async def test_a_connection_that_the_broker_has_closed_is_not_used_again(
    start: Callable[..., Awaitable[Server]], make_client: Callable[..., AlpacaClient]
) -> None:
    server = await start(sends_and_closes(ACCEPTED))
    client = make_client(server.url)
    for _ in range(3):
        assert await outcome(client) == REPLY["id"]
        await trio.testing.wait_all_tasks_blocked(0.02)
    assert (server.connections, len(server.requests)) == (3, 3)


async def test_a_cancelled_request_is_over_for_the_budget(
    start: Callable[..., Awaitable[Server]], make_client: Callable[..., AlpacaClient]
) -> None:
    server = await start(hang)
    client = make_client(server.url)
    with trio.fail_after(5):
        with trio.move_on_after(0.1) as scope:
            await place(client)
    assert scope.cancelled_caught
    assert client.budget._in_flight == 0


async def test_proxies_of_the_environment_are_not_asked(
    start: Callable[..., Awaitable[Server]],
    make_client: Callable[..., AlpacaClient],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    server = await start(sends(ACCEPTED))
    assert await outcome(make_client(server.url)) == REPLY["id"]


# TLS


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
async def test_a_named_authority_is_trusted(
    start: Callable[..., Awaitable[Server]],
    make_client: Callable[..., AlpacaClient],
    authority: Authority,
    variable: str,
) -> None:
    server = await start(sends(ACCEPTED), tls=authority.server)
    path = authority.bundle if variable == "SSL_CERT_FILE" else authority.folder
    context = tls_context({variable: str(path)})
    assert await outcome(make_client(server.url, ssl_context=context)) == REPLY["id"]


async def test_an_authority_that_nobody_named_is_not_trusted(
    start: Callable[..., Awaitable[Server]],
    make_client: Callable[..., AlpacaClient],
    authority: Authority,
) -> None:
    server = await start(sends(ACCEPTED), tls=authority.server)
    client = make_client(server.url, ssl_context=tls_context({}))
    with trio.fail_after(5), pytest.raises(NotSentError):
        await place(client)
    assert server.requests == []


async def test_a_certificate_of_another_name_is_not_trusted(
    start: Callable[..., Awaitable[Server]],
    make_client: Callable[..., AlpacaClient],
    authority: Authority,
) -> None:
    server = await start(sends(ACCEPTED), tls=authority.other)
    context = tls_context({"SSL_CERT_FILE": str(authority.bundle)})
    client = make_client(server.url, ssl_context=context)
    with trio.fail_after(5), pytest.raises(NotSentError):
        await place(client)
    assert server.requests == []


async def test_the_reason_says_that_the_certificate_is_at_fault(
    start: Callable[..., Awaitable[Server]],
    make_client: Callable[..., AlpacaClient],
    authority: Authority,
) -> None:
    server = await start(sends(ACCEPTED), tls=authority.server)
    client = make_client(server.url, ssl_context=tls_context({}))
    with trio.fail_after(5), pytest.raises(NotSentError, match=r"(?i)certificate"):
        await place(client)


async def test_a_handshake_that_hangs_sent_nothing(
    start: Callable[..., Awaitable[Server]], make_client: Callable[..., AlpacaClient]
) -> None:
    server = await start(sends(ACCEPTED), on_connect=hang_for_ever)
    url = server.url.replace("http:", "https:")
    client = make_client(url, ssl_context=tls_context({}), timeout_seconds=0.2)
    with trio.fail_after(5), pytest.raises(NotSentError, match="no connection within"):
        await place(client)


async def hang_for_ever(_stream: trio.abc.Stream) -> None:
    await trio.sleep_forever()
