"""One endpoint of market data: connected while it is wanted, and replaced when lost."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

import pytest
import trio

from snexec.errors import StreamRejectedError
from snexec.market.data_line import DataLine, Place
from snexec.market.data_session import LINGER_SECONDS
from snexec.stream import connection as connection_module
from tests.fakes import (
    CREDENTIALS,
    FakeClock,
    live_settings,
    make_settings,
    warnings_of,
)
from tests.market.data import RecordingSink, Server, symbols_of, trade

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from snexec.stream.connection import Socket
    from tests.conftest import LoggedErrors

pytestmark = pytest.mark.jumping_time

PLACE = Place("ws://127.0.0.1:1/v2/iex", CREDENTIALS)


def no_tls() -> NoReturn:
    raise AssertionError("a ws:// host needs no certificate")


@dataclass
class Bench:
    """A line, and the server at its other end.

    Attributes:
        place: Where it is to be; None where it is not wanted.
        opened: When each connection was tried, and where.
        refusal: What a handshake ends with, if it fails.
        open: How many connections are open.
        lost_at: When a connection has ended that was open.
    """

    server: Server = field(default_factory=Server)
    sink: RecordingSink = field(default_factory=RecordingSink)
    place: Place | None = PLACE
    opened: list[tuple[float, str]] = field(default_factory=list)
    refusal: Exception | None = None
    open: int = 0
    lost_at: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.line = DataLine(
            "shares",
            live_settings(make_settings()),
            lambda: self.place,
            self.sink,
            lost=self.lose,
            has_statuses=True,
            tls=no_tls,
            clock=FakeClock(),
        )

    def lose(self) -> None:
        """Note that a connection has ended that was open."""
        self.lost_at.append(trio.current_time())

    @contextlib.asynccontextmanager
    async def connect(
        self, address: str, _tls: object, frame_bytes: int
    ) -> AsyncIterator[Socket]:
        """Open a connection, as the network would."""
        self.opened.append((trio.current_time(), address))
        assert frame_bytes >= 500 * 150, "a burst of ticks is one frame"
        if self.refusal is not None:
            raise self.refusal
        self.open += 1
        try:
            yield self.server.connect()
        finally:
            self.open -= 1

    @property
    def tried_at(self) -> list[float]:
        """When each connection was tried."""
        return [at for at, _address in self.opened]

    def drop(self) -> None:
        """Break the connection."""
        assert self.server.socket is not None
        self.server.socket.close()


@pytest.fixture
async def bench(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Bench]:
    """Give a line that runs, and has nothing to ask for yet."""
    made = Bench()
    monkeypatch.setattr(connection_module, "open_connection", made.connect)
    nursery.start_soon(made.line.run)
    await trio.sleep(1)
    yield made
    nursery.cancel_scope.cancel()


async def test_nothing_is_opened_before_there_is_a_symbol(bench: Bench) -> None:
    await trio.sleep(10_000)
    assert bench.opened == []
    assert bench.line.state == "idle"
    bench.line.watched.set(["AAPL"])
    await trio.sleep(1)
    assert bench.opened == [(10_001, PLACE.address)]
    assert bench.line.serves("AAPL")
    assert not bench.line.serves("KO")
    bench.server.send([trade()])
    await trio.sleep(1)
    assert symbols_of(bench.sink.taken) == ["AAPL"]


async def test_nothing_is_ever_opened_while_it_is_not_wanted(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(place=None)
    monkeypatch.setattr(connection_module, "open_connection", bench.connect)
    nursery.start_soon(bench.line.run)
    bench.line.watched.set(["AAPL"])
    await trio.sleep(80_000)
    bench.line.settings_changed()
    bench.line.watched.set(["AAPL", "KO"])
    bench.line.poll_moved("AAPL")
    await trio.sleep(80_000)
    assert bench.opened == []
    assert bench.line.state == "off"
    bench.place = PLACE
    bench.line.settings_changed()
    await trio.sleep(1)
    assert len(bench.opened) == 1
    nursery.cancel_scope.cancel()


async def test_one_that_is_wanted_no_longer_is_closed(bench: Bench) -> None:
    bench.line.watched.set(["AAPL"])
    await trio.sleep(1)
    bench.place = None
    bench.line.settings_changed()
    await trio.sleep(10_000)
    assert bench.open == 0
    assert len(bench.opened) == 1
    assert bench.line.state == "off"


async def test_settings_that_move_nothing_leave_the_connection_alone(
    bench: Bench,
) -> None:
    bench.line.watched.set(["AAPL"])
    await trio.sleep(1)
    bench.line.settings_changed()
    await trio.sleep(10)
    assert len(bench.opened) == 1
    bench.place = PLACE._replace(address="ws://127.0.0.1:1/v2/sip")
    bench.line.settings_changed()
    await trio.sleep(1)
    assert [address for _at, address in bench.opened[1:]] == ["ws://127.0.0.1:1/v2/sip"]
    assert bench.open == 1


async def test_the_slot_is_given_back_while_nothing_is_watched(bench: Bench) -> None:
    bench.line.watched.set(["AAPL"])
    await trio.sleep(1)
    bench.line.watched.set([])
    await trio.sleep(LINGER_SECONDS + 1)
    assert (bench.open, bench.line.state) == (0, "idle")
    bench.line.watched.set(["KO"])
    await trio.sleep(1)
    assert (bench.open, len(bench.opened)) == (1, 2)


# Lost and refused


async def test_a_lost_connection_is_opened_again(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.line.watched.set(["AAPL"])
    for number in range(3):
        await trio.sleep(10)
        assert len(bench.opened) == number + 1
        bench.drop()
    assert "connection closed: 1006" in warnings_of(caplog)
    assert len(bench.lost_at) == 2
    await trio.sleep(10)
    assert bench.line.serves("AAPL")
    assert bench.server.requests == [("subscribe", ["AAPL"])] * 4


async def test_a_server_that_keeps_failing_is_asked_less_and_less_often(
    bench: Bench,
) -> None:
    bench.refusal = OSError("nobody is there")
    bench.line.watched.set(["AAPL"])
    await trio.sleep(200)
    began = bench.tried_at[0]
    assert [at - began for at in bench.tried_at] == [0, 5, 15, 35, 75, 135, 195]
    assert bench.line.state == "waiting"


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (402, "check them"),
        (406, 'exits.price_source = "snapshots"'),
        (409, "set exits.feed"),
    ],
)
async def test_a_refusal_is_said_once_and_tried_down_to_once_an_hour(
    bench: Bench, caplog: pytest.LogCaptureFixture, code: int, advice: str
) -> None:
    bench.server.refuse = code
    bench.line.watched.set(["AAPL"])
    await trio.sleep(60 + 300 + 900 + 3 * 3600 + 100)
    bench.line.restart()
    began = bench.tried_at[0]
    assert [at - began for at in bench.tried_at] == [
        *(0, 60, 360, 1260, 4860, 8460, 12060)
    ]
    assert bench.line.state == "refused"
    assert bench.lost_at == [], "it was never open"
    assert bench.open == 0
    (told,) = warnings_of(caplog)
    assert advice in told
    assert "prices come by the poll" in told


async def test_a_handshake_that_is_answered_429_waits_as_a_refusal_does(
    bench: Bench,
) -> None:
    bench.refusal = StreamRejectedError(429)
    bench.line.watched.set(["AAPL"])
    await trio.sleep(400)
    assert [at - bench.tried_at[0] for at in bench.tried_at] == [0, 60, 360]


async def test_new_settings_end_the_wait_of_the_refused(bench: Bench) -> None:
    bench.server.refuse = 402
    bench.line.watched.set(["AAPL"])
    await trio.sleep(500)
    bench.server.refuse = None
    bench.line.settings_changed()
    await trio.sleep(1)
    assert bench.line.state == "open"


async def test_a_tick_makes_the_next_refusal_the_first_again(bench: Bench) -> None:
    bench.server.refuse = 406
    bench.line.watched.set(["AAPL"])
    await trio.sleep(100)
    bench.server.refuse = None
    await trio.sleep(300)
    bench.server.send([trade()])
    await trio.sleep(1)
    bench.server.refuse = 406
    before = len(bench.opened)
    bench.drop()
    await trio.sleep(66)
    times = bench.tried_at[before:]
    assert [at - times[0] for at in times] == [0, 60]


async def test_an_error_of_the_sink_costs_the_connection_only(
    bench: Bench, logged_errors: LoggedErrors
) -> None:
    bench.line.watched.set(["AAPL"])
    await trio.sleep(1)
    bench.sink.problem = ZeroDivisionError("ours")
    bench.server.send([trade()])
    await trio.sleep(1)
    bench.sink.problem = None
    assert logged_errors.take() == ["connection failed"]
    await trio.sleep(10)
    bench.server.send([trade()])
    await trio.sleep(1)
    assert symbols_of(bench.sink.taken) == ["AAPL"]


# Open and silent


async def poll(bench: Bench, seconds: float, symbol: str = "AAPL") -> None:
    """Poll this long, each price another than the one before."""
    for _ in range(int(seconds / 2)):
        bench.line.poll_moved(symbol)
        await trio.sleep(2)


async def test_one_that_is_silent_while_the_polls_prices_move_is_replaced(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.line.watched.set(["AAPL"])
    await trio.sleep(1)
    await poll(bench, 30)
    assert len(bench.opened) == 1
    await poll(bench, 4)
    assert (len(bench.opened), bench.open) == (2, 1)
    assert "open but silent" in warnings_of(caplog)[0]
    assert bench.line.serves("AAPL")


async def test_one_that_ticks_or_does_not_have_the_symbol_is_not(bench: Bench) -> None:
    bench.line.watched.set(["AAPL"])
    await trio.sleep(1)
    for _ in range(10):
        await poll(bench, 20)
        bench.server.send([trade()])
    await poll(bench, 20)
    await poll(bench, 100, "KO")
    assert len(bench.opened) == 1


async def test_moves_before_the_market_opened_do_not_count(bench: Bench) -> None:
    bench.line.watched.set(["AAPL"])
    await trio.sleep(1)
    await poll(bench, 20)
    bench.line.market_closed()
    await poll(bench, 28)
    assert len(bench.opened) == 1
