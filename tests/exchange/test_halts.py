"""Trading halts, price paths and the calendar."""

from decimal import Decimal

import pytest
import trio

from .conftest import Bench, Start, new_client, within


async def put(bench: Bench, what: str, **body: object) -> int:
    async with new_client(bench.exchange.paper_url) as client:
        reply = await client.put(f"/control/{what}", json=body)
    return reply.status_code


@within(5)
async def test_an_order_waits_for_the_reopening(start: Start) -> None:
    bench = await start()
    assert await put(bench, "data/halts", symbol="KO", halted=True) == 204
    placed = (await bench.order()).json()
    other = (await bench.order("PEP")).json()
    await bench.settled(other["id"])
    assert await bench.status(placed["id"]) == "new"
    assert await put(bench, "data/halts", symbol="KO", halted=False) == 204
    await bench.settled(placed["id"])


@within(5)
async def test_an_order_that_is_canceled_in_a_halt_is_not_filled_after_it(
    start: Start,
) -> None:
    bench = await start()
    await put(bench, "data/halts", symbol="KO", halted=True)
    placed = (await bench.order()).json()
    await trio.sleep(0.05)
    assert (await bench.rest.delete(f"/v2/orders/{placed['id']}")).status_code == 204
    await put(bench, "data/halts", symbol="KO", halted=False)
    await trio.sleep(0.05)
    assert await bench.status(placed["id"]) == "canceled"


@within(5)
async def test_a_path_moves_the_price_in_time(start: Start) -> None:
    bench = await start()
    bench.exchange.quote("KO", Decimal(60))
    await bench.settled((await bench.order()).json()["id"])
    points = [[0.0, 61], [0.1, "62.5"]]
    assert await put(bench, "paper/path", symbol="KO", points=points) == 204
    seen: list[str] = []
    while "62.5" not in seen:
        position = (await bench.rest.get("/v2/positions/KO")).json()
        if position["current_price"] not in seen:
            seen.append(position["current_price"])
        await trio.sleep(0.005)
    assert seen[-2:] == ["61", "62.5"]


@pytest.mark.parametrize("points", [[[-1, 5]], [[0, 0]], [[0]], "up"])
@within(5)
async def test_a_path_that_makes_no_sense_is_refused(
    start: Start, points: object
) -> None:
    bench = await start()
    assert await put(bench, "paper/path", symbol="KO", points=points) == 422


@within(5)
async def test_the_calendar_has_every_day(start: Start) -> None:
    bench = await start()
    days = await bench.rest.get("/v2/calendar?start=2026-01-01&end=2026-01-03")
    assert [day["date"] for day in days.json()] == [
        "2026-01-01",
        "2026-01-02",
        "2026-01-03",
    ]
    assert days.json()[0] | {"settlement_date": "-"} == {
        "close": "16:00",
        "date": "2026-01-01",
        "open": "09:30",
        "session_close": "2000",
        "session_open": "0400",
        "settlement_date": "-",
    }
    assert len((await bench.rest.get("/v2/calendar")).json()) == 1
    assert (await bench.rest.get("/v2/calendar?start=soon")).status_code == 422
