"""Every wing, as whatever reports on the daemon sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.ops.bench import make_wings

if TYPE_CHECKING:
    from tests.fakes import Rig

pytestmark = pytest.mark.jumping_time


@pytest.mark.parametrize("state", ["running", "paused", "stopped"])
async def test_a_bot_that_is_enabled_is_in_its_own_state(rig: Rig, state: str) -> None:
    rig.set_bot(state=state)
    assert make_wings(rig).bot_state == state


@pytest.mark.parametrize("state", ["running", "paused", "stopped"])
async def test_a_bot_that_is_not_enabled_is_disabled_whatever_its_state_says(
    rig: Rig, state: str
) -> None:
    rig.set_bot(state=state, enabled=False)
    assert make_wings(rig).bot_state == "disabled"


async def test_the_state_is_that_of_the_settings_in_force(rig: Rig) -> None:
    wings = make_wings(rig)
    rig.set_bot(state="paused")
    assert wings.bot_state == "paused"
