"""The model of Redis answers as the server does: one contract, asked of both."""

from __future__ import annotations

import math
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import pytest
import trio
from coredis.exceptions import RedisError as DriverError
from coredis.exceptions import ResponseError
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from snexec.errors import RedisCommandError, RedisLostError
from snexec.redis.client import hold_session
from snexec.settings.redis import RedisAddress
from tests.input_helpers import within
from tests.redis.feeding import no_tls, until
from tests.redis.server import needs_redis, running_server, shared_server
from tests.simulation.redis_model import Line, RedisServer, hold_model_session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from snexec.redis.client import Session
    from tests.redis.server import Server

STREAM, GROUP, OTHER, KEY = "s", "g", "dead", "k"
_FEW, _MANY = 40, 3000
_drawn = settings(
    deadline=None,
    phases=set(Phase) - {Phase.explain},
    suppress_health_check=list(HealthCheck),
)


class Model:
    """The model, and what is done to it beside sessions."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.server = RedisServer(nursery)

    async def hold(self, speak: Callable[[Any], Awaitable[None]], who: str) -> None:
        await hold_model_session(
            *(self.server, Line(), lambda _point: None, speak),
            stream=STREAM,
            group=GROUP,
            consumer=who,
        )

    def set_text(self, key: str) -> None:
        self.server.set(key, "text")

    def delete(self, key: str) -> None:
        self.server.delete(key)

    def remove(self, entry_id: str) -> None:
        with suppress(RedisCommandError):
            self.server.remove(STREAM, entry_id)

    def has_nothing_new(self) -> bool:
        try:
            return self.server.unread(STREAM, GROUP) == 0
        except (RedisCommandError, RedisLostError):
            return False

    def length(self, key: str) -> int:
        return len(self.server.entries(key))

    def waiting(self) -> int:
        return self.server.waiting

    def restart(self) -> None:
        self.server.stop()
        self.server.start(lost_seconds=math.inf)


class Real:
    """A server, likewise."""

    def __init__(self, server: Server) -> None:
        self.server = server

    async def hold(self, speak: Callable[[Any], Awaitable[None]], who: str) -> None:
        port = self.server.port
        await hold_session(
            RedisAddress("127.0.0.1", port, 0, None, None, encrypted=False),
            *(no_tls, speak),
            stream=STREAM,
            group=GROUP,
            consumer=who,
        )

    def set_text(self, key: str) -> None:
        self.server.ask("SET", key, "text")

    def delete(self, key: str) -> None:
        self.server.ask("DEL", key)

    def remove(self, entry_id: str) -> None:
        self.server.ask("XDEL", STREAM, entry_id)

    def length(self, key: str) -> int:
        return self.server.number("XLEN", key)

    def waiting(self) -> int:
        said = self.server.ask_whole("INFO", "clients").decode()
        return int(said.partition("blocked_clients:")[2].partition("\r")[0])

    def restart(self) -> None:
        self.server.kill()
        self.server.start()


Place = Model | Real


@asynccontextmanager
async def place(kind: str) -> AsyncIterator[Place]:
    if kind == "server":
        server = shared_server()
        server.ask("FLUSHALL")
        yield Real(server)
        return
    async with trio.open_nursery() as nursery:
        yield Model(nursery)
        nursery.cancel_scope.cancel()


on_both = pytest.mark.parametrize(
    "kind", ["model", pytest.param("server", marks=needs_redis)]
)


# What a drawn sequence of commands is answered

Who = Literal["a", "b"]
_whos = st.sampled_from(["a", "b"])
_numbers = st.integers(0, 5)  # of an entry that was added
_some = st.lists(_numbers, min_size=1, max_size=3, unique=True)
_values = st.sampled_from(["a 1", "a 2", "b 1", "-"])
_OPS = {
    "add": st.tuples(st.integers(1, 3)),
    "make group": st.tuples(),
    "read": st.tuples(_whos, st.integers(1, 3)),
    "pending": st.tuples(_numbers, st.integers(1, 3)),
    "claim": st.tuples(_whos, _some, st.sampled_from([0.0, 60.0])),
    "acknowledge": st.tuples(_some),
    "is there": st.tuples(_numbers),
    "remove": st.tuples(_numbers),
    "status": st.tuples(),
    "take": st.tuples(_values, _values),
    "release": st.tuples(_values, _values),
    "lease": st.tuples(),
    "put aside": st.tuples(),
    "set text": st.tuples(st.sampled_from([STREAM, OTHER, KEY])),
    "delete": st.tuples(st.sampled_from([STREAM, KEY])),
}
_LIKELY = ["add", "make group", "read", "read", "claim", "pending"]


@st.composite
def _op(draw: st.DrawFn) -> tuple[Any, ...]:
    name = draw(st.sampled_from([*_OPS, *_LIKELY]))
    return (name, *draw(_OPS[name]))


class Asked:
    """Does what was drawn in one place."""

    def __init__(self, at: Place, a: Session, b: Session) -> None:
        self._at = at
        self._sessions = {"a": a, "b": b}
        self._ids: list[str] = []
        self._is_whole = True

    def _id(self, number: int) -> str:
        return self._ids[number] if number < len(self._ids) else f"1-{number}"

    def _name(self, entry_id: str) -> object:
        return self._ids.index(entry_id) if entry_id in self._ids else entry_id

    async def ask(self, op: Sequence[Any]) -> object:
        try:
            return await self._do(*op)
        except (RedisCommandError, ResponseError):
            return "refused"
        except (RedisLostError, DriverError):
            return "ends the session"

    async def _do(  # noqa: PLR0911 - a table
        self,
        name: str,
        *args: Any,  # noqa: ANN401
    ) -> object:
        a, ids = self._sessions["a"], self._ids
        match name, args:
            case "add", (count,):
                for _ in range(count):
                    ids.append(await a.add(STREAM, {b"n": b"%d" % len(ids)}))
            case "make group", ():
                await a.make_group()
            case "read", (who, count):
                return self._named(await self._sessions[who].read(count))
            case "pending", (number, count):
                found = await a.pending(self._id(number), count)
                return [(self._name(e.id), e.consumer, e.deliveries) for e in found]
            case "claim", (who, numbers, idle):
                names = [self._id(each) for each in numbers]
                return self._named(await self._sessions[who].claim(names, idle))
            case "is there", (number,):
                return await a.is_there(self._id(number))
            case "acknowledge", (numbers,):
                await a.acknowledge([self._id(each) for each in numbers])
            case "remove", (number,):
                self._is_whole = False
                self._at.remove(self._id(number))
            case "status", ():
                status = await a.status()
                # With gaps the server does not always know what lies before it.
                return status if self._is_whole else status.pending
            case _:
                return await self._do_beside_streams(name, *args)
        return None

    async def _do_beside_streams(self, name: str, *args: Any) -> object:  # noqa: ANN401
        a = self._sessions["a"]
        match name, args:
            case "take", (value, instead_of):
                return await a.take_lease(KEY, value, seconds=50, instead_of=instead_of)
            case "release", (value, instead):
                await a.release_lease(KEY, value, instead, seconds=70)
            case "lease", ():
                who, left = await a.lease(KEY)
                return who, round(left / 10)
            case "put aside", ():
                await a.add(OTHER, {b"a": b"b"}, most=1000)
                await a.add_all(OTHER, b"event", [b"1", b"2"], most=1000)
                return self._at.length(OTHER)
            case "set text", (key,):
                self._at.set_text(key)
            case "delete", (key,):
                self._at.delete(key)
            case _:
                raise AssertionError(name)
        return None

    def _named(self, entries: Sequence[Any]) -> list[object]:
        return [(self._name(e.id), list(e.fields), e.deliveries) for e in entries]


async def _answers(
    kind: str, ops: Sequence[Sequence[Any]], done: list[Sequence[Any]]
) -> list[object]:
    """Do one after the other, without reads that the model would have wait."""
    answers: list[object] = []

    async def speak_as_b(at: Place, a: Session, b: Session) -> None:
        asked = Asked(at, a, b)
        for op in ops:
            if op[0] == "read" and isinstance(at, Model) and at.has_nothing_new():
                continue
            # A millisecond apart, as an entry's id may come from the time of the last.
            await trio.sleep(0.001)
            answers.append(await asked.ask(op))
            done.append(op)

    async def speak_as_a(at: Place, a: Session) -> None:
        await at.hold(partial(speak_as_b, at, a), "b")

    async with place(kind) as at:
        await at.hold(partial(speak_as_a, at), "a")
    return answers


def _clock() -> trio.testing.MockClock:
    return trio.testing.MockClock(autojump_threshold=0)


_sequences = given(ops=st.lists(_op(), min_size=3, max_size=25))


def _compare(ops: Sequence[Sequence[Any]]) -> None:
    some: list[Sequence[Any]] = []
    modeled = trio.run(_answers, "model", ops, some, clock=_clock())
    answered = trio.run(_answers, "server", some, [])
    assert list(zip(some, modeled, strict=True)) == list(
        zip(some, answered, strict=True)
    )


@needs_redis
@settings(_drawn, max_examples=_FEW)
@_sequences
def test_any_sequence_of_commands_is_answered_as_by_the_server(
    ops: list[tuple[Any, ...]],
) -> None:
    _compare(ops)


@needs_redis
@pytest.mark.soak
@settings(_drawn, max_examples=_MANY)
@_sequences
def test_very_many_sequences_of_commands_are_answered_as_by_the_server(
    ops: list[tuple[Any, ...]],
) -> None:
    _compare(ops)


# What takes its time


@on_both
@within(20)
async def test_a_read_that_waits_gets_an_entry_which_nobody_else_gets(
    kind: str,
) -> None:
    async with place(kind) as at:
        got: list[str] = []

        async def read(session: Session) -> None:
            while not got:
                got.extend(entry.id for entry in await session.read(5))

        async def speak(session: Session) -> None:
            await session.make_group()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(at.hold, read, "first")
                nursery.start_soon(at.hold, read, "second")
                await until(lambda: at.waiting() == 2)
                added = await session.add(STREAM, {b"a": b"b"})
            assert got == [added]

        await at.hold(speak, "c")


@on_both
@within(20)
async def test_a_read_without_an_entry_ends_after_a_second(kind: str) -> None:
    async def speak(session: Session) -> None:
        await session.make_group()
        began = trio.current_time()
        assert await session.read(5) == []
        assert trio.current_time() - began > 0.9

    async with place(kind) as at:
        await at.hold(speak, "c")


@on_both
@within(20)
async def test_a_read_that_was_given_up_gets_nothing_any_more(kind: str) -> None:
    async with place(kind) as at:

        async def read(session: Session) -> None:
            await session.make_group()
            while True:
                await session.read(5)

        async def speak(session: Session) -> None:
            await session.add(STREAM, {b"a": b"b"})
            assert await session.pending("-", 5) == []
            assert (await session.status()) == (0, 1)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(at.hold, read, "a")
            await until(lambda: at.waiting() == 1)
            nursery.cancel_scope.cancel()
        await until(lambda: at.waiting() == 0)
        await at.hold(speak, "b")


@on_both
@within(20)
async def test_a_lease_ends_by_itself(kind: str) -> None:
    async def speak(session: Session) -> None:
        began = trio.current_time()
        await session.take_lease(KEY, "a 1", seconds=0.5, instead_of="")
        while await session.take_lease(KEY, "b 1", seconds=5, instead_of="") != "b 1":
            _who, left = await session.lease(KEY)
            assert left <= 0.5
        assert trio.current_time() - began > 0.49
        who, left = await session.lease(KEY)
        assert who == "b 1"
        assert 0.5 < left <= 5.0

    async with place(kind) as at:
        await at.hold(speak, "c")


@on_both
@within(20)
async def test_an_entry_is_idle_since_it_was_last_delivered(kind: str) -> None:
    async def speak(session: Session) -> None:
        await session.make_group()
        added = await session.add(STREAM, {b"a": b"b"})
        await session.read(5)
        assert await session.claim([added], 60.0) == []
        while not (claimed := await session.claim([added], 0.2)):
            [one] = await session.pending("-", 5)
            assert one.deliveries == 1
        claimed_at = trio.current_time()
        assert [each.id for each in claimed] == [added]
        [one] = await session.pending("-", 5)
        assert one.idle_seconds <= trio.current_time() - claimed_at + 0.1
        assert one.deliveries == 2

    async with place(kind) as at:
        await at.hold(speak, "c")


@on_both
@within(20)
async def test_a_bounded_stream_keeps_about_as_many_as_it_should(kind: str) -> None:
    async def speak(session: Session) -> None:
        for _ in range(5):
            await session.add_all(OTHER, b"event", [b"x"] * 100, most=150)

    async with place(kind) as at:
        await at.hold(speak, "c")
        assert 150 <= at.length(OTHER) <= 250


@on_both
@within(20)
async def test_the_time_is_the_servers(kind: str) -> None:
    async def speak(session: Session) -> None:
        added = await session.add(STREAM, {b"a": b"b"})
        assert abs(await session.time() - int(added.split("-")[0]) / 1000) < 5

    async with place(kind) as at:
        await at.hold(speak, "c")


@on_both
@within(20)
async def test_a_server_that_starts_again_is_young_and_ends_every_session(
    kind: str,
) -> None:
    async def speak(at: Place, session: Session) -> None:
        await session.make_group()
        await session.take_lease(KEY, "a 1", seconds=50, instead_of="")
        at.restart()
        await session.lease(KEY)
        raise AssertionError("the session goes on")

    async def speak_again(session: Session) -> None:
        assert int((await session.info("server"))["uptime_in_seconds"]) <= 2
        assert await session.lease(KEY) == ("", 0.0)
        with pytest.raises(BaseException, match=r"(?i)no such key|NOGROUP"):
            await session.pending("-", 5)

    async def both(at: Place) -> None:
        with pytest.raises(RedisLostError):
            await at.hold(partial(speak, at), "c")
        await at.hold(speak_again, "c")

    if kind == "model":
        async with place(kind) as at:
            await both(at)
        return
    with running_server() as server:
        await both(Real(server))


@on_both
@within(20)
async def test_nobody_there_is_a_lost_session(kind: str) -> None:
    async def speak(session: Session) -> None:
        await session.make_group()

    async with place("model") as at:
        assert isinstance(at, Model)
        at.server.stop()
        if kind == "model":
            with pytest.raises(RedisLostError, match="Connection refused"):
                await at.hold(speak, "c")
            return
    with running_server() as server:
        server.kill()
        with pytest.raises(RedisLostError, match="Connection refused"):
            await Real(server).hold(speak, "c")
