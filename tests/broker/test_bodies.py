"""The bytes of what closes shares that are held; those of a buy are the client's tests."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import pytest

from snexec.broker.bodies import sell_body
from tests.broker.asking import Outgoing


@dataclass(kw_only=True)
class Closing(Outgoing):
    """The sell of row sn-1."""

    quantity: Decimal = Decimal("0.533386947")
    client_order_id: str = "sn-1-x1"
    stop_price: Decimal | None = None
    says_intent: bool = True


def test_a_sell_closes_a_quantity_and_says_so() -> None:
    assert sell_body(Closing()) == (
        b'{"symbol":"AAPL","qty":"0.533386947","side":"sell","type":"market",'
        b'"time_in_force":"day","position_intent":"sell_to_close",'
        b'"client_order_id":"sn-1-x1"}'
    )


def test_a_coin_is_sold_until_canceled_and_without_an_intent() -> None:
    assert sell_body(Closing(symbol="BTC/USD")) == (
        b'{"symbol":"BTC/USD","qty":"0.533386947","side":"sell","type":"market",'
        b'"time_in_force":"gtc","client_order_id":"sn-1-x1"}'
    )


def test_a_stop_names_its_price_and_lasts_for_a_day() -> None:
    stop = Closing(stop_price=Decimal("180.10"), client_order_id="sn-1-s1")
    assert sell_body(stop) == (
        b'{"symbol":"AAPL","qty":"0.533386947","side":"sell","type":"stop",'
        b'"stop_price":"180.10","time_in_force":"day",'
        b'"position_intent":"sell_to_close","client_order_id":"sn-1-s1"}'
    )


def test_the_intent_can_be_left_out_where_the_broker_does_not_take_it() -> None:
    assert b"position_intent" not in sell_body(Closing(says_intent=False))


@pytest.mark.parametrize("shares", ["1E-9", "0.000000001"])
def test_shares_are_written_out_however_few_they_are(shares: str) -> None:
    body = sell_body(Closing(quantity=Decimal(shares)))
    assert b'"qty":"0.000000001"' in body
