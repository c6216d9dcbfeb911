"""Until when this daemon may order: by the clock that counts sleep, and the wall's."""

from __future__ import annotations

import pytest
import trio

from snexec.risk import Active
from tests.fakes import FakeClock

pytestmark = pytest.mark.jumping_time


async def test_where_nobody_else_may_order_it_is_never_over() -> None:
    active = Active(FakeClock())
    await trio.sleep(86_000)
    assert not active.is_over()


async def test_it_is_over_once_its_time_is_counted_from_its_beginning() -> None:
    wall = FakeClock()
    active = Active(wall)
    began = trio.current_time(), wall.now()
    await trio.sleep(3)
    active.hold(10, since=began)
    await trio.sleep(6.9)
    assert not active.is_over()
    await trio.sleep(0.1)
    assert active.is_over()


async def test_it_is_over_after_a_pause_that_only_the_wall_clock_shows() -> None:
    wall = FakeClock()
    active = Active(wall)
    active.hold(10, since=(trio.current_time(), wall.now()))
    wall.advance(10)
    assert active.is_over()


async def test_a_wall_clock_that_is_set_back_makes_it_no_longer() -> None:
    wall = FakeClock()
    active = Active(wall)
    active.hold(10, since=(trio.current_time(), wall.now()))
    wall.advance(-3600)
    await trio.sleep(10)
    assert active.is_over()


async def test_it_may_end_at_once() -> None:
    active = Active(FakeClock())
    active.stand_by()
    assert active.is_over()
