"""Two daemons on two databases, one account, one stream: killed, paused, cut off."""

from __future__ import annotations

import collections
import math
import os
import random
import re
import signal
import time
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from snexec.exchange.settings import ExchangeSettings
from tests.crash.victim import NO_STEP, REDIS_STEPS, STEPS
from tests.redis.hosts import LEASE_KEY, STREAM, Host, Site, site

if TYPE_CHECKING:
    from collections.abc import Sequence

# A slow machine needs a longer one: a host that gets no turn in time stands by.
LEASE_SECONDS = float(os.environ.get("SNEXEC_LEASE_SEC") or 1.5)
_PATIENCE_SECONDS = 60.0  # while nothing changes
_MOST_UNREAD = 50  # entries; then a host that got little time is waited for
_CASH = Decimal(1_000_000_000)
_AOF = ("--appendonly", "yes", "--appendfsync", "always")
# Steps that this story comes by; the modes never change, and no order is unknown.
_NEVER = {
    *("mode switching", "mode switched", "order given up", "row discarded"),
    *("end applied", "partial fill applied", "look-up read"),
}
KILL_STEPS = (*(step for step in STEPS if step not in _NEVER), *REDIS_STEPS)
_CUT_OFF = re.compile(r"Order outcome unknown: (\w+) ")
# A request that is half with the kernel when its host stands still goes on when it wakes.
PAUSE_STEPS = tuple(step for step in KILL_STEPS if step != "POST half sent")


@dataclass
class Figures:
    """What a sweep has done.

    Attributes:
        faults: How often each kind of fault.
        steps: How often a host died or stood still at each step.
        missed: Symbols whose request may have left, and of which the broker knows none.
        failovers: Seconds from a fault of the active host to the next one's first order.
    """

    faults: collections.Counter[str] = field(default_factory=collections.Counter)
    steps: collections.Counter[str] = field(default_factory=collections.Counter)
    failovers: list[float] = field(default_factory=list)
    signals: int = 0
    missed: int = 0
    orders: int = 0

    @property
    def kills(self) -> int:
        """How many hosts died or stood still."""
        return self.faults["killed"] + self.faults["paused"]


class Sweep:
    """Adds signals all the time, and lets hosts fail, until it was often enough."""

    def __init__(self, it: Site, *, seed: int, kills: int, persistent: bool) -> None:
        self.it = it
        self.figures = Figures()
        self._rng = random.Random(seed)  # noqa: S311 - no secret
        self._kills = kills
        self._persistent = persistent
        self._plans: dict[str, tuple[str, str]] = {}
        self._kill_at: dict[str, float] = {}
        self._goes_on: dict[str, float] = {}
        self._steps = [*KILL_STEPS]
        self._rng.shuffle(self._steps)
        self._fault_at: float | None = None
        self._orders_then = 0

    async def run(self) -> list[str]:
        """Do it, and return what is wrong in the end."""
        async with trio.open_nursery() as nursery:
            for host in self.it.hosts:
                await self._start(host)
            nursery.start_soon(self._add_signals)
            nursery.start_soon(self._cut_and_restart)
            nursery.start_soon(self._time_failovers)
            began = time.monotonic()
            while self.figures.kills < self._kills:
                assert time.monotonic() - began < 60 + 30 * self._kills, self.figures
                for host in self.it.hosts:
                    await self._look_after(host)
                await trio.sleep(0.02)
            nursery.cancel_scope.cancel()
        return await self._settle()

    async def _start(self, host: Host) -> None:
        rng = self._rng
        if not self._steps:
            self._steps = [*KILL_STEPS]
            rng.shuffle(self._steps)
        step = self._steps.pop()
        count = rng.choice((1, 1, 1, 2, 3))
        if step in PAUSE_STEPS and rng.random() < 0.3:
            count = -count
        self._plans[host.name] = (step, str(count))
        # Not every step is come by by every host: then it dies wherever it is. Most steps
        # are an active host's, so most have that time once they are active.
        seconds = rng.uniform(4, 14) * LEASE_SECONDS
        self._kill_at[host.name] = time.monotonic() + seconds
        self._goes_on[host.name] = 0.0
        if rng.random() < 0.8:
            self._kill_at[host.name], self._goes_on[host.name] = 0.0, seconds
        await host.start(step, str(count))

    async def _look_after(self, host: Host) -> None:
        """Note what has become of a host; start it again, or wake it."""
        assert host.process is not None
        if host.process.poll() is not None:
            assert host.process.returncode == -signal.SIGKILL, host.log()
            self._note("killed", host)
            await trio.sleep(self._rng.uniform(0, LEASE_SECONDS))
            await self._start(host)
        elif _stands_still(host.process.pid):
            self._note("paused", host)
            await trio.sleep(self._rng.uniform(1.1, 2.5) * LEASE_SECONDS)
            host.process.send_signal(signal.SIGCONT)
            self._plans[host.name] = (NO_STEP, "1")
        elif time.monotonic() <= self._kill_at[host.name]:
            return
        elif self._goes_on[host.name] and not self._is_active(host):
            # Its time begins once it is active; so long it is looked at now and then.
            self._kill_at[host.name] = time.monotonic() + LEASE_SECONDS / 2
        elif seconds := self._goes_on[host.name]:
            self._goes_on[host.name] = 0.0
            self._kill_at[host.name] = time.monotonic() + seconds
        else:
            self._plans[host.name] = ("anywhere", "1")
            self._kill_at[host.name] = math.inf
            host.process.kill()

    def _note(self, kind: str, host: Host) -> None:
        self.figures.faults[kind] += 1
        self.figures.steps[self._plans[host.name][0]] += 1
        if self._is_active(host):
            self._fault_at, self._orders_then = time.monotonic(), len(self.it.orders())

    def _is_active(self, host: Host) -> bool:
        who = self.it.redis.ask_whole("GET", LEASE_KEY) if self._is_up() else b""
        return f"{host.name} ".encode() in who

    def _is_up(self) -> bool:
        return self.it.redis.ask("PING") == b"+PONG"

    async def _time_failovers(self) -> None:
        while True:
            await trio.sleep(0.01)
            at = self._fault_at
            if at is not None and len(self.it.orders()) > self._orders_then:
                self.figures.failovers.append(time.monotonic() - at)
                self._fault_at = None

    async def _add_signals(self) -> None:
        """Add two signals for each symbol, which is to be bought once."""
        rng = self._rng
        number = 0
        later: list[tuple[str, str]] = []
        while True:
            await self._wait_for_readers()
            number += 1
            symbol = f"X{number}"
            self._add(symbol, f"{number}-a")
            kind = rng.random()
            if kind < 0.3:
                self._add(symbol, f"{number}-b")
            elif kind < 0.6:
                later.append((symbol, f"{number}-b"))
            elif kind < 0.8:
                later.append((symbol, f"{number}-a"))  # the same one again
            else:
                self._add(symbol, "")
            while later and rng.random() < 0.4:
                self._add(*later.pop(rng.randrange(len(later))))
            await trio.sleep(rng.uniform(0.02, 0.3))

    async def _wait_for_readers(self) -> None:
        """Wait until the hosts have read most of what there is, as far as is known."""
        while self._is_up() and self.it.lag() > _MOST_UNREAD:  # noqa: ASYNC110 - a server's
            await trio.sleep(0.2)

    def _add(self, symbol: str, signal_id: str) -> None:
        try:
            self.it.add(symbol, **({"id": signal_id} if signal_id else {}))
            self.figures.signals += 1
        except (OSError, AssertionError):
            return  # Redis is away, and a producer would say so

    async def _cut_and_restart(self) -> None:
        """Now and then a line is cut, or Redis killed."""
        rng, it = self._rng, self.it
        while True:
            await trio.sleep(rng.uniform(1.3, 5.3) * LEASE_SECONDS)
            host = rng.choice(it.hosts)
            kind = rng.choice(("redis cut off", "broker cut off", "redis killed"))
            self.figures.faults[kind] += 1
            if kind == "redis killed":
                it.redis.kill()
                await trio.sleep(rng.uniform(0, 1.5 * LEASE_SECONDS))
                await trio.to_thread.run_sync(it.redis.start)
                continue
            line = host.to_redis if kind == "redis cut off" else host.to_broker
            line.cut()
            await trio.sleep(rng.uniform(0.2, 2.5) * LEASE_SECONDS)
            line.mend()

    async def _settle(self) -> list[str]:
        """Have everything go well again, wait until all is decided, and compare."""
        it = self.it
        if not self._is_up():
            await trio.to_thread.run_sync(it.redis.start)
        for host in it.hosts:
            host.to_redis.mend()
            host.to_broker.mend()
            await host.kill()
            await host.start()
        active = await it.active()
        seen, deadline = (-1, -1), math.inf
        while problems := self._problems(active):
            now = len(it.orders()), it.pending()
            if now != seen:
                seen, deadline = now, time.monotonic() + _PATIENCE_SECONDS
            elif time.monotonic() > deadline:
                break
            await trio.sleep(0.2)
            if (await active.status()).get("lease") != "active":
                active = await it.active()
        self.figures.orders = len(it.orders())
        return problems

    def _problems(self, active: Host) -> list[str]:
        it = self.it
        orders = it.orders()
        bought = collections.Counter(order.symbol for order in orders)
        problems = [f"{n} orders of {s}" for s, n in bought.items() if n > 1]
        wanted = set()
        for _entry_id, fields in it.redis.entries(STREAM):
            symbol = fields["signal"].partition('"symbol": "')[2].partition('"')[0]
            wanted.add(symbol)
        # Whether a request that was cut off has left is not known: the host that sent it
        # asks until it gives it up, and sends it no more. What a kill kept from leaving
        # comes again.
        lost = wanted - bought.keys()
        if lost:
            logs = [host.log() for host in it.hosts]
            cut_off = {symbol for log in logs for symbol in _CUT_OFF.findall(log)}
            self.figures.missed = len(lost & cut_off)
            lost -= cut_off
        problems += [f"{symbol} is lost" for symbol in lost]
        rows = {row["id"]: row for row in active.rows()}
        for order in orders:
            row = rows.get(order.client_order_id)
            if row is None:
                problems.append(f"no row of {order.symbol} on {active.name}")
            elif row["status"] != "open" or row["settledAt"] is None:
                problems.append(f"the row of {order.symbol} is {row['status']}")
        if pending := it.pending():
            problems.append(f"{pending} entries are not decided")
        if dead := it.redis.number("XLEN", f"{STREAM}:dead"):
            problems.append(f"{dead} entries are dead")
        return problems


def _stands_still(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] == "T"


async def sweep(
    *, seed: int, kills: int, persistent: bool = True
) -> tuple[list[str], Figures, Sequence[str]]:
    """Run one; return what is wrong, what was done, and the hosts' logs."""
    exchange = ExchangeSettings(
        fill_delay_sec=0.02, partial_fill_ratio=0.0, rate_limit_per_min=1_000_000
    )
    async with site(
        exchange,
        intake={"max_signal_age_sec": 3600.0},
        words=_AOF if persistent else (),
        lease_sec=LEASE_SECONDS,
        max_deliveries=1000,
    ) as it:
        running = Sweep(it, seed=seed, kills=kills, persistent=persistent)
        it.broker.paper.set_cash(_CASH)
        problems = await running.run()
        return problems, running.figures, [host.log() for host in it.hosts]
