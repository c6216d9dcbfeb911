"""Behind Sentinel, at an address that follows the master: what the README says to do.

::

    SNEXEC_FAILOVERS=20 python -m pytest -n 0 -m soak -s tests/integration/test_sentinel.py
"""

from __future__ import annotations

import collections
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from snexec.exchange.settings import ExchangeSettings
from tests.redis.hosts import STREAM, Site, site
from tests.redis.sentinels import HAPROXY, needs_haproxy, running_sentinels

if TYPE_CHECKING:
    from tests.redis.sentinels import Sentinels
    from tests.redis.server import Server

_FAILOVERS = 4
_PATIENCE_SECONDS = 120.0
_README = Path(__file__).parents[2] / "README.md"


def test_the_readme_has_the_configuration_that_is_tested_here() -> None:
    said = {line.strip() for line in _README.read_text().splitlines()}
    tested = HAPROXY.format(port=6380).splitlines()
    assert {line.strip() for line in tested} <= said


@needs_haproxy
@pytest.mark.soak
async def test_no_signal_that_a_replica_has_is_lost_or_bought_twice_in_a_failover(
    capsys: pytest.CaptureFixture[str],
) -> None:
    count = int(os.environ.get("SNEXEC_FAILOVERS") or _FAILOVERS)
    exchange = ExchangeSettings(
        fill_delay_sec=0.01, partial_fill_ratio=0.0, rate_limit_per_min=100_000
    )
    with running_sentinels() as redis:
        async with site(
            exchange, intake={"max_signal_age_sec": 3600.0}, at=redis.front
        ) as it:
            for host in it.hosts:
                await host.start()
            await it.active()
            story = _Story(it, redis)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(story.add_signals)
                for number in range(count):
                    await story.fail_over(paused=number % 2 == 1)
                nursery.cancel_scope.cancel()
            active = await it.active()
            await _until(lambda: not story.missing(), "every signal is bought")
            await _until(lambda: it.pending() == 0, "every entry is decided")
            orders = collections.Counter(order.symbol for order in it.orders())
            assert {s: n for s, n in orders.items() if n > 1} == {}
            await _until(
                lambda: orders.keys() <= {row["symbol"] for row in active.rows()},
                "every order has its row on the active host",
            )
            assert it.redis.number("XLEN", f"{STREAM}:dead") == 0
    with capsys.disabled():
        print(  # noqa: T201 - the figures are what it is run for
            f"\n{count} failovers: {story.confirmed} signals that a replica had, all bought"
            f" once; {story.unsure} whose fate their producer was not given; seconds until"
            f" Sentinel named the next master {_sorted(story.named)}, until the next order"
            f" {_sorted(story.ordered)}"
        )


class _Story:
    def __init__(self, it: Site, redis: Sentinels) -> None:
        self._it = it
        self._redis = redis
        self._wanted: set[str] = set()
        self.unsure = 0
        self.named: list[float] = []
        self.ordered: list[float] = []

    @property
    def confirmed(self) -> int:
        return len(self._wanted)

    async def add_signals(self) -> None:
        """Add signals all the time, and note those that a replica has too."""
        number = 0
        while True:
            number += 1
            symbol = f"X{number}"
            try:
                is_there = await trio.to_thread.run_sync(self._add, symbol)
            except (OSError, AssertionError):
                is_there = False  # a producer would say so, and try again
            if is_there:
                self._wanted.add(symbol)
            else:
                self.unsure += 1
            await trio.sleep(0.05)

    def _add(self, symbol: str) -> bool:
        line = f'{{"symbol":"{symbol}","catalystCategory":"x","catalystTier":1'
        words = ("XADD", STREAM, "*", "signal", line + ',"priceAtSignal":10}')
        said = self._it.redis.exchange(words, ("WAIT", "1", "1000"))
        return said[:1] == b"$" and b"\r\n:0\r\n" not in said and b"\r\n:" in said

    async def fail_over(self, *, paused: bool) -> None:
        """Have the master die or stand still, and see it replaced."""
        redis, old = self._redis, self._redis.master()
        before = len(self._it.orders())
        await _until(lambda: len(self._it.orders()) > before, "orders leave")
        began = time.monotonic()
        old.send_signal(signal.SIGSTOP) if paused else old.kill()
        await _until(lambda: redis.master() is not old, "another one is the master")
        self.named.append(time.monotonic() - began)
        before = len(self._it.orders())
        await _until(lambda: len(self._it.orders()) > before, "orders leave again")
        self.ordered.append(time.monotonic() - began)
        _wake(old, paused=paused)
        await _until(lambda: redis.replicas() == 2, "both others are replicas")

    def missing(self) -> set[str]:
        """Return what a replica had and nobody bought."""
        return self._wanted - {order.symbol for order in self._it.orders()}


def _wake(server: Server, *, paused: bool) -> None:
    if paused:
        server.send_signal(signal.SIGCONT)
    else:
        server.start()


async def _until(holds: object, what: str) -> None:
    assert callable(holds)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            if await trio.to_thread.run_sync(holds):
                return
        except (OSError, ValueError, IndexError, StopIteration, AssertionError):
            pass  # a server does not answer now
        assert time.monotonic() < deadline, f"not in time: {what}"
        await trio.sleep(0.05)


def _sorted(seconds: list[float]) -> list[float]:
    return sorted(round(each, 1) for each in seconds)
