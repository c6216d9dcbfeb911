"""How often each row was tried in this session (SPEC 12.5, 12.6)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import trio

from snexec.exits.session_tries import SessionTries
from tests.fakes import TrioClock

pytestmark = pytest.mark.jumping_time


@pytest.fixture
async def tries() -> SessionTries:
    return SessionTries(TrioClock())


async def test_sells_and_stops_of_each_row_are_counted_apart(
    tries: SessionTries,
) -> None:
    tries.add_sell("sn-1")
    tries.add_sell("sn-1")
    tries.add_sell("sn-2")
    tries.add_failed_stop("sn-1")
    counted = [
        (tries.sells(row), tries.failed_stops(row)) for row in ("sn-1", "sn-2", "sn-3")
    ]
    assert counted == [(2, 1), (1, 0), (0, 0)]


async def test_a_session_has_twenty_of_each_and_an_earlier_run_has_tried_as_well(
    tries: SessionTries,
) -> None:
    tries.load({"sn-1": 19}, {"sn-2": 19})
    assert (tries.may_sell("sn-1"), tries.may_stop("sn-2")) == (True, True)
    tries.add_sell("sn-1")
    tries.add_failed_stop("sn-2")
    assert (tries.sells("sn-1"), tries.failed_stops("sn-2")) == (20, 20)
    assert (tries.may_sell("sn-1"), tries.may_stop("sn-2")) == (False, False)
    assert (tries.may_sell("sn-2"), tries.may_stop("sn-1")) == (True, True)


@pytest.mark.parametrize(
    ("at", "next_day"),
    [
        (datetime(2026, 1, 6, 4, 59, tzinfo=UTC), datetime(2026, 1, 6, 5, tzinfo=UTC)),
        (datetime(2026, 7, 7, 3, 59, tzinfo=UTC), datetime(2026, 7, 7, 4, tzinfo=UTC)),
    ],
    ids=["winter", "summer"],
)
@pytest.mark.parametrize("reads", ["sells", "failed_stops"])
async def test_they_count_anew_with_each_day_of_new_york(
    at: datetime, next_day: datetime, reads: str
) -> None:
    clock = TrioClock(at)
    tries = SessionTries(clock)
    tries.add_sell("sn-1")
    tries.add_failed_stop("sn-1")
    await trio.sleep((next_day - at).total_seconds() - 1)
    assert (tries.sells("sn-1"), tries.failed_stops("sn-1")) == (1, 1)
    await trio.sleep(1)
    assert clock.now() == next_day
    assert getattr(tries, reads)("sn-1") == 0
    assert (tries.sells("sn-1"), tries.failed_stops("sn-1")) == (0, 0)


@pytest.mark.parametrize("kind", ["sell", "failed_stop"])
async def test_the_first_try_of_a_day_is_not_counted_with_the_last_ones(
    kind: str,
) -> None:
    tries = SessionTries(TrioClock(datetime(2026, 1, 6, 4, tzinfo=UTC)))
    add, count = getattr(tries, f"add_{kind}"), getattr(tries, f"{kind}s")
    add("sn-1")
    await trio.sleep(3600)
    add("sn-1")
    assert count("sn-1") == 1


async def test_a_row_that_is_closed_is_forgotten(tries: SessionTries) -> None:
    tries.add_sell("sn-1")
    tries.add_failed_stop("sn-1")
    tries.forget("sn-1")
    assert tries.sells("sn-1") == tries.failed_stops("sn-1") == 0
    tries.forget("sn-1")
