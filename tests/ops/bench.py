"""Every wing as operations see them, around a rig, and what they are looked at with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from snexec.clock import timestamp
from snexec.exits import Exits
from snexec.intake.admission import Answer
from snexec.intake.listener import open_listener
from snexec.ledger.reader import Reader
from snexec.market.hours import MarketHours
from snexec.ops.control import Control
from snexec.ops.health import Health
from snexec.ops.outages import Outages
from snexec.ops.wings import Wings
from snexec.risk.halt import HaltSwitch
from snexec.stream.trading import StreamState, TradingStream
from tests.fakes import MOMENT, Rig
from tests.integration.harness import short_folder, signal_line
from tests.streaming import RecordingFills

GRACE_SECONDS = 60.0


def make_wings(rig: Rig) -> Wings:
    """Put a rig's wings together with those that it lacks.

    The stream is never connected. The file of the kill switch lies beside the rig's
    database, which the reader reads; the rig's own orders look at the rig's switch.
    """
    main = rig.store._db.execute("PRAGMA database_list").fetchone()
    database = Path(main["file"])
    rig.settings.path = database.with_name("config.toml")
    rig.ledger.reader = Reader(database, rig.clock)
    market = MarketHours(rig.settings, rig.accounts)
    halt = HaltSwitch(rig.settings, rig.feed, rig.clock)
    return Wings(
        live=rig.settings,
        latencies=rig.latencies,
        accounts=rig.accounts,
        halt=halt,
        market=market,
        ledger=rig.ledger,
        reconciler=rig.reconciler,
        stream=TradingStream(
            rig.settings, rig.accounts, RecordingFills(), rig.feed, clock=rig.clock
        ),
        intake=rig.intake,
        orders=rig.orders,
        exits=Exits(
            *(rig.settings, rig.accounts, rig.ledger, rig.reconciler),
            *(rig.orders, market, halt, rig.feed),
        ),
        redis=None,
    )


class Bench:
    """What operations know of a rig."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.wings = make_wings(rig)
        self.stream = self.wings.stream
        self.health = Health(self.wings, stream_grace_seconds=GRACE_SECONDS)
        self.outages = Outages(began=timestamp(MOMENT))
        rig.feed.follow(self.outages.happened)
        self.control = Control(self.wings, self.outages, self.health)

    def set_stream(self, state: StreamState) -> None:
        """Let the stream have come to a state."""
        self.stream._set_state(state, "paper")

    def set_healthy(self, healthy: bool) -> None:
        """Let the writer have written at its last try, or not."""
        self.rig.writer._healthy = healthy

    def take(self, symbol: str = "AAPL", **fields: object) -> Answer:
        """Let a feeder's line come in; its signal waits, as no order is begun."""
        line = signal_line(symbol, **fields)
        return self.rig.intake.take(line, read_at=trio.current_time())


@asynccontextmanager
async def listening(answer: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Answer whoever comes, and hang up; give the path, and what was asked."""
    asked: list[bytes] = []

    async def serve(stream: trio.SocketStream) -> None:
        asked.append(await stream.receive_some())
        await stream.send_all(answer)
        await stream.aclose()

    with short_folder() as folder, open_listener(folder / "s.sock") as listener:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listener.serve, serve, lambda each: each)
            yield str(folder / "s.sock"), asked
            nursery.cancel_scope.cancel()
