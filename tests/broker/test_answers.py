"""What the body of an answer says: read from bytes alone, and by a client."""

from __future__ import annotations

import json
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snexec.broker.answers import (
    BrokerOrder,
    amount,
    read_order,
    read_quantity,
)
from snexec.errors import UnknownOutcomeError
from tests.broker.asking import NGINX, REPLY, look_up, place, position
from tests.fakes import make_order

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import respx

    from snexec.broker.client import AlpacaClient

# As a paper account answered (ALPACA 1.3).
RECORDED = (
    b'{"asset_class":"us_equity","asset_id":"3795cafe-fd54-4f66-a31e-66774be875ca",'
    b'"canceled_at":null,"client_order_id":"rec20261008151015-1",'
    b'"created_at":"2026-10-08T15:10:18.094153596Z","expired_at":null,'
    b'"expires_at":"2026-10-08T20:00:00Z","extended_hours":false,"failed_at":null,'
    b'"filled_at":null,"filled_avg_price":null,"filled_qty":"0","hwm":null,'
    b'"id":"f1a08ee3-8b15-4d31-b04b-944f30a06604","legs":null,"limit_price":null,'
    b'"notional":"5","order_class":"","order_type":"market",'
    b'"position_intent":"buy_to_open","qty":null,"replaced_at":null,'
    b'"replaced_by":null,"replaces":null,"side":"buy","source":null,'
    b'"status":"pending_new","stop_price":null,'
    b'"submitted_at":"2026-10-08T15:10:18.094153596Z","subtag":null,"symbol":"KO",'
    b'"time_in_force":"day","trail_percent":null,"trail_price":null,"type":"market",'
    b'"updated_at":"2026-10-08T15:10:18.0952164Z"}'
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


# An order


def test_a_recorded_answer_is_read() -> None:
    order = read_order(RECORDED, "rec20261008151015-1")
    assert order.id == "f1a08ee3-8b15-4d31-b04b-944f30a06604"
    assert order.status == "pending_new"
    assert (order.filled_qty, order.filled_avg_price) == (Decimal(0), None)


@given(
    length=st.integers(0, len(RECORDED) - 1),
    extra=st.binary(max_size=3),
)
def test_a_part_of_an_answer_is_none(length: int, extra: bytes) -> None:
    data = RECORDED[:length] + extra
    if data.strip(b" \t\r\n") == RECORDED:
        return
    with pytest.raises(UnknownOutcomeError):
        read_order(data, "rec20261008151015-1")


@pytest.mark.parametrize(
    ("first", "then", "quantity", "price"),
    [
        (("0", None), ("0", None), "0", None),
        (("0", None), ("0.5", "80"), "0.5", "80"),
        (("0.5", "80"), ("0", None), "0.5", "80"),
        (("0.4", "80"), ("0.6", "90"), "1.0", "86"),
        (("0.4", "80"), (None, None), None, "80"),
        (("a few", "80"), ("0", None), None, "80"),
        (("0.4", "80"), ("a few", "90"), None, "90"),
        (("0.4", None), ("0.6", "90"), "1.0", None),
        ((None, None), ("0.6", "90"), None, "90"),
    ],
)
def test_an_order_and_the_one_in_its_place_bought_what_both_did(
    first: tuple[object, object],
    then: tuple[object, object],
    quantity: str | None,
    price: str | None,
) -> None:
    replaced = make_order(
        *("sn-1", "replaced"), quantity=first[0], price=first[1], replaced_by="o-2"
    )
    latest = make_order(
        *("theirs", "canceled"), order_id="o-2", quantity=then[0], price=then[1]
    )
    both = replaced.continued_by(latest)
    assert (both.id, both.client_order_id, both.status) == ("o-1", "sn-1", "canceled")
    assert both.filled_qty == (None if quantity is None else Decimal(quantity))
    assert both.filled_avg_price == (None if price is None else Decimal(price))
    assert both.has_bought == (replaced.has_bought or latest.has_bought)


@pytest.mark.parametrize("value", [7, "", [], "x" * 257])
def test_a_replacement_that_cannot_be_named_hides_no_order(value: object) -> None:
    body = json.dumps(json.loads(RECORDED) | {"replaced_by": value}).encode()
    assert read_order(body, "rec20261008151015-1").replaced_by is None


FIELDS = ("id", "client_order_id", "status", "filled_qty", "filled_avg_price")
ORDERS = st.fixed_dictionaries(
    {}, optional={name: JSON | st.sampled_from(["c", "1.5", "0"]) for name in FIELDS}
)


@given(body=st.binary() | (JSON | ORDERS).map(json.dumps).map(str.encode))
def test_any_body_is_an_order_of_this_id_or_says_nothing(body: bytes) -> None:
    try:
        order = read_order(body, "c")
    except UnknownOutcomeError:
        return
    told = json.loads(body)
    assert (order.id, order.status) == (told["id"], told["status"])
    assert order.client_order_id == told["client_order_id"] == "c"
    for number in (order.filled_qty, order.filled_avg_price):
        assert number is None or 0 <= float(number) < float("inf")
    assert order.filled_avg_price is None or order.filled_avg_price > 0


@pytest.mark.parametrize(
    "text", ["9" * 4000, '"' + "9" * 9000 + '"', "1e400", "-1e400", '"1e999999999999"']
)
@pytest.mark.parametrize("name", ["filled_qty", "filled_avg_price"])
def test_a_number_that_no_row_can_hold_never_hides_an_accepted_order(
    name: str, text: str
) -> None:
    body = RECORDED[:-1] + f',"{name}":{text}}}'.encode()
    order = read_order(body, "rec20261008151015-1")
    assert getattr(order, name) is None


# An amount


@given(value=JSON | st.decimals() | st.binary() | st.just(10**5000))
def test_an_amount_is_a_finite_number_above_zero_or_none(value: object) -> None:
    number = amount(value)
    assert number is None or 0 < float(number) <= 1e18


def test_no_sum_and_no_product_of_amounts_is_infinite() -> None:
    assert amount("1e308") is amount("1e19") is None
    most = amount("1e18")
    assert most is not None
    assert float(most + most) < float(most * most * most) < float("inf")


def test_an_amount_of_a_hundred_digits_is_none_to_keep() -> None:
    assert amount("0." + "1" * 98) is not None
    assert amount("0." + "1" * 99) is None
    assert amount("0." + "1" * 200_000) is None


@pytest.mark.parametrize(
    "text", ["1_0", " 1 ", "1\n", "\uff11", "\u0661", "0x1", "1,5", ".", ""]
)
def test_an_amount_is_spelt_in_plain_digits(text: str) -> None:
    assert amount(text) is None


@given(number=st.decimals(min_value="1e-9", max_value="1e12", places=9))
def test_an_amount_is_read_to_its_last_digit(number: Decimal) -> None:
    assert amount(str(number)) == number
    assert amount(number) == number


# A position


@given(body=st.binary() | JSON.map(json.dumps).map(str.encode))
def test_any_position_has_shares_or_says_nothing(body: bytes) -> None:
    try:
        quantity = read_quantity(body, "AAPL")
    except UnknownOutcomeError:
        return
    assert 0 < float(quantity) < float("inf")


@pytest.mark.parametrize(
    ("asked", "told"),
    [("AAPL", "AAPL"), ("BTC/USD", "BTCUSD"), ("BTC/USD", "BTC/USD"), ("AAPL", None)],
)
def test_a_position_is_that_of_the_symbol_asked_for(
    asked: str, told: str | None
) -> None:
    body = json.dumps({"symbol": told, "qty": "2"}).encode()
    assert read_quantity(body, asked) == 2


@pytest.mark.parametrize("told", ["MSFT", "AAPL.X", 5, ["AAPL"], "x" * 100_000])
def test_a_position_of_another_symbol_is_no_answer(told: object) -> None:
    body = json.dumps({"symbol": told, "qty": "2"}).encode()
    with pytest.raises(UnknownOutcomeError, match="another position: its symbol is"):
        read_quantity(body, "AAPL")


@pytest.mark.parametrize(
    ("field", "told"),
    [
        *(("symbol", "MSFT"), ("side", "sell"), ("id", "o-2")),
        *(("client_order_id", "rec-2"), ("client_order_id", "r" * 129)),
        ("id", "o" * 100_000),
    ],
)
def test_an_order_that_was_not_asked_for_is_no_answer(field: str, told: str) -> None:
    asked = partial(
        read_order, order_id="f1a08ee3-8b15-4d31-b04b-944f30a06604", symbol="KO"
    )
    body = json.dumps(json.loads(RECORDED) | {field: told}).encode()
    assert asked(RECORDED, "rec20261008151015-1").symbol == "KO"
    with pytest.raises(UnknownOutcomeError, match=field) as caught:
        asked(body, "rec20261008151015-1")
    assert len(str(caught.value)) < 200


def test_an_order_is_not_changed_once_it_is_read() -> None:
    order = read_order(RECORDED, "rec20261008151015-1")
    with pytest.raises(ValueError, match="frozen"):
        order.id = "another"  # type: ignore[misc]
    assert isinstance(order, BrokerOrder)


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


# By a client: each field that is used

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


@pytest.mark.parametrize(
    ("told", "read"),
    [
        ("2026-01-05T14:30:00.123456789Z", "2026-01-05T14:30:00.123456+00:00"),
        ("2026-01-05T09:30:00-05:00", "2026-01-05T14:30:00+00:00"),
        ("2026-01-05T14:30:00", None),
        ("soon", None),
        (17, None),
        (None, None),
    ],
)
def test_when_an_order_was_filled_is_read_if_it_can_be(
    told: object, read: str | None
) -> None:
    content = json.dumps(
        {"id": "o-1", "client_order_id": "sn-1", "status": "filled", "filled_at": told}
    )
    filled_at = read_order(content.encode(), "sn-1").filled_at
    assert (None if filled_at is None else filled_at.isoformat()) == read
