"""The latest events of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from snexec.events import EventFeed
from snexec.web.recent import MOST, Recent
from tests.fakes import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def recent() -> tuple[Recent, Callable[[int], None]]:
    found, feed = Recent(), EventFeed(clock=FakeClock())
    feed.follow(found.happened)

    def happen(count: int) -> None:
        for _ in range(count):
            feed.publish("fill")

    return found, happen


def numbers(recent: Recent, since: int, **most: int) -> list[int]:
    return [number for number, _ in recent.since(since, **most)]


def test_events_are_numbered_from_the_start_and_the_latest_kept(
    recent: tuple[Recent, Callable[[int], None]],
) -> None:
    found, happen = recent
    assert numbers(found, 0) == []
    happen(3)
    assert numbers(found, 0) == [1, 2, 3]
    assert numbers(found, 2) == [3]
    assert numbers(found, 3) == []
    happen(2 * MOST)
    assert found.sequence == 2 * MOST + 3
    assert numbers(found, 0) == list(range(MOST + 4, 2 * MOST + 4))
    assert numbers(found, 0, most=2) == [2 * MOST + 2, 2 * MOST + 3]
