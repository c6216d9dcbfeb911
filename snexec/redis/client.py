"""One session with Redis: coredis stays in here, and its errors too.

Its faults are kept out: a cancelled or lost command that blocks costs a place of the pool
for good, and a lost connection is replaced without a word, so a client lives as long as
nothing fails, and no longer; it never retries, and who the host is, is verified by our own
context.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import anyio
import trio
from coredis import PureToken, Redis
from coredis.exceptions import ConnectionError as ConnectionLostError
from coredis.exceptions import (
    RedisError,
    ResponseError,
    StreamDuplicateConsumerGroupError,
)
from coredis.pool import ConnectionPool
from coredis.retry import NoRetryPolicy

from snexec.errors import RedisCommandError, RedisLostError, first_words, leaves
from snexec.redis.arrival import hand_on
from snexec.redis.entries import entries_of, entries_read

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Sequence

    from snexec.redis.entries import Entry
    from snexec.settings import RedisAddress

# Every fault is told by us, in one line; its own lines come with tracebacks.
logging.getLogger("coredis").setLevel(logging.CRITICAL)

BLOCK_SECONDS = 1.0  # for which a read waits for an entry
_ANSWER_SECONDS = 4.0  # to anything, the time that it blocks included
_CONNECT_SECONDS = 4.0
_PLACES = 2  # one for the read that blocks; all else shares the other

# Sets the lease's key if it is absent, ours, or what it was when we looked; returns it.
_TAKE = """
local who = redis.call('get', KEYS[1])
if not who or who == ARGV[1] or who == ARGV[3] then
  redis.call('set', KEYS[1], ARGV[1], 'px', ARGV[2])
  return ARGV[1]
end
return who
"""
_RELEASE = """
if redis.call('get', KEYS[1]) == ARGV[1] then
  redis.call('set', KEYS[1], ARGV[2], 'px', ARGV[3])
end
"""


class _OncePool(ConnectionPool[Any]):
    """Opens no connection in place of one that was lost.

    The server behind it may be another one, or may have forgotten what it was told.
    """

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - the driver's own
        super().__init__(**settings)
        self._opened: set[Any] = set()

    async def get_connection(self, **options: Any) -> Any:  # noqa: ANN401 - likewise
        """Give a connection, unless one was lost."""
        connection = await super().get_connection(**options)
        if not self._opened <= self._online_connections:
            raise ConnectionLostError("the connection was lost")
        self._opened.add(connection)
        return connection


class Pending(NamedTuple):
    """An entry that was delivered and not acknowledged.

    Attributes:
        idle_seconds: Since it was last delivered.
        deliveries: How often it was.
    """

    id: str
    consumer: str
    idle_seconds: float
    deliveries: int


class GroupStatus(NamedTuple):
    """How a group is.

    Attributes:
        pending: Entries delivered and not acknowledged.
        lag: Entries not delivered yet; None where the server does not know.
    """

    pending: int
    lag: int | None


class Session:
    """The commands that are needed, each answered or an error.

    Args:
        client: Connected.
        stream: The stream that brings signals.
        group: The consumer group on it.
        consumer: Who reads.
    """

    def __init__(
        self, client: Redis[bytes], *, stream: str, group: str, consumer: str
    ) -> None:
        self._client = client
        self._stream = stream
        self._group = group
        self._consumer = consumer

    async def make_group(self) -> None:
        """Make the group, from the stream's beginning, and the stream, if need be."""
        try:
            await self._client.xgroup_create(
                self._stream, self._group, identifier="0", mkstream=True
            )
        except StreamDuplicateConsumerGroupError:
            return

    async def read(
        self, count: int, take: Callable[[list[Entry]], Sequence[Entry]] = list
    ) -> Sequence[Entry]:
        """Read new entries, and wait for the first one for a second.

        Args:
            count: How many at most.
            take: Takes the first ones in the step in which they arrive, by default none.

        Returns:
            Those that were not taken.
        """
        return await hand_on(
            *(self._client, b"XREADGROUP", b"GROUP", self._group, self._consumer),
            *(b"COUNT", count, b"BLOCK", round(BLOCK_SECONDS * 1000)),
            *(b"STREAMS", self._stream, b">"),
            take=lambda answer: take(entries_read(answer)),
        )

    async def pending(self, start: str, count: int) -> list[Pending]:
        """Return entries that are not acknowledged, whoever holds them, from an id on."""
        answer = await self._client.xpending(
            self._stream, self._group, start=start, end="+", count=count
        ).raw()
        return [
            Pending(each[0].decode(), each[1].decode(), each[2] / 1000, each[3])
            for each in cast("list[Any]", answer)
        ]

    async def claim(self, ids: Sequence[str], idle_seconds: float) -> list[Entry]:
        """Have entries delivered to us that others hold, if still idle for so long.

        Returns:
            Those that are ours now and not deleted.
        """
        answer = await self._client.xclaim(
            self._stream, self._group, self._consumer, round(idle_seconds * 1000), ids
        ).raw()
        return entries_of(
            each for each in cast("list[Any]", answer) if each is not None
        )

    async def is_there(self, entry_id: str) -> bool:
        """Return whether the stream still has an entry."""
        found = await self._client.xrange(self._stream, start=entry_id, end=entry_id)
        return bool(found)

    async def acknowledge(self, ids: Sequence[str]) -> None:
        """Have entries never delivered again."""
        await self._client.xack(self._stream, self._group, ids)

    async def add(
        self, stream: str, fields: dict[bytes, bytes], *, most: int | None = None
    ) -> str:
        """Add an entry, and return its id; the stream keeps about the ``most`` latest.

        Raises:
            RedisCommandError: The server refuses it.
        """
        bound = {} if most is None else _bound(most)
        try:
            added = await self._client.xadd(stream, cast("Any", fields), **bound)
        except ResponseError as exc:
            raise RedisCommandError(str(exc)) from None
        return cast("bytes", added).decode()

    async def add_all(
        self, stream: str, name: bytes, values: Sequence[bytes], *, most: int
    ) -> None:
        """Add an entry of one field for each value, in one round trip.

        Raises:
            RedisCommandError: The server refuses one.
        """
        bound = _bound(most)
        try:
            async with self._client.pipeline(transaction=False) as pipeline:
                for value in values:
                    pipeline.xadd(stream, cast("Any", {name: value}), **bound)
        except ResponseError as exc:
            # Before these words come the whole event's.
            words = str(exc).rpartition(" caused error: ")[2]
            raise RedisCommandError(words) from None

    async def status(self) -> GroupStatus:
        """Return how the group is.

        Raises:
            RedisCommandError: There is none.
        """
        try:
            groups = await self._client.xinfo_groups(self._stream)
        except ResponseError as exc:
            raise RedisCommandError(str(exc)) from None
        for group in groups:
            fields = {_text(name): value for name, value in group.items()}
            if _text(fields.get("name")) == self._group:
                lag = fields.get("lag")
                pending = fields.get("pending")
                return GroupStatus(
                    pending=pending if isinstance(pending, int) else 0,
                    lag=lag if isinstance(lag, int) else None,
                )
        raise RedisCommandError(f"there is no group {self._group}")

    async def time(self) -> float:
        """Return the server's time, in seconds since 1970."""
        return (await self._client.time()).timestamp()

    async def info(self, section: str) -> dict[str, str]:
        """Return a section of what the server says of itself."""
        said = await self._client.info(section)
        return {_text(name): _text(value) for name, value in said.items()}

    async def lease(self, key: str) -> tuple[str, float]:
        """Return who has the lease, and for how many seconds; nobody is empty."""
        # In this order: what is gone in between has no time left.
        who = await self._client.get(key)
        left = await self._client.pttl(key)
        return ("", 0.0) if who is None else (_text(who), max(left, 0) / 1000)

    async def take_lease(
        self, key: str, value: str, *, seconds: float, instead_of: str
    ) -> str:
        """Take the lease, or keep it; return who has it then.

        Args:
            key: The lease's.
            value: Ours.
            seconds: For which it then holds.
            instead_of: A value that counts as absent.
        """
        milliseconds = str(round(seconds * 1000))
        said = await self._client.eval(_TAKE, [key], [value, milliseconds, instead_of])
        return _text(said)

    async def release_lease(
        self, key: str, value: str, instead: str, *, seconds: float
    ) -> None:
        """Leave another value in place of ours, for so long."""
        milliseconds = str(round(seconds * 1000))
        await self._client.eval(_RELEASE, [key], [value, instead, milliseconds])


async def hold_session(
    address: RedisAddress,
    tls: Callable[[], ssl.SSLContext],
    speak: Callable[[Session], Awaitable[None]],
    *,
    stream: str = "",
    group: str = "",
    consumer: str = "",
) -> None:
    """Connect, and have one speak until it ends.

    Raises:
        RedisLostError: There is no connection, or no longer.
        RedisCommandError: The server refuses a command.
    """
    lost: list[Exception] = []
    try:
        async with Redis(
            address.host,
            address.port,
            address.database,
            username=address.username,
            password=address.password,
            ssl_context=tls() if address.encrypted else None,
            stream_timeout=_ANSWER_SECONDS,
            connect_timeout=_CONNECT_SECONDS,
            pool_timeout=_ANSWER_SECONDS,
            max_connections=_PLACES,
            connection_pool_cls=_OncePool,
            retry_policy=NoRetryPolicy(),
        ) as client:
            await speak(Session(client, stream=stream, group=group, consumer=consumer))
    except* (RedisError, OSError, TimeoutError) as failed:
        lost.extend(leaves(failed))
    except* (RedisLostError, RedisCommandError) as failed:
        lost.extend(leaves(failed))
    except* (anyio.ClosedResourceError, anyio.BrokenResourceError) as failed:
        lost.extend(leaves(failed))
    if not lost:
        return
    await trio.lowlevel.checkpoint_if_cancelled()  # what we break off is not lost
    worst = next((each for each in lost if isinstance(each, ResponseError)), lost[0])
    if isinstance(worst, ResponseError | RedisCommandError):
        raise RedisCommandError(first_words(worst) or type(worst).__name__)
    raise RedisLostError(_why(worst))


def _why(error: BaseException) -> str:
    """Return the innermost words of a chain: the outer ones only say where."""
    words, inner = str(error), error.__cause__ or error.__context__
    while inner is not None:
        if isinstance(inner, BaseExceptionGroup):
            inner = next(iter(leaves(inner)))
        # No word of a cancellation is meant for people.
        if isinstance(inner, Exception):
            words = str(inner) or words
        inner = inner.__cause__ or inner.__context__
    return words or "no answer in time"


def _bound(most: int) -> dict[str, Any]:
    return {
        "trim_strategy": PureToken.MAXLEN,
        "trim_operator": PureToken.APPROXIMATELY,
        "threshold": most,
    }


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
