"""A position that cannot be sold is said at once, and then hourly (SPEC 12.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
import trio

from snexec.events import EventFeed
from snexec.exits.blocked import BlockedAlarm
from tests.exits.hands import make_position
from tests.exits.selling import STOP
from tests.fakes import TrioClock, warnings_of

if TYPE_CHECKING:
    from snexec.events import Event
    from snexec.exits.means import Means
    from tests.conftest import LoggedErrors

pytestmark = pytest.mark.jumping_time


class Tried:
    """What the alarm asks of the means."""

    def __init__(self) -> None:
        self.tries = self
        self.feed = EventFeed(clock=TrioClock())
        self.events: list[Event] = []
        self.feed.follow(self.events.append)

    def sells(self, row_id: str) -> int:
        assert row_id == "row-AAPL"
        return 3


async def test_it_is_said_at_once_with_what_comes_next(
    logged_errors: LoggedErrors,
) -> None:
    means, position = Tried(), make_position()
    alarm = BlockedAlarm(cast("Means", means), position, STOP)
    alarm.tell("account is restricted", "next try in 5 s")
    assert logged_errors.take() == [
        "AAPL trade=row-AAPL cannot be sold (stop_loss): account is restricted; next try"
        " in 5 s (3 of 20 in this session); look at the account"
    ]
    assert position.state == "blocked"
    [event] = means.events
    assert (event.event, event.trade_id, event.symbol, event.reason, event.more) == (
        *("exit_blocked", "row-AAPL", "AAPL", "stop_loss"),
        {
            "mode": "paper",
            "remaining": 0.5,
            "problem": "account is restricted",
            "tries": 3,
        },
    )


async def test_the_time_to_the_next_try_is_said_to_a_tenth_of_a_second(
    logged_errors: LoggedErrors,
) -> None:
    await trio.sleep(1000.1)
    alarm = BlockedAlarm(cast("Means", Tried()), make_position(), STOP)
    await alarm.wait("account is restricted", 1 / 3)
    [said] = logged_errors.take()
    assert "; next try in 0.3 s (" in said


async def test_it_is_said_again_after_an_hour_and_not_before(
    logged_errors: LoggedErrors,
) -> None:
    means = Tried()
    alarm = BlockedAlarm(cast("Means", means), make_position(), STOP)
    alarm.tell("it", "soon")
    await trio.sleep(3599)
    alarm.tell("it", "soon")
    assert len(means.events) == 1
    await trio.sleep(1)
    alarm.tell("it", "soon")
    assert len(means.events) == 2
    assert len(logged_errors.take()) == 2


async def test_it_is_blocked_since_it_was_said_first(
    logged_errors: LoggedErrors,
) -> None:
    position = make_position()
    alarm = BlockedAlarm(cast("Means", Tried()), position, STOP)
    before = alarm.since
    await trio.sleep(10)
    alarm.tell("it", "soon")
    await trio.sleep(10)
    position.state = "closing"
    alarm.tell("it", "soon")
    assert (before, alarm.since, position.state) == (None, 10, "blocked")
    assert len(logged_errors.take()) == 1


async def test_the_next_try_is_waited_for_as_long_as_it_is_to_be(
    logged_errors: LoggedErrors,
) -> None:
    means = Tried()
    alarm = BlockedAlarm(cast("Means", means), make_position(), STOP)
    await alarm.wait("it", 60)
    assert trio.current_time() == 60
    [line] = logged_errors.take()
    assert "it; next try in 60 s (3 of 20 in this session)" in line


async def test_however_long_that_is_it_is_said_hourly(
    logged_errors: LoggedErrors,
) -> None:
    alarm = BlockedAlarm(cast("Means", Tried()), make_position(), STOP)
    await alarm.wait("it", 9000)
    assert trio.current_time() == 9000
    said = [line.partition("next try in ")[2][:7] for line in logged_errors.take()]
    assert said == ["9000 s ", "5400 s ", "1800 s "]


async def test_the_hour_counts_over_several_tries(logged_errors: LoggedErrors) -> None:
    means = Tried()
    alarm = BlockedAlarm(cast("Means", means), make_position(), STOP)
    for _ in range(4):
        await alarm.wait("it", 1200)
    assert trio.current_time() == 4800
    assert len(means.events) == len(logged_errors.take()) == 2


async def test_a_rule_that_is_off_is_said_to_be_why_it_is_not_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    BlockedAlarm(cast("Means", Tried()), make_position(), STOP).give_up()
    assert warnings_of(caplog) == [
        "AAPL trade=row-AAPL is not tried again: the rule that was to sell it"
        " (stop_loss) is off"
    ]
