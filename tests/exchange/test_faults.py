"""Faults of a whole account: its REST requests and its stream."""

import base64
import json

import httpx
import pytest
import trio
from trio_websocket import ConnectionClosed

from snexec.exchange.faults import RestFault, StreamFaults

from .conftest import Start, Stream, within

AUTH = {"action": "auth", "key": "PKTEST", "secret": "s"}
LISTEN = {"action": "listen", "data": {"streams": ["trade_updates"]}}


@within(5)
async def test_a_fault_holds_for_its_times_and_gives_its_body(start: Start) -> None:
    bench = await start()
    body: dict[str, int | str] = {"code": 1, "message": "maintenance"}
    bench.exchange.paper.rest_faults.add(RestFault(status=503, body=body, times=2))
    replies = [await bench.rest.get("/v2/account") for _ in range(3)]
    assert [reply.status_code for reply in replies] == [503, 503, 200]
    assert replies[0].json() == body


@within(5)
async def test_a_fault_without_times_holds_until_cleared(start: Start) -> None:
    bench = await start()
    faults = bench.exchange.paper.rest_faults
    faults.add(RestFault(status=418, body="<html>", headers={"X-Odd": "1"}))
    for _ in range(3):
        reply = await bench.rest.get("/v2/account")
        assert (reply.status_code, reply.text) == (418, "<html>")
        assert reply.headers["X-Odd"] == "1"
    faults.clear()
    assert (await bench.rest.get("/v2/account")).status_code == 200


@within(5)
async def test_a_fault_can_concern_one_endpoint(start: Start) -> None:
    bench = await start()
    bench.exchange.paper.rest_faults.add(RestFault(method="POST", path="/v2/orders"))
    assert (await bench.rest.get("/v2/orders")).status_code == 200
    assert (await bench.order()).status_code == 500


@within(5)
async def test_a_rate_limit_fault_has_the_headers_it_is_told_to(start: Start) -> None:
    bench = await start()
    faults = bench.exchange.paper.rest_faults
    faults.add(RestFault(how="rate_limit", retry_after_sec=7, times=1))
    faults.add(RestFault(how="rate_limit", rate_headers=False, times=1))
    full = await bench.order()
    assert full.status_code == 429
    assert full.json()["code"] == 42910000
    assert full.headers["Retry-After"] == "7"
    assert "X-RateLimit-Reset" in full.headers
    bare = await bench.order()
    assert bare.status_code == 429
    assert "X-RateLimit-Reset" not in bare.headers
    assert "Retry-After" not in bare.headers


@within(5)
async def test_a_reset_fault_is_a_transport_error_and_is_over_at_once(
    start: Start,
) -> None:
    bench = await start()
    bench.exchange.paper.rest_faults.add(RestFault(how="reset", times=1))
    with pytest.raises(httpx.ReadError):
        await bench.order()
    assert (await bench.order()).status_code == 200


@within(5)
async def test_a_hanging_fault_outlasts_the_client(start: Start) -> None:
    bench = await start()
    bench.exchange.paper.rest_faults.add(RestFault(how="hang", times=1))
    with pytest.raises(httpx.ReadTimeout):
        await bench.rest.get("/v2/account", timeout=0.1)


@within(5)
async def test_a_delay_fault_gives_the_true_answer_late(start: Start) -> None:
    bench = await start()
    bench.exchange.paper.rest_faults.add(RestFault(how="delay", delay_sec=0.15))
    begun = trio.current_time()
    assert (await bench.order()).status_code == 200
    assert trio.current_time() - begun >= 0.15


@within(5)
async def test_a_fault_after_the_work_leaves_the_order_in_the_book(
    start: Start,
) -> None:
    bench = await start()
    fault = RestFault(how="504_html", after_work=True, times=1)
    bench.exchange.paper.rest_faults.add(fault)
    assert (await bench.order()).status_code == 504
    assert len(list(bench.exchange.paper.book.orders())) == 1


@within(5)
async def test_a_dropped_stream_ends_without_a_close_frame(start: Start) -> None:
    bench = await start()
    async with bench.subscribed() as stream:
        bench.exchange.paper.feed.drop()
        with pytest.raises(ConnectionClosed) as caught:
            await stream.receive()
        assert caught.value.reason is None or caught.value.reason.code == 1006
    async with bench.subscribed() as stream:
        await bench.order()
        await stream.events(3)


@within(5)
async def test_a_closed_stream_ends_with_the_code_given(start: Start) -> None:
    bench = await start()
    async with bench.subscribed() as stream:
        bench.exchange.paper.feed.close(1012)
        with pytest.raises(ConnectionClosed) as caught:
            await stream.receive()
        assert caught.value.reason is not None
        assert caught.value.reason.code == 1012


@within(5)
async def test_a_starved_stream_answers_pings_and_gets_nothing_ever(
    start: Start,
) -> None:
    bench = await start()
    async with bench.subscribed() as stream:
        bench.exchange.paper.feed.starve()
        await bench.settled((await bench.order()).json()["id"])
        await stream.websocket.ping()
        await stream.nothing_comes()
    async with bench.subscribed() as stream:
        await stream.nothing_comes()
        await bench.order()
        await stream.events(3)


@within(5)
async def test_a_black_hole_answers_nothing_and_frees_the_slot_when_left(
    start: Start,
) -> None:
    bench = await start()
    async with bench.subscribed() as stream:
        bench.exchange.paper.feed.black_hole()
        with pytest.raises(trio.TooSlowError), trio.fail_after(0.15):
            await stream.websocket.ping()
        await bench.order()
        await stream.nothing_comes()
        with trio.move_on_after(0.05):
            await stream.websocket.aclose()
    async with bench.subscribed() as stream:
        await bench.order()
        await stream.events(3)


@pytest.mark.parametrize("status", [429, 502, 503])
@within(5)
async def test_upgrades_can_be_refused(start: Start, status: int) -> None:
    bench = await start()
    feed = bench.exchange.paper.feed
    feed.faults = StreamFaults(refuse_upgrade=status)
    assert await bench.upgrade_status() == status
    feed.faults = StreamFaults()
    assert await bench.upgrade_status() == 101


@within(5)
async def test_the_slot_can_stay_taken_after_a_close(start: Start) -> None:
    bench = await start()
    bench.exchange.paper.feed.faults = StreamFaults(slot_hold_sec=0.2)
    assert await bench.upgrade_status() == 101
    assert await bench.upgrade_status() == 429
    await trio.sleep(0.25)
    assert await bench.upgrade_status() == 101


@within(5)
async def test_many_connections_can_be_allowed(start: Start) -> None:
    bench = await start()
    bench.exchange.paper.feed.faults = StreamFaults(single_connection=False)
    async with bench.subscribed() as one, bench.subscribed() as two:
        await bench.order()
        assert await one.events(3) == await two.events(3)


async def after_auth(stream: Stream) -> None:
    """Authenticate, then ask for trade updates."""
    assert (await stream.ask(AUTH))["data"]["status"] == "authorized"
    await stream.send(LISTEN)


@within(5)
async def test_the_stream_can_be_unauthorized_for_all(start: Start) -> None:
    bench = await start()
    bench.exchange.paper.feed.faults = StreamFaults(unauthorized=True)
    async with bench.connect() as stream:
        assert (await stream.ask(AUTH))["data"]["status"] == "unauthorized"
        with pytest.raises(ConnectionClosed):
            await stream.receive()
    assert (await bench.rest.get("/v2/account")).status_code == 200


@within(5)
async def test_authentication_can_stay_unanswered(start: Start) -> None:
    bench = await start()
    bench.exchange.paper.feed.faults = StreamFaults(ignore_auth=True)
    async with bench.connect() as stream:
        await stream.send(AUTH)
        await stream.nothing_comes()


@within(5)
async def test_listen_can_stay_unanswered_and_unheard(start: Start) -> None:
    bench = await start()
    bench.exchange.paper.feed.faults = StreamFaults(ignore_listen=True)
    async with bench.connect() as stream:
        await after_auth(stream)
        await bench.order()
        await stream.nothing_comes()


@within(5)
async def test_listening_can_come_without_trade_updates(start: Start) -> None:
    bench = await start()
    bench.exchange.paper.feed.faults = StreamFaults(withhold_trade_updates=True)
    async with bench.connect() as stream:
        await after_auth(stream)
        assert (await stream.receive())["data"] == {"streams": []}
        await bench.order()
        await stream.nothing_comes()


@within(5)
async def test_frames_can_be_text(start: Start) -> None:
    bench = await start()
    bench.exchange.paper.feed.faults = StreamFaults(text_frames=True)
    async with bench.subscribed() as stream:
        await bench.order()
        frame = await stream.websocket.get_message()
        assert isinstance(frame, str)
        assert json.loads(frame)["data"]["event"] == "pending_new"


@within(5)
async def test_any_frame_and_any_event_can_be_sent(start: Start) -> None:
    bench = await start()
    feed = bench.exchange.paper.feed
    async with bench.subscribed() as stream:
        feed.send_raw(b"\xff\x00")
        feed.send_raw("{broken")
        feed.publish({"event": "trade_bust", "order": None})
        assert await stream.websocket.get_message() == b"\xff\x00"
        assert await stream.websocket.get_message() == "{broken"
        assert await stream.event() == {"event": "trade_bust", "order": None}


@within(5)
async def test_everything_is_controlled_over_http_too(start: Start) -> None:
    bench = await start(rate_limit_per_min=2)
    control = f"{bench.exchange.paper_url}/control/paper"

    async def tell(method: str, path: str, body: object = None) -> None:
        reply = await bench.rest.request(method, f"{control}/{path}", json=body)
        assert reply.status_code == 204, reply.text

    async def read(what: str) -> object:
        reply = await bench.rest.get(f"{control}/{what}")
        assert reply.status_code == 200
        return reply.json()

    await tell("PUT", "rate", {"limit": 1000})
    await tell("POST", "quote", {"symbol": "KO", "price": "70.5"})
    await tell("PUT", "cash", {"cash": "500"})
    await tell("PUT", "symbols/BTC/USD", {"refuse": 403})
    bitcoin: dict[str, str] = {"notional": "20", "time_in_force": "gtc"}
    assert (await bench.order("BTC/USD", **bitcoin)).status_code == 403
    await tell("DELETE", "symbols/BTC/USD")
    assert (await bench.order("BTC/USD", **bitcoin)).status_code == 200
    await tell("PUT", "keys", {"refused": ["*"]})
    assert (await bench.order()).status_code == 401
    await tell("PUT", "keys", {"refused": []})
    await tell("POST", "rest-faults", {"how": "500"})
    assert (await bench.order()).status_code == 500
    await tell("DELETE", "rest-faults")
    await tell("PUT", "stream", {"refuse_upgrade": 502})
    assert await bench.upgrade_status() == 502
    await tell("DELETE", "stream")
    async with bench.subscribed() as stream:
        await tell("POST", "stream/frame", {"text": "x"})
        encoded = base64.b64encode(b"\x00").decode()
        await tell("POST", "stream/frame", {"base64": encoded})
        await tell("POST", "stream/event", {"event": "odd"})
        assert await stream.websocket.get_message() == "x"
        assert await stream.websocket.get_message() == b"\x00"
        assert await stream.events(1) == ["odd"]
        assert await read("stream") == {
            "connections": 1,
            "listeners": 1,
            "faults": StreamFaults().model_dump(),
        }
        await tell("POST", "stream/starve")
        await tell("POST", "stream/black-hole")
        await tell("POST", "stream/drop")
        with pytest.raises(ConnectionClosed):
            await stream.receive()
    async with bench.subscribed() as stream:
        await tell("POST", "stream/close", {"code": 1001})
        with pytest.raises(ConnectionClosed):
            await stream.receive()
    placed = (await bench.order(client_order_id="last")).json()
    order = await bench.settled(placed["id"])
    assert abs(float(order["filled_avg_price"]) - 70.5) < 0.1
    orders = await read("orders")
    assert isinstance(orders, list)
    assert [order["symbol"] for order in orders] == ["BTC/USD", "KO"]
    counts = await read("counts")
    assert isinstance(counts, dict)
    assert counts["POST /v2/orders"] == 5
    posts = await read("posts")
    assert isinstance(posts, list)
    assert [post["symbol"] for post in posts] == ["BTC/USD"] * 2 + ["KO"] * 3
    assert posts[-1]["client_order_id"] == "last"
    assert await read("posts?last=1") == posts[-1:]
    assert await read("orders?last=1") == orders[-1:]
    arrivals = [post["arrived_ns"] for post in posts]
    assert arrivals == sorted(arrivals)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "quote", b'{"symbol":"KO","price":"-1"}', 422),
        ("PUT", "symbols/KO", b'{"typo":1}', 422),
        ("POST", "stream/frame", b"{}", 422),
        ("POST", "stream/event", b"[", 422),
        ("POST", "stream/dance", b"", 404),
        ("GET", "nothing", b"", 404),
    ],
)
@within(5)
async def test_a_senseless_control_is_refused(
    start: Start, method: str, path: str, body: bytes, status: int
) -> None:
    bench = await start()
    url = f"{bench.exchange.paper_url}/control/paper/{path}"
    reply = await bench.rest.request(method, url, content=body)
    assert reply.status_code == status


@within(5)
async def test_control_takes_nothing_of_the_rate_limit(start: Start) -> None:
    bench = await start(rate_limit_per_min=2)
    for _ in range(5):
        await bench.rest.get(f"{bench.exchange.paper_url}/control/paper/counts")
    reply = await bench.rest.get("/v2/account")
    assert reply.headers["X-RateLimit-Remaining"] == "1"
