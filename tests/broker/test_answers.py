"""What an answer says of an order, read from bytes alone."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snexec.broker.answers import (
    BrokerOrder,
    amount,
    is_final_refusal,
    read_order,
    read_quantity,
    readable,
    refusal,
)
from snexec.errors import (
    DuplicateOrderError,
    NotFoundError,
    RefusedError,
    UnknownOutcomeError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

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
UNIQUE = "client_order_id must be unique"
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
    assert number is None or 0 < float(number) < float("inf")


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
        quantity = read_quantity(body)
    except UnknownOutcomeError:
        return
    assert 0 < float(quantity) < float("inf")


# A status


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
    error = refusal(status, read(body.encode()))
    kinds = {404: NotFoundError, 422: DuplicateOrderError, 403: RefusedError}
    assert type(error) is kinds[status]
    assert (error.status_code, error.reason) == (status, UNIQUE)
    assert len(error.body) <= 2000


@given(status=st.integers(100, 599), text=st.text(max_size=50) | JSON.map(json.dumps))
def test_any_answer_makes_an_error_that_names_its_status(
    status: int, text: str
) -> None:
    error = refusal(status, text)
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


def test_an_order_is_not_changed_once_it_is_read() -> None:
    order = read_order(RECORDED, "rec20261008151015-1")
    with pytest.raises(ValueError, match="frozen"):
        order.id = "another"  # type: ignore[misc]
    assert isinstance(order, BrokerOrder)


def test_what_is_told_of_a_refusal_is_not_longer_than_what_can_be_read() -> None:
    error = refusal(403, json.dumps({"message": "x" * 100_000}))
    assert error.reason == "x" * 2000
    assert len(error.body) == 2000
