r"""Several hosts: whatever fails when, one order a signal, and none is lost.

The short form runs with the soak tests; the long one is run once, by its number::

    SNEXEC_KILLS=300 python -m pytest -n 0 -m soak -s -o faulthandler_timeout=0 \
        tests/crash/test_hosts.py

``SNEXEC_SEED`` repeats the draws of an earlier run.
"""

from __future__ import annotations

import os
import time

import pytest
import trio

from tests.crash.hosts_sweep import LEASE_SECONDS, sweep
from tests.integration.harness import PATIENCE_SECONDS
from tests.redis.hosts import site
from tests.redis.server import needs_redis

pytestmark = needs_redis

_FEW_KILLS = 2
_SHORT_KILLS = 30


@pytest.mark.parametrize("seed", [1])
async def test_hosts_that_fail_now_and_then_order_once_for_each_signal(
    seed: int,
) -> None:
    problems, figures, logs = await sweep(seed=seed, kills=_FEW_KILLS)
    assert not problems, "\n".join([*problems, str(figures), *logs])


@pytest.mark.parametrize("hosts", [1, 2], ids=["comes back", "is taken over from"])
async def test_rows_that_were_written_before_a_kill_are_ordered_after_it(
    hosts: int,
) -> None:
    symbols = {"KO", "MO", "PEP"}
    async with site(
        count=hosts, intake={"max_signal_age_sec": 3600.0}, lease_sec=LEASE_SECONDS
    ) as it:
        first, *others = it.hosts
        await first.start("row written", "1")
        assert await it.active() is first
        for host in others:
            await host.start("row written", "1")
            await host.until_status(lease="standby")
        for symbol in symbols:
            it.add(symbol, id=symbol)
        for host in it.hosts:
            assert host.process is not None
            await host.process.wait()  # the one dies of it, and then the other
        written = {row["symbol"] for host in it.hosts for row in host.rows()}
        assert written
        assert written <= symbols
        assert it.orders() == [], "they were killed before anything left"
        await first.start()
        active = await it.active()
        with trio.move_on_after(PATIENCE_SECONDS):
            while it.pending() or len(it.orders()) < len(symbols):  # noqa: ASYNC110
                await trio.sleep(0.02)
        assert sorted(order.symbol for order in it.orders()) == sorted(symbols)
        ids = {order.client_order_id: order.id for order in it.orders()}
        assert {row["id"]: row["alpacaOrderId"] for row in active.rows()} == ids


@pytest.mark.soak
@pytest.mark.parametrize("persistent", [True, False], ids=["kept", "forgotten"])
async def test_hosts_that_fail_at_every_step_order_once_for_each_signal(
    *, persistent: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get("SNEXEC_SEED") or time.time())
    kills = int(os.environ.get("SNEXEC_KILLS") or _SHORT_KILLS)
    problems, figures, logs = await sweep(seed=seed, kills=kills, persistent=persistent)
    with capsys.disabled():
        failovers = sorted(figures.failovers)
        half = failovers[len(failovers) // 2] if failovers else None
        print(  # noqa: T201 - the figures are what it is run for
            f"\nseed {seed}: {dict(figures.faults)}, {figures.signals} signals,"
            f" {figures.orders} orders, {figures.missed} missed; first order after a fault: p50 {half},"
            f" worst {max(failovers, default=None)}\n{dict(figures.steps)}"
        )
    assert not problems, "\n".join([f"seed {seed}", *problems, str(figures), *logs])
