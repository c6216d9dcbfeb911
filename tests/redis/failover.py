"""Measure a failover: from the kill of the active host to the next one's first order.

::

    python -m tests.redis.failover --lease 10 --times 50
"""

from __future__ import annotations

import argparse
import statistics
import time

import trio

from snexec.exchange.settings import ExchangeSettings
from tests.redis.hosts import Site, site


async def _once(it: Site, number: int) -> float:
    """Kill the active host; return after how many seconds the other one ordered."""
    active = await it.active()
    other = it.other(active)
    await other.until_status(lease="standby", phase="standby")
    before = len(it.orders())
    await active.kill()
    killed_at = time.monotonic()
    it.add(f"X{number}")
    while len(it.orders()) == before:
        assert time.monotonic() - killed_at < 60, other.log()
        await trio.sleep(0.002)
    took = time.monotonic() - killed_at
    await active.start()
    return took


async def _measure(lease: float, times: int) -> list[float]:
    exchange = ExchangeSettings(
        fill_delay_sec=0.02, partial_fill_ratio=0.0, rate_limit_per_min=1_000_000
    )
    async with site(exchange, lease_sec=lease) as it:
        for host in it.hosts:
            await host.start()
        return [await _once(it, number) for number in range(times)]


def main() -> None:
    """Measure, and print a line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--lease", type=float, default=10.0)
    parser.add_argument("--times", type=int, default=50)
    asked = parser.parse_args()
    took = trio.run(_measure, asked.lease, asked.times)
    print(  # noqa: T201 - what it is run for
        f"lease_sec {asked.lease:g}: from kill -9 to the first order p50"
        f" {statistics.median(took):.2f} s, worst of {len(took)} {max(took):.2f} s"
    )


if __name__ == "__main__":
    main()
