"""Positions that whoever holds the account's keys closes (ALPACA-EXITS 1)."""

from decimal import Decimal

import pytest

from snexec.exchange.settings import Behaviour

from .conftest import Bench, Start, within


async def bought(start: Start, *symbols: str) -> Bench:
    """Start an exchange whose account holds 3 of each symbol."""
    bench = await start()
    for symbol in symbols:
        fields = {"notional": None, "qty": "3", "time_in_force": "gtc"}
        placed = await bench.order(symbol, **fields)
        await bench.settled(placed.json()["id"])
    return bench


@within(5)
async def test_a_position_is_sold_whole_by_an_order_with_an_id_of_its_own(
    start: Start,
) -> None:
    bench = await bought(start, "KO")
    async with bench.subscribed() as stream:
        reply = await bench.rest.delete("/v2/positions/KO")
        assert reply.status_code == 200
        assert await stream.events(3) == ["pending_new", "new", "fill"]
    order = await bench.settled(reply.json()["id"])
    assert (order["side"], order["qty"], order["filled_qty"]) == ("sell", "3", "3")
    assert (await bench.rest.get("/v2/positions/KO")).status_code == 404


@pytest.mark.parametrize(
    ("params", "left"), [({"qty": "1.25"}, "1.75"), ({"percentage": "50"}, "1.5")]
)
@within(5)
async def test_a_part_of_a_position_is_sold(
    start: Start, params: dict[str, str], left: str
) -> None:
    bench = await bought(start, "KO")
    reply = await bench.rest.delete("/v2/positions/KO", params=params)
    await bench.settled(reply.json()["id"])
    assert (await bench.rest.get("/v2/positions/KO")).json()["qty"] == left


@within(5)
async def test_a_pairs_position_is_closed_by_its_compact_name(start: Start) -> None:
    bench = await bought(start, "BTC/USD")
    held = Decimal((await bench.rest.get("/v2/positions/BTCUSD")).json()["qty"])
    assert held < 3, "its fee was kept back"
    assert (await bench.rest.delete("/v2/positions/BTC%2FUSD")).status_code == 404
    reply = await bench.rest.delete("/v2/positions/BTCUSD")
    order = await bench.settled(reply.json()["id"])
    assert (order["symbol"], Decimal(order["filled_qty"])) == ("BTC/USD", held)


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({"qty": "9"}, 403),
        ({"qty": "1", "percentage": "5"}, 422),
        ({"percentage": "101"}, 422),
        ({"qty": "some"}, 422),
    ],
)
@within(5)
async def test_what_cannot_be_closed_is_refused(
    start: Start, params: dict[str, str], status: int
) -> None:
    bench = await bought(start, "KO")
    reply = await bench.rest.delete("/v2/positions/KO", params=params)
    assert reply.status_code == status
    assert (await bench.rest.delete("/v2/positions/PEP")).status_code == 404


@within(5)
async def test_all_positions_are_closed_with_an_answer_each(start: Start) -> None:
    bench = await bought(start, "KO", "PEP")
    held = {"notional": None, "qty": "1", "side": "sell"}
    bench.exchange.paper.behaviours.set("PEP", Behaviour(end_status="never"))
    working = (await bench.order("PEP", **held)).json()
    reply = await bench.rest.delete("/v2/positions")
    assert reply.status_code == 207
    answers = {answer["symbol"]: answer for answer in reply.json()}
    assert answers["KO"]["status"] == 200
    await bench.settled(answers["KO"]["body"]["id"])
    assert answers["PEP"]["status"] == 403
    assert answers["PEP"]["body"]["held_for_orders"] == "1"

    bench.exchange.paper.behaviours.clear("PEP")
    reply = await bench.rest.delete("/v2/positions?cancel_orders=true")
    assert [answer["status"] for answer in reply.json()] == [200]
    await bench.settled(working["id"], "canceled")


@within(5)
async def test_a_cancel_takes_its_time_and_loses_to_a_fill(start: Start) -> None:
    lagging = Behaviour(cancel_delay_sec=0.1, end_status="never")
    bench = await start(symbols={"KO": lagging})
    placed = (await bench.order()).json()
    assert (await bench.rest.delete(f"/v2/orders/{placed['id']}")).status_code == 204
    assert await bench.status(placed["id"]) == "pending_cancel"
    await bench.settled(placed["id"], "canceled")

    filled_first = Behaviour(cancel_delay_sec=2.0, fill_delay_sec=1.0)
    bench.exchange.paper.behaviours.set("KO", filled_first)
    placed = (await bench.order()).json()
    assert (await bench.rest.delete(f"/v2/orders/{placed['id']}")).status_code == 204
    await bench.settled(placed["id"], "filled")


@within(5)
async def test_a_cancel_can_be_refused(start: Start) -> None:
    bench = await start(
        symbols={"KO": Behaviour(refuse_cancel=True, end_status="never")}
    )
    placed = (await bench.order()).json()
    reply = await bench.rest.delete(f"/v2/orders/{placed['id']}")
    assert (reply.status_code, reply.json()["code"]) == (422, 42210000)
    assert await bench.status(placed["id"]) == "new"
