"""Stories of several hosts: one order a signal, none lost, whatever fails of them."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
import trio
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from snexec.orders import buying
from snexec.orders.freshness import Freshness
from snexec.reconciliation.rebuild import Rebuild
from snexec.redis import lease, reader, undecided
from snexec.redis.acks import Acknowledger
from snexec.redis.lease import Lease
from snexec.redis.reader import Reader
from snexec.redis.undecided import Undecided
from snexec.risk import Active, HaltSwitch
from tests.simulation.host_checks import host_problems
from tests.simulation.host_steps import (
    Add,
    Clocks,
    ClockSet,
    Cut,
    FullDisk,
    Kill,
    KillAt,
    NoBroker,
    NoRedis,
    Pause,
    PauseAt,
    Quit,
    RedisRestarts,
    SlowRedis,
    clocks,
    host_stories,
)
from tests.simulation.site import Site
from tests.simulation.steps import Wait

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snexec.redis.client import Session
    from tests.simulation.steps import Step

_SHORT, _LONG = 15, 20_000
_settings = settings(
    print_blob=True,
    deadline=None,
    # To explain a failure takes longer than to find it, and the story does it.
    phases=set(Phase) - {Phase.explain},
    suppress_health_check=list(HealthCheck),
)
_drawn = given(
    story=host_stories(),
    differ=clocks(),
    schedule=st.integers(0, 2**16),
    max_age=st.sampled_from([3600.0, 3600.0, 20.0]),
)


def play(
    story: Sequence[Step],
    *,
    differ: Clocks | None = None,
    schedule: int = 0,
    max_age: float = 3600.0,
) -> Site:
    """Play a story; what fails is told as it went."""
    site = Site(story, clocks=differ, schedule=schedule, max_age=max_age)
    try:
        site.play(host_problems)
    except BaseException as exc:
        exc.add_note("\n".join(site.said))
        raise
    return site


@settings(_settings, max_examples=_SHORT)
@_drawn
def test_hosts_and_broker_agree_after_every_story(
    story: list[Step], differ: Clocks, schedule: int, max_age: float
) -> None:
    play(story, differ=differ, schedule=schedule, max_age=max_age)


@pytest.mark.soak
@settings(_settings, max_examples=_LONG)
@_drawn
def test_hosts_and_broker_agree_after_very_many_stories(
    story: list[Step], differ: Clocks, schedule: int, max_age: float
) -> None:
    play(story, differ=differ, schedule=schedule, max_age=max_age)


def _at(point: Any, **more: Any) -> list[Step]:  # noqa: ANN401
    """Have whoever is active stand still or die at a point, amid an order."""
    kind = PauseAt if "seconds" in more else KillAt
    return [
        Wait(),
        *(kind(host=host, point=point, **more) for host in ("a", "b")),
        Add(),
        Wait(seconds=30.0),
        Add(id="n-2"),
        Wait(seconds=30.0),
    ]


_AMID = _at("commit begins", seconds=20.0)
_AMID_UNCOUNTED = _at("commit begins", seconds=20.0, counted=False)
_BOTH_CUT = [Wait(), Cut(host="a", seconds=30.0), Cut(host="b", seconds=30.0)]

# What a failure looked like once, or is too rare to be left to chance.
STORIES: dict[str, list[Step]] = {
    "all is well": [Wait(), Add(), Add(symbol="MSFT", id="n-2"), Wait(seconds=5.0)],
    "every form": [
        Add(form="fields"),
        Add(symbol="MSFT", form="no id", stars=3),
        Add(symbol="TSLA", id="n-2", form="not JSON"),
        Add(symbol="TSLA", id="n-2", form="no symbol"),
        Add(symbol="TSLA", id="n-2"),
        Add(symbol="TSLA", id="n-2"),
    ],
    "stopped amid an order, past the lease": _AMID,
    "the same, in no clock but the wall's": _AMID_UNCOUNTED,
    "stopped amid an order, until just before another may take over": _at(
        "commit begins", seconds=9.0
    ),
    "killed amid an order": _at("commit begins", down=20.0),
    "killed between the row and its POST, and back before another takes over": _at(
        "commit done", down=1.0
    ),
    "killed between the row and its POST": _at("commit done", down=20.0),
    "killed between the row and its POST, for longer than is asked for orders": [
        Wait(),
        *(KillAt(host=host, point="commit done", down=90.0) for host in ("a", "b")),
        Add(),
        Wait(seconds=120.0),
    ],
    "killed between the POST and its reply": _at("post accepted", down=20.0),
    "killed between the POST and its reply, and canceled": [
        Wait(),
        *(KillAt(host=host, point="post accepted", down=20.0) for host in ("a", "b")),
        Add(life="cancel"),
        Wait(seconds=30.0),
    ],
    "killed once all was done, and the symbol signalled anew": [
        Wait(),
        Add(),
        Wait(seconds=5.0),
        Kill(host="a", down=30.0),
        Kill(host="b"),
        Add(id="n-2"),
        Wait(seconds=30.0),
    ],
    "killed with entries read": _at("entries read", down=20.0),
    "stopped with entries read": _at("entries read", seconds=20.0),
    "read and claimed at once, as both come due": [
        Add(),
        Add(id="n-2"),
        Pause(host="a", seconds=5.0),
        Pause(host="b", seconds=5.0),
    ],
    "cut off from everything": [*_BOTH_CUT, Add(), Wait(seconds=40.0)],
    "the active one is cut off from Redis": [
        Wait(),
        NoRedis(host="a", seconds=14.0),
        Add(),
        Wait(seconds=14.0),
        NoRedis(host="b", seconds=14.0, deaf=True),
        Add(symbol="MSFT", id="n-2"),
        Wait(seconds=30.0),
    ],
    "the active one is cut off from the broker": [
        Wait(),
        NoBroker(host="a", seconds=30.0),
        NoBroker(host="b", seconds=30.0),
        Add(),
        Wait(seconds=2.0),
        Kill(host="a", down=14.0),
        Wait(seconds=30.0),
    ],
    "Redis restarts, and has lost everything": [
        Add(),
        Wait(seconds=5.0),
        RedisRestarts(lost=math.inf),
        Wait(),
        Add(symbol="MSFT", id="n-2"),
        Wait(seconds=30.0),
    ],
    "Redis restarts, and has lost who took the lease": [
        Wait(seconds=2.1),
        Quit(host="a", down=0.7),
        Wait(seconds=0.4),
        NoRedis(host="b", seconds=5.0),
        RedisRestarts(down=0.0, lost=0.3),
        Wait(seconds=2.0),
        Add(symbol="MSFT", id="n-2"),
    ],
    "Redis restarts, and has lost that the lease was renewed": [
        Add(),
        Wait(seconds=30.0),
        Kill(host="a", down=9.0),
        RedisRestarts(down=0.0, lost=0.3),
        Add(),
        Wait(seconds=30.0),
        RedisRestarts(down=5.0, lost=0.3),
        Wait(seconds=0.0),
        Add(),
        Wait(seconds=5.0),
    ],
    "Redis is slow, and then restarts": [
        SlowRedis(host="a"),
        SlowRedis(host="b"),
        Add(),
        Wait(seconds=5.0),
        RedisRestarts(down=9.0, lost=1.0),
        Wait(seconds=30.0),
        Add(),
    ],
    "clocks are set": [
        Add(),
        ClockSet(host="a", seconds=30.0),
        ClockSet(host="b", seconds=-30.0),
        Wait(),
        Add(symbol="MSFT", id="n-2"),
        Wait(seconds=30.0),
    ],
    "stopped in good order, as the disk is full": [
        Wait(),
        FullDisk(host="a", seconds=30.0),
        FullDisk(host="b", seconds=30.0),
        Add(),
        Wait(seconds=0.3),
        Quit(host="a", down=2.0),
        Quit(host="b", down=2.0),
        Wait(seconds=30.0),
    ],
    "the disk is full, and another takes over": [
        Wait(),
        FullDisk(host="a", seconds=30.0),
        FullDisk(host="b", seconds=30.0),
        Add(),
        Wait(seconds=2.0),
        Kill(host="a", down=30.0),
        Wait(seconds=30.0),
    ],
}
_DIFFER = Clocks(a=60.0, b=-60.0, redis=1.5, rate=1.1)


@pytest.mark.parametrize("name", STORIES)
def test_hosts_and_broker_agree_after(name: str) -> None:
    # Clocks that differ, and who is first, in every other one.
    is_odd = [*STORIES].index(name) % 2
    play(STORIES[name], differ=_DIFFER if is_odd else None, schedule=is_odd)


def test_story_of_hosts_goes_the_same_way_each_time() -> None:
    story = [step for steps in list(STORIES.values())[:3] for step in steps]

    assert play(story).said == play(story).said


def test_what_came_before_a_pause_is_not_ordered_after_it() -> None:
    story = [
        Wait(),
        *(PauseAt(host=h, point="entries read", seconds=4.0) for h in ("a", "b")),
        Add(),
        Wait(seconds=15.0),
        Add(symbol="MSFT", id="n-2"),
    ]
    site = play(story, max_age=3.0)

    assert [order.symbol for order in site.broker.orders()] == ["MSFT"]
    assert any("AAPL skipped: stale" in line for line in site.said)


def test_one_that_stood_still_past_its_lease_orders_nothing_more() -> None:
    said = play(_AMID).said

    taken = [at for at, line in enumerate(said) if "the lease is taken" in line]
    stood = [at for at, line in enumerate(said) if "stands still" in line]
    posts = [at for at, line in enumerate(said) if "POST AAPL" in line]
    assert taken[0] < stood[0] < taken[1]
    assert posts
    assert not [at for at in posts if at < taken[1]]


# The checks find what they are for


def _acknowledge_at_once(self: Undecided, entry_id: str, *_: object) -> None:
    self.decide(entry_id)


async def _do_nothing(*_: object, **__: object) -> None:
    await trio.lowlevel.checkpoint()


async def _put_nothing_aside(_acks: Acknowledger, _session: Session, _: object) -> bool:
    await trio.lowlevel.checkpoint()
    return True


_numbers = itertools.count()

# Each is a fault that somebody might bring in: where, what, in which story it shows,
# and by which words.
FAULTS: dict[str, tuple[object, str, Any, str, str]] = {
    "the deadline is not looked at before an order leaves": (
        *(HaltSwitch, "is_standby", lambda _: False),
        *("stopped amid an order, past the lease", "leaves after its deadline"),
    ),
    "the wall clock is not looked at": (
        *(Active, "is_over", lambda self: trio.current_time() >= self.until),
        *("the same, in no clock but the wall's", "its lease has ended"),
    ),
    "a lease is counted on for longer than it holds": (
        *(lease, "_SAFE", 1.5),
        *("the active one is cut off from Redis", "may still order"),
    ),
    "a lease is taken without waiting": (
        *(Lease, "_may_take", lambda *_: True),
        *("all is well", "may still order"),
    ),
    "a server that has forgotten is believed": (
        *(lease, "_UPTIME_SECONDS", -3600.0),
        *("Redis restarts, and has lost who took the lease", "may still order"),
    ),
    "an entry is acknowledged before it is decided": (
        *(Undecided, "taken", _acknowledge_at_once),
        *("all is well", "nothing became of it"),
    ),
    "an entry counts as a repetition of itself": (
        *(Undecided, "knows", lambda *_: False),
        *("read and claimed at once, as both come due", "nothing became of it"),
    ),
    "what is left to another host counts as decided": (
        *(undecided, "_STAYS", frozenset()),
        *("stopped in good order, as the disk is full", "nothing became of it"),
    ),
    "what is pending is not taken over": (
        *(Reader, "_take_over", _do_nothing),
        *("killed with entries read", "entries are left"),
    ),
    "what is old is ordered": (
        *(Freshness, "is_stale", lambda *_: False),
        *("clocks are set", "for an old signal"),
    ),
    "what is young counts as old": (
        *(Freshness, "is_stale", lambda *_: True),
        *("all is well", "counts as stale"),
    ),
    "what is no signal is put nowhere": (
        *(Acknowledger, "_put_aside", _put_nothing_aside),
        *("every form", "not in the dead stream"),
    ),
    "a takeover rebuilds no rows": (
        *(Rebuild, "look", _do_nothing),
        *("killed once all was done, and the symbol signalled anew", "one too many"),
    ),
    "an entry has a new id each time": (
        *(buying, "trade_id", lambda *_, **__: f"sn-{next(_numbers):032x}"),
        *("killed between the POST and its reply, and canceled", "for the same signal"),
    ),
    "what an earlier run has left counts as a repetition": (
        *(buying.Buying, "is_of_an_earlier_run", lambda *_: False),
        "killed between the row and its POST, and back before another takes over",
        "the signal is lost",
    ),
    "entries without an id have one by chance": (
        *(reader, "default_id", lambda *_: f"{next(_numbers)}"),
        *("every form", "nothing became of it"),
    ),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_checks_find_that(fault: tuple[object, str, Any, str, str]) -> None:
    place, name, part, story, words = fault
    plays = itertools.product((Clocks(), _DIFFER), range(4))
    found: list[str] = []
    with mock.patch.object(place, name, part):
        while not any(words in each for each in found):
            differ, schedule = next(plays)
            site = Site(STORIES[story], clocks=differ, schedule=schedule, max_age=20.0)
            try:
                site.play(host_problems)
            except AssertionError as exc:
                found.append(str(exc))
