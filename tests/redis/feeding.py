"""A feeder from a real server, and whoever adds to its stream."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import coredis  # noqa: F401 - which takes its time, and here not a test's
import trio
from pydantic import SecretStr

from snexec.clock import SystemClock
from snexec.events import EventFeed
from snexec.redis import RedisFeeder
from snexec.risk import Active
from snexec.settings import RedisSettings
from tests.redis.server import shared_server

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable

    from snexec.clock import Clock
    from snexec.intake import Answer, Feeder
    from tests.input_helpers import World
    from tests.redis.server import Server

STREAM = "snexec:signals"
DEAD = "snexec:signals:dead"
PATIENCE_SECONDS = 10.0


def settings_for(server: Server, **changes: Any) -> RedisSettings:  # noqa: ANN401
    """Give settings for a server, without a lease."""
    values = {"url": SecretStr(server.url), "lease_sec": 0.0, "consumer": "host-a"}
    return RedisSettings.model_validate(values | changes)


def no_tls() -> ssl.SSLContext:
    raise AssertionError("nothing here is encrypted")


async def until(holds: Callable[[], object], what: str = "") -> None:
    """Wait until something that only a look can tell is so."""
    with trio.move_on_after(PATIENCE_SECONDS):
        while not holds():  # noqa: ASYNC110 - a server of its own changes it
            await trio.sleep(0.005)
        return
    raise AssertionError(f"not within {PATIENCE_SECONDS} s: {what}")


class Fed:
    """A feeder that runs, and what its entries were answered.

    Attributes:
        answers: Of each line, in the order in which they were taken.
        active: Until when it may order.
        feed: What the daemon says of signals.
        redis: The feeder.
        feeder: The same, as the contract has it.
        server: Where the stream is.
    """

    def __init__(
        self,
        world: World,
        server: Server,
        clock: Clock,
        **changes: Any,  # noqa: ANN401
    ) -> None:
        self.world = world
        self.server = server
        self.answers: list[Answer] = []
        self.feed = EventFeed(clock=clock)
        self.active = Active(clock)
        self.settings = settings_for(server, **changes)
        self.redis = RedisFeeder(
            *(self.settings, world.live, no_tls, world.intake, self.feed),
            clock=clock,
            active=self.active,
        )
        self.feeder: Feeder = self.redis
        self._take = world.intake.take
        self._rest = b""
        self._sent = 0
        world.intake.take = self._record  # type: ignore[method-assign]

    def _record(self, line: bytes | None, **more: Any) -> Answer:  # noqa: ANN401
        answer = self._take(line, **more)
        self.answers.append(answer)
        return answer

    def add(self, line: bytes | str) -> str:
        """Add a signal as JSON, and return the entry's id."""
        text = line if isinstance(line, str) else line.decode()
        return self.add_fields(signal=text)

    def add_fields(self, **fields: str) -> str:
        """Add an entry, and return its id."""
        words = [word for pair in fields.items() for word in pair]
        return self.server.text("XADD", STREAM, "*", *words)

    def pending(self) -> int:
        """Return how many entries are delivered and not acknowledged."""
        summary = self.server.ask_whole("XPENDING", STREAM, "snexec")
        return int(summary.split(b"\r\n")[1][1:]) if summary[:1] == b"*" else -1

    async def connected(self) -> None:
        await until(lambda: self.redis.status().connected, "connected")

    async def answered(self, count: int) -> None:
        await until(lambda: len(self.answers) >= count, f"{count} answers")

    # As the contract of feeders has it.

    async def send(self, data: bytes) -> None:
        await self.connected()
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._add_all(lines)

    def _add_all(self, lines: list[bytes]) -> None:
        lines = [line for line in lines if line and not line.isspace()]
        self._sent += len(lines)
        self.server.send_all(
            [(b"XADD", STREAM.encode(), b"*", b"signal", line) for line in lines]
        )

    async def end(self) -> list[dict[str, Any]]:
        self._add_all([self._rest])
        await self.answered(self._sent)
        return [answer.fields() for answer in self.answers]

    async def break_off(self) -> None:
        since = self.redis.status().since
        self.server.ask("CLIENT", "KILL", "TYPE", "normal")
        await until(
            lambda: self.redis.status().since != since, "the connection is lost"
        )

    async def goes_on(self) -> None:
        from tests.input_helpers import signal_line  # noqa: PLC0415 - a circle

        self.add(signal_line(id="other"))
        await until(lambda: self.world.intake.has_taken("other"), "taken")


@asynccontextmanager
async def fed(
    world: World,
    server: Server | None = None,
    *,
    clock: Clock | None = None,
    **changes: Any,  # noqa: ANN401
) -> AsyncIterator[Fed]:
    """Run a feeder as long as the block lasts, on an empty server unless one is given."""
    if server is None:
        server = shared_server()
        server.ask("FLUSHALL")
    it = Fed(world, server, clock or SystemClock(), **changes)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(it.feeder.run)
        yield it
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def running_redis(world: World) -> AsyncIterator[Fed]:
    async with fed(world) as it:
        yield it
