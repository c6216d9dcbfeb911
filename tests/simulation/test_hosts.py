"""Stories of several hosts: one order a signal, none lost, whatever fails of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from tests.simulation.host_checks import host_problems
from tests.simulation.host_steps import Clocks, clocks, host_stories
from tests.simulation.site import Site

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.simulation.steps import Step

_SHORT, _LONG = 30, 20_000
_settings = settings(
    print_blob=True,
    deadline=None,
    phases=set(Phase) - {Phase.explain},
    suppress_health_check=list(HealthCheck),
)
_drawn = given(
    story=host_stories(), differ=clocks(), schedule=st.integers(0, 2**16)
)


def play(
    story: Sequence[Step], *, differ: Clocks | None = None, schedule: int = 0
) -> Site:
    """Play a story; what fails is told as it went."""
    site = Site(story, clocks=differ, schedule=schedule)
    try:
        site.play(host_problems)
    except BaseException:
        note("\n".join(site.said))
        raise
    return site


@settings(_settings, max_examples=_SHORT)
@_drawn
def test_hosts_and_broker_agree_after_every_story(
    story: list[Step], differ: Clocks, schedule: int
) -> None:
    play(story, differ=differ, schedule=schedule)


@pytest.mark.soak
@settings(_settings, max_examples=_LONG)
@_drawn
def test_hosts_and_broker_agree_after_very_many_stories(
    story: list[Step], differ: Clocks, schedule: int
) -> None:
    play(story, differ=differ, schedule=schedule)
