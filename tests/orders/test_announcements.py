"""What is said of sells: once no more of them leave, and before what comes of them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from snexec.orders.announcements import Announcements

if TYPE_CHECKING:
    import trio.abc

pytestmark = pytest.mark.jumping_time


@pytest.fixture
def announcements(nursery: trio.Nursery) -> Announcements:
    announcements = Announcements()
    nursery.start_soon(announcements.run)
    return announcements


async def test_what_leaves_together_is_said_when_it_is_over_in_its_order(
    announcements: Announcements,
) -> None:
    said: list[tuple[int, float]] = []

    def say(number: int) -> None:
        said.append((number, round(trio.current_time(), 3)))

    for number in range(20):
        announcements.add(partial(say, number))
        await trio.sleep(0.005)
        assert said == []
    await trio.sleep(0.02)
    assert [number for number, _at in said] == list(range(20))
    assert {at for _number, at in said} == {0.105}


async def test_nothing_waits_longer_than_half_a_second(
    announcements: Announcements,
) -> None:
    said: list[float] = []
    while not said:
        announcements.add(lambda: said.append(trio.current_time()))
        await trio.sleep(0.005)
    assert said[0] == pytest.approx(0.5, abs=0.006)


async def test_what_waits_is_said_before_what_comes_of_it(
    announcements: Announcements,
) -> None:
    said: list[str] = []
    announcements.add(lambda: said.append("leaves"))
    announcements.say_all()
    said.append("filled")
    await trio.sleep(1)
    assert said == ["leaves", "filled"], "and only once"


async def test_at_the_end_nothing_is_left_unsaid(nursery: trio.Nursery) -> None:
    announcements, said = Announcements(), list[str]()
    nursery.start_soon(announcements.run)
    await wait_all_tasks_blocked()
    announcements.add(lambda: said.append("leaves"))
    announcements.close()
    assert said == ["leaves"]
    await wait_all_tasks_blocked()
    assert not nursery.child_tasks
