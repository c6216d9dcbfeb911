"""POST /v2/orders: what is taken, what is refused and how."""

from decimal import Decimal
from typing import Any

import pytest

from snexec.exchange.settings import Behaviour

from .conftest import Start, within

WORKING = Behaviour(end_status="never")


@within(5)
async def test_a_notional_buy_is_answered_as_recorded(start: Start) -> None:
    bench = await start()
    reply = await bench.order(client_order_id="mine")

    order = reply.json()
    assert reply.status_code == 200
    assert order["status"] == "pending_new"
    assert order["client_order_id"] == "mine"
    assert order["notional"] == "5"
    assert order["qty"] is None
    assert order["filled_qty"] == "0"
    assert order["filled_avg_price"] is None
    assert order["order_class"] == ""
    assert order["extended_hours"] is False
    assert order["source"] is None
    assert "cancel_requested_at" not in order
    assert order["submitted_at"].endswith("Z")


@within(5)
async def test_a_notional_buy_spends_slightly_less_than_asked(start: Start) -> None:
    bench = await start()
    bench.exchange.quote("KO", Decimal("86.88"))
    placed = (await bench.order(notional="100.00")).json()

    order = await bench.settled(placed["id"])
    spent = Decimal(order["filled_qty"]) * Decimal(order["filled_avg_price"])
    assert Decimal("99.7") < spent < 100
    assert -9 <= int(Decimal(order["filled_qty"]).as_tuple().exponent) < 0
    assert order["qty"] is None
    assert order["filled_at"] is not None
    assert abs(Decimal(order["filled_avg_price"]) - Decimal("86.88")) < Decimal("0.1")


@within(5)
async def test_a_quantity_buy_fills_to_the_quantity(start: Start) -> None:
    bench = await start()
    placed = (await bench.order(notional=None, qty="2.1234567899")).json()

    assert placed["qty"] == "2.123456789"
    assert (await bench.settled(placed["id"]))["filled_qty"] == "2.123456789"


@within(5)
async def test_a_sell_reduces_the_position_and_then_ends_it(start: Start) -> None:
    bench = await start()
    bought = await bench.settled((await bench.order(notional="100.00")).json()["id"])
    half = str(Decimal(bought["filled_qty"]) / 2)

    sold = await bench.order(notional=None, qty=half, side="sell")
    order = await bench.settled(sold.json()["id"])
    left = (await bench.rest.get("/v2/positions/KO")).json()["qty"]
    assert Decimal(left) == Decimal(bought["filled_qty"]) - Decimal(order["filled_qty"])

    await bench.settled(
        (await bench.order(notional=None, qty=left, side="sell")).json()["id"]
    )
    assert (await bench.rest.get("/v2/positions/KO")).status_code == 404


@within(5)
async def test_selling_for_dollars_works(start: Start) -> None:
    bench = await start()
    await bench.settled((await bench.order(notional="100.00")).json()["id"])
    sold = (await bench.order(notional="40.00", side="sell")).json()
    assert (await bench.settled(sold["id"]))["notional"] == "40"


@pytest.mark.parametrize(
    ("fields", "status", "code", "message"),
    [
        ({"notional": "0.99"}, 422, 42210000, "notional amount must be >= 1.00"),
        (
            {"notional": "5.001"},
            422,
            42210000,
            "notional value must be limited to 2 decimal places",
        ),
        ({"qty": "1"}, 422, 40010001, "only one of qty or notional is accepted"),
        ({"notional": None}, 422, 40010001, "qty or notional is required"),
        (
            {"time_in_force": "gtc"},
            422,
            42210000,
            "fractional orders must be DAY orders",
        ),
        (
            {"notional": None, "qty": "0.5", "time_in_force": "ioc"},
            422,
            42210000,
            "fractional orders must be DAY orders",
        ),
        (
            {"order_class": "bracket"},
            422,
            42210000,
            "fractional orders must be simple orders",
        ),
        (
            {"client_order_id": "x" * 129},
            422,
            40010001,
            "client_order_id must be no more than 128 characters",
        ),
        (
            {"notional": None, "qty": "0.000001"},
            403,
            40310000,
            "cost basis must be >= minimal amount of order 1",
        ),
        ({"symbol": None}, 422, 40010001, "symbol is required"),
        ({"notional": "NaN"}, 422, 40010001, "notional must be a number"),
        ({"notional": "five"}, 422, 40010001, "notional must be a number"),
        ({"notional": "-5"}, 422, 40010001, "notional must be > 0"),
    ],
)
@within(5)
async def test_a_bad_order_is_refused_in_alpacas_words(
    start: Start, fields: dict[str, Any], status: int, code: int, message: str
) -> None:
    bench = await start()
    reply = await bench.order(**fields)
    assert reply.status_code == status
    assert reply.json() == {"code": code, "message": message}
    assert list(bench.exchange.paper.book.orders()) == []


@within(5)
async def test_a_body_that_is_no_json_object_is_refused(start: Start) -> None:
    bench = await start()
    for content in (b"", b"{", b"[]", b"\xff"):
        reply = await bench.rest.post("/v2/orders", content=content)
        assert reply.status_code == 400


@within(5)
async def test_the_longest_client_order_id_and_money_as_numbers_are_taken(
    start: Start,
) -> None:
    bench = await start()
    reply = await bench.order(client_order_id="x" * 128, notional=5.0)
    assert reply.status_code == 200
    assert reply.json()["notional"] == "5"


@within(5)
async def test_a_client_order_id_is_taken_once_also_after_its_end(start: Start) -> None:
    bench = await start()
    first = (await bench.order(client_order_id="once")).json()
    for _ in range(2):
        reply = await bench.order(client_order_id="once")
        assert reply.status_code == 422
        assert reply.json() == {
            "code": 40010001,
            "message": "client_order_id must be unique",
        }
        await bench.settled(first["id"])


@within(5)
async def test_a_refused_order_leaves_its_client_order_id_free(start: Start) -> None:
    bench = await start()
    assert (await bench.order(client_order_id="id", notional="0.5")).status_code == 422
    assert (await bench.order(client_order_id="id")).status_code == 200


@within(5)
async def test_buying_beyond_the_buying_power_is_refused(start: Start) -> None:
    bench = await start(symbols={"WORK": WORKING})
    bench.exchange.paper.set_cash(Decimal(10))
    assert (await bench.order("WORK", notional="35.00")).status_code == 200

    reply = await bench.order(notional="5.01")
    assert reply.status_code == 403
    assert reply.json() == {
        "buying_power": "5",
        "code": 40310000,
        "cost_basis": "5.01",
        "message": "insufficient buying power",
    }


@within(5)
async def test_selling_more_than_is_held_is_refused(start: Start) -> None:
    bench = await start()
    reply = await bench.order(notional=None, qty="1", side="sell")
    assert reply.status_code == 403
    assert reply.json() == {
        "available": "0",
        "code": 40310000,
        "existing_qty": "0",
        "held_for_orders": "0",
        "message": "insufficient qty available for order (requested: 1, available: 0)",
        "symbol": "KO",
    }


@within(5)
async def test_an_order_against_a_working_one_is_a_wash_trade(start: Start) -> None:
    bench = await start()
    await bench.settled((await bench.order(notional="50.00")).json()["id"])
    bench.exchange.paper.behaviours.set("KO", WORKING)
    working = (await bench.order()).json()

    reply = await bench.order(side="sell")
    assert reply.status_code == 403
    assert reply.json()["existing_order_id"] == working["id"]
    assert "potential wash trade" in reply.json()["message"]


@within(5)
async def test_some_orders_fill_in_two_parts_by_chance(start: Start) -> None:
    bench = await start(partial_fill_ratio=1.0)
    async with bench.subscribed() as stream:
        await bench.order()
        events = [await stream.event() for _ in range(4)]
    names = [event["event"] for event in events]
    assert names == ["pending_new", "new", "partial_fill", "fill"]
    parts = sum(Decimal(event["qty"]) for event in events[2:])
    assert str(parts) == events[3]["order"]["filled_qty"]
    assert events[3]["position_qty"] == events[3]["order"]["filled_qty"]


@within(5)
async def test_unquoted_symbols_have_a_price_that_stays(start: Start) -> None:
    first = await start()
    second = await start(seed=2)
    prices = []
    for bench in (first, second):
        order = await bench.settled((await bench.order("ZZZZ")).json()["id"])
        prices.append(Decimal(order["filled_avg_price"]))
    assert abs(prices[0] - prices[1]) / prices[0] < Decimal("0.001")
