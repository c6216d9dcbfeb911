from __future__ import annotations

import json
import math

from snexec.bench.stand_in_orders import take_order


def test_the_stand_ins_orders_are_json_with_the_posts_own_values() -> None:
    body = {"symbol": "AAPL", "notional": "100.00", "client_order_id": "sn-1"}
    order = take_order(json.dumps(body).encode(), 5, 7)

    reply = json.loads(order.reply())
    assert body.items() <= reply.items()
    assert (reply["status"], reply["filled_avg_price"]) == ("pending_new", None)
    order.filled = True
    event = json.loads(order.fill_event())["data"]
    assert event["event"] == "fill"
    assert event["order"] == json.loads(order.reply())
    assert event["order"]["id"] == reply["id"]
    assert math.isclose(float(event["order"]["filled_qty"]), 0.533386947)
