"""Redis as the daemons of a story meet it: streams, a group, what is pending, the lease.

The model stands in at the face of ``snexec.redis.client``: a session has the same methods,
and each is refused where the server would refuse it (``test_redis_model`` asks both).
"""

from __future__ import annotations

import copy
import math
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Generic, Literal, NamedTuple, TypeVar

import trio

from snexec.errors import RedisCommandError, RedisLostError, leaves
from snexec.redis.client import BLOCK_SECONDS, GroupStatus, Pending
from snexec.redis.entries import Entry
from tests.fakes import MOMENT
from tests.simulation.pauses import outside

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

T = TypeVar("T")

ANSWER_SECONDS = 4.0
_WAY_SECONDS = 0.0005  # of a request, and of its answer
_NODE_ENTRIES = 100  # which go at once where a stream is bounded about
RedisPoint = Literal[
    "entries read",
    "entries claimed",
    "entry added",
    "acknowledged",
    "lease answered",
]


class _RefusedError(RedisCommandError):
    """What the server refuses, in its words."""


class _NoGroupError(RedisLostError):
    """There is no such group, which the real session says as if it was lost."""


class _Id(NamedTuple):
    """An entry's id."""

    milliseconds: int
    number: int

    def __str__(self) -> str:
        return f"{self.milliseconds}-{self.number}"


_FIRST = _Id(0, 0)


def _id_of(text: str, *, number: int = 0) -> _Id:
    if text in {"-", "+"}:
        return _FIRST if text == "-" else _Id(2**63, 0)
    milliseconds, _, after = text.partition("-")
    return _Id(int(milliseconds), int(after) if after else number)


@dataclass(slots=True)
class _Delivered:
    consumer: str
    at: float  # milliseconds, by the server's clock
    times: int = 1


@dataclass(slots=True)
class _Group:
    last: _Id = _FIRST
    pending: dict[_Id, _Delivered] = field(default_factory=dict)


@dataclass(slots=True)
class _Stream:
    entries: dict[_Id, list[tuple[bytes, bytes]]] = field(default_factory=dict)
    groups: dict[str, _Group] = field(default_factory=dict)
    last: _Id = _FIRST


@dataclass(slots=True)
class _Text:
    value: str
    until: float  # milliseconds, by the server's clock


@dataclass(slots=True, eq=False)
class Line:
    """A host's way to the server.

    Attributes:
        cut_until: Nothing comes through before; what was sent then arrives at its end.
        deaf_until: What the server answers before is lost.
        slow_until: Requests take long until then.
        slow_seconds: How long.
    """

    cut_until: float = -math.inf
    deaf_until: float = -math.inf
    slow_until: float = -math.inf
    slow_seconds: float = 0.0

    def is_cut(self) -> bool:
        return trio.current_time() < self.cut_until

    def is_deaf(self) -> bool:
        return self.is_cut() or trio.current_time() < self.deaf_until


@dataclass(slots=True, eq=False)
class _Blocked:
    """A read that waits for an entry."""

    stream: str
    group: str
    consumer: str
    count: int
    found: list[Entry] = field(default_factory=list)
    over: trio.Event = field(default_factory=trio.Event)


class RedisServer:
    """The server: one command after the other, by its own clock.

    Args:
        nursery: Where it goes on, whatever its clients do.
        rate: How fast its clock runs.
        ahead: Seconds by which its clock is ahead.

    Attributes:
        acknowledging: Called with the stream, the consumer and ids, before they are.
        leased: Called with the key and its value, once a lease was taken or kept.
        remembers_seconds: Of how many of its last seconds a restart may lose a part.
        is_up: Whether it answers.
        term: Counts its starts.
    """

    def __init__(
        self, nursery: trio.Nursery, *, rate: float = 1.0, ahead: float = 0.0
    ) -> None:
        self.nursery = nursery
        self._rate = rate
        self._ahead = ahead
        self._began = trio.current_time()
        self._data: dict[str, _Stream | _Text] = {}
        self._before: deque[tuple[float, dict[str, _Stream | _Text]]] = deque()
        self._blocked: deque[_Blocked] = deque()
        self._started_ms = self.now_ms()
        self._stopped_at = -math.inf
        self.remembers_seconds = 0.0
        self.is_up = True
        self.term = 1
        self.stopped = trio.Event()
        self.acknowledging: Callable[[str, Sequence[str]], None] = lambda *_: None
        self.leased: Callable[[str, str], None] = lambda *_: None

    def now_ms(self) -> int:
        passed = (trio.current_time() - self._began) * self._rate
        at = MOMENT.timestamp() + self._began + self._ahead + passed
        return math.floor(at * 1000)

    @property
    def waiting(self) -> int:
        """How many reads wait for an entry."""
        return len(self._blocked)

    def stop(self) -> None:
        """End as if it was killed."""
        self.is_up = False
        self._stopped_at = trio.current_time()
        self.stopped.set()
        self._blocked.clear()

    def start(self, *, lost_seconds: float = 0.0) -> None:
        """Start again, without what was done in its last seconds; infinite for all."""
        if lost_seconds == math.inf:
            self._data = {}
        for at, data in self._before:
            if at > self._stopped_at - lost_seconds:
                self._data = data
                break
        self._before.clear()
        self.term += 1
        self.stopped = trio.Event()
        self.is_up = True
        self._started_ms = self.now_ms()

    def grow_old(self, seconds: float) -> None:
        """Have run for so long."""
        self._started_ms -= round(seconds * 1000)

    def _changing(self) -> None:
        """Keep what it has now, for a restart that has lost the last seconds."""
        if self.remembers_seconds:
            now = trio.current_time()
            self._before.append((now, copy.deepcopy(self._data)))
            while self._before[0][0] < now - self.remembers_seconds:
                self._before.popleft()

    # Keys.

    def _text(self, key: str) -> _Text | None:
        found = self._data.get(key)
        if isinstance(found, _Stream):
            raise _wrong_type()
        if found is not None and found.until <= self.now_ms():
            del self._data[key]
            return None
        return found

    def _stream(self, key: str) -> _Stream | None:
        found = self._data.get(key)
        if isinstance(found, _Text):
            if self._text(key) is None:
                return None
            raise _wrong_type()
        return found

    def get(self, key: str) -> str | None:
        found = self._text(key)
        return None if found is None else found.value

    def set(self, key: str, value: str, milliseconds: float = math.inf) -> None:
        self._changing()
        self._data[key] = _Text(value, self.now_ms() + milliseconds)

    def time_left_ms(self, key: str) -> float:
        """Return what is left of a key's time; -2 without it, -1 where it has none."""
        found = self._data.get(key)
        if isinstance(found, _Stream):
            return -1
        text = self._text(key)
        if text is None:
            return -2
        return -1 if text.until == math.inf else text.until - self.now_ms()

    def delete(self, key: str) -> None:
        self._data.pop(key, None)

    def take(self, key: str, value: str, milliseconds: int, instead_of: str) -> str:
        who = self.get(key)
        if not who or who in {value, instead_of}:
            self.set(key, value, milliseconds)
            self.leased(key, value)
            return value
        return who

    def release(self, key: str, value: str, instead: str, milliseconds: int) -> None:
        if self.get(key) == value:
            self.set(key, instead, milliseconds)

    def uptime(self) -> int:
        """Return for how long it runs, as INFO has it: by whole seconds of its clock."""
        return self.now_ms() // 1000 - self._started_ms // 1000

    # Streams.

    def add(
        self, key: str, fields: Iterable[tuple[bytes, bytes]], most: int | None = None
    ) -> str:
        stream = self._stream(key)
        self._changing()
        if stream is None:
            stream = self._data[key] = _Stream()
        now = self.now_ms()
        last = stream.last
        new = _Id(now, 0) if now > last[0] else _Id(last[0], last[1] + 1)
        stream.entries[new] = list(fields)
        stream.last = new
        while most is not None and len(stream.entries) - _NODE_ENTRIES >= most:
            for oldest in list(stream.entries)[:_NODE_ENTRIES]:
                del stream.entries[oldest]
        self._serve_blocked(key)
        return str(new)

    def remove(self, key: str, entry_id: str) -> None:
        stream = self._stream(key)
        if stream is not None:
            stream.entries.pop(_id_of(entry_id), None)

    def entries(self, key: str) -> list[Entry]:
        stream = self._stream(key)
        if stream is None:
            return []
        return [Entry(str(name), fields) for name, fields in stream.entries.items()]

    def has(self, key: str, entry_id: str) -> bool:
        stream = self._stream(key)
        return stream is not None and _id_of(entry_id) in stream.entries

    def make_group(self, key: str, group: str) -> None:
        stream = self._stream(key)
        self._changing()
        if stream is None:
            stream = self._data[key] = _Stream()
        stream.groups.setdefault(group, _Group())

    def _group(self, key: str, group: str, command: str) -> tuple[_Stream, _Group]:
        stream = self._stream(key)
        found = None if stream is None else stream.groups.get(group)
        if stream is None or found is None:
            where = " in XREADGROUP with GROUP option" if command == "READ" else ""
            raise _NoGroupError(
                f"NOGROUP No such key '{key}' or consumer group '{group}'{where}"
            )
        return stream, found

    def unread(self, key: str, group: str) -> int:
        """Return how many entries a group was not given yet."""
        stream, found = self._group(key, group, "READ")
        return sum(each > found.last for each in stream.entries)

    def read(self, key: str, group: str, consumer: str, count: int) -> list[Entry]:
        stream, found = self._group(key, group, "READ")
        new = [each for each in stream.entries if each > found.last][:count]
        if new:
            self._changing()
        for each in new:
            found.last = each
            found.pending[each] = _Delivered(consumer, self.now_ms())
        return [Entry(str(each), stream.entries[each]) for each in new]

    def block(self, blocked: _Blocked) -> None:
        """Have a read wait, unless there is something to read already."""
        blocked.found = self.read(
            blocked.stream, blocked.group, blocked.consumer, blocked.count
        )
        if blocked.found:
            blocked.over.set()
        else:
            self._blocked.append(blocked)

    def unblock(self, blocked: _Blocked) -> None:
        """Have a read wait no more."""
        if blocked in self._blocked:
            self._blocked.remove(blocked)

    def _serve_blocked(self, key: str) -> None:
        for each in [each for each in self._blocked if each.stream == key]:
            each.found = self.read(each.stream, each.group, each.consumer, each.count)
            if each.found:
                self._blocked.remove(each)
                each.over.set()

    def pending(self, key: str, group: str, start: str, count: int) -> list[Pending]:
        _stream, found = self._group(key, group, "PENDING")
        first, now = _id_of(start), self.now_ms()
        return [
            Pending(
                str(name),
                delivered.consumer,
                max(now - delivered.at, 0) / 1000,
                delivered.times,
            )
            for name, delivered in sorted(found.pending.items())
            if name >= first
        ][:count]

    def claim(
        self,
        key: str,
        group: str,
        consumer: str,
        idle_ms: int,
        ids: Sequence[str],
    ) -> list[Entry]:
        stream, found = self._group(key, group, "CLAIM")
        self._changing()
        claimed: list[Entry] = []
        for name in map(_id_of, ids):
            if name not in stream.entries:
                found.pending.pop(name, None)
                continue
            delivered = found.pending.get(name)
            if delivered is None or self.now_ms() - delivered.at < idle_ms:
                continue
            delivered.consumer, delivered.at = consumer, self.now_ms()
            delivered.times += 1
            claimed.append(Entry(str(name), stream.entries[name]))
        return claimed

    def acknowledge(self, key: str, group: str, ids: Sequence[str]) -> None:
        stream = self._stream(key)
        found = None if stream is None else stream.groups.get(group)
        if found is not None:
            held = [each for each in ids if _id_of(each) in found.pending]
            self.acknowledging(key, held)
            self._changing()
            for each in held:
                del found.pending[_id_of(each)]

    def status(self, key: str, group: str) -> GroupStatus:
        stream = self._stream(key)
        if stream is None:
            raise RedisCommandError("no such key")
        found = stream.groups.get(group)
        if found is None:
            raise RedisCommandError(f"there is no group {group}")
        return GroupStatus(len(found.pending), self.unread(key, group))


def _wrong_type() -> _RefusedError:
    return _RefusedError(
        "WRONGTYPE Operation against a key holding the wrong kind of value"
    )


class _Answer(Generic[T]):
    """What comes back for a request, if anything does."""

    def __init__(self) -> None:
        self.came = trio.Event()
        self.value: T | None = None
        self.error: Exception | None = None

    def give(self, value: T | None = None, error: Exception | None = None) -> None:
        self.value, self.error = value, error
        self.came.set()


class ModelSession:
    """A session as ``snexec.redis.client.Session`` is one.

    Args:
        server: Whom it asks.
        line: Its way there.
        come_to: Called at each named point.
        is_dead: Whether the process that asks is no more.
        stream: The stream that brings signals.
        group: The consumer group on it.
        consumer: Who reads.
    """

    def __init__(
        self,
        server: RedisServer,
        line: Line,
        come_to: Callable[[RedisPoint], None],
        *,
        is_dead: Callable[[], bool],
        stream: str,
        group: str,
        consumer: str,
    ) -> None:
        self._server = server
        self._line = line
        self._come_to = come_to
        self._is_dead = is_dead
        self._stream = stream
        self._group = group
        self._consumer = consumer
        self._term = server.term
        self._stopped = server.stopped
        self._is_lost = False
        self._reads: list[_Blocked] = []

    def close(self) -> None:
        """Go away, which the server notices if it can."""
        self._is_lost = True
        if not self._line.is_cut():
            for each in self._reads:
                self._server.unblock(each)

    def _is_gone(self) -> bool:
        return not self._server.is_up or self._server.term != self._term

    async def _ask(self, command: Callable[[], T]) -> T:
        async def carry_out() -> T:
            await trio.lowlevel.checkpoint()
            return command()

        return await self._ask_long(carry_out)

    async def _ask_long(self, command: Callable[[], Awaitable[T]]) -> T:
        if self._is_lost or self._is_gone() or self._is_dead():
            self._is_lost = True
            await trio.lowlevel.checkpoint()
            raise RedisLostError("the connection was lost")
        answer: _Answer[T] = _Answer()
        outside(self._server.nursery, self._carry, command, answer)
        with trio.move_on_after(ANSWER_SECONDS):
            await answer.came.wait()
        if not answer.came.is_set():
            self._is_lost = True
            raise RedisLostError("no answer in time")
        if answer.error is not None:
            if type(answer.error) is RedisLostError:
                self._is_lost = True
            raise answer.error
        return answer.value  # type: ignore[return-value]

    async def _carry(
        self, command: Callable[[], Awaitable[T]], answer: _Answer[T]
    ) -> None:
        """Bring a request there and its answer back, whatever its sender does."""
        line = self._line
        way = _WAY_SECONDS
        if trio.current_time() < line.slow_until:
            way += line.slow_seconds
        await trio.sleep(way)
        while line.is_cut():  # noqa: ASYNC110 - it may be cut for longer meanwhile
            await trio.sleep(line.cut_until - trio.current_time() + 0.01)
        if self._is_gone():
            answer.give(error=RedisLostError("connection reset"))
            return
        value: T | None = None
        error: Exception | None = None
        try:
            value = await command()
        except (RedisCommandError, RedisLostError) as exc:
            error = exc
        await trio.sleep(_WAY_SECONDS)
        if line.is_deaf():
            return
        if self._is_gone():
            error = RedisLostError("connection reset")
        answer.give(value, error)

    # As the real one.

    async def make_group(self) -> None:
        await self._ask(partial(self._server.make_group, self._stream, self._group))

    async def read(
        self, count: int, take: Callable[[list[Entry]], Sequence[Entry]] = list
    ) -> Sequence[Entry]:
        blocked = _Blocked(self._stream, self._group, self._consumer, count)

        async def block() -> list[Entry]:
            server, stopped = self._server, self._stopped
            server.block(blocked)
            with trio.move_on_after(BLOCK_SECONDS):
                await blocked.over.wait()
            server.unblock(blocked)
            if stopped.is_set():
                raise RedisLostError("connection reset")
            return blocked.found

        self._reads.append(blocked)
        try:
            found = await self._ask_long(block)
        finally:
            self._reads.remove(blocked)
            if not self._line.is_cut():
                self._server.unblock(blocked)
        if not found:
            return []
        self._come_to("entries read")
        return take(found)

    async def pending(self, start: str, count: int) -> list[Pending]:
        return await self._ask(
            partial(self._server.pending, self._stream, self._group, start, count)
        )

    async def claim(self, ids: Sequence[str], idle_seconds: float) -> list[Entry]:
        found = await self._ask(
            partial(
                self._server.claim,
                *(self._stream, self._group, self._consumer),
                *(round(idle_seconds * 1000), ids),
            )
        )
        if found:
            self._come_to("entries claimed")
        return found

    async def is_there(self, entry_id: str) -> bool:
        return await self._ask(partial(self._server.has, self._stream, entry_id))

    async def acknowledge(self, ids: Sequence[str]) -> None:
        await self._ask(
            partial(self._server.acknowledge, self._stream, self._group, list(ids))
        )
        self._come_to("acknowledged")

    async def add(
        self, stream: str, fields: dict[bytes, bytes], *, most: int | None = None
    ) -> str:
        added = await self._ask(
            partial(self._server.add, stream, list(fields.items()), most)
        )
        self._come_to("entry added")
        return added

    async def add_all(
        self, stream: str, name: bytes, values: Sequence[bytes], *, most: int
    ) -> None:
        def add() -> None:
            for value in values:
                self._server.add(stream, [(name, value)], most)

        await self._ask(add)

    async def status(self) -> GroupStatus:
        return await self._ask(partial(self._server.status, self._stream, self._group))

    async def time(self) -> float:
        return await self._ask(self._server.now_ms) / 1000

    async def info(self, section: str) -> dict[str, str]:
        assert section == "server"
        uptime = await self._ask(self._server.uptime)
        return {"uptime_in_seconds": str(uptime)}

    async def lease(self, key: str) -> tuple[str, float]:
        who = await self._ask(partial(self._server.get, key))
        left = await self._ask(partial(self._server.time_left_ms, key))
        return ("", 0.0) if who is None else (who, max(left, 0) / 1000)

    async def take_lease(
        self, key: str, value: str, *, seconds: float, instead_of: str
    ) -> str:
        who = await self._ask(
            partial(self._server.take, key, value, round(seconds * 1000), instead_of)
        )
        self._come_to("lease answered")
        return who

    async def release_lease(
        self, key: str, value: str, instead: str, *, seconds: float
    ) -> None:
        await self._ask(
            partial(self._server.release, key, value, instead, round(seconds * 1000))
        )


async def hold_model_session(
    server: RedisServer,
    line: Line,
    come_to: Callable[[RedisPoint], None],
    speak: Callable[[ModelSession], Awaitable[None]],
    *,
    is_dead: Callable[[], bool] = lambda: False,
    stream: str = "",
    group: str = "",
    consumer: str = "",
) -> None:
    """Connect, and have one speak until it ends, as ``hold_session`` does."""
    await trio.sleep(2 * _WAY_SECONDS)
    with trio.move_on_after(ANSWER_SECONDS):
        while line.is_deaf():  # noqa: ASYNC110 - as a connection is tried
            await trio.sleep(0.5)
    if line.is_deaf():
        raise RedisLostError("connection timed out")
    if not server.is_up or is_dead():
        raise RedisLostError("Connection refused")
    session = ModelSession(
        *(server, line, come_to),
        is_dead=is_dead,
        stream=stream,
        group=group,
        consumer=consumer,
    )
    lost: list[Exception] = []
    try:
        await speak(session)
    except* (RedisLostError, RedisCommandError) as failed:
        lost.extend(leaves(failed))
    finally:
        session.close()
    if not lost:
        return
    worst = next((each for each in lost if isinstance(each, _RefusedError)), lost[0])
    if isinstance(worst, RedisCommandError):
        raise RedisCommandError(str(worst))
    raise RedisLostError(str(worst))
