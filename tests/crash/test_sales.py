"""SIGKILL at every step of a sell: none is doubled, none forgotten, every row closed.

The long form is for the nightly run and for whoever changes how a sell is handled::

    python -m pytest -m soak tests/crash
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import pytest
import trio

from tests.crash.sales import Sale, SaleError, SaleFigures, sell_through
from tests.crash.victim import SELL_STEPS, STOP_STEPS

if TYPE_CHECKING:
    from collections.abc import Sequence

_AT_ONCE = 2
_DRAWS_OF_A_STEP = 4
_STEPS = [*SELL_STEPS, *STOP_STEPS]


async def _sell_all(sales: Sequence[Sale]) -> tuple[SaleFigures, list[str]]:
    figures, failures = SaleFigures(), list[str]()
    places = trio.Semaphore(_AT_ONCE)

    async def sell(sale: Sale) -> None:
        async with places:
            try:
                figures.add(await sell_through(sale))
            except SaleError as exc:
                failures.append(str(exc))

    async with trio.open_nursery() as nursery:
        for sale in sales:
            nursery.start_soon(sell, sale)
    return figures, failures


def _through_all(seed: int, *, count: int, shift: int) -> list[Sale]:
    """Have each step be one of a run's two; every other run has stops."""
    firsts, seconds = _STEPS[::2], _STEPS[1::2]
    return [
        Sale(
            seed=seed + number,
            steps=(first, seconds[(number + shift) % len(seconds)]),
            count=count,
            stops={first, seconds[(number + shift) % len(seconds)]} & {*STOP_STEPS}
            != set(),
        )
        for number, first in enumerate(firsts)
    ]


async def test_a_kill_at_each_step_of_a_sell_neither_doubles_nor_forgets_it() -> None:
    seed = int(os.environ.get("SNEXEC_SEED", "1"))
    figures, failures = await _sell_all(_through_all(seed, count=1, shift=3))
    assert not failures, f"SNEXEC_SEED={seed}\n" + "\n\n".join(failures)
    for draw in range(1, _DRAWS_OF_A_STEP):
        # What a run's timing passes by on a busy machine is drawn once more.
        missed = [step for step in _STEPS if step not in figures.kills]
        again, failures = await _sell_all(
            [
                Sale(seed=seed + draw, steps=(step,), stops=step in STOP_STEPS)
                for step in missed
            ]
        )
        assert not failures, f"SNEXEC_SEED={seed}\n" + "\n\n".join(failures)
        figures.add(again)
    assert {*_STEPS} <= {*figures.kills}, f"a step was not reached: {figures}"
    assert figures.by_stop, "the market fell through stops while nobody lived"


@pytest.mark.soak
async def test_many_kills_neither_double_nor_forget_a_sell(
    capsys: pytest.CaptureFixture[str],
) -> None:
    seed = int(os.environ.get("SNEXEC_SEED", time.time_ns() // 1_000_000))
    sales = [
        sale
        for count in range(1, 5)
        for shift in (0, 2, 5)
        for sale in _through_all(seed + 100 * count, count=count, shift=shift)
    ]
    figures, failures = await _sell_all(sales)
    with capsys.disabled():
        sys.stdout.write(f"\nsells killed, SNEXEC_SEED={seed}: {figures}\n")
    assert not failures, f"SNEXEC_SEED={seed}\n" + "\n\n".join(failures)
