"""The trading stream: connect, authenticate, listen, and start again."""

from __future__ import annotations

import contextlib
import json
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
import trio
from trio_websocket import (
    ConnectionClosed,
    WebSocketConnection,
    WebSocketRequest,
    serve_websocket,
)

from snexec.broker.endpoint import Endpoint
from snexec.events import Event, EventFeed
from snexec.settings import StreamSettings
from snexec.stream import connection as connection_module
from snexec.stream import session as session_module
from snexec.stream import trading as stream_module
from snexec.stream.connection import Socket
from snexec.stream.trading import StreamStatus, TradingStream
from tests.fakes import (
    CREDENTIALS,
    KEY,
    SECRET,
    FakeClock,
    live_settings,
    make_settings,
)
from tests.streaming import (
    AUTHORIZED,
    LISTENING,
    TAKEN_FILL,
    UNAUTHORIZED,
    RecordingFills,
    StreamAccounts,
    bare_stream,
    update,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable

    from snexec.model import Mode
    from snexec.settings import LiveSettings
    from snexec.stream.trading import StreamState
    from tests.conftest import Authority, LoggedErrors

LISTENING_TO_NOTHING = {"stream": "listening", "data": {"streams": []}}
AUTH = {"action": "auth", "key": KEY, "secret": SECRET}
LISTEN = {"action": "listen", "data": {"streams": ["trade_updates"]}}


@dataclass
class Broker:
    """A server of the trading stream.

    Attributes:
        answers: What each action is answered, frame by frame.
        refuse: The HTTP status that a handshake is answered, if not 101.
        received: What came on each connection, in the order of their opening.
        most_open: The most connections that were open at once.
    """

    port: int = 0
    answers: dict[str, list[object]] = field(
        default_factory=lambda: {"auth": [AUTHORIZED], "listen": [LISTENING]}
    )
    refuse: int | None = None
    binary: bool = False
    received: list[list[Any]] = field(default_factory=list)
    sockets: list[WebSocketConnection] = field(default_factory=list)
    story: list[str] = field(default_factory=list)
    name: str = "broker"
    handshakes: int = 0
    open: int = 0
    most_open: int = 0

    async def handle(self, request: WebSocketRequest) -> None:
        self.handshakes += 1
        if self.refuse is not None:
            await request.reject(self.refuse)
            return
        socket = await request.accept()
        received: list[Any] = []
        self.received.append(received)
        self.sockets.append(socket)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        self.story.append(f"{self.name} opened")
        try:
            while True:
                message = json.loads(await socket.get_message())
                received.append(message)
                for frame in self.answers.get(message["action"], []):
                    await self.send(frame)
        except ConnectionClosed:
            pass
        finally:
            self.open -= 1
            self.story.append(f"{self.name} closed")

    async def send(self, frame: object) -> None:
        """Send a frame on the newest connection: JSON, or text or bytes as they are."""
        data = frame if isinstance(frame, str | bytes) else json.dumps(frame)
        if self.binary and isinstance(data, str):
            data = data.encode()
        with contextlib.suppress(ConnectionClosed):
            await self.sockets[-1].send_message(data)

    def endpoint(self, mode: Mode = "paper") -> Endpoint:
        """Return where this server is."""
        url = f"http://127.0.0.1:{self.port}"
        return Endpoint(mode=mode, url=url, credentials=CREDENTIALS)


def close_code(socket: WebSocketConnection) -> int | None:
    """Return the code with which a connection was closed, once it is."""
    return None if socket.closed is None else int(socket.closed.code)


@dataclass
class Bench:
    """A stream, its server, and what it published."""

    broker: Broker
    live: LiveSettings
    accounts: StreamAccounts
    stream: TradingStream
    fills: RecordingFills
    events: list[Event]

    @property
    def state(self) -> StreamState:
        """How the stream is now."""
        return self.stream.status().state

    @property
    def times_authorized(self) -> int:
        """Count how often the stream said that it is fed."""
        return self.states().count("authorized")

    def move_to(self, endpoint: Endpoint) -> None:
        """Trade there, from the next connection on."""
        self.accounts.endpoints[endpoint.mode] = endpoint
        self.live.now = self.live.now.model_copy(update={"mode": endpoint.mode})

    def set_delays(self, **values: float) -> None:
        """Have ``[stream]`` hold these values, and the defaults of the others."""
        stream = StreamSettings(**values)
        self.live.now = self.live.now.model_copy(update={"stream": stream})

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so; the clock is the real one."""
        with trio.fail_after(5):
            while not condition():  # noqa: ASYNC110 - sockets set no Trio event
                await trio.sleep(0.002)

    async def authorized(self, times: int = 1) -> None:
        """Wait until the stream has been authorized this many times, and is now."""
        await self.until(
            lambda: self.times_authorized >= times and self.state == "authorized"
        )

    def states(self) -> list[str | None]:
        """Return the states that were published."""
        assert {event.event for event in self.events} <= {"stream"}
        return [event.reason for event in self.events]


async def open_broker(
    nursery: trio.Nursery, tls: ssl.SSLContext | None = None
) -> Broker:
    """Start a server on a free loopback port."""
    broker = Broker()
    server = await nursery.start(serve_websocket, broker.handle, "127.0.0.1", 0, tls)
    broker.port = server.port
    return broker


@pytest.fixture
async def bench(
    nursery: trio.Nursery,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Bench]:
    """Give a stream that is not started yet, and its server."""
    monkeypatch.setattr(connection_module, "CLOSE_SECONDS", 0.05)
    caplog.set_level(logging.DEBUG, logger="TradingWs")
    broker = await open_broker(nursery)
    fills, events = RecordingFills(), list[Event]()
    feed = EventFeed(clock=FakeClock())
    feed.follow(events.append)

    live = live_settings(
        make_settings(stream={"reconnect_delay_sec": 0.05, "restart_delay_sec": 0.01})
    )
    accounts = StreamAccounts()
    stream = TradingStream(live, accounts, fills, feed)
    made = Bench(broker, live, accounts, stream, fills, events)
    made.move_to(broker.endpoint())
    yield made
    nursery.cancel_scope.cancel()


@pytest.fixture
async def fed(bench: Bench, nursery: trio.Nursery) -> Bench:
    """Give a stream that is authorized."""
    nursery.start_soon(bench.stream.run)
    await bench.authorized()
    return bench


def lines(caplog: pytest.LogCaptureFixture, level: int = logging.WARNING) -> list[str]:
    """Return the stream's lines of one level."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno == level and record.name == "TradingWs"
    ]


# The handshake


@pytest.mark.parametrize("binary", [False, True])
async def test_it_authenticates_and_then_listens_exactly_as_the_contract_says(
    bench: Bench,
    nursery: trio.Nursery,
    caplog: pytest.LogCaptureFixture,
    binary: bool,
) -> None:
    bench.broker.binary = binary
    nursery.start_soon(bench.stream.run)
    await bench.authorized()
    assert bench.broker.received == [[AUTH, LISTEN]]
    assert bench.state == "authorized"
    assert bench.states() == ["authorized"]
    assert bench.events[0].more == {"state": "authorized", "mode": "paper"}
    assert bench.times_authorized == 1
    assert lines(caplog, logging.INFO) == [
        "Authenticated — subscribed to trade_updates"
    ]
    assert lines(caplog) == []
    assert KEY not in caplog.text
    assert SECRET not in caplog.text


async def test_it_listens_only_once_it_is_authorized(
    bench: Bench, nursery: trio.Nursery
) -> None:
    bench.broker.answers["auth"] = []
    nursery.start_soon(bench.stream.run)
    await bench.until(lambda: bench.broker.received == [[AUTH]])
    await trio.sleep(0.05)
    assert bench.broker.received == [[AUTH]]
    assert bench.state == "connecting"
    await bench.broker.send(AUTHORIZED)
    await bench.authorized()
    assert bench.broker.received == [[AUTH, LISTEN]]


async def test_a_note_of_the_brokers_does_not_matter(
    bench: Bench, nursery: trio.Nursery
) -> None:
    bench.broker.answers["auth"] = [
        {
            "data": {"status": "authorized", "message": "deprecated", "extra": [1]},
            "stream": "authorization",
        }
    ]
    nursery.start_soon(bench.stream.run)
    await bench.authorized()


async def test_what_comes_before_the_answers_is_not_lost(
    bench: Bench, nursery: trio.Nursery
) -> None:
    bench.broker.answers = {
        "auth": ["not JSON", AUTHORIZED],
        "listen": [update(), {"stream": "news"}, LISTENING],
    }
    nursery.start_soon(bench.stream.run)
    await bench.authorized()
    assert bench.fills.taken == [TAKEN_FILL]


async def test_a_stream_that_is_not_listened_to_is_not_authorized(
    bench: Bench, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    bench.broker.answers["listen"] = [LISTENING_TO_NOTHING]
    nursery.start_soon(bench.stream.run)
    await bench.until(lambda: len(lines(caplog)) == 1)
    assert lines(caplog) == ["the broker listens to [] only"]
    assert bench.state == "connecting"
    await bench.broker.send(LISTENING)
    await bench.authorized()


@pytest.mark.parametrize(
    ("answers", "sent", "missing"),
    [
        ({}, [AUTH], "no authorization answer"),
        ({"auth": ["garbage"]}, [AUTH], "no authorization answer"),
        ({"auth": [AUTHORIZED]}, [AUTH, LISTEN], "no listening answer"),
        (
            {"auth": [AUTHORIZED], "listen": [LISTENING_TO_NOTHING]},
            [AUTH, LISTEN],
            "no listening answer",
        ),
    ],
)
async def test_an_answer_that_does_not_come_in_time_ends_the_attempt(  # noqa: PLR0917
    bench: Bench,
    nursery: trio.Nursery,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    answers: dict[str, list[object]],
    sent: list[object],
    missing: str,
) -> None:
    monkeypatch.setattr(session_module, "_ANSWER_SECONDS", 0.1)
    bench.broker.answers = answers
    nursery.start_soon(bench.stream.run)
    await bench.until(lambda: bench.broker.handshakes == 2)
    assert bench.broker.received[0] == sent
    assert f"no connection: {missing} within 0.1 s" in lines(caplog)
    assert bench.broker.most_open == 1
    assert bench.times_authorized == 0
    assert bench.states()[:2] == ["waiting", "connecting"]


# Unauthorized


async def test_keys_that_are_not_taken_are_an_error_and_a_long_wait(
    bench: Bench, nursery: trio.Nursery, logged_errors: LoggedErrors
) -> None:
    bench.broker.answers["auth"] = [UNAUTHORIZED]
    nursery.start_soon(bench.stream.run)
    await bench.until(lambda: bench.state == "unauthorized")
    await bench.until(lambda: bench.broker.open == 0)
    await trio.sleep(0.2)
    assert bench.broker.received == [[AUTH]], "and nothing is listened to"
    assert bench.broker.handshakes == 1, "and nothing is tried again soon"
    (message,) = logged_errors.take()
    assert message == (
        "the broker does not take the paper keys (code=401, message=Unauthorized):"
        " check them; next try in a minute or when the settings change"
    )
    assert bench.states() == ["unauthorized"]


@pytest.mark.parametrize(
    "status", ["unauthorized", "pending", "", None, 1, ["authorized"]]
)
async def test_only_authorized_is_authorized(
    bench: Bench, nursery: trio.Nursery, logged_errors: LoggedErrors, status: object
) -> None:
    bench.broker.answers["auth"] = [
        {"stream": "authorization", "data": {"status": status}}
    ]
    nursery.start_soon(bench.stream.run)
    await bench.until(lambda: bench.state == "unauthorized")
    assert bench.broker.received == [[AUTH]]
    assert len(logged_errors.take()) == 1


async def test_unauthorized_is_tried_again_after_its_minute(
    bench: Bench,
    nursery: trio.Nursery,
    logged_errors: LoggedErrors,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream_module, "_STAND_DOWN_SECONDS", 0.2)
    bench.broker.answers["auth"] = [UNAUTHORIZED]
    nursery.start_soon(bench.stream.run)
    await bench.until(lambda: bench.state == "unauthorized")
    began = trio.current_time()
    bench.broker.answers["auth"] = [AUTHORIZED]
    await bench.authorized()
    assert trio.current_time() - began >= 0.19
    assert len(logged_errors.take()) == 1


async def test_new_settings_end_the_wait_of_the_unauthorized(
    bench: Bench, nursery: trio.Nursery, logged_errors: LoggedErrors
) -> None:
    bench.broker.answers["auth"] = [UNAUTHORIZED]
    nursery.start_soon(bench.stream.run)
    await bench.until(lambda: bench.state == "unauthorized")
    bench.broker.answers["auth"] = [AUTHORIZED]
    bench.stream.restart()
    await bench.authorized()
    assert len(logged_errors.take()) == 1


async def test_keys_that_are_taken_back_later_are_unauthorized_too(
    fed: Bench, logged_errors: LoggedErrors
) -> None:
    await fed.broker.send(UNAUTHORIZED)
    await fed.until(lambda: fed.state == "unauthorized")
    await fed.until(lambda: fed.broker.open == 0)
    await trio.sleep(0.1)
    assert fed.broker.handshakes == 1
    assert len(logged_errors.take()) == 1


# Events


@pytest.mark.parametrize("binary", [False, True])
async def test_an_order_event_is_handed_on(fed: Bench, binary: bool) -> None:
    fed.broker.binary = binary
    await fed.broker.send(update())
    await fed.until(lambda: len(fed.fills.taken) == 1)
    assert fed.fills.taken == [TAKEN_FILL]


async def test_a_fault_of_a_handler_ends_the_connection_and_not_the_daemon(
    fed: Bench, logged_errors: LoggedErrors
) -> None:
    fed.fills.problem = ZeroDivisionError()
    await fed.broker.send(update())
    await fed.authorized(2)
    fed.fills.problem = None
    await fed.broker.send(update())
    await fed.until(lambda: len(fed.fills.taken) == 1)
    logged_errors.take()


# Closed, refused, cut


async def test_a_closed_connection_is_opened_again(
    fed: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await fed.broker.sockets[0].aclose(code=1012, reason="restarting")
    began = trio.current_time()
    await fed.authorized(2)
    assert trio.current_time() - began >= 0.05
    assert lines(caplog)[0].startswith("connection closed: 1012")
    assert fed.states() == ["authorized", "waiting", "connecting", "authorized"]
    assert fed.broker.received == [[AUTH, LISTEN], [AUTH, LISTEN]]


async def test_each_close_of_a_fed_connection_is_a_warning(
    fed: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3):
        await fed.broker.sockets[number].aclose(code=1012, reason="restarting")
        await fed.authorized(number + 2)
    assert (
        sum(line.startswith("connection closed: 1012") for line in lines(caplog)) == 3
    )


async def test_a_connection_that_is_broken_off_is_opened_again(fed: Bench) -> None:
    await trio.aclose_forcefully(fed.broker.sockets[0]._stream)
    await fed.authorized(2)
    assert fed.broker.handshakes == 2


async def test_a_handshake_that_is_refused_is_tried_again_soon(
    bench: Bench, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    bench.broker.refuse = 502
    nursery.start_soon(bench.stream.run)
    await bench.until(lambda: bench.broker.handshakes == 2)
    bench.broker.refuse = None
    await bench.authorized()
    assert lines(caplog)[0] == "connection refused: HTTP 502"


async def test_a_handshake_answered_429_waits_a_minute_or_for_a_restart(
    bench: Bench, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    bench.broker.refuse = 429
    nursery.start_soon(bench.stream.run)
    await bench.until(lambda: bench.state == "waiting")
    bench.broker.refuse = None
    await trio.sleep(0.2)
    assert bench.broker.handshakes == 1
    assert lines(caplog, logging.INFO) == ["next try in 60 s"]
    bench.stream.restart()
    await bench.authorized()


async def answer_nothing(stream: trio.SocketStream) -> None:
    """Take a connection and never say anything."""
    del stream
    await trio.sleep_forever()


async def close_at_once(stream: trio.SocketStream) -> None:
    """Close a connection before the handshake is answered."""
    await stream.receive_some()


async def speak_garbage(stream: trio.SocketStream) -> None:
    """Answer the handshake with something else."""
    await stream.receive_some()
    await stream.send_all(b"\x16\x03\x01 not HTTP\r\n\r\n")


async def know_no_key(stream: trio.SocketStream) -> None:
    """Answer the handshake as one that has not read it."""
    await stream.receive_some()
    await stream.send_all(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Accept: AAAA\r\n\r\n"
    )
    await trio.sleep_forever()


@pytest.mark.parametrize(
    "serve", [answer_nothing, close_at_once, speak_garbage, know_no_key]
)
async def test_a_server_that_cannot_shake_hands_never_ends_the_daemon(  # noqa: PLR0917
    bench: Bench,
    nursery: trio.Nursery,
    monkeypatch: pytest.MonkeyPatch,
    logged_errors: LoggedErrors,
    caplog: pytest.LogCaptureFixture,
    serve: Callable[..., Any],
) -> None:
    caplog.set_level(logging.DEBUG, logger="TradingWs")
    monkeypatch.setattr(connection_module, "_CONNECT_SECONDS", 0.1)
    connections = 0

    async def count(stream: trio.SocketStream) -> None:
        nonlocal connections
        connections += 1
        await serve(stream)

    listeners = await nursery.start(trio.serve_tcp, count, 0)
    port = listeners[0].socket.getsockname()[1]
    bench.move_to(
        Endpoint(mode="paper", url=f"http://127.0.0.1:{port}", credentials=CREDENTIALS)
    )
    nursery.start_soon(bench.stream.run)
    await bench.until(lambda: connections == 2)
    bench.move_to(bench.broker.endpoint())
    bench.stream.restart()
    await bench.authorized()
    assert not logged_errors.take()
    faults = [line for line in lines(caplog) if "connection" in line]
    assert len(faults) == 1, "it is told once, and in one line"
    assert not any(record.exc_info for record in caplog.records)


async def test_nobody_at_the_port_never_ends_the_daemon(
    bench: Bench, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    bench.move_to(
        Endpoint(mode="paper", url=f"http://127.0.0.1:{port}", credentials=CREDENTIALS)
    )
    nursery.start_soon(bench.stream.run)
    again = "stream: failed again (no connection: "
    await bench.until(
        lambda: any(line.startswith(again) for line in lines(caplog, logging.DEBUG))
    )
    (told,) = lines(caplog)
    assert told.startswith("no connection: ")
    bench.move_to(bench.broker.endpoint())
    await bench.authorized()


@pytest.mark.jumping_time
async def test_the_same_fault_again_is_logged_for_debugging_only(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_address_and_tls: object) -> NoReturn:
        raise OSError("nobody is there")

    caplog.set_level(logging.DEBUG, logger="TradingWs")
    monkeypatch.setattr(connection_module, "open_connection", refuse)
    with trio.move_on_after(70):
        await bare_stream(RecordingFills()).run()
    assert lines(caplog) == ["no connection: nobody is there"]
    assert lines(caplog, logging.INFO) == ["next try in 5 s"]
    later = [line for line in lines(caplog, logging.DEBUG) if line.startswith("next")]
    assert later == ["next try in 10 s", "next try in 20 s", "next try in 40 s"]


async def test_each_loss_of_a_fed_connection_says_when_the_next_try_is(
    fed: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(2):
        await fed.broker.sockets[number].aclose()
        await fed.authorized(number + 2)
    tries = [line for line in lines(caplog, logging.INFO) if line.startswith("next")]
    assert tries == ["next try in 0.05 s"] * 2


class ScriptedStream(TradingStream):
    """A stream whose attempts end as scripted, at once; None: a connection was fed."""

    ends: list[stream_module._End | None]
    tried_at: list[float]

    async def _follow_once(self, endpoint: Endpoint) -> stream_module._End:
        self.tried_at.append(trio.current_time())
        self._set_state("connecting", endpoint.mode)
        await trio.lowlevel.checkpoint()
        if not self.ends:
            await trio.sleep_forever()
        end = self.ends.pop(0)
        if end is None:
            self._failures = 0
            self._set_state("authorized", endpoint.mode)
            return stream_module._End.LOST
        return end


LOST, CROWDED, NO = (
    stream_module._End.LOST,
    stream_module._End.CROWDED,
    stream_module._End.UNAUTHORIZED,
)


@pytest.mark.jumping_time
@pytest.mark.parametrize(
    ("first", "ends", "tried_at"),
    [
        (5.0, [LOST] * 6, [0, 5, 15, 35, 75, 135, 195]),
        (5.0, [None, None, None], [0, 5, 10, 15]),
        (5.0, [LOST, LOST, None, LOST], [0, 5, 15, 20, 30]),
        (5.0, [CROWDED, CROWDED, LOST], [0, 60, 120, 125]),
        (5.0, [NO, NO, LOST], [0, 60, 120, 125]),
        (0.5, [LOST] * 9, [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 63.5, 123.5, 183.5]),
        (90.0, [LOST, LOST, CROWDED], [0, 90, 180, 240]),
    ],
)
async def test_a_server_that_keeps_failing_is_asked_less_and_less_often(
    first: float, ends: list[stream_module._End | None], tried_at: list[float]
) -> None:
    stream = ScriptedStream(
        live_settings(make_settings(stream={"reconnect_delay_sec": first})),
        StreamAccounts(),
        RecordingFills(),
        EventFeed(clock=FakeClock()),
    )
    stream.ends, stream.tried_at = list(ends), []
    with trio.move_on_after(3600):
        await stream.run()
    assert stream.tried_at == pytest.approx(tried_at)


# Half-open


@dataclass
class Freezer:
    """A relay in front of a server, which can stop relaying without closing."""

    port: int
    frozen: bool = False
    connections: int = 0

    async def handle(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        async with (
            await trio.open_tcp_stream("127.0.0.1", self.port) as onward,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(self._pump, stream, onward, nursery.cancel_scope)
            nursery.start_soon(self._pump, onward, stream, nursery.cancel_scope)

    async def _pump(
        self,
        source: trio.SocketStream,
        sink: trio.SocketStream,
        ended: trio.CancelScope,
    ) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            async for data in source:
                if not self.frozen:
                    await sink.send_all(data)
        ended.cancel()


async def test_a_half_open_connection_is_noticed_and_replaced(
    bench: Bench,
    nursery: trio.Nursery,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(session_module, "_PING_EVERY_SECONDS", 0.05)
    monkeypatch.setattr(session_module, "_PONG_SECONDS", 0.1)
    freezer = Freezer(bench.broker.port)
    listeners = await nursery.start(trio.serve_tcp, freezer.handle, 0)
    port = listeners[0].socket.getsockname()[1]
    bench.move_to(
        Endpoint(mode="paper", url=f"http://127.0.0.1:{port}", credentials=CREDENTIALS)
    )
    nursery.start_soon(bench.stream.run)
    await bench.authorized()
    await trio.sleep(0.3)
    assert freezer.connections == 1, "a connection that answers pings is kept"
    freezer.frozen = True
    await bench.until(lambda: bench.state != "authorized")
    freezer.frozen = False
    await bench.authorized(2)
    assert "no pong within 0.1 s" in lines(caplog)


def test_by_default_a_half_open_connection_is_noticed_within_30_s() -> None:
    longest = (
        session_module._PING_EVERY_SECONDS
        + session_module._PONG_SECONDS
        + 2 * connection_module.CLOSE_SECONDS
    )
    assert longest <= 30


# Restarts


async def test_a_stream_that_restarts_late_is_not_overdue(fed: Bench) -> None:
    """As after the machine's sleep, when its next sign of life is long due."""
    fed.stream._life.expect_within(-3600)
    assert fed.stream.status().is_overdue
    fed.stream.restart()
    assert not fed.stream.status().is_overdue


async def test_a_restart_closes_the_old_connection_before_it_opens_the_new(
    fed: Bench, nursery: trio.Nursery
) -> None:
    other = await open_broker(nursery)
    fed.broker.name, other.name, other.story = "old", "new", fed.broker.story
    fed.move_to(other.endpoint("live"))
    fed.stream.restart()
    await fed.authorized(2)
    assert fed.broker.story == ["broker opened", "old closed", "new opened"]
    assert close_code(fed.broker.sockets[0]) == 1000
    assert fed.broker.open == 0
    await other.send(update())
    await fed.until(lambda: len(fed.fills.taken) == 1)
    assert fed.fills.taken[0][5] == "live"
    assert fed.events[-1].more == {"state": "authorized", "mode": "live"}


async def test_a_restart_closes_the_old_connection_in_good_order(
    bench: Bench, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "CLOSE_SECONDS", 5.0)
    monkeypatch.setattr(connection_module, "_GOODBYE_SECONDS", 0.0)
    nursery.start_soon(bench.stream.run)
    await bench.authorized()
    bench.stream.restart()
    await bench.authorized(2)
    assert close_code(bench.broker.sockets[0]) == 1000
    assert bench.broker.most_open == 1


async def test_a_restart_takes_its_delay_and_little_more(
    fed: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "CLOSE_SECONDS", 5.0)
    fed.set_delays(restart_delay_sec=0.2)
    began = trio.current_time()
    fed.stream.restart()
    await fed.authorized(2)
    assert 0.2 <= trio.current_time() - began < 4, "the server answers its goodbye"


async def test_two_hundred_restarts_in_a_row_leave_one_connection(fed: Bench) -> None:
    fed.set_delays(restart_delay_sec=0.0)
    for n in range(200):
        fed.stream.restart()
        for _ in range(n % 40):
            await trio.lowlevel.checkpoint()
    await fed.until(lambda: fed.broker.open == 1)
    await fed.authorized()
    await trio.sleep(0.05)
    assert (fed.broker.open, fed.broker.most_open) == (1, 1)
    assert fed.state == "authorized"
    await fed.broker.send(update())
    await fed.until(lambda: len(fed.fills.taken) == 1)


async def test_a_restart_before_the_first_connection_is_no_fault(
    bench: Bench, nursery: trio.Nursery
) -> None:
    bench.stream.restart()
    nursery.start_soon(bench.stream.run)
    await bench.authorized()
    assert bench.broker.handshakes == 1


async def test_a_restart_drops_a_pending_reconnect(fed: Bench) -> None:
    fed.set_delays(reconnect_delay_sec=60.0, restart_delay_sec=0.01)
    await fed.broker.sockets[0].aclose()
    await fed.until(lambda: fed.state == "waiting")
    fed.stream.restart()
    await fed.authorized(2)
    await trio.sleep(0.05)
    assert fed.broker.handshakes == 2


async def test_it_says_goodbye_when_it_is_cancelled(bench: Bench) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.stream.run)
        await bench.authorized()
        nursery.cancel_scope.cancel()
    await bench.until(lambda: bench.broker.open == 0)
    assert close_code(bench.broker.sockets[0]) == 1000


@pytest.mark.jumping_time
async def test_a_restart_is_not_lost_where_the_keys_are_refused_in_that_moment(
    monkeypatch: pytest.MonkeyPatch, logged_errors: LoggedErrors
) -> None:
    tried_at: list[float] = []

    class Refusing(Socket):
        def __init__(self) -> None: ...

        async def send_message(self, text: str) -> None: ...

        async def get_message(self) -> str | bytes:
            if len(tried_at) == 1:
                stream.restart()  # as SIGHUP does, in the same pass of the scheduler
            return json.dumps(UNAUTHORIZED)

    @contextlib.asynccontextmanager
    async def connect(*_address_and_tls: object) -> AsyncIterator[Socket]:
        tried_at.append(trio.current_time())
        yield Refusing()

    monkeypatch.setattr(connection_module, "open_connection", connect)
    stream = bare_stream(RecordingFills())
    with trio.move_on_after(30):
        await stream.run()
    assert tried_at == [0, StreamSettings().restart_delay_sec]
    assert len(logged_errors.take()) == 1


# Without a key


async def test_without_a_key_it_warns_and_is_disabled(
    bench: Bench, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    bench.move_to(
        Endpoint(mode="paper", url=bench.broker.endpoint().url, credentials=None)
    )
    nursery.start_soon(bench.stream.run)
    await bench.stream.wait_decided()
    (record,) = [r for r in caplog.records if r.levelno >= logging.INFO]
    assert (record.levelno, record.name, record.getMessage()) == (
        *(logging.WARNING, "TradingWs"),
        "No API key — trading stream disabled",
    )
    assert bench.state == "disabled"
    assert bench.states() == ["disabled"]
    assert bench.broker.handshakes == 0
    bench.move_to(bench.broker.endpoint())
    bench.stream.restart()
    await bench.authorized()


# A stream that is open but not fed


async def test_a_starved_connection_is_replaced(
    fed: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    fed.stream.replace_starved("paper", trio.current_time())
    await fed.authorized(2)
    assert "no longer fed" in lines(caplog)[0]
    assert fed.broker.most_open == 1


async def test_an_order_older_than_the_connection_says_nothing_about_it(
    fed: Bench,
) -> None:
    fed.stream.replace_starved("paper", trio.current_time() - 3600)
    fed.stream.replace_starved("live", trio.current_time())
    await trio.sleep(0.1)
    assert fed.broker.handshakes == 1
    assert fed.state == "authorized"


async def test_a_stream_that_is_down_is_not_starved(
    fed: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    fed.set_delays(reconnect_delay_sec=60.0)
    await fed.broker.sockets[0].aclose()
    await fed.until(lambda: fed.state == "waiting")
    fed.stream.replace_starved("paper", trio.current_time())
    assert fed.state == "waiting"
    assert not any("no longer fed" in line for line in lines(caplog))


# How it is


async def test_a_stream_that_has_not_run_has_no_times() -> None:
    assert bare_stream(RecordingFills()).status() == StreamStatus(
        state="connecting",
        state_since=None,
        away_since=None,
        heard_at=None,
        event_at=None,
        is_overdue=False,
    )


async def test_a_status_says_when_the_broker_was_heard_and_spoke_of_an_order(
    fed: Bench,
) -> None:
    began = fed.stream.status()
    assert (began.state, began.away_since, began.event_at) == ("authorized", None, None)
    assert began.state_since is not None
    assert began.heard_at is not None
    assert began.state_since <= began.heard_at <= trio.current_time()
    await fed.broker.send(update())
    await fed.until(lambda: len(fed.fills.taken) == 1)
    later = fed.stream.status()
    assert later.event_at is not None
    assert later.event_at >= began.heard_at
    assert later.heard_at is not None
    assert later.heard_at >= began.heard_at
    assert later.state_since == began.state_since
    assert began.event_at is None, "it is of its moment"


async def test_a_status_says_since_when_it_is_away(fed: Bench) -> None:
    fed.set_delays(reconnect_delay_sec=60.0)
    before = trio.current_time()
    await fed.broker.sockets[0].aclose()
    await fed.until(lambda: fed.state == "waiting")
    status = fed.stream.status()
    assert status.state == "waiting"
    assert status.away_since is not None
    assert status.state_since is not None
    assert before <= status.away_since <= status.state_since


@pytest.mark.jumping_time
async def test_a_status_says_that_a_sign_of_life_is_overdue() -> None:
    stream = bare_stream(RecordingFills())
    stream._life.expect_within(10.0)
    await trio.sleep(10)
    assert not stream.status().is_overdue
    await trio.sleep(0.1)
    assert stream.status().is_overdue


# TLS


@pytest.mark.parametrize("trusted", [True, False])
async def test_tls_is_verified_for_the_stream_too(
    bench: Bench,
    nursery: trio.Nursery,
    authority: Authority,
    caplog: pytest.LogCaptureFixture,
    trusted: bool,
) -> None:
    broker = await open_broker(nursery, authority.server)
    environ = {"SSL_CERT_FILE": str(authority.bundle)} if trusted else {}
    bench.accounts._environ = environ
    bench.move_to(
        Endpoint(
            mode="paper",
            url=f"https://127.0.0.1:{broker.port}",
            credentials=CREDENTIALS,
        )
    )
    nursery.start_soon(bench.stream.run)
    if trusted:
        await bench.authorized()
        assert broker.received == [[AUTH, LISTEN]]
    else:
        await bench.until(lambda: bool(lines(caplog)))
        assert "certificate" in lines(caplog)[0].lower()
        assert broker.received == []
        assert bench.times_authorized == 0


# A standby ----------------------------------------------------------------------------


@pytest.mark.jumping_time
async def test_one_that_has_not_begun_is_not_expected_by_a_restart() -> None:
    stream = bare_stream(RecordingFills())
    stream.restart()
    await trio.sleep(3600)
    assert not stream.status().is_overdue
    assert stream.status().state_since is None
