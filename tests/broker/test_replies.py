"""What a reply means, judged by its status and its body."""

from __future__ import annotations

import json
import time
import traceback
from datetime import timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snexec.broker.replies import is_about_symbol, is_final_refusal, readable, refusal
from snexec.broker.request import Listener, Request
from snexec.errors import (
    BrokerError,
    DuplicateOrderError,
    NotFoundError,
    RateLimitedError,
    RefusedError,
    UnknownOutcomeError,
)
from snexec.logs import SecretMask
from tests.broker.asking import BASE, NGINX, REPLY, look_up, place, position
from tests.fakes import KEY, MOMENT, SECRET

if TYPE_CHECKING:
    from collections.abc import Callable

    import respx

    from snexec.broker.client import AlpacaClient

DUPLICATE = {"code": 40010001, "message": "client_order_id must be unique"}
UNIQUE = "client_order_id must be unique"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(status=st.integers(0, 999))
def test_only_a_4xx_that_may_not_change_its_mind_is_final(status: int) -> None:
    final = 400 <= status <= 499 and status not in {408, 425, 429}
    assert is_final_refusal(status) == final


@pytest.mark.parametrize("read", [bytes.decode, readable])
@pytest.mark.parametrize("status", [404, 422, 403])
@pytest.mark.parametrize("before", [0, 5000])
def test_a_reason_counts_wherever_in_the_body_it_stands(
    read: Callable[[bytes], str], status: int, before: int
) -> None:
    body = json.dumps({"existing_order": "x" * before, "message": UNIQUE})
    error = refusal(status, read(body.encode()), SecretMask())
    kinds = {404: NotFoundError, 422: DuplicateOrderError, 403: RefusedError}
    assert type(error) is kinds[status]
    assert (error.status_code, error.reason) == (status, UNIQUE)
    assert len(error.body) <= 2000


@given(status=st.integers(100, 599), text=st.text(max_size=50) | JSON.map(json.dumps))
def test_any_answer_makes_an_error_that_names_its_status(
    status: int, text: str
) -> None:
    error = refusal(status, text, SecretMask())
    assert error.status_code == status
    assert error.body == text
    assert error.reason


@given(body=st.binary() | JSON.map(json.dumps).map(str.encode))
def test_any_body_can_be_shown(body: bytes) -> None:
    assert isinstance(readable(body), str)


@given(
    secret=st.text(st.characters(codec="utf-8"), min_size=1).filter(
        lambda text: not set(text) & set('"\\') and text.isprintable()
    ),
    escaped=st.booleans(),
)
def test_no_escape_hides_a_secret_from_the_mask(secret: str, escaped: bool) -> None:
    if escaped:
        text = "".join(rf"\u{ord(char):04x}" for char in secret if ord(char) < 0x10000)
        secret = "".join(char for char in secret if ord(char) < 0x10000)
        body = f'{{"message":"key {text} is unknown"}}'.encode()
    else:
        body = json.dumps({"message": f"key {secret} is unknown"}).encode()
    assert secret in readable(body)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (403, 'asset "OCGN" is not fractionable'),
        (403, "cost basis must be >= minimal amount of order 10"),
        (403, "requested asset is not fractionable"),
        (422, 'asset "ZZZZ" not found'),
        (422, 'could not find asset "XYZ"'),
        (404, "asset not found for ZZZZQX"),
        (404, "symbol not found: ZZZZ"),
        (422, 'asset "RGC" is not tradable'),
        (422, 'asset "RGC" cannot be traded'),
        (422, "asset ABC is not currently tradable"),
        (422, "asset AAPL is not active"),
        (422, "Invalid symbol: A.B"),
        (403, "potential wash trade detected. use complex orders"),
        (
            403,
            "unable to open new notional orders while having open closing position"
            " orders",
        ),
    ],
)
def test_a_refusal_that_is_about_one_symbol_says_so(status: int, message: str) -> None:
    assert refusal(
        status, json.dumps({"code": 1, "message": message}), SecretMask()
    ).is_about_symbol
    assert not refusal(
        401, json.dumps({"message": message}), SecretMask()
    ).is_about_symbol


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (403, '{"message":"insufficient buying power"}'),
        (403, '{"message":"account is restricted to liquidation only"}'),
        (403, '{"message":"account is not authorized to trade"}'),
        (403, '{"message":"account not found"}'),
        (403, '{"message":"asset class crypto is not supported for this account"}'),
        (403, '{"message":"new orders are rejected by user request"}'),
        (403, '{"message":"trade denied due to pattern day trading protection"}'),
        (403, '{"message": "forbidden."}'),
        (401, '{"message": "unauthorized."}'),
        (404, '{"message":"endpoint not found."}'),
        (422, '{"message":"invalid crypto time_in_force"}'),
        (422, '{"message":"notional amount must be >= 1.00"}'),
        (422, '{"symbol":"X","reason":"asset not found","message":"no"}'),
        (422, "<html>asset is not tradable</html>"),
        (403, ""),
    ],
)
def test_any_other_refusal_is_taken_as_a_word_on_the_account(
    status: int, text: str
) -> None:
    assert not refusal(status, text, SecretMask()).is_about_symbol


def test_what_is_told_of_a_refusal_is_not_longer_than_what_can_be_read() -> None:
    error = refusal(403, json.dumps({"message": "x" * 100_000}), SecretMask())
    assert error.reason == "x" * 2000
    assert len(error.body) == 2000


def test_a_long_reason_is_judged_in_little_time() -> None:
    began = time.process_time()
    assert not is_about_symbol("asset " * 170_000)
    assert time.process_time() - began < 2  # some 10 ms; in whole it took a minute


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


# How long a 429 asks to wait

RESET = int(MOMENT.timestamp())


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, 1.0),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0.5"}, 0.5),
        ({"Retry-After": "0"}, 1.0),  # or all that the budget leaves goes at once
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
    def fail(data: bytes, listener: Listener) -> Request:
        request = Request(data, listener, sent=True)
        request.end(problem=f"something with {SECRET} broke")
        return request

    monkeypatch.setattr(client._pool, "submit", fail)
    with pytest.raises(UnknownOutcomeError, match=r"^something with \*\*\* broke$"):
        await place(client)


async def test_an_answer_that_names_another_order_does_not_show_the_body(
    client: AlpacaClient, route: respx.Route
) -> None:
    route.respond(json=REPLY | {"id": [KEY], "client_order_id": SECRET})
    with pytest.raises(UnknownOutcomeError) as caught:
        await place(client)
    text = "".join(traceback.format_exception(caught.value))
    assert KEY not in text
    assert SECRET not in text
