"""What every test of the daemon has: a clock, a store, and no unseen errors."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from tests.fakes import FakeClock, Rig, TrioClock, make_settings, open_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from trio.testing import MockClock

    from snexec.store import Store

# A machine under load is no reason to fail.
hypothesis_settings.register_profile(
    "snexec", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("snexec")


class LoggedErrors:
    """What was logged at ERROR or above, and which of it the test has expected."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog
        self._taken = 0

    def take(self) -> list[str]:
        """Return what was logged since the last call, and count it as expected."""
        messages = [
            record.getMessage()
            for record in self._caplog.get_records("call")
            if record.levelno >= logging.ERROR
        ]
        new = messages[self._taken :]
        self._taken = len(messages)
        return new


@pytest.fixture(autouse=True)
def logged_errors(caplog: pytest.LogCaptureFixture) -> Iterator[LoggedErrors]:
    """Fail a test that logs an error which it does not take and assert."""
    errors = LoggedErrors(caplog)
    yield errors
    assert errors.take() == [], "logged at ERROR, and the test did not expect it"


@pytest.fixture
def clock() -> FakeClock:
    """Give a wall clock that stands still."""
    return FakeClock()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Give the path of a database that is not there yet."""
    return tmp_path / "snexec.db"


@pytest.fixture
def store(database: Path, clock: FakeClock) -> Iterator[Store]:
    """Give a store on a real file."""
    opened = open_store(database, clock)
    yield opened
    opened._db.close()


@pytest.fixture
async def make_rig(
    autojump_clock: MockClock, database: Path
) -> AsyncIterator[Callable[..., Rig]]:
    """Give a function that wires the order side; its keywords are config sections.

    Trio's clock jumps whenever every task waits, and the wall clock goes with it.
    """
    del autojump_clock
    rigs: list[Rig] = []

    def make(*, id_salt: str = "", **sections: object) -> Rig:
        clock = TrioClock()
        rig = Rig(
            settings=make_settings(**sections),
            clock=clock,
            store=open_store(database, clock),
            id_salt=id_salt,
        )
        rigs.append(rig)
        return rig

    yield make
    for rig in rigs:
        rig.store._db.close()


@pytest.fixture
async def rig(make_rig: Callable[..., Rig]) -> Rig:
    """Give the order side with the settings of the README."""
    return make_rig()
