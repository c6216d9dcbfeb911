from __future__ import annotations

import json
import math

from snexec.bench.stand_in_orders import foreign_event, take_order


def test_the_stand_ins_orders_are_json_with_the_posts_own_values() -> None:
    body = {"symbol": "AAPL", "notional": "100.00", "client_order_id": "sn-1"}
    order = take_order(json.dumps(body).encode(), 5, 7)

    reply = json.loads(order.reply())
    assert body.items() <= reply.items()
    assert (reply["status"], reply["filled_avg_price"]) == ("pending_new", None)
    order.end(fills=True)
    event = json.loads(order.last_event())["data"]
    assert event["event"] == "fill"
    assert event["order"] == json.loads(order.reply())
    assert event["order"]["id"] == reply["id"]
    assert math.isclose(float(event["order"]["filled_qty"]), 0.533386947)


def test_a_sell_is_filled_with_all_that_it_sells() -> None:
    body = {"symbol": "W0", "qty": "1", "side": "sell", "client_order_id": "sn-1-x1"}
    order = take_order(json.dumps(body).encode(), 5, 7)

    assert order.is_sell
    assert body.items() <= json.loads(order.reply()).items()
    order.end(fills=True)
    event = json.loads(order.last_event())["data"]
    assert (event["event"], event["qty"]) == ("fill", "1")
    assert event["order"]["filled_qty"] == "1"
    assert order.has_ended


def test_an_order_that_is_canceled_buys_nothing() -> None:
    body = {"symbol": "AAPL", "notional": "100.00", "client_order_id": "sn-1"}
    order = take_order(json.dumps(body).encode(), 5, 7)

    order.end(fills=False)

    event = json.loads(order.last_event())["data"]
    assert (event["event"], event["order"]["status"]) == ("canceled", "canceled")
    assert event["order"]["filled_qty"] == "0"


def test_the_events_of_another_program_are_fills_of_buys_and_of_sells() -> None:
    orders = [json.loads(foreign_event(n))["data"] for n in range(4)]

    assert [each["order"]["side"] for each in orders] == ["buy", "sell"] * 2
    assert {each["event"] for each in orders} == {"fill"}
    assert {each["order"]["status"] for each in orders} == {"filled"}
    for name in ("id", "client_order_id", "symbol"):
        assert len({each["order"][name] for each in orders}) == 4
