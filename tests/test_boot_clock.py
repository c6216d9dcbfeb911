"""Trio's clock in the daemon goes on while the machine sleeps."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest
import trio

from snexec.boot_clock import BootClock
from snexec.cli import daemon as daemon_module

HOURS = 3600.0


class Machine:
    """A machine that can sleep: its boot clock goes on, Python's others do not."""

    def __init__(self) -> None:
        self.slept = 0.0
        self._started = time.perf_counter()

    def clock_gettime(self, clock: int) -> float:
        assert clock == getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
        return time.perf_counter() - self._started + self.slept


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr(time, "clock_gettime", made.clock_gettime)
    return made


def test_what_came_due_in_the_machines_sleep_is_over_at_once(machine: Machine) -> None:
    async def main() -> float:
        with trio.move_on_after(8 * HOURS):
            machine.slept += 9 * HOURS
            await trio.sleep_forever()
        return trio.current_time()

    assert trio.run(main, clock=BootClock()) >= 9 * HOURS


def test_no_wait_is_longer_than_a_second_as_sleep_does_not_end_it() -> None:
    clock = BootClock()
    now = clock.current_time()

    assert clock.deadline_to_sleep_time(now + 8 * HOURS) == 1.0
    assert 0.4 < clock.deadline_to_sleep_time(now + 0.5) <= 0.5
    assert clock.deadline_to_sleep_time(now - 8 * HOURS) < 0


def told_nothing(*_args: object) -> None:
    """Stand in for what would change this process for good."""


def test_the_daemon_runs_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: Machine
) -> None:
    """The whole daemon, stopped as soon as Trio's clock is known."""
    machine.slept = 9 * HOURS
    told: list[float] = []
    run: Any = trio.run

    async def tell() -> None:
        told.append(trio.current_time())

    def run_another(_main: object, *_args: object, **options: Any) -> None:  # noqa: ANN401
        run(tell, **options)

    monkeypatch.setattr(trio, "run", run_another)
    monkeypatch.setattr(sys, "setswitchinterval", told_nothing)
    monkeypatch.setattr(daemon_module, "_allow_open_files", told_nothing)
    monkeypatch.setattr(daemon_module, "set_up_logging", told_nothing)
    config = tmp_path / "config.toml"
    config.write_text('database = "t.db"\n')

    status = daemon_module.run_daemon(
        config, stop_at_end_of_input=False, log_level="warning"
    )
    assert status == 0
    assert 9 * HOURS <= told[0] < 10 * HOURS
