"""One story, played: the daemon as it is, a clock that jumps, a broker that fails.

The daemon is ``snexec.app.Daemon`` itself with its own executor, fills, recovery,
stream, intake, writer and store. Replaced is only what would leave this process or
wait for real time: the HTTP requests, the WebSocket, the socket, the writer's thread
(its work is done in place, as a MockClock would leap over it), and the disk.
"""

from __future__ import annotations

import collections
import itertools
import json
import logging
import math
import sqlite3
import traceback
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar, cast
from unittest import mock

import trio
from pydantic import SecretStr
from trio._core import _run as trio_run
from trio.testing import MockClock
from trio_websocket import ConnectionRejected

from snexec import app
from snexec.broker.accounts import Accounts
from snexec.broker.answers import BrokerOrder
from snexec.broker.budget import RateBudget
from snexec.broker.client import AlpacaClient
from snexec.broker.lease import Held
from snexec.broker.sent import OutgoingOrder, SentOrder
from snexec.intake.admission import Phase
from snexec.intake.socket_server import SocketServer
from snexec.intake.stdin import StandardInput
from snexec.ledger import commits as commits_module
from snexec.ledger import rows as rows_module
from snexec.ledger.commits import Committer
from snexec.ledger.counting import Counting
from snexec.ledger.ledger import Ledger
from snexec.ledger.schema import _check_and_migrate
from snexec.ledger.store import Store
from snexec.model import MODES
from snexec.ops.rereading import Reread, Rereader
from snexec.ops.systemd import Systemd
from snexec.stages import Opened
from snexec.stream import connection as connection_module
from snexec.threads import Worker
from snexec.trading_days import day_began
from tests.fakes import AskedOrder, TrioClock, live_settings, make_settings
from tests.simulation.model import Broker, Connection
from tests.simulation.steps import (
    Bot,
    Crash,
    CrashAt,
    DiskFull,
    MonitorSells,
    NewKeys,
    RestUnreachable,
    Send,
    Step,
    Stop,
    StreamDrops,
    StreamRefuses,
    StreamStarves,
    Switch,
    UserCancels,
    Wait,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from decimal import Decimal
    from urllib.parse import SplitResult

    from snexec.broker.endpoint import Endpoint
    from snexec.events import Event
    from snexec.intake.admission import Answer
    from snexec.ledger.changes import Batch
    from snexec.ledger.rows import NewTrade
    from snexec.model import Mode, Side
    from snexec.settings import Settings
    from tests.simulation.model import Posted
    from tests.simulation.steps import Point

T = TypeVar("T")
Row = dict[str, Any]

COMMIT_SECONDS = 0.005
SETTLE_SECONDS = 3600.0
MAX_POSITIONS, MAX_A_MINUTE, MAX_A_DAY = 2, 3, 5  # where there are limits
_QUIET_SECONDS = 15.0  # agreement must last
FIRST_PRICE = 100.0  # the nth step's signal has this price plus n


class PowerCutError(Exception):
    """The process is no more: what it was about to write is not written."""


@dataclass(eq=False, kw_only=True)
class Run:
    """One process of the daemon.

    Attributes:
        taken: The step of each signal that was accepted, by sequence.
        ended: The sequences that the feed told an outcome of.
        told: The final events that the feed told, with their rows.
        clients: Everything that ever asked the broker.
    """

    number: int
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    dead: trio.Event = field(default_factory=trio.Event)
    over: trio.Event = field(default_factory=trio.Event)
    taken: dict[int, int] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    told: set[tuple[str, str]] = field(default_factory=set)
    clients: list[ModelClient] = field(default_factory=list)
    stopping: bool = False

    @property
    def crashed(self) -> bool:
        return self.dead.is_set()


class ModelClient(AlpacaClient):
    """What the daemon asks the broker through."""

    def __init__(
        self, mode: Mode, budget: RateBudget, broker: Broker, run: Run
    ) -> None:
        self.mode = mode
        self.budget = budget
        self._broker = broker
        self._run = run
        self.sent_at: list[float] = []
        run.clients.append(self)

    async def run(self) -> None:
        await trio.sleep_forever()

    def keep_warm(self, connections: int) -> None:
        pass

    def send_order(self, order: OutgoingOrder) -> SentOrder:
        order.left()
        assert order.side == "buy"
        post = partial(
            self._broker.post,
            *(self.mode, order.symbol, str(order.notional), order.client_order_id),
        )
        return AskedOrder(partial(self._ask, post), order)

    async def order(
        self,
        *,
        client_order_id: str,
        order_id: str | None,
        symbol: str | None = None,
        side: Side = "buy",
    ) -> BrokerOrder:
        assert symbol
        assert side == "buy"
        return await self._ask(
            partial(self._broker.look_up, self.mode, client_order_id, order_id)
        )

    async def replacement(
        self, order_id: str, *, symbol: str | None = None, side: Side = "buy"
    ) -> BrokerOrder:
        assert symbol
        assert side == "buy"
        return await self._ask(partial(self._broker.replacement, self.mode, order_id))

    async def page_of_orders(self, path: str) -> bytes:
        return await self._ask(partial(self._broker.page_of_orders, self.mode, path))

    async def position_quantity(self, symbol: str) -> Decimal:
        return await self._ask(partial(self._broker.position, self.mode, symbol))

    async def _ask(self, request: Callable[[], Awaitable[T]]) -> T:
        if self._run.crashed:
            await trio.sleep_forever()  # the dead do not speak
        self.sent_at.append(trio.current_time())
        try:
            return await request()
        finally:
            self.budget.finish(None)


class ModelAccounts(Accounts):
    """The daemon's accounts, with clients that ask the model."""

    client: type[ModelClient] = ModelClient

    def __init__(self, *wings: Any, broker: Broker, run: Run, **more: Any) -> None:  # noqa: ANN401
        self._broker = broker
        self._run = run
        super().__init__(*wings, **more)

    def _hold(self, endpoint: Endpoint, settings: Settings) -> Held:
        budget = RateBudget(
            per_minute=settings.alpaca.rate_limit_per_min, clock=self._clock
        )
        return Held(
            endpoint, self.client(endpoint.mode, budget, self._broker, self._run)
        )


class _Plug(trio.abc.Stream):
    """What a WebSocket would run over."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        raise NotImplementedError("the connection above it is a model too")

    async def wait_send_all_might_not_block(self) -> None:
        raise NotImplementedError("the connection above it is a model too")

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        raise NotImplementedError("the connection above it is a model too")

    async def aclose(self) -> None:
        self.connection.close()
        await trio.lowlevel.checkpoint()


async def _wrap(
    _nursery: trio.Nursery,
    transport: connection_module._Transport,
    *_url: str,
    message_queue_size: int,
    max_message_size: int,
    receive_buffer_size: int,
) -> Connection:
    assert message_queue_size > 0
    assert max_message_size > 0
    assert receive_buffer_size > 0
    await trio.lowlevel.checkpoint()
    assert isinstance(transport._stream, _Plug)
    connection = transport._stream.connection
    if not connection.is_open:
        raise ConnectionRejected(429, (), None)
    return connection


class _NoSocket(SocketServer):
    async def run(self) -> None:
        await trio.sleep_forever()


class _NoInput(StandardInput):
    async def run(self) -> None:
        await trio.sleep_forever()


class ModelStore(Store):
    """The daemon's store on a disk that may be full."""

    full_until = -math.inf

    def forget_tallies(self) -> None:
        """Know what a new process knows."""
        self._counting = Counting(self._db)

    def commit(self) -> None:
        if trio.current_time() < self.full_until:
            raise sqlite3.OperationalError("database or disk is full")
        super().commit()


class _Report:
    """Told what the daemon does, as the table of --stdin is."""

    def __init__(self, world: World, run: Run) -> None:
        self._world = world
        self._run = run

    def leaving(self, trade: NewTrade, sequence: int | None) -> None:
        assert sequence is not None
        self._world.broker.steps[trade.id] = self._world.step_of(
            self._run, trade, sequence
        )

    def happened(self, event: Event) -> None:
        self._world.happened(self._run, event)

    def answered(self, answer: Answer) -> None:
        raise NotImplementedError("no signal of a story comes by standard input")


class _LogLines(logging.Handler):
    """Notes warnings in the story; an error with a traceback is a fault."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.WARNING)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        if self._world.runs[-1].crashed:
            return  # how the tasks of a killed process end is no matter
        self._world.say(f"  [{record.name}] {record.getMessage()}")
        if record.exc_info:
            shown = "".join(traceback.format_exception(record.exc_info[1]))
            self._world.wrong(f"{record.getMessage()}\n{shown}")


async def until_agreed(
    find: Callable[[], list[str]],
    *,
    within: float,
    has_failed: Callable[[], bool],
) -> list[str]:
    """Wait until nothing is wrong any more, and return what still is.

    Args:
        find: Returns what is wrong now.
        within: Seconds after which it must not be.
        has_failed: Whether waiting is of no use.
    """
    deadline = trio.current_time() + within
    while True:
        await trio.sleep(5.0)
        problems = find()
        if not problems:
            await trio.sleep(_QUIET_SECONDS)
            problems = find()
        if not problems or trio.current_time() > deadline or has_failed():
            return problems


class World:
    """Everything around the daemon, and what was seen of it.

    Attributes:
        story: What happens, step by step.
        said: The story as it went, with times.
        faults: What must never be, and was.
        seen: The rows as they were last committed.
        born: When each row was first seen.
        given_up: Rows that were missed as not found at some time.
        sold: Rows that another program closed.

    Args:
        per_minute: The rate limit.
        schedule: The seed of which task goes first where several can.
        limits: Whether a few positions and orders at most may be.
    """

    def __init__(
        self,
        story: Sequence[Step],
        *,
        per_minute: int = 200,
        schedule: int = 0,
        limits: bool = False,
    ) -> None:
        self.story = story
        self._schedule = schedule
        self.said: list[str] = []
        self.faults: list[str] = []
        self.seen: dict[str, Row] = {}
        self.born: dict[str, float] = {}
        self.given_up: set[str] = set()
        self.sold: set[str] = set()
        self.runs: list[Run] = []
        self.daemon: app.Daemon | None = None
        self._limits = limits
        self.settings = self._settings(per_minute)
        self.clock = self._clock()
        self._committed_at = 0.0
        self._database = _new_database()
        self.store = ModelStore(self._database, clock=self.clock)
        self._armed: CrashAt | None = None
        self._armed_left = 0
        self._down = 0.0
        self._refuses_until = -math.inf
        self._crowded = False
        self._numbers = itertools.count(1)

    # What a world of its own kind has in their place.

    def _settings(self, per_minute: int) -> Settings:
        return _settings(per_minute, limits=self._limits)

    def _clock(self) -> TrioClock:
        return TrioClock()

    def _make_broker(self, nursery: trio.Nursery) -> Broker:
        return Broker(
            nursery=nursery,
            say=self.say,
            come_to=self._come_to,
            may_post=self._may_post,
        )

    def _parts(self, run: Run) -> dict[str, Any]:
        """Return what the daemon is built with, by the names that app.py knows."""
        return {
            "Accounts": partial(ModelAccounts, broker=self.broker, run=run),
            "SocketServer": _NoSocket,
            "StandardInput": _NoInput,
        }

    def step_of(self, run: Run, _trade: NewTrade, sequence: int) -> Send:
        """Return the step whose signal an order is for."""
        step = self.story[run.taken[sequence]]
        assert isinstance(step, Send)
        return step

    # What is seen.

    def say(self, text: str) -> None:
        """Note what happens."""
        self.said.append(f"{trio.current_time():9.3f}  {text}")

    def wrong(self, text: str) -> None:
        """Note what must never be."""
        self.say(f"!! {text}")
        self.faults.append(text)

    def happened(self, run: Run, event: Event) -> None:
        """Note an event of the feed."""
        if run.crashed:
            return
        if event.event == "stream":
            self.say(f"stream {event.reason}")
        elif event.event in {"skipped", "refused", "settled"}:
            self.say(f"{event.symbol} {event.event}: {event.reason}")
        if event.sequence is not None and event.event != "stream":
            run.ended.add(event.sequence)
        if event.trade_id is None or event.reason == "order_not_found":
            return
        if event.event == "settled" and not self.seen[event.trade_id]["settledAt"]:
            self.wrong(f"told as settled too early: {shown(self.seen[event.trade_id])}")
        if event.event in {"fill", "settled"}:
            key = (event.event, event.trade_id)
            if key in run.told:
                self.wrong(f"a {event.event} of {event.symbol} was told twice")
            run.told.add(key)

    def rows(self) -> dict[str, Row]:
        """Read every row."""
        found = self._database.execute("SELECT * FROM BotTrade ORDER BY rowid")
        return {row["id"]: dict(row) for row in found}

    def _committed(self) -> None:
        """Compare the rows with what they were before the last commit."""
        self._committed_at = self.clock.now().timestamp()
        rows = self.rows()
        for trade_id, row in rows.items():
            before = self.seen.get(trade_id)
            if before == row:
                continue
            self.say("row " + shown(row))
            if before is None:
                self.born[trade_id] = trio.current_time()
            else:
                self._changed(before, row, rows)
        self.seen = rows
        if self._limits:
            self._within_limits(rows)

    def _within_limits(self, rows: dict[str, Row]) -> None:
        """Count by hand; what came late from the broker was bought before."""
        for mode in MODES:
            held = [
                row
                for row in rows.values()
                if row["status"] == "open"
                and row["mode"] == mode
                and row["id"] not in self.given_up
            ]
            if len(held) > MAX_POSITIONS:
                each = "; ".join(map(shown, held))
                self.wrong(f"{len(held)} {mode} positions: {each}")
            times = sorted(
                datetime.fromisoformat(row["createdAt"])
                for row in rows.values()
                if row["mode"] == mode
            )
            days = collections.Counter(map(day_began, times))
            if max(days.values(), default=0) > MAX_A_DAY:
                self.wrong(f"more than {MAX_A_DAY} {mode} orders a day")
            for first, later in zip(times, times[MAX_A_MINUTE:], strict=False):
                if (later - first).total_seconds() < 60:
                    self.wrong(f"more than {MAX_A_MINUTE} {mode} orders a minute")

    def _changed(self, before: Row, row: Row, rows: dict[str, Row]) -> None:
        kept = ["id", "symbol", "mode", "notional", "entryAt", "createdAt", "signalId"]
        if before["settledAt"] is not None:
            kept += ["settledAt", "alpacaOrderId", "shares", "entryPrice"]
            if not self._has_its_symbol_back(before, row, rows):
                kept += ["status", "exitReason"]
        if before["alpacaOrderId"] is not None:
            kept.append("alpacaOrderId")
        for name in kept:
            if row[name] != before[name]:
                self.wrong(
                    f"{name} was {before[name]}, final, and is {row[name]} now:"
                    f" {shown(row)}"
                )
        if row["exitReason"] == before["exitReason"]:
            return
        if row["exitReason"] == "order_not_found":
            self.given_up.add(row["id"])
            asked = self.broker.last_404.get(row["id"], -math.inf)
            if asked - self.born[row["id"]] < 59:
                self.wrong(f"given up before a minute of 404s: {shown(row)}")
        # The newer row may have ended in the same commit.
        newer = [*rows.values(), *self.seen.values()]
        if row["exitReason"] == "order_found_late" and not (
            row["id"] in self.given_up
            and any(
                other["symbol"] == row["symbol"] and other["status"] == "open"
                for other in newer
                if other["id"] != row["id"]
            )
        ):
            self.wrong(f"found late without a newer row: {shown(row)}")

    def _has_its_symbol_back(self, before: Row, row: Row, rows: dict[str, Row]) -> bool:
        """Return whether a row found late is open, as the newer one bought nothing."""
        was_open = {
            other["id"]
            for other in self.seen.values()
            if other["symbol"] == row["symbol"] and other["status"] == "open"
        }
        return (
            before["exitReason"] == "order_found_late"
            and (row["status"], row["exitReason"]) == ("open", None)
            and any(
                other not in rows
                or (rows[other]["status"] == "missed" and not rows[other]["shares"])
                for other in was_open
            )
        )

    def _may_post(self, trade_id: str, before: Sequence[Posted]) -> None:
        """Find out whether an order may leave now."""
        row = self.rows().get(trade_id)
        if row is None or row["status"] != "open":
            self.wrong(f"an order leaves without an open row: {trade_id}")
        for posted in before:
            if posted.answered not in {"429", "refused", "not sent"}:
                self.wrong(f"sent again after {posted.answered}: {trade_id}")

    # How it runs.

    def play(self, check: Callable[[World], list[str]]) -> None:
        """Play the story to its end, and check what became of it.

        Args:
            check: Tells what does not agree (yet).

        Raises:
            AssertionError: Something was, or stays, as it must not be.
        """
        # Hypothesis has Trio choose the task that goes first by this alone.
        assert trio_run._ALLOW_DETERMINISTIC_SCHEDULING
        trio_run._r.seed(self._schedule)
        with self._replaced():
            trio.run(self._play, check, clock=MockClock(autojump_threshold=0))
        self._database.close()
        assert not self.faults, "\n".join(self.faults)

    async def _play(self, check: Callable[[World], list[str]]) -> None:
        async with trio.open_nursery() as nursery:
            self.broker = self._make_broker(nursery)
            nursery.start_soon(self._keep_running)
            await trio.sleep(0.1)
            for number, step in enumerate(self.story):
                self.say(f"#{number} {step!r}")
                await self._do(number, step)
            await self._settle(check)
            nursery.cancel_scope.cancel()

    async def _settle(self, check: Callable[[World], list[str]]) -> None:
        self.say("no more faults")
        self._armed = None
        self._refuses_until = self.store.full_until = -math.inf
        self.broker.unreachable_until = -math.inf
        for problem in await until_agreed(
            lambda: self._unfinished() or check(self),
            within=SETTLE_SECONDS,
            has_failed=lambda: bool(self.faults),
        ):
            self.wrong(problem)

    def _unfinished(self) -> list[str]:
        daemon = self.daemon
        if daemon is None or daemon.wings.intake.phase is not Phase.TAKING:
            return ["the daemon does not take signals"]
        if self.broker.busy:
            return ["the broker is not done"]
        orders, ledger = daemon.wings.orders.status(), daemon.wings.ledger.status()
        if orders.in_flight or orders.pending:
            return ["orders are still under way"]
        if ledger.pending or not ledger.healthy:
            return ["the writer is not done"]
        return []

    async def _keep_running(self) -> None:
        """Start the daemon again each time that it has ended, as systemd would."""
        while True:
            await self._run_once()
            await trio.sleep(self._down)
            self._down = 0.0

    async def _run_once(self) -> None:
        run = Run(number=len(self.runs) + 1)
        self.runs.append(run)
        self.say(f"the daemon starts ({run.number})")
        self.store.forget_tallies()
        with run.scope:
            try:
                with self._built_for(run):
                    self.daemon = app.Daemon(
                        Opened(
                            live=live_settings(self.settings),
                            clock=self.clock,
                            ledger=Ledger(
                                self.store, path=Path("memory"), clock=self.clock
                            ),
                            listener=cast("Any", None),
                            systemd=Systemd({}),
                            report=_Report(self, run),
                        )
                    )
                await self.daemon.run()
            except* (PowerCutError, trio.ClosedResourceError):
                # The writer may die in an order's step, and the next order meet that.
                assert run.crashed
        is_lease_lost = self.daemon is not None and self.daemon.stages.is_lease_lost
        self.daemon = None
        run.over.set()
        self.store.rollback()
        if not run.crashed and not run.stopping and not is_lease_lost:
            self.wrong("the daemon ended by itself")
        self.say("the daemon is gone")

    @contextmanager
    def _built_for(self, run: Run) -> Iterator[None]:
        """Let the daemon build itself with the model's parts."""
        with ExitStack() as stack:
            for name, part in self._parts(run).items():
                stack.enter_context(mock.patch.object(app, name, part))
            yield

    @contextmanager
    def _replaced(self) -> Iterator[None]:
        """Replace what the modules of the daemon reach for outside of it."""
        with replaced([*self._own_parts(), *self._common_parts(), *_log_to(self)]):
            yield

    def _own_parts(self) -> list[tuple[object, str, Any]]:
        """Return what is this world's own in a module of the daemon's."""
        return [
            (Committer, "with_patience", self._commit_with_patience()),
            (Committer, "_began", self._commit_began()),
            (Committer, "_ended", self._commit_ended()),
            (connection_module, "_dial", self._dial),
            (Rereader, "read", self._read_settings),
            (Ledger, "_changed_at", lambda _ledger: self._committed_at),
        ]

    def _common_parts(self) -> list[tuple[object, str, Any]]:
        """Return what is alike in every world."""
        ids = SimpleNamespace(
            uuid4=lambda: SimpleNamespace(hex=f"{next(self._numbers):032x}")
        )
        # Half of the stories write from the event loop, half in a thread.
        slow_seconds = math.inf if self._schedule % 2 else 0.0
        # A loaded machine must not make another story of it.
        ticks = SimpleNamespace(perf_counter=lambda: next(self._numbers) * 1e-6)
        return [
            (commits_module, "_SLOW_SECONDS", slow_seconds),
            (commits_module, "time", ticks),
            (Worker, "begin", lambda _worker, job: job.work()),  # in place
            (connection_module, "wrap_client_stream", _wrap),
            (rows_module, "uuid", ids),
            (Ledger, "check", _no_file),
        ]

    def _commit_with_patience(self) -> Callable[[Committer, Batch], Any]:
        async def with_patience(committer: Committer, batch: Batch) -> Any:  # noqa: ANN401
            """Do what the writer's thread does, in place, unless the power is cut."""
            run = self.runs[-1]
            self._come_to("commit begins")
            with trio.CancelScope(shield=True), trio.move_on_after(COMMIT_SECONDS):
                await run.dead.wait()
            if run.crashed:
                raise PowerCutError
            reports = committer._commit(batch, committer._apply(batch))
            self._commit_done(run)
            return reports

        return with_patience

    async def _read_settings(self) -> Reread:
        return Reread(self.settings, b"", open_secrets="")

    def _commit_began(self) -> Callable[[Committer, Batch], bool]:
        original = Committer._began

        def began(committer: Committer, batch: Batch) -> bool:
            self._come_to("commit begins")
            if self.runs[-1].crashed:
                raise PowerCutError
            return original(committer, batch)

        return began

    def _commit_ended(self) -> Callable[[Committer, Batch], Any]:
        original = Committer._ended

        def ended(committer: Committer, batch: Batch) -> Any:  # noqa: ANN401
            run, reports = self.runs[-1], original(committer, batch)
            if reports is not None:
                self._commit_done(run)
            return reports

        return ended

    def _commit_done(self, run: Run) -> None:
        self._committed()
        self._come_to("commit done")
        if run.crashed:
            raise PowerCutError

    async def _dial(self, url: SplitResult, _tls: object) -> trio.abc.Stream:
        await trio.sleep(0.01)
        mode: Mode = "paper" if "paper" in url.netloc else "live"
        account = self.broker.accounts[mode]
        if trio.current_time() < self._refuses_until and not self._crowded:
            raise OSError("connection refused")
        for other in self.broker.accounts.values():
            if other.connection is not None and other.connection.is_open:
                self.wrong("a second stream is opened beside the first")
        connection = Connection(mode, partial(self._come_to, "event delivered"))
        if trio.current_time() < self._refuses_until:
            connection.close()
        account.connection = connection
        return _Plug(connection)

    # What happens to it.

    def _come_to(self, point: Point) -> None:
        armed = self._armed
        if armed is None or armed.point != point:
            return
        self._armed_left -= 1
        if self._armed_left == 0:
            self._armed = None
            self._crash(f"killed at: {point}", armed.down)

    def _crash(self, why: str, down: float) -> None:
        run = self.runs[-1]
        if run.over.is_set() or run.crashed:
            return
        self.say(why)
        self._down = down
        run.dead.set()
        run.scope.cancel(reason=why)

    async def _do(self, number: int, step: Step) -> None:  # noqa: PLR0912 - a table
        match step:
            case Wait():
                await trio.sleep(step.seconds)
            case Send():
                self._send(number, step)
            case Crash():
                self._crash("killed", step.down)
                await self.runs[-1].over.wait()
            case CrashAt():
                self._armed, self._armed_left = step, step.nth
            case Stop():
                await self._stop(step.down)
            case Switch():
                await self._reload(mode=step.mode)
                self._come_to("mode switches")
            case Bot():
                bot = self.settings.bot.model_copy(update={"state": step.state})
                await self._reload(bot=bot)
            case NewKeys():
                key = SecretStr(f"PK{number}")
                alpaca = self.settings.alpaca.model_copy(update={"api_key": key})
                await self._reload(alpaca=alpaca)
            case StreamDrops():
                self._drop()
            case StreamStarves():
                for connection in self._connections():
                    connection.fed, connection.pongs = False, step.pongs
            case StreamRefuses():
                self._refuses_until = trio.current_time() + step.seconds
                self._crowded = step.crowded
                self._drop()
            case RestUnreachable():
                self.broker.unreachable_until = trio.current_time() + step.seconds
            case DiskFull():
                self.store.full_until = trio.current_time() + step.seconds
            case UserCancels():
                self.broker.cancel(step.symbol)
            case MonitorSells():
                self._sell(step.symbol)
            case _:
                raise AssertionError(step)

    def _send(self, number: int, step: Send) -> None:
        if self.daemon is None or self.runs[-1].crashed:
            self.say("  nobody listens")
            return
        fields = {
            "symbol": step.symbol,
            "catalystCategory": "news",
            "catalystTier": 4,
            "aiConfidence": {5: "high", 3: "low", 0: None}[step.stars],
            "priceAtSignal": FIRST_PRICE + number,
            "id": step.id,
        }
        answer = self.daemon.wings.intake.take(
            json.dumps(fields).encode(), read_at=trio.current_time()
        )
        self.say(f"  {answer.status}")
        if answer.sequence is not None:
            self.runs[-1].taken[answer.sequence] = number

    async def _stop(self, down: float) -> None:
        run = self.runs[-1]
        if self.daemon is None or run.over.is_set():
            return
        run.stopping = True
        self._down = down
        self.daemon.stages.stop(why="SIGTERM", seconds=10.0)
        await run.over.wait()

    async def _reload(self, **changes: object) -> None:
        self.settings = self.settings.model_copy(update=changes)
        is_dead = self.runs[-1].dead.is_set()  # it reads nothing
        if self.daemon is not None and not is_dead:
            await self.daemon.operations.reload()

    def _connections(self) -> list[Connection]:
        found = [account.connection for account in self.broker.accounts.values()]
        return [c for c in found if c is not None and c.is_open]

    def _drop(self) -> None:
        for connection in self._connections():
            connection.close()

    def _sell(self, symbol: str) -> None:
        """Close a row as a position monitor does, and sell what it holds."""
        for row in self.rows().values():
            if (
                row["symbol"] == symbol
                and row["status"] == "open"
                and row["shares"] is not None
            ):
                self._database.execute(
                    "UPDATE BotTrade SET status = 'closed', exitReason = 'take_profit',"
                    " exitPrice = 1, exitAt = createdAt WHERE id = ?",
                    [row["id"]],
                )
                order = self.broker.accounts[row["mode"]].orders[row["id"]]
                order.sold = True
                self.sold.add(row["id"])
                self.seen = self.rows()
                self.say("sold: " + shown(self.seen[row["id"]]))


@contextmanager
def replaced(parts: Sequence[tuple[object, str, Any]]) -> Iterator[None]:
    """Put parts in the place of others, and log anew."""
    with ExitStack() as stack:
        for place, name, part in parts:
            stack.enter_context(mock.patch.object(place, name, part))
        logging.Logger.manager._clear_cache()  # type: ignore[attr-defined]
        yield
    logging.Logger.manager._clear_cache()  # type: ignore[attr-defined]


def _log_to(world: World) -> list[tuple[object, str, Any]]:
    root = logging.getLogger()
    return [(root, "handlers", [_LogLines(world)]), (root, "level", logging.WARNING)]


def shown(row: Row) -> str:
    """Show a row in a line."""
    told = [row["symbol"], row["mode"], row["status"], row["exitReason"]]
    told += [row["alpacaOrderId"], f"signal {row['signalId']}"]
    if row["priceAtSignal"] is not None:  # as it is in a row that was rebuilt
        told += [f"#{row['priceAtSignal'] - FIRST_PRICE:.0f}"]
    told += [f"{row['shares']} at {row['entryPrice']}"]
    told += ["final" if row["settledAt"] else None]
    return " ".join(str(part) for part in told if part is not None)


@cache
def _settings(per_minute: int, *, limits: bool) -> Settings:
    return make_settings(
        alpaca={
            "simulate": False,
            "rate_limit_per_min": per_minute,
            "api_key": "PK",
            "api_secret": "s3cr3t",
        },
        intake={"max_pending": 4, "max_in_flight": 3},
        bot={
            "max_concurrent_positions": MAX_POSITIONS,
            "max_orders_per_minute": MAX_A_MINUTE,
            "max_orders_per_day": MAX_A_DAY,
        }
        if limits
        else {},
    )


@cache
def _empty_database() -> bytes:
    with closing(_connect()) as connection:
        _check_and_migrate(
            connection, Path("memory"), simulated=False, clock=cast("Any", _AtZero())
        )
        return connection.serialize()


async def _no_file(_ledger: Ledger) -> None:
    await trio.lowlevel.checkpoint()


class _AtZero(TrioClock):
    def now(self) -> Any:  # noqa: ANN401 - a datetime
        return self._moment


def _new_database() -> sqlite3.Connection:
    connection = _connect()
    connection.deserialize(_empty_database())
    return connection


def _connect() -> sqlite3.Connection:
    connection = sqlite3.connect(
        ":memory:", isolation_level=None, check_same_thread=False
    )
    connection.row_factory = sqlite3.Row
    return connection
