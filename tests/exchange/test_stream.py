"""The WebSocket protocol, and what the stream says of an order's life."""

import json

import httpx
import pytest
import trio
from trio_websocket import ConnectionClosed

from snexec.exchange.settings import Behaviour

from .conftest import Start, Stream, within

AUTH = {"action": "auth", "key": "PKTEST", "secret": "s"}
LEGACY = {
    "action": "authenticate",
    "data": {"key_id": "PKTEST", "secret_key": "s"},
}
LISTEN = {"action": "listen", "data": {"streams": ["trade_updates"]}}


async def closed(stream: Stream) -> None:
    """Make sure that the server closes the connection."""
    with pytest.raises(ConnectionClosed):
        await stream.receive()


@within(5)
async def test_the_server_does_not_greet(start: Start) -> None:
    bench = await start()
    async with bench.connect() as stream:
        await stream.nothing_comes()


@within(5)
async def test_both_forms_of_authentication_are_taken(start: Start) -> None:
    bench = await start()
    async with bench.connect() as stream:
        assert await stream.ask(AUTH) == {
            "stream": "authorization",
            "data": {"action": "authenticate", "status": "authorized"},
        }
    async with bench.connect() as stream:
        reply = await stream.ask(LEGACY)
        assert reply["data"]["status"] == "authorized"
        assert reply["data"]["message"].startswith(
            "this authentication format is being deprecated."
        )


@within(5)
async def test_frames_are_binary(start: Start) -> None:
    bench = await start()
    async with bench.connect() as stream:
        await stream.send(AUTH)
        assert isinstance(await stream.websocket.get_message(), bytes)


@within(5)
async def test_binary_frames_are_understood(start: Start) -> None:
    bench = await start()
    async with bench.connect() as stream:
        await stream.websocket.send_message(json.dumps(AUTH).encode())
        assert (await stream.receive())["data"]["status"] == "authorized"


@pytest.mark.parametrize(
    "message",
    [
        {"action": "auth", "key": "REFUSED", "secret": "s"},
        {"action": "auth", "key": "", "secret": ""},
        {"action": "auth"},
        {"action": "authenticate", "data": {"key_id": "PKTEST"}},
        {"action": "authenticate", "data": "x"},
    ],
)
@within(5)
async def test_a_bad_key_is_told_so_and_the_connection_closed(
    start: Start, message: object
) -> None:
    bench = await start()
    bench.exchange.paper.refused_keys = frozenset({"REFUSED"})
    async with bench.connect() as stream:
        reply = await stream.ask(message)
        assert reply["stream"] == "authorization"
        assert reply["data"]["status"] == "unauthorized"
        await closed(stream)


@within(5)
async def test_listen_before_authentication_is_unauthorized(start: Start) -> None:
    bench = await start()
    async with bench.connect() as stream:
        assert await stream.ask(LISTEN) == {
            "stream": "authorization",
            "data": {"status": "unauthorized", "action": "listen"},
        }
        await closed(stream)


@pytest.mark.parametrize("text", ["no json", "[]", "null", '"auth"'])
@within(5)
async def test_a_message_that_is_no_object_is_unauthorized(
    start: Start, text: str
) -> None:
    bench = await start()
    async with bench.connect() as stream:
        await stream.websocket.send_message(text)
        assert (await stream.receive())["data"]["status"] == "unauthorized"
        await closed(stream)


@within(5)
async def test_an_unknown_action_is_an_error_that_closes(start: Start) -> None:
    bench = await start()
    async with bench.connect() as stream:
        await stream.ask(AUTH)
        reply = await stream.ask({"action": "dance"})
        assert reply["action"] == "error"
        await closed(stream)


@within(5)
async def test_listening_names_the_streams_that_are_really_sent(start: Start) -> None:
    bench = await start()
    async with bench.connect() as stream:
        await stream.ask(AUTH)
        for wanted, effective in (
            (["trade_updates", "other"], ["trade_updates"]),
            (["other"], []),
            ([], []),
        ):
            reply = await stream.ask({"action": "listen", "data": {"streams": wanted}})
            assert reply == {"stream": "listening", "data": {"streams": effective}}
        await bench.order()
        await stream.nothing_comes()


@within(5)
async def test_an_order_is_told_from_pending_to_fill(start: Start) -> None:
    bench = await start()
    async with bench.subscribed() as stream:
        placed = (await bench.order(client_order_id="mine")).json()
        events = [await stream.event() for _ in range(3)]
    pending, new, fill = events
    assert [event["event"] for event in events] == ["pending_new", "new", "fill"]
    for event, status in zip(events, ["pending_new", "new", "filled"], strict=True):
        order = event["order"]
        assert order["id"] == placed["id"]
        assert order["client_order_id"] == "mine"
        assert order["status"] == status
        assert order["cancel_requested_at"] is None
        assert "source" not in order
        assert "subtag" not in order
        assert event["timestamp"].endswith("Z")
        assert event["at"].endswith("Z")
    assert "execution_id" not in pending
    assert new["execution_id"] != fill["execution_id"]
    ids = [event["event_id"] for event in events]
    assert ids == sorted(set(ids))
    assert fill["qty"] == fill["position_qty"] == fill["order"]["filled_qty"]
    assert fill["price"] == fill["order"]["filled_avg_price"]
    assert isinstance(fill["price"], str)


@within(5)
async def test_live_and_paper_streams_are_separate(start: Start) -> None:
    bench = await start()
    async with bench.subscribed(), bench.connect(bench.exchange.live_url) as live:
        await live.subscribe()
        await bench.order()
        await live.nothing_comes()


@within(5)
async def test_what_happens_while_nobody_listens_is_not_sent_later(
    start: Start,
) -> None:
    bench = await start()
    await bench.settled((await bench.order()).json()["id"])
    async with bench.subscribed() as stream:
        await stream.nothing_comes()


@within(5)
async def test_a_second_connection_is_refused_until_the_first_is_closed(
    start: Start,
) -> None:
    bench = await start()
    async with bench.connect():
        assert await bench.upgrade_status() == 429
        async with bench.connect(bench.exchange.live_url):
            pass
    for _ in range(20):
        async with bench.connect():
            pass


@within(5)
async def test_a_client_that_vanishes_frees_the_slot(start: Start) -> None:
    bench = await start()
    port = int(bench.exchange.paper_url.rpartition(":")[2])
    raw = await trio.open_tcp_stream("127.0.0.1", port)
    await raw.send_all(
        b"GET /stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    assert b"101" in bytes(await raw.receive_some())
    await raw.aclose()
    async with bench.connect():
        pass


@within(5)
async def test_events_come_before_the_reply_when_told_to(start: Start) -> None:
    behaviour = Behaviour(fill_before_reply=True, reply_delay_sec=0.2)
    bench = await start(symbols={"FAST": behaviour})
    replies: list[httpx.Response] = []
    async with bench.subscribed() as stream, trio.open_nursery() as nursery:

        async def post() -> None:
            replies.append(await bench.order("FAST"))

        nursery.start_soon(post)
        assert await stream.events(3) == ["pending_new", "new", "fill"]
        assert replies == []
    assert replies[0].json()["status"] == "pending_new"
