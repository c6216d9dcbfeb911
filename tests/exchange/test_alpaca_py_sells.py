"""The official SDK, unmodified, sells at the exchange."""

import json
import sys
import textwrap
from decimal import Decimal
from typing import Any

import trio

from .conftest import Start, within

# In a process of its own: the SDK blocks.
SCRIPT = """
    import json, sys, time
    from alpaca.common.exceptions import APIError
    from alpaca.trading.client import TradingClient
    from alpaca.trading.enums import OrderSide, PositionIntent, TimeInForce
    from alpaca.trading.requests import (
        ClosePositionRequest, GetCalendarRequest, MarketOrderRequest, StopOrderRequest
    )

    client = TradingClient("PKTEST", "secret", url_override=sys.argv[1])

    def settled(order, status="filled"):
        while True:
            found = client.get_order_by_id(order.id)
            if found.status.value == status:
                return found
            time.sleep(0.01)

    def sell(qty, kind=MarketOrderRequest, **fields):
        return client.submit_order(kind(
            symbol="KO", qty=qty, side=OrderSide.SELL, time_in_force=TimeInForce.DAY,
            **fields
        ))

    def error(call):
        try:
            call()
        except APIError as exc:
            return [exc.status_code, exc.code, exc.message]

    settled(client.submit_order(MarketOrderRequest(
        symbol="KO", qty=5, side=OrderSide.BUY, time_in_force=TimeInForce.DAY
    )))
    sold = settled(sell(
        "1.5", client_order_id="sdk-x1", position_intent=PositionIntent.SELL_TO_CLOSE
    ))
    stop = sell(2, kind=StopOrderRequest, stop_price=1.25)
    too_much = error(lambda: sell("1.75"))
    client.cancel_order_by_id(stop.id)
    settled(stop, "canceled")
    by_hand = settled(client.close_position(
        "KO", close_options=ClosePositionRequest(percentage="50")
    ))
    rest = client.close_all_positions(cancel_orders=True)
    settled(client.get_order_by_id(rest[0].body.id))
    nothing = error(lambda: sell(1, position_intent=PositionIntent.SELL_TO_CLOSE))
    fills = client.get("/account/activities/FILL", {"direction": "asc"})
    calendar = client.get_calendar(GetCalendarRequest(start="2026-01-05", end="2026-01-05"))
    print(json.dumps({
        "sold": [sold.filled_qty, sold.position_intent.value, sold.client_order_id],
        "stop": [stop.type.value, stop.stop_price],
        "too_much": too_much,
        "by_hand": [by_hand.side.value, by_hand.filled_qty],
        "rest": [[answer.symbol, answer.status] for answer in rest],
        "left": len(client.get_all_positions()),
        "nothing": nothing,
        "fills": [[fill["side"], fill["qty"]] for fill in fills],
        "calendar": str(calendar[0].open),
    }))
"""


@within(20)
async def test_alpaca_py_sells_on_it(start: Start) -> None:
    bench = await start()
    done = await trio.run_process(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), bench.exchange.paper_url],
        capture_stdout=True,
    )
    said: dict[str, Any] = json.loads(done.stdout)
    assert said["sold"] == ["1.5", "sell_to_close", "sdk-x1"]
    assert said["stop"] == ["stop", "1.25"]
    assert said["too_much"][:2] == [403, 40310000]
    assert "(requested: 1.75, available: 1.5)" in said["too_much"][2]
    assert said["by_hand"] == ["sell", "1.75"]
    assert said["rest"] == [["KO", 200]]
    assert said["left"] == 0
    assert said["nothing"] == [
        422,
        42210000,
        "position intent mismatch, inferred: sell_to_open, specified: sell_to_close",
    ]
    assert [[side, Decimal(qty)] for side, qty in said["fills"]] == [
        ["buy", 5],
        ["sell", Decimal("1.5")],
        ["sell", Decimal("1.75")],
        ["sell", Decimal("1.75")],
    ]
    assert said["calendar"] == "2026-01-05 09:30:00"
