"""Each way in which orders misbehave, for the sells of a symbol alone."""

from decimal import Decimal
from typing import Any

import httpx
import pytest
import trio

from snexec.exchange.settings import Behaviour

from .conftest import Bench, Start, within


async def hold(start: Start, **behaviour: Any) -> tuple[Bench, dict[str, Any]]:  # noqa: ANN401
    """Start an exchange whose sells of KO misbehave, buy, and make the sell's body."""
    bench = await start(symbols={"KO": Behaviour(side="sell", **behaviour)})
    bought = await bench.order(client_order_id="buy")
    order = await bench.settled(bought.json()["id"])
    return bench, {"notional": None, "qty": order["filled_qty"], "side": "sell"}


async def sell(bench: Bench, body: dict[str, Any]) -> str:
    """Sell, and return the order's id."""
    reply = await bench.order(**body, client_order_id="sell")
    assert reply.status_code == 200, reply.text
    order_id: str = reply.json()["id"]
    return order_id


def half_of(body: dict[str, Any]) -> dict[str, Any]:
    """Return the body of a sell of half as much."""
    return body | {"qty": str(Decimal(body["qty"]) / 2)[:11]}


def held(bench: Bench) -> Decimal:
    """Return how many shares are held."""
    return bench.exchange.paper.book.positions.qty("KO")


@pytest.mark.parametrize(
    ("behaviour", "status", "sold"),
    [
        ({"reject": True}, "rejected", "none"),
        ({"end_status": "canceled"}, "canceled", "none"),
        ({"end_status": "expired"}, "expired", "none"),
        ({"end_status": "canceled", "partial_fills": 1}, "canceled", "part"),
        ({"end_status": "expired", "partial_fills": 2}, "expired", "part"),
        ({"end_status": "replaced", "partial_fills": 1}, "replaced", "all"),
        ({"partial_fills": 3}, "filled", "all"),
        ({"end_status": "never", "partial_fills": 1}, "partially_filled", "part"),
        ({"end_status": "stopped"}, "stopped", "none"),
    ],
)
@within(5)
async def test_a_sell_ends_as_it_is_told(
    start: Start, behaviour: dict[str, Any], status: str, sold: str
) -> None:
    bench, body = await hold(start, **behaviour)
    before = held(bench)
    await bench.settled(await sell(bench, body), status)
    if sold == "all":
        while held(bench):  # noqa: ASYNC110
            await trio.sleep(0.005)
    left = held(bench)
    assert {"none": left == before, "part": 0 < left < before, "all": not left}[sold]


@within(5)
async def test_a_sell_is_refused_and_a_buy_is_not(start: Start) -> None:
    bench, body = await hold(start, refuse=403, times=1)
    refused = await bench.order(**body)
    assert (refused.status_code, refused.json()["code"]) == (403, 40310000)
    bought = await bench.order()
    assert bought.status_code == 200
    await bench.settled(bought.json()["id"])
    await sell(bench, body)


@pytest.mark.parametrize("when", ["before_accept", "after_accept"])
@within(5)
async def test_the_reply_to_a_sell_is_lost_before_or_after_it_is_taken(
    start: Start, when: str
) -> None:
    bench, body = await hold(start, lose=when, lose_how="close")
    with pytest.raises(httpx.RemoteProtocolError):
        await bench.order(**body, client_order_id="sell")
    reply = await bench.rest.get("/v2/orders:by_client_order_id?client_order_id=sell")
    assert reply.status_code == (404 if when == "before_accept" else 200)


@within(5)
async def test_a_look_up_of_a_sell_says_404_at_first(start: Start) -> None:
    bench, body = await hold(start, lookup_404_sec=0.2)
    order_id = await sell(bench, body)
    assert (await bench.rest.get(f"/v2/orders/{order_id}")).status_code == 404
    await trio.sleep(0.25)
    assert (await bench.rest.get(f"/v2/orders/{order_id}")).status_code == 200


@within(5)
async def test_the_events_of_a_sell_are_repeated_or_never_come(start: Start) -> None:
    bench, body = await hold(start, duplicate_events=1, times=1)
    async with bench.subscribed() as stream:
        await sell(bench, body)
        events = await stream.events(5)
    assert events == ["pending_new", "new", "fill", "new", "fill"]
    again = await bench.order(client_order_id="again")
    await bench.settled(again.json()["id"])
    bench.exchange.paper.behaviours.set("KO", Behaviour(side="sell", no_events=True))
    async with bench.subscribed() as stream:
        await bench.order(**body, client_order_id="silent")
        await stream.nothing_comes()


@within(5)
async def test_a_sell_waits_is_reported_late_and_is_answered_after_its_fill(
    start: Start,
) -> None:
    bench, body = await hold(
        start, fill_delay_sec=0.1, late_event_sec=0.1, fill_before_reply=True
    )
    begun = trio.current_time()
    await sell(bench, body)
    assert trio.current_time() - begun >= 0.2


@within(5)
async def test_the_cancel_of_a_sell_lags_and_loses_to_a_fill_or_is_refused(
    start: Start,
) -> None:
    bench, body = await hold(start, fill_delay_sec=0.2, cancel_delay_sec=0.5)
    order_id = await sell(bench, body)
    assert (await bench.rest.delete(f"/v2/orders/{order_id}")).status_code == 204
    assert await bench.status(order_id) == "pending_cancel"
    assert (await bench.settled(order_id))["side"] == "sell"
    bought = await bench.order(client_order_id="again")
    await bench.settled(bought.json()["id"])
    bench.exchange.paper.behaviours.set(
        "KO", Behaviour(side="sell", end_status="never", refuse_cancel=True)
    )
    reply = await bench.order(**half_of(body), client_order_id="stays")
    cancel = await bench.rest.delete(f"/v2/orders/{reply.json()['id']}")
    assert cancel.status_code == 422


@within(5)
async def test_the_position_after_a_sell_cannot_be_looked_up_at_first(
    start: Start,
) -> None:
    bench, body = await hold(start, position_404_times=1)
    await bench.settled(await sell(bench, half_of(body)))
    assert (await bench.rest.get("/v2/positions/KO")).status_code == 404
    assert (await bench.rest.get("/v2/positions/KO")).status_code == 200
