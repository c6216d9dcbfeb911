"""What an answer says of an order, read from bytes alone."""

from __future__ import annotations

import json
from decimal import Decimal

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


def test_an_order_is_not_changed_once_it_is_read() -> None:
    order = read_order(RECORDED, "rec20261008151015-1")
    with pytest.raises(ValueError, match="frozen"):
        order.id = "another"  # type: ignore[misc]
    assert isinstance(order, BrokerOrder)
