"""SIGKILL at every step and at points drawn, and no order is lost or doubled.

The short form runs with every suite. The long one is for the nightly run and for
whoever changes how an order is handled::

    python -m pytest -m soak tests/crash

``SNEXEC_SEED`` repeats the draws of an earlier run; when they take effect is up to the
machine, so a failure may need a few tries to show again.
"""

from __future__ import annotations

import os
import random
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.crash.faults import BEHAVIOURS
from tests.crash.sweep import ACCEPTED, Figures, Kill, Plan, sweep
from tests.crash.victim import STEPS

if TYPE_CHECKING:
    from collections.abc import Callable

_ALL_STEPS = (*STEPS, ACCEPTED)
_SWITCHES = {"mode switching", "mode switched"}
_SHORT_SEED = 1
_SHORT_KILLS_AT_STEPS, _SHORT_KILLS_AT_RANDOM = 24, 10  # some may stop in time
_LONG_KILLS = 500
_DRAWS_OF_A_STEP = 3

# With these, and nothing else in the way, a daemon reaches every step.
_STEPPING_STONES = (
    *("fills", "fills", "fills slowly", "fills in parts", "partly filled, canceled"),
    *("rejected", "refused", "POST 500", "reply reset", "events late"),
)


def _kill_at(rng: random.Random, step: str, *, count: int) -> Kill:
    switch = step in _SWITCHES or rng.random() < 0.2
    return Kill(step=step, count=count, switch_mode=switch)


def _draw_kill(rng: random.Random) -> Kill:
    if rng.random() < 0.25:
        return _kill_at(rng, rng.choice(_ALL_STEPS), count=rng.randint(1, 4))
    if rng.random() < 0.2:
        return Kill(seconds=rng.uniform(0.1, 1.0), from_start=True)
    return Kill(
        # From a millisecond to a second, as most of it happens early.
        seconds=10 ** rng.uniform(-3, 0),
        switch_mode=rng.random() < 0.3,
        stop=rng.random() < 0.15,
    )


def _step_plan(seed: int, step: str, *, count: int, again: bool) -> Plan:
    rng = random.Random(f"{seed} {step}")  # noqa: S311
    first = _kill_at(rng, step, count=count)
    second = rng.choice((_kill_at(rng, step, count=rng.randint(1, 3)), _draw_kill(rng)))
    return Plan(
        seed=rng.getrandbits(32),
        behaviours=(*_STEPPING_STONES, *rng.choices(list(BEHAVIOURS), k=4)),
        kills=(first, second) if again else (first,),
        first_undisturbed=True,
    )


def _random_plan(seed: int, number: int, *, kills: int) -> Plan:
    rng = random.Random(f"{seed} random {number}")  # noqa: S311
    return Plan(
        seed=rng.getrandbits(32),
        behaviours=rng.choices(list(BEHAVIOURS), k=rng.randint(8, 16)),
        kills=[_draw_kill(rng) for _ in range(kills)],
    )


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Callable[[int, Figures, int], None]:
    """Give a function that shows what a sweep has done, whatever pytest captures."""

    def show(seed: int, figures: Figures, failures: int) -> None:
        with capsys.disabled():
            sys.stdout.write(
                f"\ncrash sweep, SNEXEC_SEED={seed}: {figures}; {failures} failures\n"
            )

    return show


async def test_a_kill_at_each_step_loses_or_doubles_no_order(
    report: Callable[[int, Figures, int], None],
) -> None:
    seed = int(os.environ.get("SNEXEC_SEED", _SHORT_SEED))
    plans = [
        _step_plan(seed, step, count=1, again=number % 2 == 0)
        for number, step in enumerate(_ALL_STEPS)
    ]

    figures, failures = await sweep(plans)
    for draw in range(1, _DRAWS_OF_A_STEP):
        # What a story's timing passes by on a busy machine is drawn once more.
        missed = [step for step in _ALL_STEPS if step not in figures.points]
        others, more = await sweep(
            [_step_plan(seed + draw, step, count=1, again=False) for step in missed]
        )
        figures.add(others)
        failures += more

    report(seed, figures, len(failures))
    assert not failures, f"SNEXEC_SEED={seed}\n" + "\n\n".join(failures)
    assert set(_ALL_STEPS) <= set(figures.points), "a step was not reached"
    assert figures.kills >= _SHORT_KILLS_AT_STEPS


async def test_a_kill_at_points_drawn_loses_or_doubles_no_order(
    report: Callable[[int, Figures, int], None],
) -> None:
    seed = int(os.environ.get("SNEXEC_SEED", _SHORT_SEED))
    plans = [_random_plan(seed, number, kills=3) for number in range(4)]

    figures, failures = await sweep(plans)

    report(seed, figures, len(failures))
    assert not failures, f"SNEXEC_SEED={seed}\n" + "\n\n".join(failures)
    assert figures.kills >= _SHORT_KILLS_AT_RANDOM


@pytest.mark.soak
async def test_hundreds_of_kills_lose_or_double_no_order(
    report: Callable[[int, Figures, int], None],
) -> None:
    seed = int(os.environ.get("SNEXEC_SEED", time.time_ns() // 1_000_000))
    figures, failures = Figures(), list[str]()
    for turn in range(1, 1000):
        if figures.kills >= _LONG_KILLS:
            break
        plans = [
            _step_plan(seed + turn, step, count=1 + turn % 4, again=True)
            for step in _ALL_STEPS
        ]
        plans += [_random_plan(seed + turn, n, kills=4) for n in range(10)]
        done, wrong = await sweep(plans)
        figures.add(done)
        failures += wrong

    report(seed, figures, len(failures))
    assert not failures, f"SNEXEC_SEED={seed}\n" + "\n\n".join(failures)
    assert figures.kills >= _LONG_KILLS
