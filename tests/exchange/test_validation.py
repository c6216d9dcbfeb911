"""What Alpaca refuses of an order by its fields alone, and in which words."""

from decimal import Decimal

import pytest

from snexec.exchange.errors import ApiError
from snexec.exchange.validation import parse_body, parse_order, parse_part

BUY: dict[str, object] = {
    "symbol": "AAPL",
    "notional": "100.00",
    "side": "buy",
    "type": "market",
    "time_in_force": "day",
}
SELL: dict[str, object] = {
    "symbol": "AAPL",
    "qty": "0.5",
    "side": "sell",
    "type": "market",
    "time_in_force": "day",
}
STOP = SELL | {"type": "stop", "stop_price": "95.50"}
COIN = BUY | {"symbol": "BTCUSD", "time_in_force": "gtc"}
NOT_SHORT = {"time_in_force": "day", "position_intent": "sell_to_open"}


def refusal(fields: dict[str, object]) -> tuple[int, object]:
    with pytest.raises(ApiError) as caught:
        parse_order(fields)
    return caught.value.status, caught.value.body["message"]


@pytest.mark.parametrize("body", [b"", b"[]", b"?", b'"x"'])
def test_a_body_is_a_json_object(body: bytes) -> None:
    with pytest.raises(ApiError, match="400 request body format is invalid"):
        parse_body(body)
    assert parse_body(b'{"a": 1}') == {"a": 1}


def test_a_buy_in_dollars_is_taken() -> None:
    order = parse_order(BUY | {"client_order_id": "sn-1", "extended_hours": False})
    assert (order.symbol, order.side, order.notional, order.qty) == (
        *("AAPL", "buy", Decimal(100)),
        None,
    )
    assert (order.client_order_id, order.extended_hours, order.stop_price) == (
        *("sn-1", False),
        None,
    )


def test_a_sell_in_shares_is_taken_and_cut_to_nine_places() -> None:
    intent = {"position_intent": "sell_to_close"}
    order = parse_order(SELL | {"qty": "0.1234567899"} | intent)
    assert (order.qty, order.position_intent) == (
        Decimal("0.123456789"),
        "sell_to_close",
    )
    assert parse_order(SELL | {"position_intent": ""}).position_intent is None


def test_numbers_are_taken_as_texts_and_as_numbers() -> None:
    assert parse_order(BUY | {"notional": 100}).notional == 100
    assert parse_order(BUY | {"notional": 99.5}).notional == Decimal("99.5")


def test_coins_are_spelled_with_a_slash() -> None:
    assert parse_order(COIN).symbol == "BTC/USD"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (BUY | {"symbol": ""}, "symbol is required"),
        (BUY | {"symbol": 5}, "symbol is required"),
        (BUY | {"side": "short"}, "side must be buy or sell"),
        (
            BUY | {"type": "limit"},
            "this simulated exchange takes market and stop orders only",
        ),
        (BUY | {"client_order_id": 5}, "client_order_id must be a string"),
        (
            BUY | {"client_order_id": "x" * 129},
            "client_order_id must be no more than 128 characters",
        ),
        (BUY | {"qty": "1"}, "only one of qty or notional is accepted"),
        (SELL | {"qty": None}, "qty or notional is required"),
        (SELL | {"qty": "0.0000000001"}, "qty must be > 0"),
        (SELL | {"qty": "0"}, "qty must be > 0"),
        (SELL | {"qty": "-1"}, "qty must be > 0"),
        (SELL | {"qty": "x"}, "qty must be a number"),
        (SELL | {"qty": True}, "qty must be a number"),
        (SELL | {"qty": "NaN"}, "qty must be a number"),
        (SELL | {"qty": "1e12"}, "qty must be a number"),
        (BUY | {"time_in_force": "week"}, "invalid time_in_force"),
        (BUY | {"time_in_force": None}, "invalid time_in_force"),
        (BUY | {"position_intent": "close"}, "invalid position_intent"),
        (BUY | {"stop_price": "95"}, "market orders must not have stop_price"),
        (STOP | {"stop_price": None}, "stop orders require stop price"),
    ],
)
def test_fields_that_make_no_sense_are_refused(
    fields: dict[str, object], message: str
) -> None:
    assert refusal(fields) == (422, message)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (BUY | {"symbol": "no such"}, 'asset "no such" not found'),
        (
            BUY | {"notional": "100.001"},
            "notional value must be limited to 2 decimal places",
        ),
        (BUY | {"notional": "0.99"}, "notional amount must be >= 1.00"),
        (BUY | {"time_in_force": "gtc"}, "fractional orders must be DAY orders"),
        (SELL | {"time_in_force": "gtc"}, "fractional orders must be DAY orders"),
        (BUY | {"order_class": "oto"}, "fractional orders must be simple orders"),
        (COIN | {"time_in_force": "day"}, "invalid crypto time_in_force"),
        (
            COIN | {"type": "stop", "stop_price": "1"},
            "invalid order type for crypto order",
        ),
        (
            STOP | {"stop_price": "95.505"},
            "sub-penny increment does not fulfill minimum pricing criteria",
        ),
        (
            STOP | {"stop_price": "0.95055"},
            "sub-penny increment does not fulfill minimum pricing criteria",
        ),
    ],
)
def test_what_breaks_a_rule_of_trading_is_refused(
    fields: dict[str, object], message: str
) -> None:
    assert refusal(fields) == (422, message)


def test_a_fraction_is_not_sold_short_and_a_whole_share_may_be() -> None:
    assert refusal(SELL | NOT_SHORT) == (403, "fractional orders cannot be sold short")
    assert parse_order(SELL | NOT_SHORT | {"qty": "1.000"}).qty == 1


def test_whole_shares_are_taken_for_longer_than_a_day() -> None:
    assert parse_order(SELL | {"qty": "2", "time_in_force": "gtc"}).qty == 2


@pytest.mark.parametrize("price", ["95.50", "0.9505", "1"])
def test_a_stop_rests_at_cents_or_below_a_dollar_at_four_places(price: str) -> None:
    assert parse_order(STOP | {"stop_price": price}).stop_price == Decimal(price)


@pytest.mark.parametrize("length", [1, 128])
def test_an_id_of_ours_may_be_so_long(length: int) -> None:
    order = parse_order(BUY | {"client_order_id": "x" * length})
    assert order.client_order_id == "x" * length
    assert parse_order(BUY | {"client_order_id": ""}).client_order_id is None


# Parts of a position


@pytest.mark.parametrize(
    ("params", "part"),
    [
        ({}, None),
        ({"qty": "1.5"}, "1.5"),
        ({"percentage": "50"}, "1.5"),
        ({"percentage": "100"}, "3"),
        ({"percentage": "33.3333"}, "0.999999"),
        ({"qty": "0.12345678999"}, "0.123456789"),
    ],
)
def test_a_part_of_a_position_is_asked_for_by_shares_or_percent(
    params: dict[str, str], part: str | None
) -> None:
    found = parse_part(params, Decimal(3))
    assert found == (None if part is None else Decimal(part))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"qty": "1", "percentage": "5"}, "only one of qty or percentage is accepted"),
        ({"percentage": "100.1"}, "percentage must be between 0 and 100"),
        ({"percentage": "0"}, "percentage must be > 0"),
        ({"qty": "x"}, "qty must be a number"),
    ],
)
def test_what_is_no_part_is_refused(params: dict[str, str], message: str) -> None:
    with pytest.raises(ApiError, match=message):
        parse_part(params, Decimal(3))
