"""SIGKILL at every step of a sell: none is doubled, none forgotten, every row closed.

The long form is for the nightly run and for whoever changes how a sell is handled::

    python -m pytest -m soak tests/crash
"""

from __future__ import annotations

import os
import time

import pytest
import trio

from tests.crash.sales import Sale, SaleError, sell_through
from tests.crash.victim import SELL_STEPS

_AT_ONCE = 2


async def _sell_all(sales: list[Sale]) -> tuple[set[str], list[str]]:
    reached, failures = set[str](), list[str]()
    places = trio.Semaphore(_AT_ONCE)

    async def sell(sale: Sale) -> None:
        async with places:
            try:
                reached.update(await sell_through(sale))
            except SaleError as exc:
                failures.append(str(exc))

    async with trio.open_nursery() as nursery:
        for sale in sales:
            nursery.start_soon(sell, sale)
    return reached, failures


async def test_a_kill_at_each_step_of_a_sell_neither_doubles_nor_forgets_it() -> None:
    seed = int(os.environ.get("SNEXEC_SEED", "1"))
    steps = list(SELL_STEPS)
    sales = [
        # Every other one dies again, at another step.
        Sale(seed=seed + n, steps=(step, steps[n - 3])[: 1 + n % 2])
        for n, step in enumerate(steps)
    ]

    reached, failures = await _sell_all(sales)

    assert not failures, f"SNEXEC_SEED={seed}\n" + "\n\n".join(failures)
    assert set(SELL_STEPS) <= reached, "a step was not reached"


@pytest.mark.soak
async def test_many_kills_neither_double_nor_forget_a_sell() -> None:
    seed = int(os.environ.get("SNEXEC_SEED", time.time_ns() // 1_000_000))
    steps = list(SELL_STEPS)
    sales = [
        Sale(seed=seed + n, steps=(step, steps[(n + shift) % len(steps)]), count=count)
        for count in range(1, 6)
        for shift in (0, 3, 7)
        for n, step in enumerate(steps)
    ]

    _reached, failures = await _sell_all(sales)

    assert not failures, f"SNEXEC_SEED={seed}\n" + "\n\n".join(failures)
