"""A stream is at fault only if the poll sees its symbols move all the while."""

from __future__ import annotations

import pytest
import trio

from snexec.market.silence import Silence

pytestmark = pytest.mark.jumping_time


async def polls(
    silence: Silence, seconds: float, *, every: float = 2.0
) -> float | None:
    """Poll this long, each price another; return when the stream is at fault."""
    began = trio.current_time()
    while trio.current_time() - began <= seconds:
        if silence.moved():
            return trio.current_time() - began
        await trio.sleep(every)
    return None


async def test_thirty_seconds_of_moves_without_a_tick_are_a_fault() -> None:
    assert await polls(Silence(), 60) == 30


async def test_a_tick_meanwhile_is_a_sign_of_life() -> None:
    silence = Silence()
    for _ in range(10):
        assert await polls(silence, 28) is None
        silence.ticked()


async def test_a_poll_that_sees_nothing_move_either_accuses_nobody() -> None:
    assert await polls(Silence(), 3600, every=31) is None


async def test_moves_before_the_market_or_the_connection_opened_do_not_count() -> None:
    silence = Silence()
    assert await polls(silence, 28) is None
    silence.begun()
    assert await polls(silence, 60) == 30


async def test_patience_grows_with_each_silent_connection_up_to_ten_minutes() -> None:
    silence = Silence()
    found = [await polls(silence, 3600) for _ in range(7)]
    assert found == [30, 60, 120, 240, 480, 600, 600]
    silence.ticked()
    assert await polls(silence, 3600) == 30
