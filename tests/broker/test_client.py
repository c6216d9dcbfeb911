"""The REST client: what leaves, what is known once it is answered, and TLS."""

from __future__ import annotations

import gc
import itertools
import json
import socket
import ssl
import struct
import weakref
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

import httpx
import pytest
import respx
import trio
import trio.testing

from snexec import __version__
from snexec.broker.budget import Purpose, RateBudget
from snexec.broker.client import AlpacaClient
from snexec.broker.tls import tls_context
from snexec.errors import (
    BrokerError,
    NotFoundError,
    NotSentError,
    RateLimitedError,
    RefusedError,
    UnknownOutcomeError,
)
from tests.broker.asking import (
    BASE,
    NGINX,
    REPLY,
    Outgoing,
    look_up,
    place,
    position,
    send,
)
from tests.fakes import CREDENTIALS, KEY, MOMENT, SECRET, FakeClock, make_order

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from snexec.broker.sent import SentOrder
    from tests.conftest import Authority


def unconnected_client(base_url: str = BASE) -> AlpacaClient:
    """Make a client that does not run."""
    return AlpacaClient(
        mode="paper",
        base_url=base_url,
        credentials=CREDENTIALS,
        budget=RateBudget(per_minute=200, clock=FakeClock()),
        timeout_seconds=5.0,
        clock=FakeClock(),
        ssl_context=None,
    )


# What leaves


async def test_an_order_leaves_exactly_as_the_contract_says(
    client: AlpacaClient, route: respx.Route
) -> None:
    route.respond(json=REPLY)
    order = await place(client)
    request = route.calls.last.request
    assert (request.method, str(request.url)) == ("POST", f"{BASE}/v2/orders")
    assert json.loads(request.content) == {
        "symbol": "AAPL",
        "notional": "100.00",
        "side": "buy",
        "type": "market",
        "time_in_force": "day",
        "client_order_id": "sn-1",
    }
    assert request.headers["APCA-API-KEY-ID"] == KEY
    assert request.headers["APCA-API-SECRET-KEY"] == SECRET
    assert request.headers["Content-Type"] == "application/json"
    assert "Authorization" not in request.headers
    assert order == make_order(
        "sn-1", "pending_new", order_id="f1a08ee3-8b15-4d31-b04b-944f30a06604"
    )
    assert (order.filled_qty, order.filled_avg_price) == (Decimal(0), None)


@pytest.mark.parametrize(
    ("symbol", "time_in_force"),
    [("AAPL", "day"), ("BRK.B", "day"), ("BTC/USD", "gtc"), ("ABC/USD", "gtc")],
)
async def test_an_order_stays_in_force_as_the_broker_takes_it_for_its_asset(
    client: AlpacaClient, route: respx.Route, symbol: str, time_in_force: str
) -> None:
    route.respond(json=REPLY)
    await place(client, symbol=symbol)
    body = json.loads(route.calls.last.request.content)
    assert (body["symbol"], body["time_in_force"]) == (symbol, time_in_force)


HEAD = (
    b"POST /v2/orders HTTP/1.1\r\n"
    b"Host: paper-api.alpaca.markets\r\n"
    b"User-Agent: snexec/%b\r\n"
    b"Accept: application/json\r\n"
    b"Accept-Encoding: identity\r\n"
    b"APCA-API-KEY-ID: %b\r\n"
    b"APCA-API-SECRET-KEY: %b\r\n"
    b"Content-Type: application/json\r\n"
    b"Content-Length: %d\r\n"
    b"\r\n"
)
BUY = (
    b'{"symbol":"AAPL","notional":"100.00","side":"buy","type":"market",'
    b'"time_in_force":"day","client_order_id":"sn-1"}'
)
SELL = (
    b'{"symbol":"AAPL","qty":"0.057436865","side":"sell","type":"market",'
    b'"time_in_force":"day","client_order_id":"sn-1"}'
)


def sell(shares: str) -> Outgoing:
    """Make an order that sells shares."""
    return Outgoing(side="sell", notional=None, quantity=Decimal(shares))


@pytest.mark.parametrize(
    ("order", "body"),
    [(Outgoing(), BUY), (sell("0.057436865"), SELL)],
    ids=["a buy of dollars", "a sell of shares"],
)
async def test_an_order_is_these_bytes(order: Outgoing, body: bytes) -> None:
    client = unconnected_client()
    client.send_order(order)
    (request,) = client._pool._waiting
    words = (__version__.encode(), KEY.encode(), SECRET.encode(), len(body))
    assert request.data == HEAD % words + body


@pytest.mark.parametrize(
    ("shares", "text"),
    [
        ("3", b"3"),
        ("1.50", b"1.50"),
        ("0.000000001", b"0.000000001"),
        ("1E-9", b"0.000000001"),
        ("1E+3", b"1000"),
    ],
)
async def test_shares_are_written_out_however_few_they_are(
    shares: str, text: bytes
) -> None:
    client = unconnected_client()
    client.send_order(sell(shares))
    (request,) = client._pool._waiting
    assert b',"qty":"%b","side":"sell",' % text in request.data


async def test_an_order_hears_that_it_leaves_and_that_it_is_answered(
    client: AlpacaClient, route: respx.Route
) -> None:
    route.respond(json=REPLY)
    assert client.budget.try_take(Purpose.START)
    order = Outgoing()
    client.send_order(order)
    assert order.heard == ["left"]
    await order.done.wait()
    assert order.heard == ["left", "answered"]


@pytest.mark.parametrize("withheld", [True, False])
async def test_an_order_that_had_to_wait_is_asked_whether_it_may_leave(
    start: Callable[..., Awaitable[Server]],
    make_client: Callable[..., AlpacaClient],
    withheld: bool,
) -> None:
    server = await start(sends(ACCEPTED))
    client = make_client(server.url)
    assert client.budget.try_take(Purpose.START)
    order = Outgoing(withheld=withheld)
    sent = client.send_order(order)
    assert order.heard == []
    with trio.fail_after(30):
        await order.done.wait()
    if withheld:
        assert order.heard == ["is it withheld?", "answered"]
        with pytest.raises(NotSentError, match="it is withheld"):
            sent.outcome()
        assert server.requests == []
    else:
        assert order.heard == ["is it withheld?", "left", "answered"]
        assert sent.outcome().id == REPLY["id"]
    assert client.budget._in_flight == 0


class Keeping(Outgoing):
    """An order that keeps what became of it."""

    sent: SentOrder | None = None


async def test_an_order_that_is_answered_is_freed_without_a_collection(
    client: AlpacaClient, route: respx.Route
) -> None:
    route.respond(json=REPLY)
    assert client.budget.try_take(Purpose.START)
    order, done = Keeping(), trio.Event()
    order.done = done
    order.sent = client.send_order(order)
    freed = weakref.ref(order)
    gc.disable()
    try:
        await done.wait()
        await trio.testing.wait_all_tasks_blocked()
        assert order.sent.outcome().id == REPLY["id"]
        del order
        assert freed() is None, "a circle: a burst would end in a pause"
    finally:
        gc.enable()


async def test_keys_stand_in_headers_only(
    client: AlpacaClient, route: respx.Route
) -> None:
    route.respond(json=REPLY | {"qty": "1"})
    await place(client)
    await look_up(client)
    await look_up(client, str(REPLY["id"]))
    await position(client)
    for call in route.calls:
        for secret in (KEY, SECRET):
            assert secret not in str(call.request.url)
            assert secret.encode() not in call.request.content
            named = [n for n, v in call.request.headers.items() if secret in v]
            assert len(named) == 1


async def test_a_mode_without_keys_sends_none(
    make_client: Callable[..., AlpacaClient], route: respx.Route
) -> None:
    route.respond(json=REPLY)
    await place(make_client(credentials=None))
    names = {name.lower() for name in route.calls.last.request.headers}
    assert not {name for name in names if name.startswith("apca")}


@pytest.mark.parametrize(
    ("symbol", "path"),
    [
        ("AAPL", b"/v2/positions/AAPL"),
        ("BRK.B", b"/v2/positions/BRK.B"),
        ("BTC/USD", b"/v2/positions/BTCUSD"),
        ("../orders", b"/v2/positions/..orders"),
        ("A?b#c", b"/v2/positions/A%3Fb%23c"),
    ],
)
async def test_a_symbol_is_one_part_of_the_path(
    client: AlpacaClient, route: respx.Route, symbol: str, path: bytes
) -> None:
    route.respond(json={"qty": "1"})
    await position(client, symbol)
    assert route.calls.last.request.url.raw_path == path


@pytest.mark.parametrize(
    ("order_id", "path"),
    [
        ("f1a08ee3-8b15", b"/v2/orders/f1a08ee3-8b15"),
        ("a/../b?c=d", b"/v2/orders/a%2F..%2Fb%3Fc%3Dd"),
        (None, b"/v2/orders:by_client_order_id?client_order_id=sn-1"),
    ],
)
async def test_an_order_is_asked_for_by_its_id(
    client: AlpacaClient, route: respx.Route, order_id: str | None, path: bytes
) -> None:
    route.respond(json=REPLY if order_id is None else REPLY | {"id": order_id})
    await look_up(client, order_id)
    request = route.calls.last.request
    assert (request.method, request.url.raw_path) == ("GET", path)


@pytest.mark.parametrize(
    ("order_id", "changes"),
    [
        (None, {"client_order_id": "sn-2"}),
        (REPLY["id"], {"client_order_id": "sn-2"}),
        (REPLY["id"], {"id": "another"}),
    ],
)
async def test_an_answer_that_speaks_of_another_order_is_none(
    client: AlpacaClient,
    route: respx.Route,
    order_id: str | None,
    changes: dict[str, str],
) -> None:
    route.respond(json=REPLY | changes)
    with pytest.raises(UnknownOutcomeError, match="speaks of another order"):
        await look_up(client, order_id)


async def test_the_order_that_took_anothers_place_is_asked_for_by_the_brokers_id(
    client: AlpacaClient, route: respx.Route
) -> None:
    route.respond(json=REPLY | {"id": "o-2", "client_order_id": "the broker's own"})
    for order_id in ("o-2", "o-3"):
        assert client.budget.try_take(Purpose.RECOVERY)
        if order_id == "o-3":
            with pytest.raises(UnknownOutcomeError, match="speaks of another order"):
                await client.replacement(order_id)
        else:
            assert (await client.replacement(order_id)).id == order_id
        assert route.calls.last.request.url.raw_path == b"/v2/orders/%s" % (
            order_id.encode()
        )


async def test_an_order_is_canceled_by_the_brokers_id(
    client: AlpacaClient, route: respx.Route
) -> None:
    route.respond(204)
    assert client.budget.try_take(Purpose.RECOVERY)
    await client.cancel("o/1")
    request = route.calls.last.request
    assert (request.method, request.url.raw_path) == ("DELETE", b"/v2/orders/o%2F1")
    assert client.budget._in_flight == 0


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, NotFoundError),
        (422, RefusedError),
        (200, UnknownOutcomeError),
        (500, UnknownOutcomeError),
        (429, RateLimitedError),
    ],
)
async def test_a_cancel_that_is_not_taken_says_why(
    client: AlpacaClient, route: respx.Route, status: int, error: type[BrokerError]
) -> None:
    route.respond(status, json={"message": "order is already filled"})
    assert client.budget.try_take(Purpose.RECOVERY)
    with pytest.raises(error):
        await client.cancel("o-1")
    assert client.budget._in_flight == 0


async def test_a_page_of_orders_is_asked_for_as_its_path_says(
    client: AlpacaClient, route: respx.Route
) -> None:
    route.respond(json=[REPLY])
    assert client.budget.try_take(Purpose.RECOVERY)
    page = await client.page_of_orders(
        "/v2/orders?status=all&after=2026-01-05T00%3A00Z"
    )
    assert json.loads(page) == [REPLY]
    assert route.calls.last.request.url.raw_path == (
        b"/v2/orders?status=all&after=2026-01-05T00%3A00Z"
    )


async def test_a_client_order_id_is_quoted(
    client: AlpacaClient, route: respx.Route
) -> None:
    odd = "a&b=c d/é"
    route.respond(json=REPLY | {"client_order_id": odd})
    assert client.budget.try_take(Purpose.START)
    await client.order(client_order_id=odd, order_id=None)
    assert route.calls.last.request.url.params["client_order_id"] == odd


# What comes back

RESET = int(MOMENT.timestamp())


async def test_answers_tell_the_budget_how_many_are_left(
    client: AlpacaClient, route: respx.Route
) -> None:
    told = {
        "X-RateLimit-Limit": "100",
        "X-RateLimit-Remaining": "1",
        "X-RateLimit-Reset": str(RESET + 30),
    }
    route.respond(403, json={}, headers=told)
    with pytest.raises(RefusedError):
        await place(client)
    assert client.budget.limit == 100
    assert client.budget.try_take(Purpose.START)
    assert not client.budget.try_take(Purpose.START)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-RateLimit-Limit": "9" * 5000},
        {"Date": "Mon, 05 Jan 99999999999999999999 14:30:00 GMT"},
        {"Date": "Mon, 05 Jan 0000 14:30:00 GMT"},
        {"X-RateLimit-Remaining": "\u00b2"},
        {"X-RateLimit-Reset": "\u0662"},
    ],
    ids="-".join,
)
async def test_garbage_headers_never_hide_an_accepted_order(
    client: AlpacaClient, route: respx.Route, headers: dict[str, str]
) -> None:
    told = {
        "X-RateLimit-Limit": "100",
        "X-RateLimit-Remaining": "1",
        "X-RateLimit-Reset": str(RESET + 30),
    } | headers
    raw = [(name.encode(), value.encode()) for name, value in told.items()]
    route.mock(return_value=httpx.Response(200, json=REPLY, headers=raw))
    assert (await place(client)).id == REPLY["id"]


async def test_a_client_does_not_show_its_keys(
    client: AlpacaClient, route: respx.Route
) -> None:
    route.respond(json=REPLY)
    assert client.budget.try_take(Purpose.START)
    sent, answered = send(client)
    for thing in (client, client._look_ups, client.budget, client._pool, CREDENTIALS):
        for secret in (KEY, SECRET):
            assert secret not in repr(thing)
            assert secret not in str(thing)
    for secret in (KEY, SECRET):
        assert secret not in repr(sent), "an order on its way holds them too"
        assert secret not in repr([getattr(sent, name) for name in sent.__slots__])
    await answered.wait()


# Over real connections


@dataclass
class Server:
    """A TCP server that reads one request after another, and answers as scripted."""

    answer: Callable[[trio.abc.Stream], Awaitable[None]]
    url: str = ""
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0

    async def serve(self, stream: trio.abc.Stream) -> None:
        self.connections += 1
        data = b""
        try:
            while True:
                while not is_whole(data):
                    more = await stream.receive_some()
                    if not more:
                        return
                    data += more
                self.requests.append(data)
                data = b""
                await self.answer(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return


def is_whole(data: bytes) -> bool:
    """Return whether a request is complete."""
    head, found, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    return bool(found) and len(body) >= length


def http(status: str, body: bytes, **headers: str) -> bytes:
    """Make an answer as bytes."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def sends(*parts: bytes) -> Callable[[trio.abc.Stream], Awaitable[None]]:
    """Make an answer of these parts."""

    async def answer(stream: trio.abc.Stream) -> None:
        for part in parts:
            await stream.send_all(part)

    return answer


def sends_and_closes(data: bytes) -> Callable[[trio.abc.Stream], Awaitable[None]]:
    """Make an answer that is the connection's last word."""

    async def answer(stream: trio.abc.Stream) -> None:
        await stream.send_all(data)
        await stream.aclose()

    return answer


async def reset(stream: trio.abc.Stream) -> None:
    """Break the connection off, as a crash does."""
    assert isinstance(stream, trio.SocketStream)
    linger = struct.pack("ii", 1, 0)
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    stream.socket.close()


async def hang(stream: trio.abc.Stream) -> None:
    """Never answer."""
    await stream.receive_some()


async def drip(stream: trio.abc.Stream) -> None:
    """Answer a byte at a time, for much too long."""
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
    for _ in range(9999):
        await stream.send_all(b" ")
        await trio.sleep(0.01)


@pytest.fixture
async def start(
    nursery: trio.Nursery,
) -> Callable[..., Awaitable[Server]]:
    """Give a function that starts a server on a free loopback port."""

    async def start_server(
        answer: Callable[[trio.abc.Stream], Awaitable[None]],
        *,
        on_connect: Callable[[trio.abc.Stream], Awaitable[None]] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> Server:
        server = Server(answer)

        async def handle(stream: trio.SocketStream) -> None:
            if on_connect is not None:
                server.connections += 1
                await on_connect(stream)
            elif tls is not None:
                secured = trio.SSLStream(
                    stream, tls, server_side=True, https_compatible=True
                )
                await server.serve(secured)
            else:
                await server.serve(stream)

        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listeners[0].socket.getsockname()[1]
        server.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        nursery.start_soon(trio.serve_listeners, handle, listeners)
        return server

    return start_server


ACCEPTED = http("200 OK", json.dumps(REPLY).encode())


async def outcome(client: AlpacaClient) -> type[Exception] | str:
    """Place an order, and return the error or the broker's id."""
    with trio.fail_after(30):
        try:
            order = await place(client)
        except BrokerError as exc:
            assert client.budget._in_flight == 0
            return type(exc)
    assert client.budget._in_flight == 0
    return order.id


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (sends(ACCEPTED), REPLY["id"]),
        (sends(*(ACCEPTED[n : n + 1] for n in range(len(ACCEPTED)))), REPLY["id"]),
        (sends_and_closes(ACCEPTED), REPLY["id"]),
        (sends(b"HTTP/1.1 103 Early Hints\r\n\r\n", ACCEPTED), REPLY["id"]),
        (reset, UnknownOutcomeError),
        (hang, UnknownOutcomeError),
        (drip, UnknownOutcomeError),
        (sends_and_closes(b""), UnknownOutcomeError),
        (sends_and_closes(b"HTTP/1.1 200"), UnknownOutcomeError),
        (sends_and_closes(ACCEPTED[:-1]), UnknownOutcomeError),
        (sends_and_closes(b"\x16\x03\x01 not HTTP\r\n\r\n"), UnknownOutcomeError),
        (sends_and_closes(b"HTTP/1.1 200 OK\r\n" * 99_999), UnknownOutcomeError),
        (sends(http("200 OK", b" " * (1 << 20) + b" ")), UnknownOutcomeError),
        (sends(http("504 Gateway Time-out", NGINX.encode())), UnknownOutcomeError),
        (sends(http("307 Moved", b"", Location="/v2/orders")), UnknownOutcomeError),
        (sends(http("403 Forbidden", b"{}")), RefusedError),
        (sends(http("403 Forbidden", b" " * 3_000_000)), RefusedError),
        (
            sends_and_closes(b"HTTP/1.1 403 No\r\nContent-Length: 99\r\n\r\n{"),
            RefusedError,
        ),
        (sends(http("429 Slow down", b"", Retry_After="3")), RateLimitedError),
    ],
    ids=[
        *("accepted", "bytewise", "closed-after", "early-hints", "reset", "hang"),
        *("drip", "closed-unanswered", "cut-status", "cut-body", "not-http"),
        *("endless-head", "over-1-MiB", "504", "307", "403", "403-over-1-MiB"),
        *("403-cut", "429"),
    ],
)
async def test_what_the_connection_does_decides_what_is_known(
    start: Callable[..., Awaitable[Server]],
    make_client: Callable[..., AlpacaClient],
    answer: Callable[[trio.abc.Stream], Awaitable[None]],
    expected: type[Exception] | str,
) -> None:
    server = await start(answer)
    patience = 0.3 if answer in {hang, drip} else 5.0
    client = make_client(server.url, timeout_seconds=patience)
    assert await outcome(client) == expected
    assert len(server.requests) == 1, "an order leaves once"
    assert server.requests[0].startswith(b"POST /v2/orders HTTP/1.1\r\n")


async def test_a_body_of_exactly_a_mebibyte_is_read(
    start: Callable[..., Awaitable[Server]], make_client: Callable[..., AlpacaClient]
) -> None:
    body = json.dumps(REPLY).encode().ljust(1 << 20)
    server = await start(sends(http("200 OK", body)))
    assert await outcome(make_client(server.url)) == REPLY["id"]


async def test_a_connection_that_is_reset_at_once_may_have_carried_the_order(
    start: Callable[..., Awaitable[Server]], make_client: Callable[..., AlpacaClient]
) -> None:
    server = await start(sends(ACCEPTED), on_connect=reset)
    # Whether it left is a matter of microseconds; a storm of connections is not.
    known = await outcome(make_client(server.url))
    assert known in {UnknownOutcomeError, NotSentError}
    assert server.connections == 1


async def test_an_order_may_come_before_the_clients_own_task_runs(
    start: Callable[..., Awaitable[Server]], make_client: Callable[..., AlpacaClient]
) -> None:
    server = await start(sends(ACCEPTED))
    client = make_client(server.url)
    assert client._pool._nursery is None, "it was only just started"
    assert client.budget.try_take(Purpose.START)
    sent, answered = send(client)
    with trio.fail_after(30):
        await answered.wait()
    assert sent.outcome().id == REPLY["id"]
    assert len(server.requests) == 1


async def test_an_order_that_is_cancelled_before_it_left_never_leaves(
    start: Callable[..., Awaitable[Server]], make_client: Callable[..., AlpacaClient]
) -> None:
    server = await start(sends(ACCEPTED))
    client = make_client(server.url)
    with trio.move_on_after(0) as scope:
        await place(client)
    assert scope.cancelled_caught
    assert client.budget._in_flight == 0
    assert await outcome(client) == REPLY["id"]
    assert len(server.requests) == 1, "of the second"


async def test_a_refused_connection_sent_nothing(
    make_client: Callable[..., AlpacaClient],
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    client = make_client(f"http://127.0.0.1:{port}")
    with (
        trio.fail_after(30),
        pytest.raises(NotSentError, match="all attempts to connect"),
    ):
        await place(client)
    assert client.budget._in_flight == 0


async def test_the_time_out_says_itself(
    start: Callable[..., Awaitable[Server]], make_client: Callable[..., AlpacaClient]
) -> None:
    server = await start(hang)
    client = make_client(server.url, timeout_seconds=0.2)
    began = trio.current_time()
    with pytest.raises(UnknownOutcomeError, match=r"no answer within 0\.2 s"):
        await place(client)
    assert 0.2 <= trio.current_time() - began < 9


async def test_each_order_has_its_own_time(
    start: Callable[..., Awaitable[Server]], make_client: Callable[..., AlpacaClient]
) -> None:
    numbers = itertools.count()

    async def answer_the_first(stream: trio.abc.Stream) -> None:
        await (sends(ACCEPTED) if next(numbers) == 0 else hang)(stream)

    server = await start(answer_the_first)
    client = make_client(server.url, timeout_seconds=0.3)
    assert await outcome(client) == REPLY["id"]
    ended: list[float] = []
    async with trio.open_nursery() as nursery:
        for pause in (0.0, 0.1, 0.2):

            async def late(pause: float = pause) -> None:
                await trio.sleep(pause)
                began = trio.current_time()
                assert await outcome_of_many(client) is UnknownOutcomeError
                ended.append(trio.current_time() - began)

            nursery.start_soon(late)
    assert all(0.3 <= seconds < 2 for seconds in ended), ended
    assert client.budget._in_flight == 0
    assert not client._under_way, "an answered order is not kept for its time"


async def outcome_of_many(client: AlpacaClient) -> type[Exception] | None:
    """Place an order beside others, and return the error."""
    try:
        await place(client)
    except BrokerError as exc:
        return type(exc)
    return None


async def test_a_connection_is_used_again(
    start: Callable[..., Awaitable[Server]], make_client: Callable[..., AlpacaClient]
) -> None:
    server = await start(sends(ACCEPTED))
    client = make_client(server.url)
    for _ in range(3):
        assert await outcome(client) == REPLY["id"]
    assert (server.connections, len(server.requests)) == (1, 3)


async def test_a_connection_that_the_broker_has_closed_is_not_used_again(
    start: Callable[..., Awaitable[Server]], make_client: Callable[..., AlpacaClient]
) -> None:
    server = await start(sends_and_closes(ACCEPTED))
    client = make_client(server.url)
    for _ in range(3):
        assert await outcome(client) == REPLY["id"]
        await trio.testing.wait_all_tasks_blocked(0.02)
    assert (server.connections, len(server.requests)) == (3, 3)


async def test_a_cancelled_request_is_over_for_the_budget(
    start: Callable[..., Awaitable[Server]], make_client: Callable[..., AlpacaClient]
) -> None:
    server = await start(hang)
    client = make_client(server.url)
    with trio.fail_after(30):
        with trio.move_on_after(0.1) as scope:
            await place(client)
    assert scope.cancelled_caught
    assert client.budget._in_flight == 0


async def test_proxies_of_the_environment_are_not_asked(
    start: Callable[..., Awaitable[Server]],
    make_client: Callable[..., AlpacaClient],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    server = await start(sends(ACCEPTED))
    assert await outcome(make_client(server.url)) == REPLY["id"]


# TLS


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
async def test_a_named_authority_is_trusted(
    start: Callable[..., Awaitable[Server]],
    make_client: Callable[..., AlpacaClient],
    authority: Authority,
    variable: str,
) -> None:
    server = await start(sends(ACCEPTED), tls=authority.server)
    path = authority.bundle if variable == "SSL_CERT_FILE" else authority.folder
    context = tls_context({variable: str(path)})
    assert await outcome(make_client(server.url, ssl_context=context)) == REPLY["id"]


async def test_an_authority_that_nobody_named_is_not_trusted(
    start: Callable[..., Awaitable[Server]],
    make_client: Callable[..., AlpacaClient],
    authority: Authority,
) -> None:
    server = await start(sends(ACCEPTED), tls=authority.server)
    client = make_client(server.url, ssl_context=tls_context({}))
    with trio.fail_after(30), pytest.raises(NotSentError):
        await place(client)
    assert server.requests == []


async def test_a_certificate_of_another_name_is_not_trusted(
    start: Callable[..., Awaitable[Server]],
    make_client: Callable[..., AlpacaClient],
    authority: Authority,
) -> None:
    server = await start(sends(ACCEPTED), tls=authority.other)
    context = tls_context({"SSL_CERT_FILE": str(authority.bundle)})
    client = make_client(server.url, ssl_context=context)
    with trio.fail_after(30), pytest.raises(NotSentError):
        await place(client)
    assert server.requests == []


async def test_the_reason_says_that_the_certificate_is_at_fault(
    start: Callable[..., Awaitable[Server]],
    make_client: Callable[..., AlpacaClient],
    authority: Authority,
) -> None:
    server = await start(sends(ACCEPTED), tls=authority.server)
    client = make_client(server.url, ssl_context=tls_context({}))
    with trio.fail_after(30), pytest.raises(NotSentError, match=r"(?i)certificate"):
        await place(client)


async def test_a_handshake_that_hangs_sent_nothing(
    start: Callable[..., Awaitable[Server]], make_client: Callable[..., AlpacaClient]
) -> None:
    server = await start(sends(ACCEPTED), on_connect=hang_for_ever)
    url = server.url.replace("http:", "https:")
    client = make_client(url, ssl_context=tls_context({}), timeout_seconds=0.2)
    with trio.fail_after(30), pytest.raises(NotSentError, match="no connection within"):
        await place(client)


async def test_an_order_that_no_connection_took_in_time_says_so(
    start: Callable[..., Awaitable[Server]], make_client: Callable[..., AlpacaClient]
) -> None:
    server = await start(sends(ACCEPTED), on_connect=hang_for_ever)
    url = server.url.replace("http:", "https:")
    client = make_client(url, ssl_context=tls_context({}), timeout_seconds=0.2)
    client._pool._dial_seconds = 30.0
    with trio.fail_after(30), pytest.raises(NotSentError, match="no connection within"):
        await place(client)


async def hang_for_ever(_stream: trio.abc.Stream) -> None:
    await trio.sleep_forever()


async def test_an_id_that_cannot_be_the_brokers_is_not_asked_for(
    client: AlpacaClient, route: respx.Route
) -> None:
    route.respond(json=REPLY)
    order = await look_up(client, "o" * 257)
    assert order.id == REPLY["id"]
    assert route.calls.last.request.url.path == "/v2/orders:by_client_order_id"


# What follows an answer


async def test_a_refusal_that_comes_again_is_no_other_orders_answer(
    start: Callable[..., Awaitable[Server]], make_client: Callable[..., AlpacaClient]
) -> None:
    refusals = http("403 Forbidden", b"{}")

    async def refuse_the_first(stream: trio.abc.Stream) -> None:
        first = len(server.requests) == 1
        await stream.send_all(refusals if first else ACCEPTED)

    server = await start(refuse_the_first)
    client = make_client(server.url)
    for expected in (RefusedError, REPLY["id"]):
        assert client.budget.try_take(Purpose.START)
        sent, answered = send(client)
        with trio.fail_after(30):
            await answered.wait()
        try:
            found: object = sent.outcome().id
        except RefusedError:
            found = RefusedError
        assert found == expected
    assert server.connections == 2, "the refusal's connection carries nothing more"


async def test_what_follows_a_refusal_is_heard_as_long_as_an_answer_may_take(
    start: Callable[..., Awaitable[Server]], make_client: Callable[..., AlpacaClient]
) -> None:
    closed = trio.Event()

    async def refuse_and_wait(stream: trio.abc.Stream) -> None:
        await stream.send_all(http("403 Forbidden", b"{}"))
        assert await stream.receive_some() == b""
        closed.set()

    server = await start(refuse_and_wait)
    client = make_client(server.url, timeout_seconds=0.3)
    assert client.budget.try_take(Purpose.START)
    began = trio.current_time()
    sent, answered = send(client)
    with trio.fail_after(30):
        await answered.wait()
        await closed.wait()
    assert trio.current_time() - began >= 0.3
    with pytest.raises(RefusedError):
        sent.outcome()
