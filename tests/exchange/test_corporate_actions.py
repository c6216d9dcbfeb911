"""What corporations do to positions, and an account that begins anew."""

from decimal import Decimal
from typing import Any

import pytest

from .conftest import KEYS, Bench, Start, new_client, within


async def holding(start: Start) -> Bench:
    """Start an exchange whose account holds 2 KO, at 60 dollars."""
    bench = await start()
    bench.exchange.quote("KO", Decimal(60))
    placed = await bench.order(notional=None, qty="2", time_in_force="gtc")
    await bench.settled(placed.json()["id"])
    return bench


async def control(bench: Bench, deed: str, **body: object) -> int:
    async with new_client(bench.exchange.paper_url, KEYS) as client:
        reply = await client.post(f"/control/paper/{deed}", json=body)
    return reply.status_code


async def activities(bench: Bench) -> list[tuple[Any, ...]]:
    reply = await bench.rest.get("/v2/account/activities")
    return [(each["activity_type"], each["qty"]) for each in reply.json()]


@pytest.mark.parametrize("told", [True, False])
@within(5)
async def test_a_split_moves_no_dollar(start: Start, told: bool) -> None:
    bench = await holding(start)
    before = (await bench.rest.get("/v2/positions/KO")).json()
    action = {"symbol": "KO", "kind": "SPLIT", "ratio": "10", "activity": told}
    assert await control(bench, "corporate-action", **action) == 204
    after = (await bench.rest.get("/v2/positions/KO")).json()
    assert (before["qty"], after["qty"]) == ("2", "20")
    assert after["cost_basis"] == before["cost_basis"]
    entry, price = Decimal(after["avg_entry_price"]), Decimal(after["current_price"])
    assert abs(entry * 10 - Decimal(before["avg_entry_price"])) < Decimal("0.0001")
    assert abs(price - 6) < Decimal("0.01")
    assert (("SPLIT", "18") in await activities(bench)) is told


@within(5)
async def test_a_merger_pays_and_ends_the_position(start: Start) -> None:
    bench = await holding(start)
    cash = bench.exchange.paper.book.cash
    action = {"symbol": "KO", "kind": "MA", "price": "70"}
    assert await control(bench, "corporate-action", **action) == 204
    assert (await bench.rest.get("/v2/positions/KO")).status_code == 404
    assert bench.exchange.paper.book.cash == cash + 140
    assert ("MA", "-2") in await activities(bench)


@within(5)
async def test_a_position_can_have_another_name(start: Start) -> None:
    bench = await holding(start)
    action = {"symbol": "KO", "kind": "NC", "to": "COKE"}
    assert await control(bench, "corporate-action", **action) == 204
    assert (await bench.rest.get("/v2/positions/KO")).status_code == 404
    assert (await bench.rest.get("/v2/positions/COKE")).json()["qty"] == "2"


@within(5)
async def test_nothing_is_done_to_what_is_not_held(start: Start) -> None:
    bench = await holding(start)
    assert await control(bench, "corporate-action", symbol="PEP") == 404
    assert await control(bench, "corporate-action", symbol="KO", ratio="0") == 422


@within(5)
async def test_a_reset_account_knows_nothing_of_before(start: Start) -> None:
    bench = await holding(start)
    (order,) = (await bench.rest.get("/v2/orders?status=all")).json()
    assert await control(bench, "reset") == 204
    assert (await bench.rest.get("/v2/orders?status=all")).json() == []
    assert (await bench.rest.get(f"/v2/orders/{order['id']}")).status_code == 404
    assert (await bench.rest.get("/v2/positions")).json() == []
    assert await activities(bench) == []
    fresh = (await bench.rest.get("/v2/account")).json()
    assert fresh["cash"] == "100000"
