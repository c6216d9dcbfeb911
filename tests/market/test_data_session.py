"""One connection of market data: keys, symbols that come and go, and what ends it."""

from __future__ import annotations

import json
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
import trio

from snexec.errors import StreamClosedError, StreamRefusedError, leaves
from snexec.logs import SecretMask
from snexec.market.data_session import LINGER_SECONDS, DataSession
from snexec.market.tick_frames import TickReader
from snexec.market.watched import Watched
from snexec.stream.life import SignsOfLife
from tests.fakes import CREDENTIALS, KEY, SECRET, FakeClock, warnings_of
from tests.market.data import (
    AUTHENTICATED,
    RecordingSink,
    Server,
    error,
    quote,
    symbols_of,
    trade,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Run = Callable[..., Awaitable[DataSession]]

pytestmark = pytest.mark.jumping_time


@dataclass
class Bench:
    """A session, its server, and what came of it."""

    server: Server = field(default_factory=Server)
    watched: Watched = field(default_factory=Watched)
    sink: RecordingSink = field(default_factory=RecordingSink)
    life: SignsOfLife = field(default_factory=SignsOfLife)
    told: set[object] = field(default_factory=set)
    heard: list[float] = field(default_factory=list)
    ended: list[BaseException] = field(default_factory=list)
    _is_over: bool = False

    def open(self, *, has_statuses: bool = True) -> DataSession:
        """Open a connection."""
        reader = TickReader(
            self.sink, self.watched, clock=FakeClock(), mask=SecretMask()
        )
        return DataSession(
            *(self.server.connect(), CREDENTIALS, self.watched),
            reader=reader,
            life=self.life,
            has_statuses=has_statuses,
            heard=lambda: self.heard.append(trio.current_time()),
            told=self.told,
        )

    async def run(self, session: DataSession) -> None:
        """Speak until it ends, and note what ended it."""
        try:
            await session.begin()
            await session.run()
        except* Exception as group:  # noqa: BLE001 - told by the test
            self.ended.extend(leaves(group))
        self._is_over = True

    def is_over(self) -> bool:
        """Return whether the session has ended."""
        return self._is_over


async def settle() -> None:
    """Let everybody do what is left to do now."""
    await trio.sleep(0.001)


@pytest.fixture
async def bench() -> Bench:
    """Give a server that nobody is connected to."""
    return Bench()


@pytest.fixture
def run(bench: Bench, nursery: trio.Nursery) -> Run:
    """Give a function that connects and lets the session go on."""

    async def begin(*symbols: str, has_statuses: bool = True) -> DataSession:
        bench.watched.set(symbols)
        session = bench.open(has_statuses=has_statuses)
        nursery.start_soon(bench.run, session)
        await settle()
        return session

    return begin


async def test_it_authenticates_and_asks_for_what_is_watched(
    bench: Bench, run: Run, nursery: trio.Nursery
) -> None:
    session = await run("AAPL", "KO")
    assert bench.server.asked == [
        {"action": "auth", "key": KEY, "secret": SECRET},
        {
            "action": "subscribe",
            "trades": ["AAPL", "KO"],
            "quotes": ["AAPL", "KO"],
            "statuses": ["AAPL", "KO"],
        },
    ]
    assert session.served.keys() == {"AAPL", "KO"}
    nursery.cancel_scope.cancel()


async def test_an_endpoint_without_statuses_is_not_asked_for_any(
    bench: Bench, run: Run, nursery: trio.Nursery
) -> None:
    await run("BTC/USD", has_statuses=False)
    assert bench.server.asked[1].keys() == {"action", "trades", "quotes"}
    nursery.cancel_scope.cancel()


async def test_symbols_come_and_go_one_request_each(
    bench: Bench, run: Run, nursery: trio.Nursery
) -> None:
    session = await run("AAPL", "KO")
    bench.watched.set(["KO", "F", "GE"])
    await settle()
    assert bench.server.requests[1:] == [
        ("unsubscribe", ["AAPL"]),
        ("subscribe", ["F", "GE"]),
    ]
    assert session.served.keys() == {"KO", "F", "GE"}
    nursery.cancel_scope.cancel()


async def test_others_have_their_turn_while_a_large_frame_is_taken(
    bench: Bench, run: Run, nursery: trio.Nursery
) -> None:
    await run("AAPL")
    bench.server.send([trade(price=100 + number) for number in range(500)])
    seen: list[int] = []
    while len(bench.sink.taken) < 500:
        await trio.lowlevel.checkpoint()
        seen.append(len(bench.sink.taken))
    steps = [after - before for before, after in zip([0, *seen], seen, strict=False)]
    assert max(steps) <= 32  # whoever has the first turn
    assert [tick.price for tick in bench.sink.taken] == list(range(100, 600))  # type: ignore[union-attr]
    nursery.cancel_scope.cancel()


async def test_a_short_frame_is_taken_in_the_step_in_which_it_comes(
    bench: Bench, run: Run, nursery: trio.Nursery
) -> None:
    await run("AAPL")
    bench.server.send([trade()])
    assert symbols_of(bench.sink.taken) == ["AAPL"]
    nursery.cancel_scope.cancel()


async def test_no_frame_is_kept_while_the_next_is_waited_for(
    bench: Bench, run: Run, nursery: trio.Nursery
) -> None:
    class Frame(str):
        """A text that can be watched."""

    await run("AAPL")
    frame = Frame(json.dumps([trade()]))
    is_kept = weakref.ref(frame)
    bench.server.send(frame)
    del frame
    await settle()
    assert len(bench.sink.taken) == 1
    assert is_kept() is None
    nursery.cancel_scope.cancel()


async def test_a_change_while_an_answer_is_awaited_is_not_lost(
    bench: Bench, run: Run, nursery: trio.Nursery
) -> None:
    bench.server.mute = True
    session = await run("AAPL")
    bench.server.mute = False
    bench.server.send([{"T": "success", "msg": "connected"}])
    await trio.lowlevel.checkpoint()
    bench.watched.set(["AAPL", "KO"])
    await settle()
    bench.watched.set(["KO"])
    await settle()
    assert session.served.keys() == {"KO"}
    nursery.cancel_scope.cancel()


async def test_ticks_are_handed_on_from_the_first_one_on(
    bench: Bench, run: Run, nursery: trio.Nursery
) -> None:
    await run("AAPL")
    bench.server.send([trade(), quote()])
    bench.server.send([trade("F")])
    bench.server.send("nonsense")
    bench.server.send([trade()])
    await settle()
    assert symbols_of(bench.sink.taken) == ["AAPL"] * 3
    assert len(bench.heard) == 2, "frames that spoke of a symbol that is watched"
    assert not bench.is_over()
    assert bench.life.heard_at is not None
    nursery.cancel_scope.cancel()


# More than one connection may have


@pytest.mark.parametrize("most", [1, 2, 3, 7, 11, 12])
async def test_the_newest_stay_out_where_not_all_are_taken(
    bench: Bench,
    run: Run,
    nursery: trio.Nursery,
    caplog: pytest.LogCaptureFixture,
    most: int,
) -> None:
    bench.server.most = most
    symbols = [f"S{number}" for number in range(12)]
    session = await run(*symbols)
    assert session.served.keys() == set(symbols[:most])
    assert len(bench.server.requests) <= 10
    assert not bench.is_over()
    told = [line for line in warnings_of(caplog) if f"no more than {most} " in line]
    assert len(told) == len(warnings_of(caplog)) == (most < 12)
    assert all(symbols[-1] in line for line in told)
    nursery.cancel_scope.cancel()


async def test_a_full_connection_is_not_asked_again_until_a_symbol_has_gone(
    bench: Bench, run: Run, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    bench.server.most = 2
    session = await run("A", "B", "C")
    before = len(bench.server.requests)
    bench.watched.set(["A", "B", "C", "D"])
    await settle()
    assert len(bench.server.requests) == before
    bench.watched.set(["B", "C", "D"])
    await settle()
    assert session.served.keys() == {"B", "C"}, (
        "the one that is watched longer comes first"
    )
    assert bench.server.requests[before:] == [
        ("unsubscribe", ["A"]),
        ("subscribe", ["C"]),
    ]
    assert len(warnings_of(caplog)) == 1
    nursery.cancel_scope.cancel()


async def test_what_is_said_once_is_said_once_over_all_connections(
    bench: Bench, run: Run, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    bench.server.most, bench.server.unknown = 1, frozenset({"X"})
    for _ in range(3):
        await run("X", "A", "B")
    assert len(warnings_of(caplog)) == 2
    nursery.cancel_scope.cancel()


async def test_a_symbol_that_is_unknown_keeps_no_other_out(
    bench: Bench, run: Run, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    bench.server.unknown = frozenset({"OTC"})
    session = await run("A", "B", "OTC", "C")
    assert session.served.keys() == {"A", "B", "C"}
    before = len(bench.server.requests)
    bench.watched.set(["A", "B", "OTC", "C", "D"])
    await settle()
    assert bench.server.requests[before:] == [("subscribe", ["D"])]
    assert [line.split()[0] for line in warnings_of(caplog)] == ["OTC"]
    nursery.cancel_scope.cancel()


# What ends it


@pytest.mark.parametrize("code", [402, 406, 409])
async def test_a_refusal_is_one_whenever_it_comes(
    bench: Bench, run: Run, code: int
) -> None:
    bench.server.refuse = code
    await run("AAPL")
    bench.server.refuse = None
    await run("AAPL")
    bench.server.send(error(code))
    await settle()
    assert [type(exc) for exc in bench.ended] == [StreamRefusedError] * 2
    assert {getattr(exc, "code", None) for exc in bench.ended} == {code}


@pytest.mark.parametrize("code", [401, 404, 407, 500, None, "409"])
async def test_any_other_error_ends_the_connection(
    bench: Bench, run: Run, code: object
) -> None:
    await run("AAPL")
    bench.server.send([{"T": "error", "code": code, "msg": "words"}])
    await settle()
    (ended,) = bench.ended
    assert type(ended) is StreamClosedError
    assert "words" in str(ended)


async def test_a_connection_that_is_closed_ends(bench: Bench, run: Run) -> None:
    await run("AAPL")
    assert bench.server.socket is not None
    bench.server.socket.close("1001 GOING_AWAY")
    await settle()
    assert [str(exc) for exc in bench.ended] == ["1001 GOING_AWAY"]


@pytest.mark.parametrize(
    ("frames", "missing"),
    [
        ([], "not connected"),
        ([[{"T": "success", "msg": "connected"}]], "authenticated"),
    ],
)
async def test_an_answer_is_not_waited_for_for_ever(
    bench: Bench, run: Run, frames: list[object], missing: str
) -> None:
    bench.server.mute = True
    await run("AAPL")
    for frame in frames:
        bench.server.send(frame)
    await trio.sleep(11)
    (ended,) = bench.ended
    assert isinstance(ended, trio.TooSlowError)
    assert missing in str(ended)


async def test_a_request_that_is_not_answered_ends_the_connection(
    bench: Bench, run: Run
) -> None:
    await run("AAPL")
    bench.server.mute = True
    bench.watched.set(["KO"])
    await trio.sleep(11)
    (ended,) = bench.ended
    assert "no answer to unsubscribe within 10 s" in str(ended)


async def test_an_error_of_the_sink_ends_the_connection(bench: Bench, run: Run) -> None:
    await run("AAPL")
    bench.sink.problem = ZeroDivisionError()
    bench.server.send([trade()])
    await settle()
    assert [type(exc) for exc in bench.ended] == [ZeroDivisionError]


async def test_its_slot_is_given_back_once_nothing_is_watched_for_a_while(
    bench: Bench, run: Run
) -> None:
    await run("AAPL")
    bench.watched.set([])
    await trio.sleep(LINGER_SECONDS - 1)
    bench.watched.set(["KO"])
    await trio.sleep(LINGER_SECONDS + 1)
    assert not bench.is_over()
    bench.watched.set([])
    await trio.sleep(LINGER_SECONDS + 1)
    assert bench.is_over()
    assert bench.ended == []


async def test_answers_that_come_unasked_change_nothing(
    bench: Bench, run: Run, nursery: trio.Nursery
) -> None:
    session = await run("AAPL")
    bench.server.send([*AUTHENTICATED, *error(405), *error(400)])
    bench.server.send([{"T": "subscription", "trades": ["AAPL", "*", 5, None]}])
    await settle()
    assert session.served.keys() == {"AAPL"}
    assert not bench.is_over()
    nursery.cancel_scope.cancel()
