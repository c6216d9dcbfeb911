"""Stories drawn at random: the daemon and the broker agree after every one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from tests.simulation.checks import problems, signals_without_an_end
from tests.simulation.steps import (
    Crash,
    CrashAt,
    DiskFull,
    MonitorSells,
    RestUnreachable,
    Send,
    Step,
    Stop,
    StreamRefuses,
    StreamStarves,
    Switch,
    UserCancels,
    Wait,
    stories,
)
from tests.simulation.world import MAX_A_DAY, World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.simulation.steps import Post

_SHORT, _LIMITED, _LONG = 150, 30, 50_000
_settings = settings(
    print_blob=True,
    # To explain a failure takes longer than to find it, and the story does it.
    phases=set(Phase) - {Phase.explain},
    suppress_health_check=list(HealthCheck),
)
_drawn = given(
    story=stories(),
    per_minute=st.sampled_from([200, 200, 10]),
    schedule=st.integers(0, 2**16),
)


def play(
    story: Sequence[Step],
    *,
    per_minute: int = 200,
    schedule: int = 0,
    limits: bool = False,
) -> World:
    """Play a story; what fails is told as it went."""
    world = World(story, per_minute=per_minute, schedule=schedule, limits=limits)
    try:
        world.play(problems)
    except BaseException:
        note("\n".join(world.said))
        raise
    return world


@settings(_settings, max_examples=_SHORT)
@_drawn
def test_daemon_and_broker_agree_after_every_story(
    story: list[Step], per_minute: int, schedule: int
) -> None:
    play(story, per_minute=per_minute, schedule=schedule)


@settings(_settings, max_examples=_LIMITED)
@_drawn
def test_no_story_exceeds_a_limit(
    story: list[Step], per_minute: int, schedule: int
) -> None:
    play(story, per_minute=per_minute, schedule=schedule, limits=True)


@pytest.mark.soak
@settings(_settings, max_examples=_LONG)
@_drawn
def test_daemon_and_broker_agree_after_very_many_stories(
    story: list[Step], per_minute: int, schedule: int
) -> None:
    play(story, per_minute=per_minute, schedule=schedule)


_HELD_UP = Send(posts=("accepted after 90 s",))
_MANY_429: list[Post] = ["429"] * 12
_LOST = Send(posts=("lost after accept",), feed="lost")

# What a failure looked like once, or is too rare to be left to chance.
STORIES: dict[str, list[Step]] = {
    "all is well": [Send(), Wait(), Send(symbol="MSFT", id="n-2", life="part fill")],
    "the reply is lost": [_LOST],
    "killed before the order left, and sent again": [
        CrashAt(point="commit done"),
        Send(),
        Wait(),
        Send(),
        Wait(seconds=70.0),
        Send(),
    ],
    "killed between the POST and its reply": [
        CrashAt(point="post accepted", down=25.0),
        Send(life="part fill", feed="lost"),
        Wait(seconds=130.0),
    ],
    "found late, symbol free": [_HELD_UP],
    "found late, symbol bought anew": [
        _HELD_UP,
        Wait(seconds=75.0),
        Send(id="n-2"),
    ],
    "found late in parts, the newer row sold meanwhile": [
        Send(posts=("accepted after 90 s",), life="part fill", pace=40.0),
        Wait(seconds=75.0),
        Send(id="n-2"),
        Wait(seconds=25.0),
        MonitorSells(),
    ],
    "found late, and canceled": [
        Send(posts=("accepted after 90 s",), life="cancel"),
        Wait(seconds=75.0),
        Send(id="n-2", life="rest"),
    ],
    "a 429, then lost": [Send(posts=("429", "lost after accept"), feed="lost")],
    "a 429 that was none": [Send(posts=("429, yet accepted",), feed="lost")],
    "a 429 that was none, then more of them": [
        Send(posts=("429, yet accepted", *_MANY_429), feed="lost")
    ],
    "a partial fill after the fill": [
        Send(life="part fill", pace=0.003, feed="reversed")
    ],
    "sold, and the same signal again after a crash": [
        Send(),
        Wait(),
        MonitorSells(),
        Crash(),
        Wait(),
        Send(),
    ],
    "placed in live, looked up there": [Switch(), Send(feed="lost")],
    "placed in paper, looked up after a switch to live": [
        Send(feed="lost"),
        Switch(),
        Send(id="n-1", symbol="MSFT"),
        Crash(),
    ],
    "the disk is full as the order is accepted": [
        Send(feed="lost"),
        Wait(seconds=0.06),
        DiskFull(seconds=7.0),
    ],
    "the disk is full as the fill comes": [
        Send(pace=3.0),
        Wait(seconds=2.0),
        DiskFull(seconds=130.0),
        Wait(seconds=7.0),
        Send(symbol="MSFT", id="n-2"),
        Crash(down=2.0),
    ],
    "stopped with an order under way, canceled meanwhile": [
        Send(posts=("slow",), life="part rest", feed="late"),
        Wait(seconds=2.0),
        Stop(down=7.0),
        UserCancels(),
    ],
    "parked with something bought, and told by nobody": [
        Send(life="part park", feed="lost"),
        Wait(seconds=25.0),
        Send(symbol="MSFT", id="n-2", life="part park cancel", feed="lost"),
        Crash(down=7.0),
    ],
    "rejected after it had bought": [
        Send(life="part reject"),
        Send(symbol="MSFT", id="n-2", life="part reject", feed="lost"),
        Send(symbol="TSLA", id="n-3", life="part reject", feed="garbled"),
        Wait(seconds=25.0),
    ],
    "replaced, and the one in its place filled": [
        Send(life="part replace fill"),
        Send(symbol="MSFT", id="n-2", life="replace replace reject", feed="lost"),
        Send(symbol="TSLA", id="n-3", life="part replace cancel", feed="late"),
        Wait(seconds=2.0),
        Crash(down=7.0),
    ],
    "no broker at all": [
        Send(posts=("lost after accept",)),
        RestUnreachable(seconds=130.0),
        StreamRefuses(seconds=130.0),
        Crash(),
        Wait(seconds=25.0),
        Send(symbol="MSFT"),
    ],
}


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
@pytest.mark.parametrize("per_minute", [200, 10])
def test_daemon_and_broker_agree_after(story: list[Step], per_minute: int) -> None:
    play(story, per_minute=per_minute)


def test_a_limit_holds_over_a_crash() -> None:
    story: list[Step] = []
    for number, symbol in enumerate(["AAPL", "MSFT", "TSLA"] * 3):
        story += [
            Send(symbol=symbol, id=f"n-{number}"),
            Wait(seconds=25.0),
            MonitorSells(symbol=symbol),
            Crash(),
            Wait(),
        ]
    world = play(story, limits=True)

    assert len(world.seen) == MAX_A_DAY
    told = [line for line in world.said if "skipped: brake_orders_per_day" in line]
    assert len(told) == 9 - MAX_A_DAY


def test_order_found_late_stays_missed_beside_a_newer_row() -> None:
    world = play(STORIES["found late, symbol bought anew"])

    rows = [(row["status"], row["exitReason"]) for row in world.seen.values()]
    assert rows == [("missed", "order_found_late"), ("open", None)]


def test_starved_stream_is_replaced_once() -> None:
    world = play([StreamStarves(), Send(), Wait(seconds=25.0)])

    connection = world.broker.accounts["paper"].connection
    assert connection is not None
    assert connection.fed
    assert [line.split()[1:] for line in world.said if "authorized" in line] == [
        ["stream", "authorized"],
        ["stream", "authorized"],
    ]


def test_story_goes_the_same_way_each_time() -> None:
    story = [step for steps in STORIES.values() for step in steps]

    assert play(story).said == play(story).said


def test_signal_that_waits_for_the_disk_is_told_of_when_time_is_up() -> None:
    world = play([DiskFull(seconds=25.0), Send(), Stop()])

    assert list(signals_without_an_end(world.runs[0], world.seen)) == []
