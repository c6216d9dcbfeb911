"""What an account may not order: the sell side, in Alpaca's words."""

from typing import Any

import pytest

from snexec.exchange.settings import Behaviour

from .conftest import Bench, Start, within

WORKING = Behaviour(end_status="never")


async def bought(start: Start, symbol: str = "KO", qty: str = "3") -> Bench:
    """Start an exchange whose account holds shares, and no order works."""
    bench = await start()
    placed = await bench.order(symbol, notional=None, qty=qty, time_in_force="gtc")
    await bench.settled(placed.json()["id"])
    return bench


def sell(qty: str = "1", **more: object) -> dict[str, Any]:
    """Return the fields of a sell."""
    return {"notional": None, "qty": qty, "side": "sell", **more}


@within(5)
async def test_a_sell_that_is_meant_to_close_closes(start: Start) -> None:
    bench = await bought(start)
    placed = await bench.order(**sell(position_intent="sell_to_close"))
    assert placed.json()["position_intent"] == "sell_to_close"
    await bench.settled(placed.json()["id"])


@pytest.mark.parametrize(
    ("held", "side", "intent", "inferred"),
    [
        (False, "sell", "sell_to_close", "sell_to_open"),
        (True, "sell", "sell_to_open", "sell_to_close"),
        (True, "buy", "buy_to_close", "buy_to_open"),
        (False, "buy", "sell_to_close", "buy_to_open"),
    ],
)
@within(5)
async def test_an_order_that_would_do_the_reverse_is_refused(
    start: Start, held: bool, side: str, intent: str, inferred: str
) -> None:
    bench = await bought(start) if held else await start()
    reply = await bench.order(**sell() | {"side": side, "position_intent": intent})
    assert reply.status_code == 422
    assert reply.json() == {
        "code": 42210000,
        "message": (
            f"position intent mismatch, inferred: {inferred}, specified: {intent}"
        ),
    }


@within(5)
async def test_an_intent_that_is_none_is_refused(start: Start) -> None:
    bench = await start()
    for intent in ("close", 5, ["sell_to_close"]):
        reply = await bench.order(position_intent=intent)
        assert (reply.status_code, reply.json()["code"]) == (422, 40010001)


@within(5)
async def test_what_one_sell_holds_another_cannot_have(start: Start) -> None:
    bench = await bought(start)
    bench.exchange.paper.behaviours.set("KO", WORKING)
    assert (await bench.order(**sell("2"))).status_code == 200
    reply = await bench.order(**sell("2", position_intent="sell_to_close"))
    assert reply.status_code == 403
    assert reply.json() == {
        "available": "1",
        "code": 40310000,
        "existing_qty": "3",
        "held_for_orders": "2",
        "message": "insufficient qty available for order (requested: 2, available: 1)",
        "symbol": "KO",
    }


@within(5)
async def test_a_buy_beside_a_working_sell_is_a_wash_trade(start: Start) -> None:
    bench = await bought(start)
    bench.exchange.paper.behaviours.set("KO", WORKING)
    working = (await bench.order(**sell())).json()
    reply = await bench.order()
    assert reply.status_code == 403
    assert reply.json()["existing_order_id"] == working["id"]
