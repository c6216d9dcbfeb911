"""Symbols that misbehave, one promise of `Behaviour` each."""

from decimal import Decimal
from typing import Any

import httpx
import pytest
import trio

from snexec.exchange.settings import Behaviour, LoseHow

from .conftest import Bench, Start, within


async def place(start: Start, **behaviour: Any) -> tuple[Bench, str]:  # noqa: ANN401
    """Start an exchange whose symbol BAD misbehaves, and order it."""
    bench = await start(symbols={"BAD": Behaviour(**behaviour)})
    reply = await bench.order("BAD", client_order_id="bad")
    assert reply.status_code == 200
    return bench, reply.json()["id"]


@within(5)
async def test_reject_accepts_first(start: Start) -> None:
    bench = await start(symbols={"BAD": Behaviour(reject=True)})
    async with bench.subscribed() as stream:
        placed = await bench.order("BAD")
        assert placed.status_code == 200
        assert await stream.events(2) == ["pending_new", "rejected"]
    order = await bench.settled(placed.json()["id"], "rejected")
    assert order["failed_at"] is not None
    assert order["filled_qty"] == "0"


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (401, 40110000, "request is not authorized"),
        (403, 40310000, "account is not authorized to trade"),
        (422, 42210000, 'asset "BAD" not found'),
        (429, 42910000, "rate limit exceeded"),
        (500, 50010000, "internal server error occurred"),
    ],
)
@within(5)
async def test_refuse_answers_with_the_status_and_its_usual_body(
    start: Start, status: int, code: int, message: str
) -> None:
    bench = await start(symbols={"BAD": Behaviour(refuse=status)})
    reply = await bench.order("BAD")
    assert reply.status_code == status
    assert reply.json() == {"code": code, "message": message}
    assert (await bench.order("GOOD")).status_code == 200


@within(5)
async def test_refuse_says_what_it_is_told_to_say(start: Start) -> None:
    behaviour = Behaviour(refuse=403, refuse_message="no {braces}", refuse_code=1)
    bench = await start(symbols={"BAD": behaviour})
    assert (await bench.order("BAD")).json() == {"code": 1, "message": "no {braces}"}


@within(5)
async def test_reply_delay_holds_back_the_reply_and_nothing_else(start: Start) -> None:
    bench = await start(symbols={"BAD": Behaviour(reply_delay_sec=1.0)})
    async with bench.subscribed() as stream, trio.open_nursery() as nursery:
        begun = trio.current_time()
        nursery.start_soon(bench.order, "BAD")
        await stream.events(3)
        assert trio.current_time() - begun < 1.0
    assert trio.current_time() - begun >= 1.0


@within(5)
async def test_fill_delay_is_the_symbols_own(start: Start) -> None:
    bench, order_id = await place(start, fill_delay_sec=0.15)
    await trio.sleep(0.05)
    assert await bench.status(order_id) == "new"
    await bench.settled(order_id)


@within(5)
async def test_the_position_is_readable_between_partial_fills(start: Start) -> None:
    behaviour = Behaviour(partial_fills=2, fill_delay_sec=0.1)
    bench = await start(symbols={"BAD": behaviour})
    async with bench.subscribed() as stream:
        await bench.order("BAD")
        await stream.events(2)
        position: dict[str, str] = {}
        for name in ("partial_fill", "partial_fill", "fill"):
            event = await stream.event()
            assert event["event"] == name
            position.update((await bench.rest.get("/v2/positions/BAD")).json())
            assert position["qty"] == event["position_qty"]
            assert event["order"]["filled_qty"] == event["position_qty"]
    spent = Decimal(position["qty"]) * Decimal(position["avg_entry_price"])
    assert Decimal("4.98") < spent < 5


@pytest.mark.parametrize("end", ["canceled", "expired"])
@within(5)
async def test_an_order_can_end_with_a_part_filled_or_nothing(
    start: Start, end: str
) -> None:
    bench = await start(
        symbols={
            "PART": Behaviour.model_validate({"end_status": end, "partial_fills": 1}),
            "NONE": Behaviour.model_validate({"end_status": end}),
        }
    )
    async with bench.subscribed() as stream:
        part = (await bench.order("PART")).json()["id"]
        assert await stream.events(4) == ["pending_new", "new", "partial_fill", end]
        none = (await bench.order("NONE")).json()["id"]
        assert await stream.events(3) == ["pending_new", "new", end]
    order = await bench.settled(part, end)
    assert Decimal(order["filled_qty"]) > 0
    assert order[f"{end}_at"] is not None
    assert (await bench.settled(none, end))["filled_qty"] == "0"
    assert (await bench.rest.get("/v2/positions/NONE")).status_code == 404


RESTING = [
    "calculated",
    "done_for_day",
    "held",
    "pending_cancel",
    "pending_replace",
    "stopped",
    "suspended",
]


@pytest.mark.parametrize("status", RESTING)
@within(5)
async def test_an_order_can_rest_with_a_part_filled_or_nothing(
    start: Start, status: str
) -> None:
    bench = await start(
        symbols={
            "PART": Behaviour.model_validate(
                {"end_status": status, "partial_fills": 1}
            ),
            "NONE": Behaviour.model_validate({"end_status": status}),
        }
    )
    async with bench.subscribed() as stream:
        part = (await bench.order("PART")).json()["id"]
        assert await stream.events(4) == ["pending_new", "new", "partial_fill", status]
        none = (await bench.order("NONE")).json()["id"]
        assert await stream.events(3) == ["pending_new", "new", status]
        await stream.nothing_comes(0.05)
    order = await bench.settled(part, status)
    position = (await bench.rest.get("/v2/positions/PART")).json()
    assert position["qty"] == order["filled_qty"]
    assert Decimal(position["qty"]) > 0
    assert (await bench.settled(none, status))["filled_qty"] == "0"
    working = (await bench.rest.get("/v2/orders")).json()
    assert [order["id"] for order in working] == [none, part]


@within(5)
async def test_a_resting_order_can_be_canceled(start: Start) -> None:
    bench, order_id = await place(start, end_status="pending_cancel", partial_fills=1)
    await bench.settled(order_id, "pending_cancel")
    assert (await bench.rest.delete(f"/v2/orders/{order_id}")).status_code == 204
    assert Decimal((await bench.settled(order_id, "canceled"))["filled_qty"]) > 0


@within(5)
async def test_an_order_can_be_rejected_after_a_part_was_filled(start: Start) -> None:
    bench = await start(
        symbols={"BAD": Behaviour(end_status="rejected", partial_fills=1)}
    )
    async with bench.subscribed() as stream:
        order_id = (await bench.order("BAD")).json()["id"]
        names = await stream.events(4)
    assert names == ["pending_new", "new", "partial_fill", "rejected"]
    order = await bench.settled(order_id, "rejected")
    assert order["failed_at"] is not None
    position = (await bench.rest.get("/v2/positions/BAD")).json()
    assert position["qty"] == order["filled_qty"]
    assert Decimal(position["qty"]) > 0


@pytest.mark.parametrize("partial_fills", [0, 1])
@within(5)
async def test_the_order_that_replaces_another_buys_the_rest(
    start: Start, partial_fills: int
) -> None:
    bench = await start(
        symbols={"BAD": Behaviour(end_status="replaced", partial_fills=partial_fills)}
    )
    async with bench.subscribed() as stream:
        order_id = (await bench.order("BAD", notional="100.00")).json()["id"]
        events = [await stream.event() for _ in range(5 + partial_fills)]
    names = [event["event"] for event in events]
    parts = ["partial_fill"] * partial_fills
    assert names == ["pending_new", "new", *parts, "replaced", "new", "fill"]
    old = await bench.settled(order_id, "replaced")
    new = await bench.settled(old["replaced_by"])
    assert old["replaced_at"] is not None
    assert new["replaces"] == order_id
    assert events[-1]["order"]["id"] == new["id"]
    assert new["client_order_id"] != old["client_order_id"]
    assert (Decimal(old["filled_qty"]) > 0) == bool(partial_fills)
    assert (new["qty"] is None) == (not partial_fills)
    bought = Decimal(old["filled_qty"]) + Decimal(new["filled_qty"])
    position = (await bench.rest.get("/v2/positions/BAD")).json()
    assert Decimal(position["qty"]) == bought
    spent = bought * Decimal(position["avg_entry_price"])
    assert Decimal("99.7") < spent < 100
    closed = (await bench.rest.get("/v2/orders?status=closed")).json()
    assert {order["id"] for order in closed} == {old["id"], new["id"]}


@within(5)
async def test_never_stays_new(start: Start) -> None:
    bench, order_id = await place(start, end_status="never")
    await trio.sleep(0.05)
    assert await bench.status(order_id) == "new"


@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize("when", ["before_accept", "after_accept"])
@within(5)
async def test_a_lost_connection_gives_the_client_no_status(
    start: Start, how: LoseHow, when: str
) -> None:
    behaviour = Behaviour.model_validate({"lose": when, "lose_how": how})
    bench = await start(symbols={"BAD": behaviour})
    error = httpx.ReadError if how == "reset" else httpx.RemoteProtocolError
    with pytest.raises(error):
        await bench.order("BAD", client_order_id="lost")
    lookup = "/v2/orders:by_client_order_id?client_order_id=lost"
    found = (await bench.rest.get(lookup)).status_code
    assert found == (404 if when == "before_accept" else 200)


@pytest.mark.parametrize("how", ["reset", "close"])
@within(5)
async def test_a_lost_connection_carries_not_a_byte_of_a_reply(
    start: Start, how: LoseHow
) -> None:
    bench = await start(symbols={"BAD": Behaviour(lose="after_accept", lose_how=how)})
    port = int(bench.exchange.paper_url.rpartition(":")[2])
    body = (
        b'{"symbol":"BAD","notional":"5","side":"buy","type":"market",'
        b'"time_in_force":"day"}'
    )
    async with await trio.open_tcp_stream("127.0.0.1", port) as raw:
        await raw.send_all(
            b"POST /v2/orders HTTP/1.1\r\nHost: x\r\nAPCA-API-KEY-ID: k\r\n"
            b"APCA-API-SECRET-KEY: s\r\nContent-Length: %d\r\n\r\n%b"
            % (len(body), body)
        )
        if how == "close":
            assert bytes(await raw.receive_some()) == b""
        else:
            with pytest.raises(trio.BrokenResourceError):
                await raw.receive_some()


@within(5)
async def test_a_hanging_reply_never_comes(start: Start) -> None:
    behaviour = Behaviour(lose="after_accept", lose_how="hang")
    bench = await start(symbols={"BAD": behaviour})
    with pytest.raises(httpx.ReadTimeout):
        await bench.rest.post(
            "/v2/orders",
            json={
                "symbol": "BAD",
                "qty": "1",
                "side": "buy",
                "type": "market",
                "time_in_force": "day",
            },
            timeout=0.2,
        )
    orders = (await bench.rest.get("/v2/orders?status=all")).json()
    assert [order["symbol"] for order in orders] == ["BAD"]


@pytest.mark.parametrize(
    ("how", "status", "content_type"),
    [
        ("500", 500, "application/json"),
        ("502_html", 502, "text/html"),
        ("504_html", 504, "text/html"),
        ("garbage_200", 200, "application/json"),
    ],
)
@within(5)
async def test_a_lost_reply_can_be_replaced_by_a_gateways(
    start: Start, how: LoseHow, status: int, content_type: str
) -> None:
    bench = await start(symbols={"BAD": Behaviour(lose="after_accept", lose_how=how)})
    reply = await bench.order("BAD")
    assert reply.status_code == status
    assert reply.headers["Content-Type"].startswith(content_type)
    if how == "garbage_200":
        with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
            reply.json()
    assert len(list(bench.exchange.paper.book.orders())) == 1


@within(5)
async def test_lookups_do_not_find_the_order_for_a_while(start: Start) -> None:
    bench, order_id = await place(start, lookup_404_sec=0.15)
    paths = (
        f"/v2/orders/{order_id}",
        "/v2/orders:by_client_order_id?client_order_id=bad",
    )
    for path in paths:
        assert (await bench.rest.get(path)).status_code == 404
    assert (await bench.rest.get("/v2/orders?status=all")).json() == []
    await trio.sleep(0.2)
    for path in paths:
        assert (await bench.rest.get(path)).json()["status"] == "filled"


@within(5)
async def test_duplicates_come_after_the_end_with_the_same_execution_ids(
    start: Start,
) -> None:
    bench = await start(symbols={"BAD": Behaviour(duplicate_events=2)})
    async with bench.subscribed() as stream:
        await bench.order("BAD")
        events = [await stream.event() for _ in range(7)]
    names = [event["event"] for event in events]
    assert names == ["pending_new", "new", "fill", "new", "fill", "new", "fill"]
    assert events[1] == events[3] == events[5]
    assert events[2] == events[4] == events[6]


@within(5)
async def test_late_events_come_after_the_fill(start: Start) -> None:
    bench = await start(symbols={"BAD": Behaviour(late_event_sec=0.15)})
    async with bench.subscribed() as stream:
        placed = (await bench.order("BAD")).json()
        assert await stream.events(2) == ["pending_new", "new"]
        await bench.settled(placed["id"])
        filled = trio.current_time()
        assert await stream.events(1) == ["fill"]
        assert trio.current_time() - filled > 0.1


@within(5)
async def test_no_events_means_none(start: Start) -> None:
    bench = await start(symbols={"BAD": Behaviour(no_events=True)})
    async with bench.subscribed() as stream:
        await bench.settled((await bench.order("BAD")).json()["id"])
        await stream.nothing_comes()


@within(5)
async def test_the_position_is_missing_for_some_lookups(start: Start) -> None:
    bench, order_id = await place(start, position_404_times=2)
    await bench.settled(order_id)
    statuses = [
        (await bench.rest.get("/v2/positions/BAD")).status_code for _ in range(3)
    ]
    assert statuses == [404, 404, 200]


@within(5)
async def test_a_behaviour_wears_out_after_its_times(start: Start) -> None:
    bench = await start(symbols={"BAD": Behaviour(refuse=403, times=2)})
    statuses = [(await bench.order("BAD")).status_code for _ in range(3)]
    assert statuses == [403, 403, 200]
    bench.exchange.paper.behaviours.set("BAD", Behaviour(refuse=422, times=1))
    statuses = [(await bench.order("BAD")).status_code for _ in range(2)]
    assert statuses == [422, 200]
