"""One story of several hosts: two daemons with a database each, one broker, one Redis.

Each host is a ``World`` of its own, with its own clock; all are played in one run. Which
of them a task belongs to, its context says.
"""

from __future__ import annotations

import itertools
import json
import logging
import math
import traceback
from dataclasses import dataclass
from functools import cache, partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import trio
from trio._core import _run as trio_run
from trio.testing import MockClock

from snexec.errors import UnknownOutcomeError
from snexec.intake import Phase
from snexec.redis import client as redis_client
from snexec.redis import lease as lease_module
from snexec.redis import lease_key
from snexec.redis.entries import default_id, seconds_of
from tests.fakes import AskedOrder, TrioClock, make_settings
from tests.simulation.host_steps import (
    Add,
    Clocks,
    ClockSet,
    Cut,
    FullDisk,
    HostStep,
    Kill,
    KillAt,
    NoBroker,
    NoRedis,
    Pause,
    PauseAt,
    Quit,
    RedisRestarts,
    SlowRedis,
)
from tests.simulation.model import TIMEOUT_SECONDS, Broker, Connection, Order, _answered
from tests.simulation.pauses import HOST, Pauses, outside
from tests.simulation.redis_model import Line, RedisServer, hold_model_session
from tests.simulation.steps import Wait
from tests.simulation.world import (
    FIRST_PRICE,
    ModelAccounts,
    ModelClient,
    Run,
    World,
    _Plug,
    replaced,
    until_agreed,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from urllib.parse import SplitResult

    from snexec.broker.answers import BrokerOrder
    from snexec.broker.sent import OutgoingOrder, SentOrder
    from snexec.events import Event
    from snexec.ledger.rows import NewTrade
    from snexec.model import Mode
    from snexec.redis.lease import Lease
    from snexec.risk import Active
    from snexec.settings import RedisSettings, Settings
    from tests.simulation.model import Answered
    from tests.simulation.steps import Send, Step

T = TypeVar("T")

LEASE_SECONDS = 10.0
SETTLE_SECONDS = 300.0
_NOTICED_SECONDS = 1.1
_STAYS = {"stopping", "standby"}  # skipped so, a signal may still be traded
_DECIDED = {"placed", "refused", "fill", "partial_fill", "rejected", "settled"}


class _Later(Generic[T]):
    """What is known once somebody else has found it out."""

    def __init__(self) -> None:
        self._there = trio.Event()
        self._value: T | None = None
        self._error: Exception | None = None

    def give(self, value: T | None = None, error: Exception | None = None) -> None:
        self._value, self._error = value, error
        self._there.set()

    async def wait(self) -> T:
        await self._there.wait()
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]


@dataclass(eq=False, kw_only=True)
class Sent:
    """A request for an order that has left a host, and what that was told."""

    host: Host
    run: Run
    trade_id: str
    answered: Answered | None = None


class HostClient(ModelClient):
    """What a host asks the broker through, if it can."""

    def __init__(self, *args: Any, **more: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **more)
        self._host: Host = HOST.get()

    def renew_connections(self) -> None:
        pass

    def send_order(self, order: OutgoingOrder) -> SentOrder:
        order.left()
        if self._run.crashed:
            return AskedOrder(trio.sleep_forever, order)  # the dead do not speak
        host = self._host
        sent = host.order_leaves(self._run, order.client_order_id)
        post = partial(
            self._broker.post,
            *(self.mode, order.symbol, str(order.notional), order.client_order_id),
        )
        answer: _Later[BrokerOrder] = _Later()
        # What has left goes on, whatever stands still here.
        outside(host.site.nursery, self._carry, post, sent, answer)
        return AskedOrder(partial(self._answer_to, answer), order)

    async def _carry(
        self,
        post: Callable[[], Awaitable[BrokerOrder]],
        sent: Sent,
        answer: _Later[BrokerOrder],
    ) -> None:
        try:
            order = await self._through(post)
        except Exception as exc:  # noqa: BLE001 - raised by whoever asks
            sent.answered = _answered(exc)  # type: ignore[arg-type]
            answer.give(error=exc)
        else:
            sent.answered = "accepted"
            answer.give(order)

    async def _answer_to(self, answer: _Later[BrokerOrder]) -> BrokerOrder:
        self.sent_at.append(trio.current_time())
        try:
            return await answer.wait()
        finally:
            self.budget.finish(None)

    async def _ask(self, request: Callable[[], Awaitable[T]]) -> T:
        return await super()._ask(partial(self._through, request))

    async def _through(self, request: Callable[[], Awaitable[T]]) -> T:
        """Ask, unless the way is cut, on which a request or its answer is lost."""
        if not self._host.is_cut_from_broker():
            answer = await request()
            if not self._host.is_cut_from_broker():
                return answer
        await trio.sleep(TIMEOUT_SECONDS)
        raise UnknownOutcomeError("no answer within 10 s")


class HostAccounts(ModelAccounts):
    client = HostClient


class SharedBroker(Broker):
    """The account that all hosts share.

    Attributes:
        accepted: Called with each order that it takes.
    """

    accepted: Callable[[Order], None]

    def _accept(
        self, mode: Mode, symbol: str, notional: str, client_order_id: str
    ) -> Order:
        order = super()._accept(mode, symbol, notional, client_order_id)
        self.accepted(order)
        return order


class Host(World):
    """One of the machines.

    Attributes:
        site: What it shares with the others.
        name: As a consumer.
        line: Its way to Redis.
    """

    def __init__(self, site: Site, name: str, *, ahead: float, schedule: int) -> None:
        self.site = site
        self.name = name
        self.line = Line()
        self._ahead = ahead
        self._no_broker_until = -math.inf
        self._set_back_at = -math.inf
        self._plan: KillAt | PauseAt | None = None
        self._plan_left = 0
        self._gaps: list[
            tuple[float, float]
        ] = []  # the end of each, and how long it was
        self._naps = 0
        self._woke_at = -math.inf
        self._goes_on = trio.Event()
        super().__init__(site.story, schedule=schedule)

    def _settings(self, per_minute: int) -> Settings:
        return _settings(self.name, per_minute, self.site.max_age)

    def _clock(self) -> TrioClock:
        return TrioClock(ahead=self._ahead)

    def _parts(self, run: Run) -> dict[str, Any]:
        mine = partial(HostAccounts, broker=self.broker, run=run)
        return super()._parts(run) | {"Accounts": mine}

    def step_of(self, _run: Run, trade: NewTrade, _sequence: int) -> Send:
        step = self.story[round(trade.price_at_signal - FIRST_PRICE)]
        assert isinstance(step, Add)
        return step

    # How it is.

    @property
    def redis(self) -> RedisSettings:
        assert self.settings.redis is not None
        return self.settings.redis

    @property
    def run(self) -> Run:
        return self.runs[-1]

    def is_active(self) -> bool:
        """Return whether it says so itself."""
        lease = self.lease()
        return lease is not None and lease.state == "active"

    def lease(self) -> Lease | None:
        if self.daemon is None or self.run.crashed:
            return None
        assert self.daemon.wings.redis is not None
        return self.daemon.wings.redis.lease

    def may_order(self) -> bool:
        """Return whether nothing would keep an order from leaving now."""
        active = self._deadline()
        return active is not None and not active.is_over()

    def _deadline(self) -> Active | None:
        if self.daemon is None or self.run.crashed:
            return None
        return self.daemon.wings.halt._active

    def is_cut_from_broker(self) -> bool:
        return trio.current_time() < self._no_broker_until

    def stands_still(self) -> bool:
        return self.site.pauses.stands_still(self)

    def say(self, text: str) -> None:
        self.site.say(f"{self.name}: {text}")

    def wrong(self, text: str) -> None:
        self.site.wrong(f"{self.name}: {text}")

    def happened(self, run: Run, event: Event) -> None:
        super().happened(run, event)
        if run.crashed or event.signal_id is None:
            return
        if event.reason == "stale" and not self._is_stale(event.signal_id):
            self.wrong(f"signal {event.signal_id} is young, and counts as stale")
        if event.event == "skipped" and event.reason not in {*_STAYS, "repeated"}:
            self.site.unwanted.add(event.signal_id)
        if event.event in _DECIDED or (
            event.event == "skipped" and event.reason not in _STAYS
        ):
            self.site.decided.add(event.signal_id)

    def _is_stale(self, signal_id: str) -> bool:
        """Return whether an entry is old by this host's clock, or from before a gap."""
        now, longest = self.clock.now().timestamp(), self.site.max_age
        since = max((end for end, long in self._gaps if long > longest), default=None)
        return any(
            now - seconds_of(name) > longest
            or (since is not None and entry.added_at <= since)
            for name, entry in self.site.entered.items()
            if entry.signal_id == signal_id
        )

    def order_leaves(self, run: Run, trade_id: str) -> Sent:
        """Find out whether an order may leave now."""
        row = self.rows().get(trade_id)
        if row is None or row["status"] != "open":
            self.wrong(f"an order leaves without an open row: {trade_id}")
        for sent in self.site.sent:
            # What the last run has sent, this one does not know.
            is_same = sent.run is run and sent.trade_id == trade_id
            if is_same and sent.answered not in {"429", "refused", "not sent"}:
                self.wrong(f"sent again after {sent.answered}: {trade_id}")
        if run is not self.run or not self.may_order():
            self.wrong("an order leaves after its deadline")
        now, signal_id = self.clock.now().timestamp(), row and row["signalId"]
        times = [
            seconds_of(name)
            for name, entry in self.site.entered.items()
            if entry.signal_id == signal_id
        ]
        if now - max(times) > self.site.max_age + _NOTICED_SECONDS:
            self.wrong(f"an order leaves for an old signal: {signal_id}")
        lease = self.lease()
        if lease is not None:
            self.site.order_leaves(self, lease._value)
        sent = Sent(host=self, run=run, trade_id=trade_id)
        self.site.sent.append(sent)
        return sent

    # How it runs.

    async def keep_running(self) -> None:
        HOST.set(self)
        await self._keep_running()

    async def _dial(self, url: SplitResult, _tls: object) -> trio.abc.Stream:
        await trio.sleep(0.01)
        if self.is_cut_from_broker():
            await trio.sleep(TIMEOUT_SECONDS)
            raise OSError("connection timed out")
        account = self.broker.accounts["paper"]
        assert "paper" in url.netloc
        # That a pause was past the lease is noticed within a second, if no clock but the
        # wall's counts it; orders look at that clock themselves.
        if not self.is_active() and not self.just_woke():
            self.wrong("a stream is opened by one that is not active")
        if account.connection is not None and account.connection.is_open:
            other = self.site.connected
            away = [
                each for each in (self, other) if each is not None and each.is_away()
            ]
            if not away:
                self.wrong("a second stream is opened beside the first")
            account.connection.close()  # the broker has noticed by now
        self.site.connected = self
        account.connection = Connection(
            "paper", partial(self._come_to, "event delivered")
        )
        return _Plug(account.connection)

    def just_woke(self) -> bool:
        """Return whether it may not know yet for how long it stood still."""
        return trio.current_time() - self._woke_at < _NOTICED_SECONDS

    def is_away(self) -> bool:
        """Return whether its stream may have ended without its knowing."""
        was_cut = trio.current_time() < self._no_broker_until + 60.0
        return was_cut or self.stands_still() or self.just_woke()

    def come_to(self, point: Any) -> None:  # noqa: ANN401 - of either kind
        self._come_to(point)

    def _come_to(self, point: Any) -> None:  # noqa: ANN401 - of either kind
        plan = self._plan
        if plan is None or plan.point != point:
            return
        self._plan_left -= 1
        if self._plan_left:
            return
        self._plan = None
        if isinstance(plan, KillAt):
            self._crash(f"killed at: {point}", plan.down)
        else:
            self.pause(plan.seconds, why=point, counted=plan.counted)

    def pause(self, seconds: float, *, counted: bool, why: str = "") -> None:
        """Stand still for a while."""
        run = self.run
        if run.over.is_set() or run.crashed or self.stands_still():
            return
        # Nothing of a machine knows of a pause that its clocks do not show.
        if trio.current_time() - self._set_back_at < LEASE_SECONDS:
            counted = True
        self.say(f"stands still {why}".rstrip())
        self.site.pauses.stop(self, uncounted=0.0 if counted else seconds)
        self._naps += 1
        outside(self.site.nursery, self._wake_after, self._naps, seconds, counted)

    async def _wake_after(self, nap: int, seconds: float, counted: bool) -> None:
        began = trio.current_time()
        await trio.sleep(seconds)
        if nap == self._naps and self.stands_still():
            self._gaps.append((trio.current_time(), seconds))
            deadline, lease = self._deadline(), self.lease()
            if not counted and deadline is not None and lease is not None:
                stood = trio.current_time() - began
                deadline.until += stood
                lease._not_before += stood
            self.say("goes on")
            self._go_on()

    def _go_on(self) -> None:
        self._naps += 1
        self._woke_at = trio.current_time()
        self.site.pauses.go_on(self)
        self._goes_on.set()

    async def wait_awake(self) -> None:
        """Wait until it does not stand still."""
        while self.stands_still():
            self._goes_on = trio.Event()
            await self._goes_on.wait()

    def _crash(self, why: str, down: float) -> None:
        super()._crash(why, down)
        self._go_on()  # only to end

    async def do(self, step: HostStep) -> None:  # noqa: PLR0912 - a table
        until = trio.current_time()
        match step:
            case Kill():
                self._crash("killed", step.down)
                await self.run.over.wait()
            case Quit():
                await self.wait_awake()  # which is when it hears of it
                await self._stop(step.down)
            case KillAt() | PauseAt():
                self._plan, self._plan_left = step, step.nth
            case Pause():
                self.pause(step.seconds, counted=step.counted)
            case NoRedis() if step.deaf:
                self.line.deaf_until = until + step.seconds
            case NoRedis():
                self.line.cut_until = until + step.seconds
            case SlowRedis():
                self.line.slow_until = until + step.seconds
                self.line.slow_seconds = step.each
            case NoBroker() | Cut():
                self._cut_from_broker(step.seconds)
                if isinstance(step, Cut):
                    self.line.cut_until = until + step.seconds
            case ClockSet():
                if step.seconds < 0:
                    self._set_back_at = trio.current_time()
                self.clock.put_ahead(step.seconds)
                # Nobody can tell it from a gap, which is noticed within a second.
                self._gaps.append((until + _NOTICED_SECONDS, step.seconds))
                # By that clock rows are older now, and it is the one for waits.
                for name in self.born:
                    self.born[name] -= max(step.seconds, 0.0)
            case FullDisk():
                self.store.full_until = until + step.seconds
            case _:
                raise AssertionError(step)

    def _cut_from_broker(self, seconds: float) -> None:
        self._no_broker_until = trio.current_time() + seconds
        if self.site.connected is self:
            for connection in self._connections():
                connection.fed = connection.pongs = False

    def mend(self) -> None:
        """Have nothing fail any more."""
        self._plan = None
        self.line.cut_until = self.line.deaf_until = -math.inf
        self.line.slow_until = self._no_broker_until = -math.inf
        self.store.full_until = -math.inf

    def unfinished(self) -> list[str]:
        return self._unfinished()


@dataclass(slots=True)
class Entered:
    """An entry that was added."""

    step: int
    signal_id: str
    is_invalid: bool
    added_at: float


class Site:
    """All hosts, and what they share.

    Attributes:
        story: What happens, step by step.
        said: The story as it went, with times.
        faults: What must never be, and was.
        decided: The ids of signals of which a feed said what became of them.
        unwanted: The ids of signals that some host had a reason not to trade.
        sent: Every request for an order.
        entered: Every entry, by its id.
        connected: Whose trading stream was opened last.

    Args:
        story: What happens.
        clocks: How clocks differ.
        schedule: The seed of which task goes first where several can.
        max_age: Seconds that a signal may be old.
    """

    def __init__(
        self,
        story: Sequence[Step],
        *,
        clocks: Clocks | None = None,
        schedule: int = 0,
        max_age: float = 3600.0,
    ) -> None:
        self.story = story
        self.clocks = clocks or Clocks()
        self.max_age = max_age
        self.said: list[str] = []
        self.faults: list[str] = []
        self.decided: set[str] = set()
        self.unwanted: set[str] = set()
        self.sent: list[Sent] = []
        self.entered: dict[str, Entered] = {}
        self.pauses = Pauses()
        self.connected: Host | None = None
        self._schedule = schedule
        self.hosts = [
            Host(self, "a", ahead=self.clocks.a, schedule=schedule),
            Host(self, "b", ahead=self.clocks.b, schedule=schedule),
        ]
        self._leased = ""
        self._leased_term = 0

    def say(self, text: str) -> None:
        self.said.append(f"{trio.current_time():9.3f}  {text}")

    def wrong(self, text: str) -> None:
        self.say(f"!! {text}")
        self.faults.append(text)

    def active(self) -> Host | None:
        """Return the one that is active, if one is."""
        found = [host for host in self.hosts if host.is_active()]
        return found[0] if len(found) == 1 else None

    # What must never be.

    def _lease_taken(self, key: str, value: str) -> None:
        """Look, as somebody takes the lease or keeps it, whether others know better."""
        assert key == lease_key(self.hosts[0].redis)
        self._leased_term = self.server.term
        if value == self._leased:
            return
        self.say(f"the lease is taken: {value}")
        self._leased = value
        for host in self.hosts:
            lease = host.lease()
            if lease is not None and lease._value != value and host.may_order():
                self.wrong(f"{host.name} may still order as {value} takes the lease")

    def order_leaves(self, host: Host, value: str) -> None:
        """Look whether the lease may be another's by now."""
        server = self.server
        if self._leased != value:
            self.wrong(f"{host.name} orders, and the lease is {self._leased}'s")
        is_known = server.is_up and server.term == self._leased_term
        if is_known and server.get(lease_key(host.redis)) != value:
            self.wrong(f"{host.name} orders, and its lease has ended")

    def _accepted(self, order: Order) -> None:
        """Look whether the account has another order that holds its symbol."""
        for other in self.broker.orders():
            if other is order or other.symbol != order.symbol:
                continue
            if not other.is_final or other.bought_in_all:
                self.wrong(f"{order.id} is one too many of {order.symbol}: {other.id}")
            if other.step is order.step:
                self.wrong(f"{order.id} is for the same signal as {other.id}")

    def _acknowledging(self, key: str, ids: Sequence[str]) -> None:
        """Look whether what is acknowledged is decided."""
        redis = self.hosts[0].redis
        assert key == redis.stream
        dead = {
            value.decode()
            for entry in self.server.entries(redis.dead)
            for name, value in entry.fields
            if name == b"entry"
        }
        for each in ids:
            entry = self.entered[each]
            if each in dead:
                continue
            if entry.is_invalid:
                self.wrong(f"#{entry.step} is no signal, and not in the dead stream")
            elif entry.signal_id not in self.decided and not (
                self._waits(entry, ids) or self._was_forgotten(entry)
            ):
                self.wrong(f"#{entry.step} is acknowledged, and nothing became of it")

    def _was_forgotten(self, entry: Entered) -> bool:
        """Return whether it repeats an earlier one that Redis has lost."""
        left = {each.id for each in self.server.entries(self.hosts[0].redis.stream)}
        return any(
            other.signal_id == entry.signal_id and other.added_at <= entry.added_at
            for name, other in self.entered.items()
            if name not in left and other is not entry
        )

    def _waits(self, entry: Entered, besides: Sequence[str]) -> bool:
        """Return whether the same signal is still in another entry."""
        redis = self.hosts[0].redis
        pending = self.server.pending(redis.stream, redis.group, "-", 10_000)
        return any(
            self.entered[each.id].signal_id == entry.signal_id
            for each in pending
            if each.id not in besides
        )

    # How it runs.

    def play(self, check: Callable[[Site], list[str]]) -> None:
        """Play the story to its end, and check what became of it.

        Raises:
            AssertionError: Something was, or stays, as it must not be.
        """
        assert trio_run._ALLOW_DETERMINISTIC_SCHEDULING
        trio_run._r.seed(self._schedule)
        clock = MockClock(autojump_threshold=0)
        with replaced(self._replacements()):
            trio.run(self._play, check, clock=clock, instruments=[self.pauses])
        for host in self.hosts:
            host._database.close()
        assert not self.faults, "\n".join(self.faults)

    def _replacements(self) -> list[tuple[object, str, Any]]:
        root, numbers = logging.getLogger(), itertools.count(1)
        own = [host._own_parts() for host in self.hosts]
        parts = [
            (place, name, _of_the_host([parts[at][2] for parts in own], self.hosts))
            for at, (place, name, _part) in enumerate(own[0])
        ]
        return [
            *parts,
            *self.hosts[0]._common_parts(),
            (redis_client, "hold_session", self._hold_session),
            (
                lease_module,
                "secrets",
                SimpleNamespace(token_hex=lambda _size: str(next(numbers))),
            ),
            (root, "handlers", [_LogLines(self)]),
            (root, "level", logging.WARNING),
        ]

    async def _hold_session(
        self,
        _address: object,
        _tls: object,
        speak: Any,  # noqa: ANN401
        **more: Any,  # noqa: ANN401
    ) -> None:
        host: Host = HOST.get()
        run = host.run
        await hold_model_session(
            *(self.server, host.line, host.come_to, speak),
            is_dead=lambda: run.crashed,
            **more,
        )

    async def _play(self, check: Callable[[Site], list[str]]) -> None:
        async with trio.open_nursery() as self.nursery:
            nursery = self.nursery
            self.server = RedisServer(
                nursery, rate=self.clocks.rate, ahead=self.clocks.redis
            )
            self.server.grow_old(3600)
            self.server.remembers_seconds = max(
                step.lost if step.lost < math.inf else 0.0
                for step in [RedisRestarts(), *self.story]
                if isinstance(step, RedisRestarts)
            )
            self.server.acknowledging = self._acknowledging
            self.server.leased = self._lease_taken
            self.broker = SharedBroker(
                nursery=nursery,
                say=self.say,
                come_to=_come_to_of_the_host,
                may_post=lambda *_: None,
            )
            self.broker.accepted = self._accepted
            for host in self.hosts:
                host.broker = self.broker
                nursery.start_soon(host.keep_running)
            await trio.sleep(0.2)
            for number, step in enumerate(self.story):
                self.say(f"#{number} {step!r}")
                await self._do(number, step)
            await self._settle(check)
            nursery.cancel_scope.cancel()

    async def _do(self, number: int, step: Step) -> None:
        match step:
            case Wait():
                await trio.sleep(step.seconds)
            case Add():
                self._add(number, step)
            case RedisRestarts():
                if self.server.is_up:
                    self.server.stop()
                    outside(self.nursery, self._start_redis, step)
            case HostStep():
                [host] = [each for each in self.hosts if each.name == step.host]
                await host.do(step)
            case _:
                raise AssertionError(step)

    async def _start_redis(self, step: RedisRestarts) -> None:
        await trio.sleep(step.down)
        if not self.server.is_up:
            self.say("Redis starts again")
            self.server.start(lost_seconds=step.lost)

    def _add(self, number: int, step: Add) -> None:
        if not self.server.is_up:
            self.say("  Redis is away")  # and its producer would say so
            return
        stream = self.hosts[0].redis.stream
        entry_id = self.server.add(stream, _fields(number, step))
        signal_id = step.id
        if step.form == "no id" or signal_id is None:
            signal_id = default_id(stream, entry_id)
        is_invalid = step.form in {"not JSON", "no symbol"}
        self.entered[entry_id] = Entered(
            number, signal_id, is_invalid, added_at=trio.current_time()
        )

    async def _settle(self, check: Callable[[Site], list[str]]) -> None:
        self.say("no more faults")
        if not self.server.is_up:
            self.server.start()
        for host in self.hosts:
            host.mend()
            await host.wait_awake()
        for problem in await until_agreed(
            lambda: self._unfinished() or check(self),
            within=SETTLE_SECONDS,
            has_failed=lambda: bool(self.faults),
        ):
            self.wrong(problem)

    def _unfinished(self) -> list[str]:
        active = self.active()
        if active is None:
            return ["no one host is active"]
        for host in self.hosts:
            phase = host.daemon and host.daemon.wings.intake.phase
            if host is not active and phase is not Phase.STANDBY:
                return [f"{host.name} does not stand by"]
        redis = active.redis
        status = self.server.status(redis.stream, redis.group)
        if status.pending or status.lag:
            return [f"entries are left: {status}"]
        return active.unfinished()


class _LogLines(logging.Handler):
    """Notes warnings in the story; an error with a traceback is a fault."""

    def __init__(self, site: Site) -> None:
        super().__init__(logging.WARNING)
        self._site = site

    def emit(self, record: logging.LogRecord) -> None:
        host: Host | None = HOST.get()
        where = self._site if host is None else host
        if host is not None and host.run.crashed:
            return  # how the tasks of a killed process end is no matter
        where.say(f"  [{record.name}] {record.getMessage()}")
        if record.exc_info:
            shown = "".join(traceback.format_exception(record.exc_info[1]))
            where.wrong(f"{record.getMessage()}\n{shown}")


def _of_the_host(parts: list[Any], hosts: list[Host]) -> Any:  # noqa: ANN401
    """Return what does as the part of the host does whose task it is."""

    def part(*args: Any) -> Any:  # noqa: ANN401
        return parts[hosts.index(HOST.get())](*args)

    return part


def _come_to_of_the_host(point: Any) -> None:  # noqa: ANN401
    host: Host | None = HOST.get()
    if host is not None:
        host.come_to(point)


def _fields(number: int, step: Add) -> list[tuple[bytes, bytes]]:
    confidence = {5: "high", 3: "low", 0: None}[step.stars]
    fields: dict[str, Any] = {
        "symbol": step.symbol,
        "catalystCategory": "news",
        "catalystTier": 4,
        "aiConfidence": confidence,
        "priceAtSignal": FIRST_PRICE + number,
        "id": step.id,
    }
    match step.form:
        case "no id":
            del fields["id"]
        case "no symbol":
            del fields["symbol"]
        case "not JSON":
            return [(b"signal", b"{")]
        case "fields":
            return [
                (name.encode(), str("" if value is None else value).encode())
                for name, value in fields.items()
            ]
        case _:
            pass
    return [(b"signal", json.dumps(fields).encode())]


@cache
def _settings(name: str, per_minute: int, max_age: float) -> Settings:
    return make_settings(
        alpaca={
            "simulate": False,
            "rate_limit_per_min": per_minute,
            "api_key": "PK",
            "api_secret": "s3cr3t",
        },
        intake={"max_pending": 8, "max_in_flight": 3, "max_signal_age_sec": max_age},
        redis={
            "url": "redis://127.0.0.1:1/0",
            "consumer": name,
            "lease_sec": LEASE_SECONDS,
            "results": "snexec:results",
        },
    )
