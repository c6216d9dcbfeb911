"""What GET and DELETE show and do."""

from datetime import datetime
from decimal import Decimal
from uuid import uuid4

import pytest

from snexec.exchange.queries import parse_order_query
from snexec.exchange.settings import Behaviour

from .conftest import KEYS, Start, new_client, within

WORKING = Behaviour(end_status="never")


@within(5)
async def test_an_order_is_found_by_both_its_ids(start: Start) -> None:
    bench = await start()
    placed = (await bench.order(client_order_id="a b&c:d")).json()
    by_id = await bench.rest.get(f"/v2/orders/{placed['id']}")
    by_client_id = await bench.rest.get(
        "/v2/orders:by_client_order_id", params={"client_order_id": "a b&c:d"}
    )
    assert by_id.json()["id"] == by_client_id.json()["id"] == placed["id"]


@within(5)
async def test_an_unknown_order_is_not_found(start: Start) -> None:
    bench = await start()
    unknown = str(uuid4())
    for path, name in (
        (f"/v2/orders/{unknown}", unknown),
        ("/v2/orders:by_client_order_id?client_order_id=nope", "nope"),
    ):
        reply = await bench.rest.get(path)
        assert reply.status_code == 404
        assert reply.json() == {
            "code": 40410000,
            "message": f"order not found for {name}",
        }
    assert (await bench.rest.get("/v2/orders/no-uuid")).status_code == 422


@within(5)
async def test_orders_are_listed_by_status_time_and_direction(start: Start) -> None:
    bench = await start(symbols={"WORK": WORKING})
    done = await bench.settled((await bench.order("AAA")).json()["id"])
    working = (await bench.order("WORK")).json()

    async def ids(**params: str) -> list[str]:
        reply = await bench.rest.get("/v2/orders", params=params)
        assert reply.status_code == 200
        return [order["id"] for order in reply.json()]

    assert await ids() == [working["id"]]
    assert await ids(status="closed") == [done["id"]]
    assert await ids(status="all") == [working["id"], done["id"]]
    assert await ids(status="all", direction="asc") == [done["id"], working["id"]]
    assert await ids(status="all", limit="1") == [working["id"]]
    assert await ids(status="all", symbols="AAA,BBB") == [done["id"]]
    since = done["submitted_at"]
    assert await ids(status="all", after=since) == [working["id"]]
    assert await ids(status="all", after="2020-01-01", direction="asc") == [
        done["id"],
        working["id"],
    ]
    assert await ids(status="all", until=working["submitted_at"]) == [done["id"]]


@pytest.mark.parametrize(
    ("asked", "given"),
    [({}, 50), ({"limit": "500"}, 500), ({"limit": "501"}, 500), ({"limit": "0"}, 1)],
)
def test_a_list_is_as_long_as_alpacas(asked: dict[str, str], given: int) -> None:
    assert parse_order_query(asked).limit == given


@within(5)
async def test_orders_are_listed_by_side(start: Start) -> None:
    bench = await start()
    bought = await bench.settled((await bench.order("KO")).json()["id"])
    for side, expected in (("buy", [bought["id"]]), ("sell", [])):
        reply = await bench.rest.get(
            "/v2/orders", params={"status": "all", "side": side}
        )
        assert [order["id"] for order in reply.json()] == expected


@within(5)
async def test_a_list_with_a_senseless_parameter_is_refused(start: Start) -> None:
    bench = await start()
    for params in ({"direction": "up"}, {"limit": "x"}, {"after": "noon"}):
        reply = await bench.rest.get("/v2/orders", params=params)
        assert reply.status_code == 422
        assert reply.json()["code"] == 40010001


@within(5)
async def test_a_working_order_is_canceled_and_a_filled_one_is_not(
    start: Start,
) -> None:
    bench = await start(symbols={"WORK": WORKING})
    async with bench.subscribed() as stream:
        working = (await bench.order("WORK")).json()
        reply = await bench.rest.delete(f"/v2/orders/{working['id']}")
        assert (reply.status_code, reply.content) == (204, b"")
        assert (await stream.events(3))[-1] == "canceled"
    order = await bench.settled(working["id"], "canceled")
    assert order["canceled_at"] is not None
    assert (await bench.rest.delete(f"/v2/orders/{working['id']}")).status_code == 204

    filled = await bench.settled((await bench.order()).json()["id"])
    reply = await bench.rest.delete(f"/v2/orders/{filled['id']}")
    assert reply.status_code == 422
    assert reply.json() == {
        "code": 42210000,
        "message": 'order is already in "filled" state',
    }
    assert (await bench.rest.delete(f"/v2/orders/{uuid4()}")).status_code == 404


@within(5)
async def test_an_order_canceled_before_it_fills_never_fills(start: Start) -> None:
    bench = await start(fill_delay_sec=0.1)
    placed = (await bench.order()).json()
    await bench.rest.delete(f"/v2/orders/{placed['id']}")
    async with bench.subscribed() as stream:
        await stream.nothing_comes()
    assert await bench.status(placed["id"]) == "canceled"


@within(5)
async def test_a_position_shows_what_was_filled(start: Start) -> None:
    bench = await start()
    order = await bench.settled((await bench.order(notional="50.00")).json()["id"])
    reply = await bench.rest.get("/v2/positions/KO")
    position = reply.json()
    assert position["qty"] == position["qty_available"] == order["filled_qty"]
    assert position["avg_entry_price"] == order["filled_avg_price"]
    assert position["asset_marginable"] is True
    assert all(
        isinstance(value, str)
        for name, value in position.items()
        if name != "asset_marginable"
    )
    assert (await bench.rest.get("/v2/positions")).json() == [position]


@within(5)
async def test_a_position_that_is_not_held_does_not_exist(start: Start) -> None:
    bench = await start()
    reply = await bench.rest.get("/v2/positions/KO")
    assert reply.status_code == 404
    assert reply.json() == {"code": 40410000, "message": "position does not exist"}


@within(5)
async def test_the_account_pays_for_what_it_buys(start: Start) -> None:
    bench = await start()
    before = (await bench.rest.get("/v2/account")).json()
    await bench.settled((await bench.order(notional="1000.00")).json()["id"])
    after = (await bench.rest.get("/v2/account")).json()
    assert before["cash"] == "100000"
    assert before["buying_power"] == "400000"
    assert before["status"] == "ACTIVE"
    assert Decimal(99000) <= Decimal(after["cash"]) < Decimal(99010)
    assert Decimal(after["buying_power"]) < 399_010


@within(5)
async def test_the_market_is_always_open(start: Start) -> None:
    bench = await start()
    clock = (await bench.rest.get("/v2/clock")).json()
    assert clock["is_open"] is True
    now = datetime.fromisoformat(clock["timestamp"])
    assert now.utcoffset() is not None
    assert now < datetime.fromisoformat(clock["next_close"])


@within(5)
async def test_an_asset_is_tradable_unless_its_orders_are_unknown(start: Start) -> None:
    bench = await start(symbols={"ZZZZ": Behaviour(refuse=422)})
    asset = (await bench.rest.get("/v2/assets/KO")).json()
    assert (asset["status"], asset["tradable"], asset["fractionable"]) == (
        "active",
        True,
        True,
    )
    assert asset["maintenance_margin_requirement"] == 30
    reply = await bench.rest.get("/v2/assets/ZZZZ")
    assert reply.json() == {
        "code": 40410000,
        "message": "asset not found for ZZZZ",
    }


@within(5)
async def test_the_accounts_have_separate_books(start: Start) -> None:
    bench = await start()
    await bench.settled((await bench.order(client_order_id="same")).json()["id"])
    live = bench.exchange.live_url
    async with new_client(live, KEYS) as rest:
        assert (await rest.get("/v2/positions")).json() == []
        assert (await rest.get("/v2/account")).json()["cash"] == "100000"
        lookup = "/v2/orders:by_client_order_id?client_order_id=same"
        assert (await rest.get(lookup)).status_code == 404
    assert bench.exchange.live.counts["GET /v2/positions"] == 1
    assert bench.exchange.paper.counts["GET /v2/positions"] == 0


@within(5)
async def test_an_unknown_path_is_not_found(start: Start) -> None:
    bench = await start()
    assert (await bench.rest.get("/v2/watchlists")).status_code == 404
    assert (await bench.rest.patch("/v2/orders")).status_code in (404, 405)
