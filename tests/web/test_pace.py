"""How often something may happen."""

from __future__ import annotations

import pytest
import trio

from snexec.web.pace import Pace

pytestmark = pytest.mark.jumping_time


async def test_a_burst_goes_through_and_what_follows_keeps_the_pace() -> None:
    pace, began = Pace(burst=5, per_second=10), trio.current_time()
    times = []
    for _ in range(15):
        await pace.turn()
        times.append(round(trio.current_time() - began, 6))
    assert times[:5] == [0.0] * 5
    assert times[5:] == pytest.approx([0.1 * n for n in range(1, 11)])


async def test_a_pause_brings_back_the_burst_and_no_more_than_that() -> None:
    pace = Pace(burst=5, per_second=10)
    for _ in range(8):
        await pace.turn()
    await trio.sleep(1000)
    began = trio.current_time()
    for _ in range(6):
        await pace.turn()
    assert trio.current_time() - began == pytest.approx(0.1)
