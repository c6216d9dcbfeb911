"""After time in which nobody watched, all begins anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from snexec.exits.prices import Instant
from snexec.exits.unseen import Unseen
from tests.exits.hands import Desk

if TYPE_CHECKING:
    from tests.conftest import LoggedErrors

HOUR = 3600.0


@pytest.mark.parametrize(
    ("wall", "elapsed", "uncounted"),
    [
        (1, 1, None),
        (9, 9, None),
        (HOUR, HOUR, 0.0),  # the machine slept
        (HOUR, 1, HOUR - 1),  # it was paused
        (-HOUR, 1, None),  # its clock was set back
        (-HOUR, HOUR, 0.0),
    ],
)
def test_it_is_noticed_with_what_was_not_counted(
    wall: float, elapsed: float, uncounted: float | None
) -> None:
    unseen = Unseen()
    assert unseen.since_last(Instant(1_000_000, 50)) is None
    now = Instant(1_000_000 + wall, 50 + elapsed)
    assert unseen.since_last(now) == uncounted
    assert unseen.since_last(now) is None


@pytest.mark.jumping_time
async def test_what_was_seen_before_a_pause_confirms_nothing_after_it(
    nursery: trio.Nursery,
) -> None:
    desk = Desk(hard_stop_loss_pct=5)
    desk.hold()
    desk.start(nursery)
    desk.say(180)
    desk.clock.put_ahead(HOUR)  # paused, and its clock put right
    desk.say(180)
    assert desk.reasons == []
    desk.say(180)
    assert desk.reasons == [("AAPL", "stop_loss")]
    nursery.cancel_scope.cancel()


@pytest.mark.jumping_time
async def test_a_pause_counts_for_how_long_a_position_is_held(
    nursery: trio.Nursery,
) -> None:
    desk = Desk(max_hold_duration_sec=HOUR)
    desk.hold()
    desk.start(nursery)
    await trio.sleep(100)
    desk.clock.put_ahead(HOUR - 110)
    await trio.sleep(5)
    assert desk.reasons == []
    await trio.sleep(10)
    assert desk.reasons == [("AAPL", "max_hold")]
    nursery.cancel_scope.cancel()


@pytest.mark.frozen_time
async def test_nobody_was_blind_while_the_machine_slept(
    nursery: trio.Nursery, logged_errors: LoggedErrors
) -> None:
    desk = Desk(hard_stop_loss_pct=5)
    desk.hold()
    desk.start(nursery)
    clock = trio.lowlevel.current_clock()
    assert isinstance(clock, MockClock)
    for seconds in (1, HOUR, 1, 1):
        await wait_all_tasks_blocked()
        clock.jump(seconds)
    await wait_all_tasks_blocked()
    assert not desk.monitor.is_blind
    assert logged_errors.take() == []
    nursery.cancel_scope.cancel()
