"""Signs of life: what is due, and what only waits for somebody else."""

from __future__ import annotations

import pytest
import trio

from snexec.stream.life import QUIET_SECONDS, SignsOfLife

pytestmark = pytest.mark.jumping_time


async def test_nothing_is_due_before_a_step_has_said_so() -> None:
    life = SignsOfLife()
    await trio.sleep(10_000)
    assert not life.is_overdue()
    assert (life.heard_at, life.event_at) == (None, None)


async def test_a_sign_is_overdue_once_its_time_is_over() -> None:
    life = SignsOfLife()
    life.expect_within(5.0)
    await trio.sleep(5)
    assert not life.is_overdue()
    await trio.sleep(0.01)
    assert life.is_overdue()


async def test_each_sign_puts_the_next_one_off() -> None:
    life = SignsOfLife()
    life.expect_within(5.0)
    await trio.sleep(100)
    life.heard()
    assert life.heard_at == trio.current_time()
    await trio.sleep(QUIET_SECONDS)
    assert not life.is_overdue()
    await trio.sleep(0.01)
    assert life.is_overdue()


async def test_nothing_is_overdue_while_an_event_is_handed_over() -> None:
    life = SignsOfLife()
    life.expect_within(5.0)
    life.handing_over = True
    await trio.sleep(100)
    assert not life.is_overdue()
    life.handing_over = False
    assert life.is_overdue()
