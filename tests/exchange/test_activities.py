"""GET /v2/account/activities: what happened, as Alpaca lists it."""

from decimal import Decimal
from typing import Any

import pytest

from snexec.exchange.activities import Activities, ActivityQuery
from snexec.exchange.settings import Behaviour

from .conftest import Bench, Start, within

THREE_PARTS = Behaviour(partial_fills=2)


async def listed(bench: Bench, path: str = "", **params: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    reply = await bench.rest.get(f"/v2/account/activities{path}", params=params)
    assert reply.status_code == 200
    entries: list[dict[str, Any]] = reply.json()
    return entries


@within(5)
async def test_each_execution_is_an_activity(start: Start) -> None:
    bench = await start(symbols={"KO": THREE_PARTS})
    placed = (await bench.order(notional=None, qty="3", time_in_force="gtc")).json()
    order = await bench.settled(placed["id"])
    fills = await listed(bench, "/FILL", direction="asc")
    assert [fill["type"] for fill in fills] == ["partial_fill", "partial_fill", "fill"]
    assert {fill["activity_type"] for fill in fills} == {"FILL"}
    assert {fill["order_id"] for fill in fills} == {placed["id"]}
    assert sum(Decimal(fill["qty"]) for fill in fills) == 3
    assert [fill["leaves_qty"] == "0" for fill in fills] == [False, False, True]
    assert fills[-1]["cum_qty"] == "3"
    cost = sum((Decimal(f["qty"]) * Decimal(f["price"]) for f in fills), Decimal(0))
    mean = Decimal(order["filled_avg_price"])
    assert abs(cost / 3 - mean) < Decimal("0.000001")
    assert fills[-1]["side"] == "buy"


@within(5)
async def test_pages_follow_one_another(start: Start) -> None:
    bench = await start(symbols={"KO": THREE_PARTS})
    for _ in range(2):
        placed = (await bench.order()).json()
        await bench.settled(placed["id"])
    everything = await listed(bench)
    assert len(everything) == 6
    pages: list[dict[str, Any]] = []
    more: dict[str, str] = {}
    while page := await listed(bench, page_size=4, **more):
        pages += page
        more = {"page_token": page[-1]["id"]}
    assert pages == everything
    assert everything[::-1] == await listed(bench, direction="asc")


@within(5)
async def test_kinds_and_times_are_told_apart(start: Start) -> None:
    bench = await start()
    await bench.settled((await bench.order()).json()["id"])
    (fill,) = await listed(bench, activity_types="FILL,SPLIT")
    assert await listed(bench, "/SPLIT") == []
    at = fill["transaction_time"]
    assert await listed(bench, after=at) == []
    assert await listed(bench, until=at) == []
    assert await listed(bench, after="2020-01-01", until="2099-01-01") == [fill]


@pytest.mark.parametrize(
    "params",
    [
        {"direction": "up"},
        {"page_size": "many"},
        {"page_size": "0"},
        {"page_size": "101"},
        {"after": "yesterday"},
        {"page_token": "none of these"},
    ],
)
@within(5)
async def test_a_list_with_a_senseless_parameter_is_refused(
    start: Start, params: dict[str, str]
) -> None:
    bench = await start()
    reply = await bench.rest.get("/v2/account/activities", params=params)
    assert (reply.status_code, reply.json()["code"]) == (422, 40010001)


def test_what_a_corporation_did_is_an_activity() -> None:
    activities = Activities()
    activities.corporate_action("SPLIT", 1_767_623_400_123_000_000, "KO", "9")
    query = ActivityQuery(
        kinds=frozenset({"SPLIT"}),
        after_ns=None,
        until_ns=None,
        ascending=True,
        page_size=1,
        page_token=None,
    )
    (split,) = activities.list(query)
    assert str(split.pop("id")).startswith("20260105143000123::")
    assert split == {
        "activity_type": "SPLIT",
        "date": "2026-01-05",
        "net_amount": "0",
        "qty": "9",
        "status": "executed",
        "symbol": "KO",
    }
